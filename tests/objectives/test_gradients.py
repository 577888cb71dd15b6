"""Objectives of the same value with other gradients, and weights of layers."""

import functools

import chex
import jax
import numpy as np
import pytest

from tests import zoo
from tests.objectives.test_objectives import KEY, MODEL, score, start
from vaejax import objectives

__all__ = ["start"]


def test_doubly_reparameterised_gradients_have_the_mean_of_the_bound_s_and_less_noise(start):
    """The same value draw by draw; the same mean gradient; the encoder's noise does not grow with k."""
    params, x = start
    params = jax.tree.map(
        lambda leaf: leaf + 0.1 * np.sin(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape), params
    )

    @functools.partial(jax.jit, static_argnames="objective")
    def gradients(objective):
        one = lambda key: objective.gradient(MODEL, params, key, x[:1], None, 0, {})
        return jax.vmap(one)(jax.random.split(KEY, 4000))

    (plain, (value, _)), (double, (same, _)) = gradients(objectives.iwae(10)), gradients(objectives.dreg(10))
    np.testing.assert_allclose(value, same, rtol=1e-4)
    noise = lambda tree: sum(float(np.var(leaf, 0).sum()) for leaf in jax.tree.leaves(tree))
    for a, b in zip(*map(jax.tree.leaves, (plain, double)), strict=True):
        error = np.sqrt((np.var(a, 0) + np.var(b, 0)) / len(a))
        assert np.all(np.abs(a.mean(0) - b.mean(0)) <= 5 * error + 1e-6)
    assert noise(double["encoder"]) < 0.5 * noise(plain["encoder"])
    chex.assert_trees_all_close(plain["decoder"], double["decoder"], atol=1e-4)


@pytest.mark.parametrize("name", ["ladder", "biva", "iaf", "two-stage"])
def test_doubly_reparameterised_gradients_of_deep_models(name):
    model, x = zoo.AMORTIZED[name], zoo.levels(6)
    params = jax.jit(model.init)(KEY)
    value, info = score(objectives.iwae(3), params, x, model)
    same, terms = score(objectives.dreg(3), params, x, model)
    np.testing.assert_allclose([value, info["kl"]], [same, terms["kl"]], rtol=1e-4)


def test_balanced_layers_have_weights_of_mean_one_until_the_end_of_the_warm_up():
    model, x = zoo.AMORTIZED["hierarchical"], zoo.levels(12)
    params = jax.tree.map(lambda leaf: leaf + 0.1, jax.jit(model.init)(KEY))
    objective = objectives.kl_balance(10)
    early, info = score(objective, params, x, model, step=9)
    late, _ = score(objective, params, x, model, step=10)
    np.testing.assert_allclose(late, info["elbo"], rtol=1e-5)
    held = (np.abs(info["kl_per_layer"]) + 0.01) / np.array([2, 3])  # nats a latent variable
    penalty = np.sum(held / held.mean() * info["kl_per_layer"])
    np.testing.assert_allclose(early, info["log_likelihood"] - penalty, rtol=1e-5)
    with pytest.raises(ValueError, match="kl_balance: expected a hierarchy"):
        score(objective, jax.jit(MODEL.init)(KEY), x, step=0)
    assert objective.evaluation == objectives.elbo()


def test_free_shares_follow_the_whole_and_fade():
    model, x = zoo.AMORTIZED["hierarchical"], zoo.levels(12)
    params = jax.tree.map(lambda leaf: leaf + 0.1, jax.jit(model.init)(KEY))
    objective = objectives.free_share(0.45, fade=0.5)
    with pytest.raises(ValueError, match="fade: 0.5 is a share of a run"):
        score(objective, params, x, model)
    run = objective.of_run(100)
    for step, share in ((0, 0.45), (50, 0.45), (75, 0.225), (100, 0.0)):
        value, info = score(run, params, x, model, step=step)
        kl = info["kl_per_layer"]
        np.testing.assert_allclose(value, info["log_likelihood"] - np.maximum(kl, share * kl.sum()).sum(), rtol=1e-5)
    assert objective.evaluation == objectives.elbo() and min(kl) < 0.45 * kl.sum()
    kept = objectives.free_share(0.45)
    assert kept.evaluation == kept.of_run(100) == kept
    with pytest.raises(ValueError, match="free_share: expected a hierarchy"):
        score(kept, jax.jit(MODEL.init)(KEY), x)
