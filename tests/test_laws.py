"""Laws of the models with an exact posterior, over `zoo.EXACT`: one program a model says all that they assert."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from vaejax.distributions import bind
from vaejax.recipes import arguments

KEY, DRAWS, SAMPLES = jax.random.key(0), 4000, 20_000
CLASSES = vj.GMM | vj.PPCAMixture  # a sampled class carries no pathwise gradient


@functools.partial(jax.jit, static_argnames=("model",))
def quantities(model, params, key, x):
    p, keys = model.prior(params), jax.random.split(key, DRAWS)
    x0, evidence = x[0], functools.partial(vj.log_evidence, model)
    elbo = lambda key, params=params, x=x0, **options: vj.elbo(model, params, key, x, **options).value  # noqa: E731

    def at_a_draw(key, x):
        z, log_q = bind(model.posterior(params, x), p).sample_and_log_prob(key)
        log_p, h = p.score(z)
        joint = vj.log_joint(model, params, x, z)
        return joint, log_q, log_p + model.likelihood(params, h).log_prob(x)

    bend = lambda leaf: leaf + 0.5 * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape)  # noqa: E731
    other = jax.tree.map(bend, params)

    def weight(key):
        z, log_q = bind(model.posterior(other, x0), model.prior(other)).sample_and_log_prob(key)
        return vj.log_joint(model, params, x0, z) - log_q

    marginal, many = model.marginal(params), jax.random.split(jax.random.fold_in(key, 1), SAMPLES)
    mode = lambda mode, offset=0.0: vj.sample(model, params, key, mode=mode, offset=offset)  # noqa: E731
    code = vj.encode(model, params, x0)
    found = {
        "draws": jax.vmap(at_a_draw)(keys[: len(x)], x),
        "evidence": jax.vmap(functools.partial(evidence, params))(x),
        "iwae": [
            jax.vmap(lambda key, k=k: vj.importance_bound(model, params, key, x0, k=k))(keys[:16]) for k in (1, 5)
        ],
        "sampled": elbo(key, analytic=False, num_samples=3),
        "analytic": jax.vmap(elbo)(keys),
        "batch": jax.vmap(lambda x: elbo(keys[0], x=x))(x),
        "weights": jax.vmap(weight)(jax.random.split(key, 8000)),
        "samples": jax.vmap(lambda key: vj.sample(model, params, key))(many),
        "marginal": (marginal.mean, marginal.stddev),
        "direct": jax.vmap(marginal.sample)(many),
        "modes": [mode("ancestral"), mode("mean"), mode("offset"), mode("offset", 2.0)],
        "code": code,
        "cold": vj.reconstruct(model, params, key, x0, temperature=0.0),
        "gradient": jax.grad(lambda params: jax.vmap(functools.partial(evidence, params))(x).sum())(params),
    }
    if not isinstance(model, vj.GMM):  # the mean of a class is no class
        found["decoded"] = vj.decode(model, params, code)
    if not isinstance(model, CLASSES):
        bound = lambda params, key: sum(  # noqa: E731
            elbo(k, params, row, analytic=False) for k, row in zip(jax.random.split(key, len(x)), x, strict=True)
        )
        grads = jax.vmap(jax.grad(bound), (None, 0))(params, keys[:300])
        found["bound_gradient"] = jax.tree.map(lambda g: g.mean(0), grads)
    return found


@pytest.fixture(scope="module", params=zoo.EXACT)
def case(request):
    model = zoo.EXACT[request.param]
    with jax.enable_x64(True):
        params, x = zoo.fitted(request.param), zoo.rows(4, seed=1)
        yield model, params, x, jax.tree.map(np.asarray, quantities(model, params, KEY, x))


def test_exact_posterior_gives_the_evidence_for_every_z(case):  # oracles 3 and 15
    *_, found = case
    joint, log_q, prior_plus_likelihood = found["draws"]
    np.testing.assert_allclose(joint - log_q, found["evidence"], atol=1e-10)
    np.testing.assert_allclose(joint, prior_plus_likelihood, atol=1e-12)


def test_bounds_with_an_exact_posterior_are_tight(case):  # oracles 3 and 15
    *_, found = case
    exact = found["evidence"][0]
    for bound in found["iwae"]:
        assert bound.std() < 1e-10
        np.testing.assert_allclose(bound, exact, atol=1e-10)
    np.testing.assert_allclose(found["sampled"], exact, atol=1e-10)
    analytic = found["analytic"]
    assert abs(analytic.mean() - exact) < 4 * analytic.std() / np.sqrt(DRAWS) + 1e-10


def test_elbo_below_iwae_below_evidence_for_another_posterior(case):
    *_, found = case
    log_w, exact = found["weights"].reshape(-1, 8), found["evidence"][0]
    elbo, iwae = log_w.mean(), (np.logaddexp.reduce(log_w, 1) - np.log(8)).mean()
    assert elbo < iwae and elbo < exact
    assert iwae < exact + 4 * log_w.std() / np.sqrt(len(log_w))


def test_samples_have_the_marginal_moments(case):
    *_, found = case
    x, (mean, stddev) = found["samples"], found["marginal"]
    assert np.all(np.abs(x.mean(0) - mean) < 5 * stddev / np.sqrt(SAMPLES))
    np.testing.assert_allclose(x.std(0), stddev, rtol=0.05)
    np.testing.assert_allclose(np.cov(x.T), np.cov(found["direct"].T), atol=0.1 * np.cov(x.T).max())


def test_jit_and_vmap_change_nothing(case):
    model, params, x, found = case
    with jax.disable_jit():
        np.testing.assert_allclose(vj.log_evidence(model, params, x[0]), found["evidence"][0], atol=1e-12)
    np.testing.assert_allclose(found["batch"][0], found["analytic"][0], atol=1e-10)


def test_models_are_static_and_compare_by_value(case):
    model, params, x, _ = case
    again = type(model)(**arguments(model))
    assert again == model and hash(again) == hash(model) and again is not model
    traces = []

    @jax.jit
    def f(model, params, x):
        traces.append(model)
        return x

    f(model, params, x[0])
    f(again, params, x[0])
    assert len(traces) == 1


def test_sampling_modes(case):
    ancestral, mean, zero, two = case[-1]["modes"]
    np.testing.assert_allclose(mean, zero, atol=1e-12)
    assert np.any(np.abs(ancestral - mean) > 1e-3) and np.all(two > mean)


def test_encode_then_decode_is_the_cold_reconstruction(case):
    model, _, _, found = case
    assert found["cold"].shape == (zoo.D,)
    if isinstance(model, vj.GMM):
        np.testing.assert_allclose(found["code"].sum(), 1.0, atol=1e-12)
    else:
        np.testing.assert_allclose(found["decoded"], found["cold"], atol=1e-12)


def test_gradients_of_the_bound_are_those_of_the_evidence(case):
    """Where the posterior is exact and reparameterised, the sampled bound has the evidence's gradient."""
    *_, found = case
    for name, gradient in found["gradient"].items():
        assert np.all(np.isfinite(gradient))
        if "bound_gradient" in found:
            np.testing.assert_allclose(found["bound_gradient"][name], gradient, atol=1e-6, rtol=1e-6)


