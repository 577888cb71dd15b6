"""Noise of z against noise of x: that both move images by what is asked."""

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Base, Study
from experiments.questions import variability

SIGMA = 0.2


@pytest.fixture(scope="module")
def fitted():
    """A model of 4 x 4 pixels with one learned sigma, its weights as they are drawn, but larger."""
    model = vj.zoo.vae(16, 2, hidden=(8,), likelihood=vj.heads.normal("shared"))
    params = jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0)))
    return model, params | {"likelihood": {"log_scale": np.float32(np.log(SIGMA))}}


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).random((60, 16), np.float32)


def test_noise_on_z_moves_images_by_what_is_asked(fitted):
    model, params = fitted
    z = np.random.default_rng(2).normal(size=(50, 2)).astype(np.float32)
    still = variability.moved(model, params, z, 0.0)
    np.testing.assert_allclose(still, jax.vmap(lambda z: vj.decode(model, params, z))(z), atol=1e-6)
    for variance in (0.1, 2.0):
        moved = variability.moved(model, params, z, variance, seed=3)
        assert np.square(moved - still).sum(1).mean() == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_both_noises_have_one_variance(fitted, x, share):
    still = variability.pictures(*fitted, x, "noise of x", 0.0, 0)
    each = {kind: variability.pictures(*fitted, x, kind, share, 0) - still for kind in ("noise of z", "noise of x")}
    asked = share * 16 * SIGMA**2
    assert np.square(each["noise of z"]).sum(1).mean() == pytest.approx(asked, rel=1e-3)
    assert np.square(each["noise of x"]).sum(1).mean() == pytest.approx(asked, rel=0.1)
    rank = {kind: np.linalg.svd(off[:10], compute_uv=False)[-1] for kind, off in each.items()}
    assert rank["noise of x"] > 0.05  # in all directions


def test_samples_of_a_wider_z_are_as_far_from_the_centre_as_draws(fitted, x):
    model, params = fitted[0], fitted[1] | {"likelihood": {"log_scale": np.float32(np.log(2.0))}}
    means, drawn, wider = (variability.pictures(model, params, x, "samples", share, 0) for share in (0, 1, 2))
    centre = np.asarray(vj.decode(model, params, np.zeros(2, np.float32)))
    far = lambda rows: np.square(rows - centre).sum(1).mean()  # noqa: E731
    assert far(wider) == pytest.approx(far(drawn), rel=1e-3) and far(means) < far(drawn)
    assert (drawn - means).std() == pytest.approx(2.0, rel=0.1)


def test_pictures_have_latents_and_shares_below(tmp_path):
    study = Study("a.b", Base(out=tmp_path, work=tmp_path), "?")
    gains = Grid({"M = 2, seed 0": {"iwae": 5.0, "ppca": 3.0}}, 1)
    changes = Grid({"small, seed 0": {"same": 90.0}, "large, seed 0": {"same": 40.0}}, 1)
    variability.lines(study, gains, {"one σ": {"M = 2": 2}}, changes, {"noise of x": {"small": 0.25, "large": 1.0}})
    first, second = (figure["series"] for figure in study.figures)
    assert [line[:2] for line in first.values()] == [[[2], [5.0]], [[2], [3.0]]]
    assert second["noise of x"][:2] == [[0.25, 1.0], [90.0, 40.0]]
