"""Estimates of log p(x) against closed forms and their error bars (oracles 4, 15 and 16), and anomalies by them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

import vaejax as vj
from tests import zoo
from tests.refusals import refused
from vaejax.distributions import Normal
from vaejax.recipes import static

KEY = jax.random.key(0)
estimate = vj.evaluate.log_evidence_estimate


@static
class Broad(vj.LatentModel):
    """pPCA whose q is a shifted Gaussian of another spread, or the prior: weights that are not constant."""

    dim: int
    latent_dim: int
    spread: float = 2.0
    shift: float = 0.0
    from_prior: bool = False

    inner = property(lambda self: vj.PPCA(self.dim, self.latent_dim))
    event_shape = property(lambda self: (self.dim,))
    init = lambda self, key: self.inner.init(key)
    prior = lambda self, params, context=None: self.inner.prior(params)
    likelihood = lambda self, params, h, context=None: self.inner.likelihood(params, h)
    event = lambda self, x: self.inner.event(x)

    def posterior(self, params, x, context=None):
        q = self.inner.posterior(params, x)
        if self.from_prior:
            return self.inner.prior(params)
        return Normal(q.loc + self.shift, self.spread * jnp.sqrt(jnp.sum(q.scale_tril**2, 1)))


def test_streaming_sums_are_those_of_all_draws(ppca):
    _, params, x, _ = ppca
    whole, parts = (estimate(Broad(5, 2), params, KEY, x, k=100, chunk=chunk) for chunk in (100, 7))
    for a, b in zip(whole[:3], parts[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4)
    log_w = np.array([[0.0, -1.0, 3.0, 2.0], [-900.0, -901.0, -900.5, -1e5]], np.float32)
    value, error, ess = jax.vmap(vj.evaluate.evidence.of_weights)(log_w)
    weights = np.exp(log_w.astype(float) - log_w.max(1, keepdims=True))
    np.testing.assert_allclose(value, logsumexp(log_w.astype(float), 1) - np.log(4), rtol=1e-6)
    np.testing.assert_allclose(error, weights.std(1, ddof=1) / weights.mean(1) / 2, rtol=1e-5)
    np.testing.assert_allclose(ess, weights.sum(1) ** 2 / (weights**2).sum(1), rtol=1e-5)


def test_error_bars_cover_the_truth(ppca):
    _, params, x, exact = ppca
    x, exact = np.tile(x, (25, 1)), np.tile(exact, 25)
    found = estimate(Broad(5, 2), params, KEY, x, k=200)
    ratio = np.exp(found.log_evidence - exact)  # on the scale of w: its mean is one
    covered, inside = np.abs(ratio - 1) < 1.96 * found.standard_error * ratio, found.ess > 0.1 * 200
    assert inside.mean() > 0.95 and 0.90 <= covered.mean() <= 0.99, covered.mean()
    found = estimate(Broad(5, 2), params, KEY, x[:5], k=20_000)
    assert (np.abs(found.log_evidence - exact[:5]) < 4 * found.standard_error).all()


def test_an_exact_posterior_and_an_exact_model(ppca):
    model, params, x, exact = ppca
    found = estimate(model, params, KEY, x)
    assert found.protocol == "exact" and not found.standard_error.any()
    np.testing.assert_allclose(found.log_evidence, exact, rtol=1e-5)
    np.testing.assert_array_equal(vj.evaluate.exact_log_evidence(model, params, x), found.log_evidence)


@pytest.mark.parametrize("weak", [False, True])
def test_the_bound_does_not_fall_with_k(ppca, weak):
    """Oracle 15: with the prior for q the bound is poor, and says how poor."""
    _, params, x, exact = ppca
    model, x, draws = Broad(5, 2, from_prior=weak), np.tile(x, (10, 1)), (1, 10, 100, 5000)
    means = [estimate(model, params, KEY, x[: 400 if k < 1000 else 40], k=k).mean[0] for k in draws]
    assert means[0] < means[1] < means[2] < exact.mean() + 0.1 and means[3] == pytest.approx(exact.mean(), abs=0.15)
    assert not weak or means[0] < exact.mean() - 5


def test_refining_finds_the_mean_field_optimum(ppca):
    """Oracle 4: a diagonal q cannot reach (sum ln diag M - ln |M|) / 2, with M = W^T W / sigma^2 + I."""
    _, params, x, exact = ppca
    weight, x, exact = np.asarray(params["weight"], float), x[:12], exact[:12]
    refined = vj.evaluate.latents.refine(Broad(5, 2, 3.0, 0.3), params, KEY, x, num_steps=300, num_samples=8)
    m = weight.T @ weight / 0.5**2 + np.eye(2)
    gap = 0.5 * (np.log(np.diag(m)).sum() - np.linalg.slogdet(m)[1])
    assert np.mean(exact - refined.best) == pytest.approx(gap, abs=0.1)
    assert np.mean(refined.best) < np.mean(refined.importance) + 0.05 < np.mean(exact) + 0.2
    assert (refined.best >= refined.encoder).all() and np.mean(refined.best - refined.encoder) > 0.5


def test_annealing_is_unbiased_and_brackets(ppca):
    """Oracle 16: E[w] = p(x) on the w scale, below by AIS and above by the reverse chain."""
    model, params, x, exact = ppca
    options = {"num_chains": 64, "num_temperatures": 30, "burn_in": 20, "num_leapfrog": 5, "progress": False}
    found = vj.evaluate.ais(model, params, KEY, x, **options)
    ratios = np.exp(found.log_evidence - exact)
    error = np.sqrt(np.square(found.standard_error * ratios).sum()) / len(x)
    assert abs(ratios.mean() - 1) < 4 * error and error < 0.05
    gaps = []
    for temperatures in (3, 30):
        found = vj.evaluate.bdmc(model, params, KEY, 40, **options | {"num_temperatures": temperatures})
        truth = vj.evaluate.exact_log_evidence(model, params, found.x).mean()
        low, high = found.lower.log_evidence.mean(), found.upper.log_evidence.mean()
        assert low - 0.1 < truth < high + 0.1
        gaps.append(high - low)
    assert gaps[1] < gaps[0] / 2 and gaps[1] > -0.05


def test_annealing_of_a_conditional_model():
    model = zoo.AMORTIZED["conditional"]
    params, x, y = jax.jit(model.init)(KEY), zoo.levels(4), np.arange(4) % 3
    exact = estimate(model, params, KEY, x, y, k=5000, progress=False)
    options = {"num_temperatures": 50, "burn_in": 20, "num_leapfrog": 5, "progress": False}
    found = vj.evaluate.ais(model, params, KEY, x, y, **options)
    np.testing.assert_allclose(found.log_evidence, exact.log_evidence, atol=0.15)
    assert "given the context" in exact.protocol
    assert np.isfinite(vj.evaluate.bdmc(model, params, KEY, 4, y, **options).upper.log_evidence).all()


def test_what_cannot_be_estimated_is_refused(ppca):
    _, params, x, _ = ppca
    gmm = zoo.EXACT["gmm-full"], zoo.fitted("gmm-full"), KEY, zoo.rows()
    refused("GMM has discrete latents", vj.evaluate.ais, *gmm, error=TypeError)
    refused("expected a Gaussian q", vj.evaluate.latents.refine, *gmm, error=TypeError)
    refused("no density", estimate, zoo.AMORTIZED["autoencoder"], {}, KEY, x, error=TypeError)
    refused("got nan in row 1", estimate, Broad(5, 2), params, KEY, np.where(np.arange(40)[:, None] == 1, np.nan, x))
    for name in ("k", "chunk"):
        words = f"{name}: expected an integer of at least 1, got 0"
        refused(words, estimate, Broad(5, 2), params, KEY, x, **{name: 0})


def test_one_call_scores_a_model(ppca):
    model, params, x, exact = ppca
    scores = vj.evaluate.run(model, params, KEY, x, log_jacobian=2.0, levels=4, quick=True)
    assert scores["log_evidence"].value == pytest.approx(exact.mean() + 2.0, abs=1e-4)
    assert scores["log_evidence"].standard_error == pytest.approx(exact.std(ddof=1) / np.sqrt(40), rel=1e-4)
    bits = (5 * np.log(4) - exact.mean() - 2.0) / (5 * np.log(2))
    assert scores["bits_per_dimension"].value == pytest.approx(bits, abs=1e-4)
    again = jax.vmap(lambda r: vj.reconstruct(model, params, KEY, r, temperature=0.0))(x)
    error = np.sqrt(((np.asarray(again) - x) ** 2).mean())
    assert scores["reconstruction_rmse"].value == pytest.approx(error, rel=1e-4)
    score = functools.partial(vj.evaluate.run, Broad(5, 2), params, KEY, x, k=2000, quick=True)
    broad, moved = score(), score(log_jacobian=3.0)
    assert broad["iwae"].value == pytest.approx(exact.mean(), abs=0.2) and "k=2000" in broad["iwae"].protocol
    for name in ("iwae", "elbo", "log_likelihood"):
        assert moved[name].value == pytest.approx(broad[name].value + 3.0, abs=1e-3)
    assert broad["elbo"].value == pytest.approx(broad["log_likelihood"].value - broad["kl"].value, abs=1e-3)


def test_auroc_counts_every_pair_and_halves_ties():
    rng = np.random.default_rng(0)
    usual, strange = rng.integers(0, 6, 40) / 2, rng.integers(2, 8, 25) / 2
    pairs = np.sign(strange[:, None] - usual[None])
    area = vj.evaluate.auroc(usual, strange)
    assert area == pytest.approx(np.mean((pairs + 1) / 2), abs=1e-15)
    assert area == pytest.approx(roc_auc_score([0] * 40 + [1] * 25, np.concatenate([usual, strange])))
    assert vj.evaluate.auroc(strange, usual) == pytest.approx(1.0 - area)
    assert vj.evaluate.auroc([0.0, 0.0], [0.0]) == 0.5 and vj.evaluate.auroc([0.0], [np.inf]) == 1.0
    for bad in ([], [np.nan], [[1.0]]):
        refused("scores_out: expected a vector of numbers", vj.evaluate.auroc, [0.0], bad)


def test_anomaly_scores_are_the_bounds_and_their_ratio(ppca):
    model, params, x, exact = ppca
    scored = functools.partial(vj.evaluate.anomaly_scores, model, params, KEY)
    scores = {name: scored(x, score=name, k=3) for name in ("iwae", "elbo")}
    np.testing.assert_allclose(scores["iwae"], -exact, rtol=1e-4)
    bounds = jax.vmap(lambda key, x: vj.elbo(model, params, key, x).value)(jax.random.split(KEY, 40), x)
    np.testing.assert_allclose(scores["elbo"], -bounds, rtol=1e-4)
    other = params | {"mean": params["mean"] + 1.0}
    ratio = scored(x, score="log_evidence", background=(model, other))
    plain = vj.evaluate.anomaly_scores(model, other, KEY, x, score="log_evidence")
    np.testing.assert_allclose(ratio, -exact - plain, rtol=1e-4, atol=1e-4)
    refused("score: expected one of elbo, iwae, log_evidence, got 'loss'", scored, x, score="loss")
    refused("finite", scored, x * np.nan)
