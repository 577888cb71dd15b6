"""Laws that every model obeys, whatever it is."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax.distributions import bind


@pytest.fixture(scope="module", params=zoo.EXACT)
def case(request):
    with jax.enable_x64(True):
        yield zoo.EXACT[request.param], zoo.fitted(request.param), jnp.asarray(zoo.rows(4, seed=1))


def evidences(model, params, x):
    return jax.vmap(functools.partial(vj.log_evidence, model, params))(x)


def test_exact_posterior_gives_the_evidence_for_every_z(case):  # oracles 3 and 15
    model, params, x = case
    for i, key in enumerate(jax.random.split(jax.random.key(0), 4)):
        q = bind(model.posterior(params, x[i]), model.prior(params))
        z, log_q = q.sample_and_log_prob(key)
        joint = vj.log_joint(model, params, x[i], z)
        np.testing.assert_allclose(joint - log_q, vj.log_evidence(model, params, x[i]), atol=1e-10)
        log_p, h = model.prior(params).score(z)
        np.testing.assert_allclose(joint, log_p + model.likelihood(params, h).log_prob(x[i]), atol=1e-12)


def test_bounds_with_an_exact_posterior_are_tight(case):  # oracles 3 and 15
    model, params, x = case
    keys = jax.random.split(jax.random.key(1), 16)
    exact = vj.log_evidence(model, params, x[0])
    for k in (1, 5):
        bound = jax.vmap(lambda key: vj.importance_bound(model, params, key, x[0], k=k))(keys)  # noqa: B023
        assert bound.std() < 1e-10
        np.testing.assert_allclose(bound, exact, atol=1e-10)
    sampled = vj.elbo(model, params, keys[0], x[0], analytic=False, num_samples=3)
    np.testing.assert_allclose(sampled.value, exact, atol=1e-10)
    analytic = jax.vmap(lambda key: vj.elbo(model, params, key, x[0]).value)(jax.random.split(keys[0], 4000))
    assert abs(analytic.mean() - exact) < 4 * analytic.std() / np.sqrt(4000) + 1e-10


def test_elbo_below_iwae_below_evidence_for_another_posterior(case):
    model, params, x = case

    other = jax.tree.map(
        lambda leaf: leaf + 0.2 * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), params
    )

    def weight(key):
        q = bind(model.posterior(other, x[0]), model.prior(other))
        z, log_q = q.sample_and_log_prob(key)
        return vj.log_joint(model, params, x[0], z) - log_q

    log_w = jax.vmap(weight)(jax.random.split(jax.random.key(2), 8000)).reshape(-1, 8)
    elbo, iwae = log_w.mean(), (jax.nn.logsumexp(log_w, 1) - np.log(8)).mean()
    exact = vj.log_evidence(model, params, x[0])
    assert elbo < iwae and elbo < exact
    assert iwae < exact + 4 * log_w.std() / np.sqrt(len(log_w))


def test_samples_have_the_marginal_moments(case):
    model, params, _ = case
    count = 20_000
    x = jax.vmap(vj.sample, (None, None, 0))(model, params, jax.random.split(jax.random.key(3), count))
    marginal = model.marginal(params)
    assert jnp.all(jnp.abs(x.mean(0) - marginal.mean) < 5 * marginal.stddev / np.sqrt(count))
    np.testing.assert_allclose(x.std(0), marginal.stddev, rtol=0.05)
    direct = jax.vmap(marginal.sample)(jax.random.split(jax.random.key(4), count))
    np.testing.assert_allclose(jnp.cov(x.T), jnp.cov(direct.T), atol=0.1 * float(jnp.cov(x.T).max()))


def test_jit_and_vmap_change_nothing(case):
    model, params, x = case
    key = jax.random.key(0)
    eager = vj.elbo(model, params, key, x[0])
    jitted = jax.jit(vj.elbo)(model, params, key, x[0])
    chex.assert_trees_all_close(eager, jitted, atol=1e-12)
    many = jax.vmap(vj.elbo, (None, None, None, 0))(model, params, key, x)
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[0], many), eager, atol=1e-10)
    loop = [vj.log_evidence(model, params, row) for row in x]
    np.testing.assert_allclose(evidences(model, params, x), loop, atol=1e-10)


def test_models_are_static_and_compare_by_value(case):
    model, params, x = case
    again = type(model)(*(getattr(model, field) for field in model.__dataclass_fields__))
    assert again == model and hash(again) == hash(model) and again is not model

    traces = []

    def f(model, params, x):
        traces.append(model)
        return vj.log_evidence(model, params, x)

    jitted = jax.jit(f)
    assert jitted(model, params, x[0]) == jitted(again, params, x[0])
    assert len(traces) == 1


def test_sampling_modes(case):
    model, params, x = case
    key = jax.random.key(0)
    draws = {mode: vj.sample(model, params, key, mode=mode, offset=0.0) for mode in ("ancestral", "mean", "offset")}
    np.testing.assert_allclose(draws["mean"], draws["offset"], atol=1e-12)
    assert jnp.any(jnp.abs(draws["ancestral"] - draws["mean"]) > 1e-3)
    above = vj.sample(model, params, key, mode="offset", offset=2.0)
    assert jnp.all(above > draws["mean"])
    again = vj.reconstruct(model, params, key, x[0])
    assert again.shape == (zoo.D,)
    with pytest.raises(ValueError, match="mode: expected one of ancestral, mean, offset, got 'best'"):
        vj.sample(model, params, key, mode="best")


def test_encode_then_decode_is_the_cold_reconstruction(case):
    model, params, x = case
    if isinstance(model, vj.GMM):  # the mean of a class is no class
        np.testing.assert_allclose(vj.encode(model, params, x[0]).sum(), 1.0, atol=1e-12)
        return
    code = vj.encode(model, params, x[0])
    cold = vj.reconstruct(model, params, jax.random.key(0), x[0], temperature=0.0)
    np.testing.assert_allclose(vj.decode(model, params, code), cold, atol=1e-12)


def test_gradients_of_the_bound_are_those_of_the_evidence(case):
    """Where the posterior is exact and reparameterised, the sampled bound has the evidence's gradient."""
    model, params, x = case
    exact = jax.grad(lambda p: evidences(model, p, x).sum())(params)
    chex.assert_tree_all_finite(exact)
    keys = jax.random.split(jax.random.key(0), 300)

    def bound(p, key):
        return sum(
            vj.elbo(model, p, k, row, analytic=False).value for k, row in zip(jax.random.split(key, 4), x, strict=True)
        )

    if not isinstance(model, vj.GMM | vj.PPCAMixture):  # a sampled class carries no pathwise gradient
        grads = jax.vmap(jax.grad(bound), (None, 0))(params, keys)
        chex.assert_trees_all_close(jax.tree.map(lambda g: g.mean(0), grads), exact, atol=1e-6, rtol=1e-6)


