from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.images import aggregates


@pytest.fixture
def blind():
    """A VAE whose q(z|x) is N(0, I) for all x."""
    model = vj.zoo.vae(3, 2, hidden=(4,), likelihood=vj.heads.normal(1.0))
    return model, jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))


def test_a_posterior_that_is_the_prior_tells_nothing(blind):
    found = aggregates.information(*blind, np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32), 0)
    np.testing.assert_allclose(list(found.values()), 0.0, atol=1e-4)


def test_panels_have_a_point_for_each_row(blind):
    x, labels = np.zeros((400, 3), np.float32), np.arange(400)
    fit = blind[0], SimpleNamespace(best=blind[1])
    found = aggregates.beside_prior({"a": fit, "b": fit}, x, labels)
    assert list(found) == ["a", "b", "p(z)"] and found["b"][1] is labels and found["p(z)"][1] is None
    for points, _ in found.values():
        assert points.shape == (400, 2)
        np.testing.assert_allclose(points.std(0), 1.0, atol=0.12)


def test_each_step_of_the_floor_has_its_sign():
    runs = {"a": (0.0, 2.0), "b": (300.0, 306.0), "c": (100.0, 102.0)}
    sigmas = {"a": 0.1, "b": 0.01, "c": 0.002}
    cells = {f"{n}, seed {i}": {"iwae": v, "least_sigma": sigmas[n]} for n in runs for i, v in enumerate(runs[n])}
    said = aggregates.floor_steps(Grid(cells, 2), {0.01: "b", 0.1: "a", 0.0001: "c"}, 100)
    steps = "+302 ± 2 nats from 0.1 to 0.01 (as predicted), -101 ± 1 nats from 0.01 to 0.0001 (not as predicted)"
    assert steps in said and "at least 230, ln 10 for each of the 100 pixels" in said
    assert "0.1000, 0.0100, 0.0020 at the floors 0.1, 0.01, 0.0001" in said
