"""Estimates of log p(x) against closed forms, and their error bars against their own spread (oracles 15 and 16)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import vaejax as vj
from tests import zoo
from vaejax.distributions import Normal
from vaejax.recipes import static

KEY = jax.random.key(0)


@static
class Broad(vj.LatentModel):
    """pPCA whose q is a Gaussian with the posterior's mean and twice its spread: weights that are not constant."""

    dim: int
    latent_dim: int
    spread: float = 2.0
    event_shape = property(lambda self: (self.dim,))

    @property
    def inner(self):
        return vj.PPCA(self.dim, self.latent_dim)

    def init(self, key):
        return self.inner.init(key)

    def prior(self, params, context=None):
        return self.inner.prior(params)

    def likelihood(self, params, h, context=None):
        return self.inner.likelihood(params, h)

    def posterior(self, params, x, context=None):
        q = self.inner.posterior(params, x)
        return Normal(q.loc, self.spread * jnp.sqrt(jnp.sum(q.scale_tril**2, 1)))

    def event(self, x):
        return self.inner.event(x)


@pytest.fixture(scope="module")
def known():
    """A pPCA, parameters, rows of it, and their exact evidence."""
    model = vj.PPCA(6, 2)
    params = model.init(KEY) | {"weight": jax.random.normal(jax.random.key(1), (6, 2))}
    x = jax.vmap(lambda k: vj.sample(model, params, k))(jax.random.split(jax.random.key(2), 5))
    return params, x, np.asarray(vj.evaluate.exact_log_evidence(model, params, x))


