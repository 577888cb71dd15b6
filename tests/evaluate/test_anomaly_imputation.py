import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import vaejax as vj
from vaejax.distributions import Bernoulli, ContinuousBernoulli, DiscretizedLogistic, LowRankNormal, Normal

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_auroc_counts_every_pair_and_halves_ties():
    usual, strange = RNG.integers(0, 6, 40) / 2, RNG.integers(2, 8, 25) / 2
    pairs = np.sign(strange[:, None] - usual[None])
    area = vj.evaluate.auroc(usual, strange)
    assert area == pytest.approx(np.mean((pairs + 1) / 2), abs=1e-15)
    assert area == pytest.approx(roc_auc_score([0] * 40 + [1] * 25, np.concatenate([usual, strange])))
    assert vj.evaluate.auroc(strange, usual) == pytest.approx(1.0 - area)
    assert vj.evaluate.auroc([0.0, 0.0], [0.0]) == 0.5 and vj.evaluate.auroc([0.0], [np.inf]) == 1.0
    for bad in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="scores_out: expected a vector of numbers"):
            vj.evaluate.auroc([0.0], bad)


@pytest.fixture(scope="module")
def ppca():
    """A model with loadings that tell much of one entry by the others."""
    rng = np.random.default_rng(1)
    model = vj.PPCA(5, 2)
    weight = jnp.asarray(rng.normal(size=(5, 2)), jnp.float32)
    params = {"mean": jnp.asarray(rng.normal(size=5), jnp.float32), "weight": weight, "log_scale": jnp.log(0.5)}
    return model, params


def test_anomaly_scores_are_the_bounds_and_their_ratio(ppca):
    model, params = ppca
    x = RNG.normal(size=(6, 5)).astype(np.float32)
    exact = jax.vmap(lambda x: vj.log_evidence(model, params, x))(x)
    for score in ("iwae", "log_evidence"):
        np.testing.assert_allclose(
            vj.evaluate.anomaly_scores(model, params, KEY, x, score=score, k=3), -exact, rtol=1e-4
        )
    keys = jax.random.split(KEY, 6)
    bounds = jax.vmap(lambda key, x: vj.elbo(model, params, key, x).value)(keys, x)
    np.testing.assert_allclose(vj.evaluate.anomaly_scores(model, params, KEY, x), -bounds, rtol=1e-4)
    plain = vj.PPCA(5, 1)
    background = (plain, plain.init(KEY))
    ratio = vj.evaluate.anomaly_scores(model, params, KEY, x, score="log_evidence", background=background)
    np.testing.assert_allclose(ratio, jax.vmap(lambda x: vj.log_evidence(*background, x))(x) - exact, rtol=1e-4)
    with pytest.raises(ValueError, match="score: expected one of elbo, iwae, log_evidence, got 'loss'"):
        vj.evaluate.anomaly_scores(model, params, KEY, x, score="loss")
    with pytest.raises(ValueError, match="finite"):
        vj.evaluate.anomaly_scores(model, params, KEY, np.full((2, 5), np.nan))


