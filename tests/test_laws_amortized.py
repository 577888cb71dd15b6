"""Laws of the models whose posterior is a network, over `zoo.AMORTIZED`: one program a model, asserted law by law."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo
from vaejax.distributions import bind

KEY = jax.random.key(0)
DRAWS = 2000
ADAM = optax.adam(1e-3)


@functools.partial(jax.jit, static_argnames=("model",))
def quantities(model, key, x, context):
    # Away from the symmetric start: biases are zero and scales are one there.
    noise = lambda leaf: leaf + 0.1 * jnp.sin(jnp.arange(leaf.size)).reshape(leaf.shape)  # noqa: E731
    params = jax.tree.map(noise, model.init(key))
    c = None if context is None else context[0]
    keys, event = jax.random.split(key, DRAWS), model.event(x[0])
    elbo = lambda key, **options: vj.elbo(model, params, key, x[0], c, **options)  # noqa: E731
    p = model.prior(params, c)
    q = bind(model.posterior(params, event, c), p)
    z = q.sample(key)
    log_p, h = p.score(z)
    code = vj.encode(model, params, x[0], c)
    found = {
        "params": params,
        "analytic": jax.vmap(elbo)(keys),
        "sampled": jax.vmap(functools.partial(elbo, analytic=False))(keys).value,
        "joint": vj.log_joint(model, params, x[0], z, c),
        "prior_plus_likelihood": log_p + model.likelihood(params, h, c).log_prob(event),
        "batch": jax.vmap(vj.elbo, (None, None, None, 0, 0))(model, params, keys[0], x, context),
        "event": event,
        "another_shape": model.event(x[0].reshape(-1, 1, 1)),
        "code": code,
        "cold": vj.reconstruct(model, params, key, x[0], c, temperature=0.0),
        "decoded": vj.decode(model, params, code, c),
    }
    densities = {"q": q}
    if model.has_density:
        iwae = functools.partial(vj.importance_bound, model, params, x=x[0], context=c, k=8)
        found["iwae"] = jax.vmap(lambda key: iwae(key=key))(keys)
        found["prior_draw"] = p.sample(key)
        found["samples"] = jax.vmap(lambda key: vj.sample(model, params, key, c))(keys[:50])
        densities["p"] = p
    for name, d in densities.items():
        value, found[f"carried_{name}"] = d.sample_and_log_prob(key)
        found[f"density_{name}"] = d.log_prob(value) if d.has_density else found[f"carried_{name}"]
    return found


@pytest.fixture(scope="module", params=zoo.AMORTIZED)
def case(request):
    model, x = zoo.AMORTIZED[request.param], zoo.levels(3)
    context = zoo.context(model, 3)
    found = quantities(model, KEY, x, context)
    return model, jax.tree.map(np.asarray, found), x, context


def first(context):
    return None if context is None else context[0]


def close(a, b, tolerance=1e-4):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), a, b)


def test_bounds_are_ordered_and_their_estimates_agree(case):  # oracles 10 and 15
    model, found, *_ = case
    analytic, sampled = found["analytic"].value, found["sampled"]
    error = 4 * np.sqrt((analytic.var() + sampled.var()) / DRAWS) + 1e-4
    assert abs(analytic.mean() - sampled.mean()) < error
    if model.has_density:
        iwae = found["iwae"]
        assert sampled.mean() < iwae.mean() + 4 * np.sqrt(iwae.var() / DRAWS) + error


def test_a_model_without_a_density_says_so(case):
    model, found, x, _ = case
    if not model.has_density:
        with pytest.raises(TypeError, match="Autoencoder has no density p\\(x\\) to bound"):
            vj.importance_bound(model, found["params"], KEY, x[0], k=2)
        with pytest.raises(TypeError, match="no distribution over z to sample from"):
            vj.sample(model, found["params"], KEY)


def test_joint_is_prior_plus_likelihood(case):
    _, found, *_ = case
    np.testing.assert_allclose(found["joint"], found["prior_plus_likelihood"], rtol=1e-5)


def test_densities_are_carried_along_the_draws(case):
    model, found, x, context = case
    for name in ("q", "p") if model.has_density else ("q",):
        close(found[f"carried_{name}"], found[f"density_{name}"])
    q = model.posterior(found["params"], x[0].reshape(model.event_shape), first(context))
    if isinstance(q, vj.distributions.Distribution) and model.has_density and not q.has_density:
        with pytest.raises(TypeError, match="knows its density along its draws only"):
            q.log_prob(np.zeros(2, np.float32))


def test_one_datum_and_a_batch_agree(case):
    _, found, *_ = case
    close(*(jax.tree.map(lambda leaf: leaf[0], found[name]) for name in ("batch", "analytic")))
    np.testing.assert_array_equal(found["another_shape"], found["event"])  # any shape of the right size


def test_codes_reconstructions_and_samples_have_their_shapes(case):
    model, found, *_ = case
    if isinstance(found["code"], tuple):  # a hierarchy has latents of the shapes that its prior draws
        assert jax.tree.map(np.shape, found["code"]) == jax.tree.map(np.shape, found["prior_draw"])
    else:
        assert found["code"].shape == (2,)
    np.testing.assert_allclose(found["decoded"], found["cold"], rtol=1e-4, atol=1e-5)
    assert found["cold"].shape == model.event_shape
    if model.has_density:
        draws = found["samples"]
        assert draws.shape == (50, *model.event_shape) and np.all(np.isfinite(draws)) and draws.std() > 0
        if model.support is not None:
            assert np.all((draws >= model.support[0]) & (draws <= model.support[1]))


def test_wrong_inputs_are_named(case):
    model, found, x, context = case
    params, code, c = found["params"], found["code"], first(context)
    with pytest.raises(ValueError, match="one datum with 5 entries, got shape \\(6,\\)"):
        vj.elbo(model, params, KEY, np.ones(6, np.float32), c)
    if isinstance(code, tuple):
        with pytest.raises(ValueError, match=f"expected a tuple of {len(code)} latents, got {len(code) + 1}"):
            vj.decode(model, params, (*code, code[0]), c)
        with pytest.raises(ValueError, match="z\\[0\\]: expected shape .*, got .*; batch with jax.vmap"):
            vj.decode(model, params, (np.ones((2, *code[0].shape), np.float32), *code[1:]), c)
    else:
        with pytest.raises(ValueError, match="z: expected shape \\(2,\\), got \\(3,\\)"):
            model.likelihood(params, np.ones(3, np.float32), c)
    if model.context_dim:
        expected = f"{type(model).__name__} has context_dim=3: expected a vector of 3 numbers or a label below 3"
        with pytest.raises(ValueError, match=expected):
            vj.elbo(model, params, KEY, x[0])
        with pytest.raises(ValueError, match="context: expected .* got shape \\(4,\\)"):
            vj.elbo(model, params, KEY, x[0], np.ones(4, np.float32))
    else:
        with pytest.raises(ValueError, match="has context_dim=0: expected context=None"):
            vj.elbo(model, params, KEY, x[0], np.ones(3, np.float32))


def test_training_raises_the_objective(case):
    model, *_ = case
    x = zoo.levels()
    options = {"objective": zoo.plain(model), "optimizer": ADAM, "batch_size": 20}
    result = vj.fit(model, KEY, x, context=zoo.context(model, len(x)), epochs=30, **options)
    value = result.history["value"]
    assert value[-3:].mean() > value[:3].mean() and result.state.skipped == 0
    assert result.history.batches.shape == (60,)
