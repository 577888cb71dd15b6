"""Modules that several stories use: decoders by name, their noise, the linear model, photographs, phrases."""

import os
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import stats

import vaejax as vj
from experiments.shared import decoders, noise, phrases, pixels


@pytest.fixture(scope="module")
def fitted():
    """A model of 4 x 4 pixels with sigma = 0.5, its weights as they are drawn, but larger."""
    model = vj.zoo.vae(16, 2, hidden=(8,), likelihood=vj.heads.normal(0.5))
    return model, jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0)))


def test_heads_have_the_sigma_of_their_names():
    for name, sigma in {"σ = 1": 1.0, "σ = 1/2": 0.5, "σ = 0.1": 0.1, "σ(z), floor 0.001": 0.001}.items():
        head = decoders.HEADS[name]
        least = head.apply({}, np.full(head.output_shape((3,)), -30.0, np.float32)).stddev
        np.testing.assert_allclose(np.broadcast_to(least, 3), np.full(3, sigma), rtol=1e-5)
    sizes = {name: head.init(jax.random.key(0), (3,)) for name, head in decoders.GAUSSIAN.items()}
    learned = {name: params["log_scale"].shape for name, params in sizes.items() if params}
    assert learned == {"σ shared": (), "σ* optimal": (), "σ a pixel": (3,)}


def test_another_noise_has_the_same_means(fitted):
    model, params = fitted
    other, changed = noise.renoised(model, params, 0.25)
    z = np.float32([1.0, -2.0])
    found, p = other.likelihood(changed, z), model.likelihood(params, z)
    np.testing.assert_array_equal(found.mean, p.mean)
    np.testing.assert_allclose(found.stddev, np.broadcast_to(0.25, 16), rtol=1e-6)


def test_draws_stand_sigma_from_their_means(fitted):
    parts = vj.networks.MLP((16, 8, 6), activate_output=True), vj.networks.Linear(6, 2)
    network = vj.networks.Sequential(parts)  # has learned nothing: distances in its features are distances
    judge = vj.evaluate.classifier.Classifier("drawn", network, network.init(jax.random.key(1)), (4, 4, 1), 2)
    means, draws = noise.both(*fitted, seed=0, count=600)
    smooth = np.arange(600.0).reshape(600, 1) + np.zeros(16)
    grey = np.random.default_rng(1).random((300, 16), np.float32)
    found = noise.noise_scores(means, draws, smooth, grey, judge)
    assert found["distance"] == pytest.approx(0.5 * np.sqrt(2) * 2.758, rel=0.02)  # the mean of chi with 16 degrees
    assert abs(found["noise_lag1"]) < 0.02 and found["data_lag1"] == pytest.approx(1.0)
    assert found["outside"] == pytest.approx(100 * np.mean((draws < 0) | (draws > 1)), abs=1e-3)


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


def test_celeba_through_tfds(monkeypatch):
    records = [{"image": np.full((22, 18, 3), i, np.uint8), "attributes": {}} for i in range(30)]
    calls = []
    source = lambda name, split, download: calls.append((name, split)) or records
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", types.SimpleNamespace(data_source=source))
    found = pixels.photographs(None, 16, 20)
    assert calls == [("celeb_a", "train"), ("celeb_a", "test")] and "CelebA" in found.notes[0]
    assert [part.x.shape for part in found.parts] == [(18, 16, 16, 3), (2, 16, 16, 3), (20, 16, 16, 3)]
    assert found.train.y is None and found.test.x[7].max() == 7


def test_parts_of_a_folder_of_photographs(tmp_path):
    for i in range(50):
        Image.fromarray(np.full((20 + i % 5, 24, 3), 5 * i, np.uint8)).save(tmp_path / f"{i:02}.png")
    found = pixels.photographs(tmp_path, 12, 100)
    assert [len(part) for part in found.parts] == [41, 4, 5]
    assert len(np.unique(np.concatenate([part.x for part in found.parts]).reshape(50, -1), axis=0)) == 50


def test_differences_that_are_beyond_their_noise():
    assert phrases.beyond_noise([1.0, 1.1, 0.9]) and phrases.beyond_noise([-1.0, -1.1, -0.9])
    assert not phrases.beyond_noise([1.0, -1.0, 0.5]) and not phrases.beyond_noise([1.0])
    assert phrases.failing(True) == "" and phrases.failing(False) == ", which fails"
