import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import vaejax as vj
from tests.refusals import refused
from tests.zoo import AMORTIZED, EXACT, context, fitted, levels
from vaejax.distributions import Bernoulli, ContinuousBernoulli, DiscretizedLogistic, LowRankNormal, Normal

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
entry_log_probs, impute = vj.evaluate.imputation.entry_log_probs, vj.evaluate.impute


def test_entries_of_a_factorised_likelihood_sum_to_it():
    x = (RNG.integers(0, 5, (2, 3)) / 4).astype(np.float32)
    loc, scale = RNG.normal(size=(2, 3)).astype(np.float32), np.full((2, 3), 0.7, np.float32)
    normals, grid = (Normal(loc, scale), Normal(loc, np.float32(0.3))), DiscretizedLogistic(loc, scale, 5)
    for p in (*normals, Bernoulli(loc), ContinuousBernoulli(loc), grid):
        entries, total = jax.jit(lambda p: (entry_log_probs(p, x), p.log_prob(x)))(p)
        assert entries.shape == (2, 3)
        np.testing.assert_allclose(np.asarray(entries).sum(), total, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(entry_log_probs)(normals[0], x), norm.logpdf(x, loc, scale), rtol=1e-5)
    low_rank = LowRankNormal(loc, np.zeros((2, 3, 1)), scale)
    refused("independent entries ..., got LowRankNormal", entry_log_probs, low_rank, x, error=TypeError)


def imputed(ppca, seen):
    """One program for every pattern: four rows of five entries."""
    model, params, x, _ = ppca
    return impute(model, params, KEY, np.where(seen, x[:4], np.nan), seen, k=2000, num_draws=1000)


def test_imputation_is_the_conditional_of_a_linear_gaussian_model(ppca):
    _, params, x, _ = ppca
    seen, x = np.array([True, False, True, False, False]), x[:4]
    weight, mean = np.asarray(params["weight"], float), np.asarray(params["mean"], float)
    covariance = weight @ weight.T + 0.25 * np.eye(5)
    gain = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = mean[~seen] + (x[:, seen] - mean[seen]) @ gain.T
    spread = covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
    made = imputed(ppca, seen)
    np.testing.assert_array_equal(made.mean[:, seen], x[:, seen])
    latent = np.sqrt(np.diag(spread).max() - 0.25)
    error = 4 * latent / np.sqrt(2000 * made.effective.min())
    np.testing.assert_allclose(made.mean[:, ~seen], expected, atol=error)
    assert made.effective.min() > 0.1 and error < 0.3
    drawn = made.draws[..., ~seen]
    np.testing.assert_allclose(drawn.mean(1), expected, atol=0.2)
    np.testing.assert_allclose(np.mean([np.cov(rows.T) for rows in drawn], 0), spread, atol=0.15)
    marginal = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(x[:, seen])
    np.testing.assert_allclose(made.log_observed, marginal, atol=0.1)


def test_with_all_seen_or_none(ppca):
    _, params, x, exact = ppca
    everything, nothing = (imputed(ppca, np.full(5, seen)) for seen in (True, False))
    np.testing.assert_array_equal(everything.mean, x[:4])
    np.testing.assert_allclose(everything.log_observed, exact[:4], atol=0.2)
    np.testing.assert_allclose(nothing.mean, np.tile(params["mean"], (4, 1)), atol=0.2)
    assert (np.abs(nothing.log_observed) < 4 * np.sqrt((1 / nothing.effective - 1) / 2000)).all()


@pytest.mark.parametrize("name", ["bernoulli", "discretized-logistic", "mixture-prior", "conditional"])
def test_amortised_models_impute_what_their_likelihood_allows(name):
    model, x = AMORTIZED[name], levels(3)
    seen = RNG.random(x.shape) < 0.6
    made = impute(model, jax.jit(model.init)(KEY), KEY, x, seen, context(model, 3), k=100, num_draws=2)
    assert made.draws.shape == (3, 2, 5) and np.all((made.effective > 0) & (made.effective <= 1 + 1e-5))
    assert np.all((made.draws >= 0) & (made.draws <= 1)) and np.all((made.mean >= 0) & (made.mean <= 1))
    np.testing.assert_array_equal(made.mean[seen], x[seen])


def test_imputations_that_cannot_be_meant_are_refused(ppca):
    x, seen = np.zeros((2, 5), np.float32), np.ones(5, bool)
    refused("observed: expected bool of shape (2, 5), got float32 of shape (5,)", impute, *ppca[:2], KEY, x, x[0])
    refused("finite values, got nan in row 0", impute, *ppca[:2], KEY, x * np.nan, seen)
    gmm = EXACT["gmm-full"], fitted("gmm-full")
    refused("got TrilNormal", impute, *gmm, KEY, x, seen, error=TypeError)
    refused("Autoencoder has no density", impute, AMORTIZED["autoencoder"], {}, KEY, x, seen, error=TypeError)
