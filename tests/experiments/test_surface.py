"""The surface of means: against linear models, whose surface is a plane, and a decoder that does not look at z."""

import jax
import numpy as np
import pytest
from scipy import stats

import vaejax as vj
from experiments import surface
from experiments.grid import Grid
from experiments.study import Base, Study


@pytest.fixture(scope="module")
def line():
    """A linear model of four numbers with one latent, and rows of it."""
    model, weight = vj.PPCA(4, 1), np.float32([[3.0], [0.0], [4.0], [0.0]])
    params = {"mean": np.zeros(4, np.float32), "weight": weight, "log_scale": np.float32(-1.0)}
    return model, params, vj.evaluate.draw_rows(vj.evaluate.from_prior(model, params), jax.random.key(0), 400)


@pytest.fixture(scope="module")
def data():
    """Rows of numbers with mean square 4: to train on, to choose by, to test."""
    rng = np.random.default_rng(0)
    parts = (vj.data.Split(2 * rng.choice([-1.0, 1.0], (n, 3)).astype(np.float32)) for n in (50, 20, 30))
    return vj.data.Dataset(*parts)


def test_means_of_a_linear_model_lie_on_a_line(line):
    model, params, x = line
    drawn = surface.means(model, params, 0, 3000)
    np.testing.assert_allclose(drawn @ np.float32([4.0, 0.0, -3.0, 0.0]), np.zeros(3000), atol=1e-4)
    np.testing.assert_array_equal(drawn[:, [1, 3]], np.zeros((3000, 2)))
    assert np.linalg.norm(drawn, axis=1).std() > 1.0
    assert drawn.var(0).sum() == pytest.approx(25.0, rel=0.1)
    # of a linear model it does not depend on the draws
    assert surface.variance(model, params, 0 * drawn, x) == pytest.approx(2500.0 / x.var(0).sum(), rel=1e-5)
    found = surface.slopes(model, params)
    assert found["rank"] == 1.0 and found["stretch"] == pytest.approx([5.0], rel=1e-5)


def test_the_mixture_is_one_of_the_codes():
    model = vj.zoo.vae(2, 1, hidden=(4,), likelihood=vj.heads.normal(0.1))
    params = model.init(jax.random.key(1))
    x = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    far = params | {"encoder": jax.tree.map(np.copy, params["encoder"])}
    far["encoder"]["layer1"]["bias"] = np.float32([30.0, -8.0])  # codes near 30, where no draw from the prior is
    drawn = surface.means(model, far, 0, 200, x)
    least, most = (np.asarray(vj.decode(model, far, np.float32([z]))) for z in (20.0, 40.0))
    assert np.all((drawn >= np.minimum(least, most)) & (drawn <= np.maximum(least, most)))
    near = surface.means(model, far, 0, 200)
    assert np.linalg.norm(near.mean(0) - drawn.mean(0)) > 1.0
    assert surface.variance(model, far, 2 * x, x) == pytest.approx(400.0, rel=1e-4)


def test_noise_put_back_on_a_point_is_a_gaussian(data):
    model = vj.zoo.vae(3, 1, hidden=(2,), likelihood=vj.heads.normal(1.0))
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    found = surface.with_noise(model, params, data, k=500)
    assert found["sigma"] == pytest.approx(2.0)
    for label, sigma in (("one", 1.0), ("half", 0.5**0.5), ("wide", 1.5**0.5), ("ml", 2.0)):
        exact = stats.norm(0.0, sigma).logpdf(data.test.x).sum(1).mean()
        assert found[label] == pytest.approx(exact, abs=0.05)  # what weights between q(z|x) and the prior leave


def test_kernels_are_chosen_by_validation(data):
    drawn = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    found = surface.kernels(drawn, data)

    def score(rows, width):
        each = stats.norm(0.0, width).logpdf(rows[:, None] - drawn).sum(2)
        return np.mean(np.log(np.mean(np.exp(each), 1)))

    np.testing.assert_allclose(found["kde_curve"], [score(data.test.x, w) for w in surface.WIDTHS], rtol=1e-3)
    assert found["width"] == max(surface.WIDTHS, key=lambda w: score(data.validation.x, w))
    assert found["kde"] == found["kde_curve"][list(surface.WIDTHS).index(found["width"])]


def test_the_pictures_show_every_direction_and_every_width(tmp_path):
    cell = {"stretch": [3.0, 1.0], "kde_curve": list(range(10)), "sigma": 0.5, "ml": 7.0}
    study = Study("a.b", Base(out=tmp_path, work=tmp_path), "?")
    surface.curves(study, Grid({"vae, seed 0": cell, "line, seed 0": cell}, 1), ["vae"], "line")
    stretch, likelihood = (figure["series"] for figure in study.figures)
    assert stretch == {name: [[1, 2], [3.0, 1.0]] for name in ("vae", "line")}
    assert likelihood["kernels, vae"] == [list(surface.WIDTHS), list(range(10))] and likelihood["IWAE, vae"] == [
        [0.5],
        [7.0],
    ]
