"""The models of the table of likelihoods, and their numbers."""

import dataclasses
import types

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.images import likelihoods
from experiments.images.likelihood_table import Config

EVERY = dataclasses.replace(Config.smoke(), models=(*likelihoods.NAMES, *likelihoods.MORE, "NVAE-style"))


def test_models_are_scored_as_what_they_are():
    members = likelihoods.members(EVERY, (8, 8, 1))
    assert list(members) == list(EVERY.models)
    for model, binary in members.values():
        assert model.event_shape == (8, 8, 1) and binary == (model.likelihood_head == vj.heads.bernoulli())
    warm = [name for name, (model, _) in members.items() if model.objective == vj.objectives.warm_up(300)]
    assert warm == ["hierarchical", "ladder", "BIVA", "NVAE-style"]  # those of several layers


def test_a_model_that_has_learned_nothing():
    """All logits zero: ln 2 a pixel lost, nothing carried, no spread over rows; bits a dimension are 1."""
    model = vj.zoo.vae((2, 2, 1), 1, hidden=(3,))
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    fit = types.SimpleNamespace(best=params, history={"seconds": np.array([1.5, 2.0])})
    found = likelihoods.scored(model, fit, np.ones((6, 2, 2, 1), np.float32), 0, k=3, levels=1)
    np.testing.assert_allclose([found["iwae"], found["elbo"]], -4 * np.log(2), atol=1e-5)
    assert found["error"] == pytest.approx(0, abs=1e-5) and found["seconds"] == 3.5
    encoder, decoder = 4 * 3 + 3 + 3 * 2 + 2, 1 * 3 + 3 + 3 * 4 + 4
    assert found["parameters"] == pytest.approx((encoder + decoder) / 1e6)


def test_models_without_networks_are_scored_exactly():
    """Independent pixels of known variances: pPCA and a mixture of one come near the entropy."""
    rng = np.random.default_rng(0)
    x = 0.5 + 0.1 * rng.normal(size=(4000, 4))
    split = lambda rows: vj.data.Split(rows.astype(np.float32), None)  # noqa: E731
    data = vj.data.Dataset(split(x[:2000]), split(x[2000:2500]), split(x[2500:]))
    entropy = 2 * np.log(2 * np.pi * np.e * 0.01)
    for name, parameters in (("pPCA, M = 2", 4 + 8 + 1), ("GMM, K = 1", 4 + 4 + 1)):
        found = likelihoods.exact(name, data, 0, 256)
        assert found["iwae"] == pytest.approx(-entropy, abs=0.15)
        assert found["error"] == pytest.approx(np.sqrt(2 / 1500), rel=0.15)  # half a chi squared of 4
        assert found["bits_per_dimension"] == pytest.approx(8 - found["iwae"] / 4 / np.log(2))
        assert found["parameters"] == pytest.approx(parameters / 1e6)


def test_what_was_predicted_is_judged():
    values = {"VAE": -90.0, "IAF": -89.0, "BIVA": -92.0, "VampPrior": -85.0, "mixture prior": -70.0}
    grid = Grid({f"{name}, seed 0": {"iwae": value} for name, value in values.items()}, 1)
    said = likelihoods.judged(grid, sorted(values, key=values.__getitem__), likelihoods.REPORTED)
    assert "Of the 3 predicted pairs, wrong are 2 (VAE before BIVA; IAF before BIVA)" in said
    assert "span 3.0 nats" in said and "VAE -0.2, VampPrior +0.8" in said
    assert "all hold" in likelihoods.judged(grid, ["VAE", "IAF"], {})


def test_the_reduced_model_has_less_of_everything():
    asked = []
    study = types.SimpleNamespace(fit=lambda model, data, **how: asked.append((len(data.train), how)))
    data = vj.data.digits()
    config = dataclasses.replace(EVERY, reduced=(50, 3), epochs=9)
    models = likelihoods.Models(study, config, data)
    for name in ("VAE", likelihoods.REDUCED):
        models.fitted(name, 1)
    assert [(rows, how["epochs"]) for rows, how in asked] == [(len(data.train), 9), (50, 3)]
    assert "on 50 images for 3 epochs" in likelihoods.left_out(models)
    assert "batch_size" not in asked[0][1] and models.label("VAE") == "VAE"
    assert models.label(likelihoods.REDUCED).endswith("reduced: 50 images x 3 epochs, IWAE-1")


def test_models_stand_in_the_order_that_is_asked():
    grid = Grid({f"{name}, seed 0": {"x": value} for name, value in (("a", 3.0), ("b", 1.0), ("c", 2.0))}, 1)
    figure, series = likelihoods.ranked(grid, ["b", "c", "a"], {"bound": "x"})
    assert series["bound"][:2] == ([0, 1, 2], [1.0, 2.0, 3.0])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["b", "c", "a"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1.0, 2.0, 3.0])
