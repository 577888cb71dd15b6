"""The models of the table of likelihoods, and their numbers."""

import dataclasses
import types

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments import likelihoods
from experiments.grid import Grid
from experiments.likelihood_table import Config

EVERY = dataclasses.replace(Config.smoke(), models=(*likelihoods.NAMES, "NVAE-style"))


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


def test_models_stand_in_the_order_that_is_asked():
    grid = Grid({f"{name}, seed 0": {"x": value} for name, value in (("a", 3.0), ("b", 1.0), ("c", 2.0))}, 1)
    figure, series = likelihoods.ranked(grid, ["b", "c", "a"], {"bound": "x"})
    assert series["bound"][:2] == ([0, 1, 2], [1.0, 2.0, 3.0])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["b", "c", "a"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1.0, 2.0, 3.0])