WRONG = {
    f"one datum with {zoo.D} entries, got shape \\({zoo.D + 1},\\)": lambda m, p, x: vj.log_evidence(m, p, np.ones(6)),
    "batch with jax.vmap": lambda m, p, x: vj.elbo(m, p, KEY, x),
    "floating-point values or uint8 pixels, got int32": lambda m, p, x: vj.log_evidence(m, p, np.ones(5, np.int32)),
    "unconditional|context_dim=0": lambda m, p, x: vj.sample(m, p, KEY, np.ones(2)),
    "k: expected an integer of at least 1, got 0": lambda m, p, x: vj.importance_bound(m, p, KEY, x[0], k=0),
    "mode: expected one of ancestral, mean, offset, got 'best'": lambda m, p, x: vj.sample(m, p, KEY, mode="best"),
}


def test_wrong_data_are_named(case):
    for words, call in WRONG.items():
        with pytest.raises(ValueError, match=words):
            call(*case[:3])


def test_permuted_columns_permute_the_fit(case):
    """EM sees no order of the columns (and of the components: they come out sorted by their evidence)."""
    model, *_ = case
    x, order = zoo.rows(), np.array([3, 1, 4, 0, 2])
    start = jax.tree.map(np.asarray, zoo.fitted(next(name for name, m in zoo.EXACT.items() if m == model)))

    def permute(name, leaf):
        if name == "scale_tril":
            cov = leaf @ np.swapaxes(leaf, -1, -2)
            return np.linalg.cholesky(cov[..., order, :][..., order])
        if name in ("weight", "weights"):
            return leaf[..., order, :]
        columns = name in ("means", "mean", "log_scale") and leaf.shape and leaf.shape[-1] == zoo.D
        return leaf[..., order] if columns else leaf

    permuted = {name: permute(name, leaf) for name, leaf in start.items()}
    plain, trace = vj.em.fit(model, KEY, x, num_steps=5, init=start)
    turned, other = vj.em.fit(model, KEY, x[:, order], num_steps=5, init=permuted)
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-9)
    evidences = jax.jit(lambda params, x: jax.vmap(functools.partial(vj.log_evidence, model, params))(x))
    np.testing.assert_allclose(evidences(plain, x[:3]), evidences(turned, x[:3, order]), atol=1e-8)