def test_entries_of_a_factorised_likelihood_sum_to_it():
    x = jnp.asarray(RNG.integers(0, 5, (2, 3)) / 4, jnp.float32)
    loc, scale = jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32), jnp.full((2, 3), 0.7)
    normals, grid = (Normal(loc, scale), Normal(loc, jnp.asarray(0.3))), DiscretizedLogistic(loc, scale, 5)
    for p in (*normals, Bernoulli(loc), ContinuousBernoulli(loc), grid):
        each = vj.evaluate.imputation.entry_log_probs(p, x)
        assert each.shape == (2, 3)
        np.testing.assert_allclose(each.sum(), p.log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(
        vj.evaluate.imputation.entry_log_probs(Normal(loc, scale), x),
        jax.scipy.stats.norm.logpdf(x, loc, scale),
        rtol=1e-5,
    )
    with pytest.raises(TypeError, match="independent entries .*, got LowRankNormal"):
        vj.evaluate.imputation.entry_log_probs(LowRankNormal(loc, jnp.zeros((2, 3, 1)), scale), x)


def test_imputation_is_the_conditional_of_a_linear_gaussian_model(ppca):
    model, params = ppca
    seen = np.array([True, False, True, False, False])
    x = RNG.normal(size=(4, 5)).astype(np.float32)
    weight, mean = np.asarray(params["weight"], float), np.asarray(params["mean"], float)
    covariance = weight @ weight.T + 0.25 * np.eye(5)
    gain = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = mean[~seen] + (x[:, seen] - mean[seen]) @ gain.T
    spread = covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
    made = vj.evaluate.impute(model, params, KEY, np.where(seen, x, np.nan), seen, k=4000, num_draws=2000)
    np.testing.assert_array_equal(made.mean[:, seen], x[:, seen])
    latent = np.sqrt(np.diag(spread).max() - 0.25)
    error = 4 * latent / np.sqrt(4000 * np.asarray(made.effective).min())
    np.testing.assert_allclose(made.mean[:, ~seen], expected, atol=error)
    assert made.effective.min() > 0.15 and error < 0.2
    drawn = np.asarray(made.draws)[..., ~seen]
    np.testing.assert_allclose(drawn.mean(1), expected, atol=0.15)
    np.testing.assert_allclose(np.mean([np.cov(rows.T) for rows in drawn], 0), spread, atol=0.1)
    marginal = [
        jax.scipy.stats.multivariate_normal.logpdf(row, mean[seen], covariance[np.ix_(seen, seen)])
        for row in x[:, seen]
    ]
    np.testing.assert_allclose(made.log_observed, marginal, atol=0.1)


def test_with_all_seen_or_none():
    model = vj.PPCA(3, 1)
    params = {"mean": jnp.arange(3.0), "weight": jnp.ones((3, 1)), "log_scale": jnp.log(0.5)}
    x = np.ones((2, 3), np.float32)
    everything = vj.evaluate.impute(model, params, KEY, x, np.ones(3, bool), k=200)
    np.testing.assert_array_equal(everything.mean, x)
    exact = jax.vmap(lambda x: vj.log_evidence(model, params, x))(x)
    np.testing.assert_allclose(everything.log_observed, exact, atol=0.2)
    nothing = vj.evaluate.impute(model, params, KEY, x, np.zeros(3, bool), k=4000)
    np.testing.assert_allclose(nothing.mean, np.tile(np.arange(3.0), (2, 1)), atol=0.1)
    np.testing.assert_allclose(nothing.log_observed, 0.0, atol=1e-2)


@pytest.mark.parametrize("name", ["bernoulli", "discretized-logistic", "mixture-prior", "conditional"])
def test_amortised_models_impute_what_their_likelihood_allows(name):
    from tests.zoo import AMORTIZED, context, levels

    model, x = AMORTIZED[name], levels(3)
    seen = RNG.random(x.shape) < 0.6
    made = vj.evaluate.impute(model, model.init(KEY), KEY, x, seen, context(model, 3), k=100, num_draws=2)
    assert made.draws.shape == (3, 2, 5) and np.all((made.effective > 0) & (made.effective <= 1 + 1e-5))
    assert np.all((made.draws >= 0) & (made.draws <= 1)) and np.all((made.mean >= 0) & (made.mean <= 1))
    np.testing.assert_array_equal(np.asarray(made.mean)[seen], x[seen])


def test_imputations_that_cannot_be_meant_are_refused(ppca):
    model, params = ppca
    x = np.zeros((2, 5), np.float32)
    with pytest.raises(ValueError, match="observed: expected bool of shape \\(2, 5\\), got float64 of shape \\(5,\\)"):
        vj.evaluate.impute(model, params, KEY, x, np.ones(5))
    with pytest.raises(ValueError, match="finite values, got nan in row 0"):
        vj.evaluate.impute(model, params, KEY, x * np.nan, np.ones(5, bool))
    full = vj.GMM(2, 5)
    with pytest.raises(TypeError, match="got TrilNormal"):
        vj.evaluate.impute(full, full.init(KEY), KEY, x, np.ones(5, bool))
    autoencoder = vj.zoo.autoencoder(5, 2, hidden=(4,))
    with pytest.raises(TypeError, match="Autoencoder has no density"):
        vj.evaluate.impute(autoencoder, autoencoder.init(KEY), KEY, x, np.ones(5, bool))