def test_wrong_data_are_named(case):
    model, params, x = case
    with pytest.raises(ValueError, match=f"one datum with {zoo.D} entries, got shape \\({zoo.D + 1},\\)"):
        vj.log_evidence(model, params, jnp.ones(zoo.D + 1))
    with pytest.raises(ValueError, match="batch with jax.vmap"):
        vj.elbo(model, params, jax.random.key(0), x)
    with pytest.raises(ValueError, match="expected floating-point values or uint8 pixels, got int32"):
        vj.log_evidence(model, params, jnp.ones(zoo.D, jnp.int32))
    with pytest.raises(ValueError, match="unconditional"):
        vj.sample(model, params, jax.random.key(0), jnp.ones(2))
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        vj.importance_bound(model, params, jax.random.key(0), x[0], k=0)


def test_permuted_columns_permute_the_fit(case):
    """EM sees no order of the columns (and of the components: they come out sorted by their evidence)."""
    model, _, _ = case
    x, order = zoo.rows(), np.array([3, 1, 4, 0, 2])
    start = zoo.fitted([name for name, m in zoo.EXACT.items() if m == model][0], 0)
    names = {"means": -1, "mean": -1, "log_scale": -1}

    def permute(name, leaf):
        if name == "scale_tril":
            cov = leaf @ jnp.swapaxes(leaf, -1, -2)
            return jnp.linalg.cholesky(cov[..., order, :][..., order])
        if name in ("weight", "weights"):
            return leaf[..., order, :]
        return leaf[..., order] if name in names and leaf.shape and leaf.shape[-1] == zoo.D else leaf

    permuted = {name: permute(name, leaf) for name, leaf in start.items()}
    plain, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=6, init=start)
    turned, other = vj.em.fit(model, jax.random.key(0), x[:, order], num_steps=6, init=permuted)
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-9)
    np.testing.assert_allclose(
        evidences(model, plain, jnp.asarray(x[:3])), evidences(model, turned, jnp.asarray(x[:3, order])), atol=1e-8
    )