def test_streaming_sums_are_those_of_all_draws(known):
    params, x, _ = known
    whole = vj.evaluate.log_evidence_estimate(Broad(6, 2), params, KEY, x, k=100, chunk=100)
    parts = vj.evaluate.log_evidence_estimate(Broad(6, 2), params, KEY, x, k=100, chunk=7)
    for a, b in zip(whole[:3], parts[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    log_w = jnp.array([[0.0, -1.0, 3.0, 2.0], [-900.0, -901.0, -900.5, -1e5]])
    value, error, ess = jax.vmap(vj.evaluate.evidence.of_weights)(log_w)
    weights = np.exp(np.asarray(log_w, np.float64) - np.asarray(log_w).max(1, keepdims=True))
    np.testing.assert_allclose(value, logsumexp(log_w, 1) - np.log(4), rtol=1e-6)
    np.testing.assert_allclose(error, weights.std(1, ddof=1) / weights.mean(1) / 2, rtol=1e-5)
    np.testing.assert_allclose(ess, weights.sum(1) ** 2 / (weights**2).sum(1), rtol=1e-5)


def test_error_bars_cover_the_truth(known):
    params, x, exact = known
    covered, inside = [], []
    for i in range(200):
        found = vj.evaluate.log_evidence_estimate(Broad(6, 2), params, jax.random.key(i), x, k=200)
        ratio = np.exp(found.log_evidence - exact)  # on the scale of w: its mean is one
        covered += list(np.abs(ratio - 1) < 1.96 * found.standard_error * ratio)
        inside += list(found.ess > 0.1 * 200)
    assert np.mean(inside) > 0.95 and 0.90 <= np.mean(covered) <= 0.99, np.mean(covered)
    found = vj.evaluate.log_evidence_estimate(Broad(6, 2), params, KEY, x, k=20_000)
    assert (np.abs(found.log_evidence - exact) < 4 * found.standard_error).all()


def test_an_exact_posterior_and_an_exact_model(known):
    params, x, exact = known
    found = vj.evaluate.log_evidence_estimate(vj.PPCA(6, 2), params, KEY, x)
    assert found.protocol == "exact" and not found.standard_error.any()
    np.testing.assert_allclose(found.log_evidence, exact)
    model, gmm = vj.GMM(3, zoo.D), zoo.fitted("gmm-full")
    rows = zoo.rows()
    np.testing.assert_allclose(
        vj.evaluate.log_evidence_estimate(model, gmm, KEY, rows).log_evidence,
        vj.evaluate.exact_log_evidence(model, gmm, rows),
    )


def test_the_bound_does_not_fall_with_k(known):
    params, x, exact = known
    means = []
    for k in (1, 10, 100):
        repeats = [
            vj.evaluate.log_evidence_estimate(Broad(6, 2), params, jax.random.key(i), x, k=k).log_evidence
            for i in range(30)
        ]
        means.append(np.mean(repeats))
    assert means[0] < means[1] < means[2] < exact.mean() + 0.02


def test_importance_sampling_from_the_prior_alone():
    """Oracle 15: D=10, noise variance 0.3; the prior is a poor q, and the bound says how poor."""
    rng = np.random.default_rng(0)
    model = vj.PPCA(10, 2)
    params = model.init(KEY) | {
        "weight": jnp.asarray(rng.normal(size=(10, 2)), jnp.float32),
        "log_scale": jnp.asarray(0.5 * np.log(0.3), jnp.float32),
    }
    x = jax.vmap(lambda k: vj.sample(model, params, k))(jax.random.split(KEY, 20))

    @static
    class FromPrior(vj.LatentModel):
        event_shape = (10,)
        init = lambda self, key: model.init(key)
        prior = lambda self, params, context=None: model.prior(params)
        likelihood = lambda self, params, h, context=None: model.likelihood(params, h)
        posterior = lambda self, params, x, context=None: model.prior(params)
        event = lambda self, x: model.event(x)

    means = [vj.evaluate.log_evidence_estimate(FromPrior(), params, KEY, x, k=k).mean[0] for k in (1, 10, 100, 10_000)]
    exact = np.asarray(vj.evaluate.exact_log_evidence(model, params, x)).mean()
    assert means[0] < means[1] < means[2] < exact + 0.1 and means[3] == pytest.approx(exact, abs=0.15)
    assert means[0] < exact - 5


def test_annealing_is_unbiased_and_brackets(known):
    """Oracle 16: E[w] = p(x) on the w scale, below by AIS and above by the reverse chain."""
    params, x, exact = known
    options = {"num_chains": 64, "num_temperatures": 30, "burn_in": 20, "num_leapfrog": 5, "progress": False}
    ratios, errors = [], []
    for i in range(6):
        found = vj.evaluate.ais(vj.PPCA(6, 2), params, jax.random.key(i), x, **options)
        ratios.append(np.exp(found.log_evidence - exact))
        errors.append(found.standard_error * ratios[-1])
    mean, error = np.mean(ratios), np.sqrt(np.square(errors).sum()) / np.size(ratios)
    assert abs(mean - 1) < 4 * error and error < 0.05
    short = options | {"num_temperatures": 8, "num_chains": 8}
    gaps = []
    for temperatures in (3, 60):
        found = vj.evaluate.bdmc(vj.PPCA(6, 2), params, KEY, 40, **(short | {"num_temperatures": temperatures}))
        truth = np.asarray(vj.evaluate.exact_log_evidence(vj.PPCA(6, 2), params, found.x))
        low, high = found.lower.log_evidence.mean(), found.upper.log_evidence.mean()
        assert low - 0.1 < truth.mean() < high + 0.1
        gaps.append(high - low)
    assert gaps[1] < gaps[0] / 2 and gaps[1] > -0.05


def test_annealing_of_a_conditional_model():
    model = vj.zoo.conditional_vae(zoo.D, 2, 3, hidden=(8,))
    params = model.init(KEY)
    x, y = zoo.levels(4), np.arange(4) % 3
    exact = vj.evaluate.log_evidence_estimate(model, params, KEY, x, y, k=5000, progress=False)
    found = vj.evaluate.ais(model, params, KEY, x, y, num_temperatures=60, burn_in=20, progress=False)
    np.testing.assert_allclose(found.log_evidence, exact.log_evidence, atol=0.15)
    assert "given the context" in exact.protocol
    both = vj.evaluate.bdmc(model, params, KEY, 3, y[:3], num_temperatures=40, burn_in=20, progress=False)
    assert np.isfinite(both.upper.log_evidence).all()


def test_what_cannot_be_estimated_is_refused(known):
    params, x, _ = known
    with pytest.raises(TypeError, match="GMM has discrete latents"):
        vj.evaluate.ais(vj.GMM(3, zoo.D), zoo.fitted("gmm-full"), KEY, zoo.rows())
    with pytest.raises(TypeError, match="no density"):
        vj.evaluate.log_evidence_estimate(zoo.AMORTIZED["autoencoder"], {}, KEY, x)
    with pytest.raises(ValueError, match="got nan in row 1"):
        vj.evaluate.log_evidence_estimate(Broad(6, 2), params, KEY, x.at[1, 0].set(jnp.nan))
    for name in ("k", "chunk"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1, got 0"):
            vj.evaluate.log_evidence_estimate(Broad(6, 2), params, KEY, x, **{name: 0})


def test_one_call_scores_a_model(known):
    params, x, exact = known
    scores = vj.evaluate.run(vj.PPCA(6, 2), params, KEY, x, log_jacobian=2.0, levels=4)
    assert scores["log_evidence"].value == pytest.approx(exact.mean() + 2.0, abs=1e-4)
    assert scores["log_evidence"].standard_error == pytest.approx(exact.std(ddof=1) / np.sqrt(5), rel=1e-4)
    bits = (6 * np.log(4) - exact.mean() - 2.0) / (6 * np.log(2))
    assert scores["bits_per_dimension"].value == pytest.approx(bits, abs=1e-4)
    again = jax.vmap(lambda r: vj.reconstruct(vj.PPCA(6, 2), params, KEY, r, temperature=0.0))(x)
    assert scores["reconstruction_rmse"].value == pytest.approx(float(jnp.sqrt(jnp.mean((again - x) ** 2))), rel=1e-4)
    broad = vj.evaluate.run(Broad(6, 2), params, KEY, x, k=2000)
    assert broad["iwae"].value == pytest.approx(exact.mean(), abs=0.2) and "k=2000" in broad["iwae"].protocol
    moved = vj.evaluate.run(Broad(6, 2), params, KEY, x, k=2000, log_jacobian=3.0)
    for name in ("iwae", "elbo", "log_likelihood"):
        assert moved[name].value == pytest.approx(broad[name].value + 3.0, abs=1e-3)
    assert broad["elbo"].value == pytest.approx(broad["log_likelihood"].value - broad["kl"].value, abs=1e-3)
