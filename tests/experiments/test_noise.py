"""Noise of decoders, as experiments look at it: against noise whose law is known."""

import os

import jax
import numpy as np
import pytest
from scipy import stats

import vaejax as vj
from experiments import noise
from experiments.grid import Grid
from experiments.study import Base, Study


@pytest.fixture(scope="module")
def fitted():
    """A model of 4 x 4 pixels with sigma = 0.5, its weights as they are drawn, but larger."""
    model = vj.zoo.vae(16, 2, hidden=(8,), likelihood=vj.heads.normal(0.5))
    return model, jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0)))


@pytest.fixture
def study(tmp_path):
    return Study("a.b", Base(out=tmp_path, work=tmp_path), "?")


@pytest.fixture(scope="module")
def judge():
    """A classifier of 4 x 4 pixels that has learned nothing: distances in its features are distances."""
    parts = vj.networks.MLP((16, 8, 6), activate_output=True), vj.networks.Linear(6, 2)
    network = vj.networks.Sequential(parts)
    return vj.evaluate.classifier.Classifier("drawn", network, network.init(jax.random.key(1)), (4, 4, 1), 2)


def test_what_a_mean_of_zero_leaves_is_the_image(fitted):
    model, params = fitted
    x = np.random.default_rng(0).random((5, 16), np.float32)
    np.testing.assert_array_equal(noise.residuals(model, jax.tree.map(np.zeros_like, params), x), x)
    left = noise.residuals(model, params, x)
    assert not np.allclose(left, noise.residuals(model, params, x, seed=1))  # another z
    certain = {"kernel": params["encoder"]["layer1"]["kernel"], "bias": np.float32([0, 0, -20, -20])}
    params = params | {"encoder": params["encoder"] | {"layer1": certain}}
    z = vj.evaluate.encode_rows(model, params, jax.random.key(0), x, temperature=0.0)
    means = jax.vmap(lambda z: vj.decode(model, params, z))(z)
    np.testing.assert_allclose(noise.residuals(model, params, x), x - means, atol=1e-2)


def test_another_noise_has_the_same_means(fitted):
    model, params = fitted
    other, changed = noise.renoised(model, params, 0.25)
    z = np.float32([1.0, -2.0])
    found, p = other.likelihood(changed, z), model.likelihood(params, z)
    np.testing.assert_array_equal(found.mean, p.mean)
    np.testing.assert_allclose(found.stddev, np.broadcast_to(0.25, 16), rtol=1e-6)


def test_draws_stand_sigma_from_their_means(fitted, judge):
    means, draws = noise.both(*fitted, seed=0, count=4000)
    off = draws - means
    np.testing.assert_allclose(off.std(0), np.full(16, 0.5), rtol=0.1)
    assert abs(off.mean()) < 0.02 and abs(np.corrcoef(off.ravel(), means.ravel())[0, 1]) < 0.02
    grey, smooth = (
        np.random.default_rng(1).random((300, 16), np.float32),
        np.arange(600.0).reshape(600, 1) + np.zeros(16),
    )
    found = noise.noise_scores(means[:600], draws[:600], smooth, grey, judge)
    assert found["distance"] == pytest.approx(0.5 * np.sqrt(2) * 2.758, rel=0.02)  # the mean of chi with 16 degrees
    assert abs(found["noise_lag1"]) < 0.02 and found["data_lag1"] == pytest.approx(1.0)
    assert found["outside"] == pytest.approx(100 * np.mean((draws[:600] < 0) | (draws[:600] > 1)), abs=1e-3)
    assert found["draw_out_of_range"] > found["clip_out_of_range"] == 0.0
    assert "data_lag1" not in noise.noise_scores(means[:600], draws[:600], None, grey, judge)


def test_the_table_of_looks(study):
    numbers = {
        f"{kind}_{part}": v for v, kind in enumerate(("mean", "draw", "clip")) for part in ("frechet", "precision")
    }
    noise.looks(study, "Looks", Grid({"v, seed 0": numbers}, 1), ["v"], kinds=("draw", "mean"))
    assert study.tables[0]["columns"] == ["Fréchet and precision of", "draws", "means", "draws", "means"]
    assert study.tables[0]["rows"] == [["v", "1.0", "0.0", "1.00", "0.00"]]


def test_the_picture_of_noise_is_grey_at_zero(study):
    x = np.random.default_rng(4).random((10, 4, 4, 1), np.float32)
    data, rows = vj.data.Dataset(vj.data.Split(x), None, None), x.reshape(10, 16)
    noise.noise_grid(study, "noise", data, rows, {"two less": (rows, rows - 2.0), "none": (rows, rows)}, "Noise.")
    shown = study.drawn["noise"].axes[0].images[0]
    low, high = shown.get_clim()
    assert low == -high == -2.0 and shown.get_array().shape == (3 * 5 - 1, 10 * 5 - 1)
    np.testing.assert_allclose(shown.get_array()[5:9, :4], np.full((4, 4), -2.0), atol=1e-6)


def test_a_gaussian_a_pixel_against_scipy():
    x = np.random.default_rng(0).normal(size=(50, 3)) * (1.0, 0.5, 0.0)
    expected = stats.norm.logpdf(x[:, :2], x[:, :2].mean(0), x[:, :2].std(0)).sum(1).mean()
    assert np.isclose(noise.pixel_gaussian(x[:, :2], 0.0), expected)
    constant = stats.norm.logpdf(0.0, 0.0, 1e-3)
    assert np.isclose(noise.pixel_gaussian(x, 1e-6), expected + constant)


@pytest.mark.skipif("VAEJAX_DATA" not in os.environ, reason="VAEJAX_DATA does not name the folder of MNIST")
def test_what_is_known_of_mnist_without_latents():
    x = vj.data.mnist().train.x.reshape(-1, 784) / np.float32(255)
    for floor, known in noise.FLOORS.items():
        assert abs(noise.pixel_gaussian(x, floor) - known) < 0.1


def test_distances_of_ppca_are_those_of_the_directions_that_it_drops(study):
    x = np.random.default_rng(5).normal(size=(300, 3)).astype(np.float32) * np.float32([5.0, 2.0, 1.0])
    grid = Grid({"a, seed 0": {"distance": 3.0}, "b, seed 0": {"distance": 2.0}}, 1)
    found = noise.distances(study, grid, {"a": 1, "b": 2}, x)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    assert found == pytest.approx({1: np.sqrt(3 * values[:2].mean()), 2: np.sqrt(3 * values[0])}, rel=1e-4)
    series = study.figures[0]["series"]
    assert series["pPCA, σ√D"] == [[1, 2], [found[1], found[2]]]
    assert series["VAE, one learned σ"][:2] == [[1, 2], [3.0, 2.0]]


def test_noise_is_that_of_the_learned_sigma():
    model = vj.zoo.vae(16, 2, hidden=(8,), likelihood=vj.heads.normal("shared"))
    params, rows = {"likelihood": {"log_scale": np.float32(np.log(0.3))}}, np.ones((2000, 16), np.float32)
    found = noise.noised(rows, model, params, 0)
    assert found.dtype == np.float32 and found.mean() == pytest.approx(1.0, abs=0.01)
    assert found.std() == pytest.approx(0.3, rel=0.02)
