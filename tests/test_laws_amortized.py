"""Laws of the models whose posterior is a network, over `zoo.AMORTIZED`."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax.distributions import Flowed, bind
from vaejax.recipes import arguments

KEY = jax.random.key(0)


@pytest.fixture(scope="module", params=zoo.AMORTIZED)
def case(request):
    model = zoo.AMORTIZED[request.param]
    params = jax.jit(model.init)(KEY)
    # Away from the symmetric start: biases are zero and scales are one there.
    noise = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.sin(jnp.arange(leaf.size)).reshape(leaf.shape), params)
    return model, noise, jnp.asarray(zoo.levels(3)), zoo.context(model, 3)


def first(context):
    return None if context is None else context[0]


def test_bounds_are_ordered_and_their_estimates_agree(case):  # oracles 10 and 15
    model, params, x, context = case
    keys = jax.random.split(KEY, 4000)

    @jax.jit
    def estimates(x):
        one = lambda key, **kw: vj.elbo(model, params, key, x, first(context), **kw)
        analytic, sampled = jax.vmap(one)(keys), jax.vmap(functools.partial(one, analytic=False))(keys)
        many = functools.partial(vj.importance_bound, model, params, x=x, context=first(context), k=8)
        return analytic.value, sampled.value, jax.vmap(lambda key: many(key=key))(keys) if model.has_density else None

    analytic, sampled, iwae = estimates(x[0])
    error = 4 * np.sqrt((analytic.var() + sampled.var()) / len(keys)) + 1e-4
    assert abs(analytic.mean() - sampled.mean()) < error
    if iwae is not None:
        assert sampled.mean() < iwae.mean() + 4 * np.sqrt(iwae.var() / len(keys)) + error
    else:
        with pytest.raises(TypeError, match="Autoencoder has no density p\\(x\\) to bound"):
            vj.importance_bound(model, params, KEY, x[0], k=2)


def test_joint_is_prior_plus_likelihood(case):
    model, params, x, context = case
    c = first(context)
    p = model.prior(params, c)
    z = bind(model.posterior(params, model.event(x[0]), c), p).sample(KEY)
    log_p, h = p.score(z)
    wanted = log_p + model.likelihood(params, h, c).log_prob(model.event(x[0]))
    np.testing.assert_allclose(vj.log_joint(model, params, x[0], z, c), wanted, rtol=1e-5)


def test_densities_are_carried_along_the_draws(case):
    model, params, x, context = case
    c = first(context)
    p = model.prior(params, c)
    q = bind(model.posterior(params, model.event(x[0]), c), p)
    for d in (q, p) if model.has_density else (q,):
        z, log_p = d.sample_and_log_prob(KEY)
        if isinstance(d, Flowed) and not d.has_density:
            with pytest.raises(TypeError, match="knows its density along its draws only"):
                d.log_prob(z)
        else:
            np.testing.assert_allclose(d.log_prob(z), log_p, rtol=1e-4, atol=1e-4)


def test_one_datum_and_a_batch_agree(case):
    model, params, x, context = case
    many = jax.vmap(vj.elbo, (None, None, None, 0, 0))(model, params, KEY, x, context)
    alone = vj.elbo(model, params, KEY, x[0], first(context))
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[0], many), alone, rtol=1e-4, atol=1e-4)
    flat = vj.elbo(model, params, KEY, x[0].reshape(-1, 1, 1), first(context))  # any shape of the right size
    chex.assert_trees_all_close(flat, alone, rtol=1e-5, atol=1e-5)


def test_recipes_are_values(case):
    model, *_ = case
    again = type(model)(**arguments(model))
    assert again == model and hash(again) == hash(model) and again is not model


def test_codes_reconstructions_and_samples_have_their_shapes(case):
    model, params, x, context = case
    c = first(context)
    code = vj.encode(model, params, x[0], c)
    if isinstance(code, tuple):  # a hierarchy has latents of the shapes that its prior draws
        assert jax.tree.map(jnp.shape, code) == jax.tree.map(jnp.shape, model.prior(params, c).sample(KEY))
    else:
        assert code.shape == (2,)
    cold = vj.reconstruct(model, params, KEY, x[0], c, temperature=0.0)
    np.testing.assert_allclose(vj.decode(model, params, code, c), cold, rtol=1e-4, atol=1e-5)
    assert cold.shape == model.event_shape
    if not model.has_density:
        with pytest.raises(TypeError, match="no distribution over z to sample from"):
            vj.sample(model, params, KEY)
        return
    draws = jax.vmap(lambda key: vj.sample(model, params, key, c))(jax.random.split(KEY, 50))
    assert draws.shape == (50, *model.event_shape) and jnp.all(jnp.isfinite(draws)) and draws.std() > 0
    if model.support is not None:
        assert jnp.all((draws >= model.support[0]) & (draws <= model.support[1]))


def test_wrong_inputs_are_named(case):
    model, params, x, context = case
    c = first(context)
    with pytest.raises(ValueError, match="one datum with 5 entries, got shape \\(6,\\)"):
        vj.elbo(model, params, KEY, jnp.ones(6), c)
    code = vj.encode(model, params, x[0], c)
    if isinstance(code, tuple):
        with pytest.raises(ValueError, match=f"expected a tuple of {len(code)} latents, got {len(code) + 1}"):
            vj.decode(model, params, (*code, code[0]), c)
        with pytest.raises(ValueError, match="z\\[0\\]: expected shape .*, got .*; batch with jax.vmap"):
            vj.decode(model, params, (jnp.ones((2, *code[0].shape)), *code[1:]), c)
    else:
        with pytest.raises(ValueError, match="z: expected shape \\(2,\\), got \\(3,\\)"):
            model.likelihood(params, jnp.ones(3), c)
    if model.context_dim:
        name = type(model).__name__
        with pytest.raises(
            ValueError, match=f"{name} has context_dim=3: expected a vector of 3 numbers or a label below 3"
        ):
            vj.elbo(model, params, KEY, x[0])
        with pytest.raises(ValueError, match="context: expected .* got shape \\(4,\\)"):
            vj.elbo(model, params, KEY, x[0], jnp.ones(4))
    else:
        with pytest.raises(ValueError, match="has context_dim=0: expected context=None"):
            vj.elbo(model, params, KEY, x[0], jnp.ones(3))


def test_training_raises_the_objective(case):
    model, *_ = case
    x = zoo.levels()
    result = vj.fit(model, KEY, x, context=zoo.context(model, len(x)), epochs=30, batch_size=20)
    value = result.history["value"]
    assert value[-3:].mean() > value[:3].mean() and result.state.skipped == 0
    assert result.history.batches.shape == (60,)
