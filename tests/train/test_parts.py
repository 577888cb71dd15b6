"""Gradients of a batch from its parts."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax import objectives

KEY = jax.random.key(0)
FLAT = vj.zoo.vae(zoo.D, 2, hidden=(8,))
SIGMA = vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,))
DEEP = zoo.AMORTIZED["hierarchical"]
LABELS = vj.zoo.conditional_vae(zoo.D, 2, 3, hidden=(8,))
CASES = {
    "elbo": (objectives.elbo(num_samples=2), FLAT),
    "with labels": (objectives.elbo(), LABELS),
    "stl": (objectives.stl(), FLAT),
    "iwae": (objectives.iwae(3), FLAT),
    "dreg": (objectives.dreg(3), FLAT),
    "beta and warm-up": (objectives.warm_up(10, objectives.beta(2.0)), FLAT),
    "sigma": (objectives.optimal_sigma(), SIGMA),
    "free bits": (objectives.free_bits(0.3), FLAT),
    "free bits a layer": (objectives.free_bits(0.3, objectives.warm_up(10), per="layer"), DEEP),
    "balance": (objectives.kl_balance(10, objectives.warm_up(10)), DEEP),
}


@functools.partial(jax.jit, static_argnames=("objective", "model", "parts"))
def gradient(objective, model, params, x, context, parts):
    return objective.gradient(model, params, KEY, x, context, 5, {}, parts=parts)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_from_parts_is_that_of_the_batch(name, x64):
    objective, model = CASES[name]
    x = jnp.asarray(zoo.levels(12), jnp.float64)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) + 0.1, model.init(KEY))
    context = jnp.arange(12) % 3 if model.context_dim else None
    whole, split = (gradient(objective, model, params, x, context, parts) for parts in (1, 4))
    chex.assert_trees_all_close(whole, split, rtol=1e-9, atol=1e-12)
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(split[0]))


def test_objectives_of_whole_batches_refuse_parts():
    two_stage, x = zoo.AMORTIZED["two-stage"], zoo.levels(40)
    function = lambda model, params, key, x, context, step, hparams: (jnp.sum(params["decoder"]["layer0"]["bias"]), {})
    for model, objective in ((FLAT, objectives.beta_tc(2.0, num_data=40)), (two_stage, None), (FLAT, function)):
        with pytest.raises(ValueError, match="microbatch: .* takes the batch as a whole"):
            vj.fit(model, KEY, x, epochs=1, batch_size=20, microbatch=5, objective=objective)


def test_a_fit_in_parts_is_the_fit_of_the_batch():
    x = zoo.levels(40)
    fit = functools.partial(vj.fit, FLAT, KEY, x, epochs=2, batch_size=20)
    chex.assert_trees_all_close(fit().params, fit(microbatch=5).params, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="microbatch: expected a divisor of the 20 rows of a step, got 3"):
        fit(microbatch=3)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with pytest.raises(ValueError, match="microbatch: expected None with mesh="):
        fit(microbatch=5, mesh=mesh)


def test_batches_of_images_are_cut_and_those_of_vectors_are_not():
    from vaejax.data.inputs import Rows
    from vaejax.train.cost import cost_of, default_parts
    from vaejax.train.step import Setup

    shape, none = (28, 28, 1), vj.train.cosine_adam()(10)
    x = jax.ShapeDtypeStruct((60_000, *shape), jnp.uint8)
    parts = {}
    for name, model in {"mlp": vj.zoo.vae(shape, 20), "conv": vj.zoo.conv_vae(shape, 32, channels=(32, 64))}.items():
        setup = Setup(model, objectives.elbo(), none, vj.transforms.binarize, 128, 0.0, 1, None, False)
        cost = cost_of(setup, Rows(x, None), {})
        parts[name] = default_parts(cost, 128)
        products = sum(2 * np.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(model.init, KEY)))
        assert cost.operations > 0.9 * products  # each weight multiplies once, those of filters more often
    assert parts == {"mlp": 1, "conv": 4}
