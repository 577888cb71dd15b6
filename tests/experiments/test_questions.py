"""Rate and distortion, the surface of means, noise of z and of x: against Gaussians and a decoder of one point."""

import types

import jax
import numpy as np
import pytest
from scipy import stats

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.questions import rates, surface, variability

BETA, VARIANCE, ZERO, SIGMA = 4.0, 0.5, 0.1, 0.2


@pytest.fixture(scope="module")
def still():
    """A model with noise of variance 0.5 whose mean is zero and whose q(z|x) does not look at x."""
    model = vj.zoo.vae(3, 1, hidden=(2,), likelihood=vj.heads.normal(float(np.sqrt(VARIANCE))))
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    return model, types.SimpleNamespace(best=params, history={"validation_value": np.array([-20.0, -16.0])})


def test_distortion_is_the_loss_with_another_noise(still):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    found = rates.measured(*still, x, BETA, VARIANCE, zero=ZERO, k=2000)
    log = lambda variance: stats.norm(0.0, np.sqrt(variance)).logpdf(x).sum(1).mean()  # noqa: E731
    assert found["distortion"] == pytest.approx(-log(ZERO), rel=1e-4)
    assert found["error"] == pytest.approx(np.square(x).mean(), rel=1e-4)
    assert found["own"] == pytest.approx(log(VARIANCE) - found["kl"], rel=1e-4)
    assert found["iwae"] == pytest.approx(log(BETA * VARIANCE), abs=0.05)
    total = x.var(0).sum()
    assert [found["low"], found["high"]] == pytest.approx([1.5 / total, 6.0 / total], rel=1e-4)


def test_training_is_told_as_the_bound_with_the_other_noise(still):
    x = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    squares, kl = 6.0, 0.7  # of some reconstructions
    loss = lambda variance: 0.5 * squares / variance + 1.5 * np.log(2 * np.pi * variance)  # noqa: E731
    values = np.array([-loss(VARIANCE) - BETA * kl, 0.0])  # the first is what a beta-VAE with this noise has
    fit = types.SimpleNamespace(best=still[1].best, history={"validation_value": values})
    found = rates.measured(still[0], fit, x, BETA, VARIANCE, zero=ZERO, k=2000)["epochs"]
    assert len(found) == 2 and found[0] == pytest.approx(-loss(BETA * VARIANCE) - kl)


def test_slopes_are_over_the_predicted_ones():
    rate = {"a": 10.0, "b": 8.0, "c": 7.95, "d": 4.0}
    betas, far = dict(zip(rate, (1.0, 4.0, 5.0, 20.0), strict=True)), {"a": 0.0, "b": 4.0, "c": 9.0, "d": 48.5}
    grid = Grid({f"{name}, seed 0": {"kl": rate[name], "distortion": far[name]} for name in rate}, 1)
    assert rates.slopes(grid, betas) == pytest.approx([1.0, 1.0])  # 4 in 2 nats at beta 2; 39.5 in 3.95 at 10
    assert rates.slopes(grid, {"b": 4.0, "c": 5.0}) == [np.inf]


def test_means_of_a_linear_model_lie_on_a_line():
    model, weight = vj.PPCA(4, 1), np.float32([[3.0], [0.0], [4.0], [0.0]])
    params = {"mean": np.zeros(4, np.float32), "weight": weight, "log_scale": np.float32(-1.0)}
    drawn = surface.means(model, params, 0, 3000)
    np.testing.assert_allclose(drawn @ np.float32([4.0, 0.0, -3.0, 0.0]), np.zeros(3000), atol=1e-4)
    assert drawn.var(0).sum() == pytest.approx(25.0, rel=0.1)
    found = surface.slopes(model, params)
    assert found["rank"] == 1.0 and found["stretch"] == pytest.approx([5.0], rel=1e-5)


def test_noise_put_back_on_a_point_is_a_gaussian():
    rng = np.random.default_rng(0)
    parts = (vj.data.Split(2 * rng.choice([-1.0, 1.0], (n, 3)).astype(np.float32)) for n in (50, 20, 30))
    data, model = vj.data.Dataset(*parts), vj.zoo.vae(3, 1, hidden=(2,), likelihood=vj.heads.normal(1.0))
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    found = surface.with_noise(model, params, data, k=500)
    assert found["sigma"] == pytest.approx(2.0)
    for label, sigma in (("one", 1.0), ("half", 0.5**0.5), ("wide", 1.5**0.5), ("ml", 2.0)):
        exact = stats.norm(0.0, sigma).logpdf(data.test.x).sum(1).mean()
        assert found[label] == pytest.approx(exact, abs=0.05)  # what weights between q(z|x) and the prior leave


def test_noise_of_z_and_noise_of_x_have_one_variance():
    model = vj.zoo.vae(16, 2, hidden=(8,), likelihood=vj.heads.normal("shared"))
    params = jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0)))
    params = params | {"likelihood": {"log_scale": np.float32(np.log(SIGMA))}}
    x, share = np.random.default_rng(1).random((60, 16), np.float32), 0.25
    still = variability.pictures(model, params, x, "noise of x", 0.0, 0)
    for kind, error in (("noise of z", 1e-3), ("noise of x", 0.1)):
        off = variability.pictures(model, params, x, kind, share, 0) - still
        assert np.square(off).sum(1).mean() == pytest.approx(share * 16 * SIGMA**2, rel=error)
    params = params | {"likelihood": {"log_scale": np.float32(np.log(2.0))}}
    means, drawn, wider = (variability.pictures(model, params, x, "samples", share, 0) for share in (0, 1, 2))
    centre = np.asarray(vj.decode(model, params, np.zeros(2, np.float32)))
    far = lambda rows: np.square(rows - centre).sum(1).mean()  # noqa: E731
    assert far(wider) == pytest.approx(far(drawn), rel=1e-3) and far(means) < far(drawn)
