"""EM against closed forms and against scikit-learn, in float64."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo


def data_sets():
    from sklearn import datasets

    names = ("iris", "wine", "breast_cancer", "diabetes")
    found = {name: getattr(datasets, f"load_{name}")().data.astype(float) for name in names}
    pixels = datasets.load_digits().data
    noise = np.random.default_rng(0).random(pixels.shape)
    return found | {"digits": (pixels + noise)[:, pixels.var(0) > 5.0]}


@pytest.fixture(scope="module")
def tables():
    return data_sets()


NAMES = ("iris", "wine", "breast_cancer", "diabetes", "digits")


def ppca_likelihood(values, m, noise):
    d = len(values)
    return -0.5 * (d * np.log(2 * np.pi) + np.log(values[:m]).sum() + (d - m) * np.log(noise) + d)


@pytest.mark.parametrize("name", NAMES)
def test_ppca_maximum_likelihood_and_em(name, tables, x64):  # oracle 1
    x, m = tables[name], 2
    model = vj.PPCA(x.shape[1], m)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    noise = values[m:].mean()
    params = vj.em.ppca_exact(model, x)
    np.testing.assert_allclose(np.exp(2 * params["log_scale"]), noise, rtol=1e-9)
    score = np.mean(vj.evaluate.exact_log_evidence(model, params, x))
    np.testing.assert_allclose(score, ppca_likelihood(values, m, noise), atol=1e-9 * max(1, abs(score)))
    fitted, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=500)
    np.testing.assert_allclose(trace.log_likelihood[-1], score, atol=1e-6)
    np.testing.assert_allclose(
        np.mean(vj.evaluate.exact_log_evidence(model, fitted, x)), trace.log_likelihood[-1], atol=1e-9 * abs(score)
    )
    spans = [np.asarray(p["weight"]) @ np.asarray(p["weight"]).T for p in (params, fitted)]
    np.testing.assert_allclose(spans[0], spans[1], atol=1e-4 * np.abs(spans[0]).max())


def test_plain_em_step_is_the_corrected_formula(x64):
    x, model = zoo.rows(), vj.PPCA(5, 2)
    params = zoo.fitted("ppca", 1) | {"mean": jnp.asarray(x.mean(0))}
    step = vj.em.em_step(model, params, jnp.asarray(x))
    centred, weight = x - x.mean(0), np.asarray(params["weight"])
    variance = float(np.exp(2 * params["log_scale"]))
    m = weight.T @ weight + variance * np.eye(2)
    code = centred @ weight @ np.linalg.inv(m)
    second = len(x) * variance * np.linalg.inv(m) + code.T @ code
    new = centred.T @ code @ np.linalg.inv(second)
    noise = ((centred**2).sum() - 2 * (code * (centred @ new)).sum() + np.trace(second @ new.T @ new)) / x.size
    np.testing.assert_allclose(step.params["weight"], new, atol=1e-10)
    np.testing.assert_allclose(np.exp(2 * step.params["log_scale"]), noise, atol=1e-10)
    np.testing.assert_allclose(
        step.log_likelihood, np.mean(vj.evaluate.exact_log_evidence(model, params, x)), atol=1e-10
    )


@pytest.mark.parametrize("prior_count", [0.0, 3.0])
@pytest.mark.parametrize("name", zoo.EXACT)
def test_em_never_goes_down(name, prior_count, x64):  # oracle 2
    weights = np.random.default_rng(0).random(60)
    for seed in range(3):
        _, trace = vj.em.fit(
            zoo.EXACT[name], jax.random.key(seed), zoo.rows(), num_steps=40, weights=weights, prior_count=prior_count
        )
        rise = np.diff(trace.objective)[trace.reseeds == 0]
        assert rise.min() >= -1e-9


@pytest.mark.parametrize("name", ["gmm-diag", "gmm-spherical", "ppca", "factor-analysis"])
@pytest.mark.parametrize("accelerate", [False, True])
def test_em_with_missing_values_never_goes_down(name, accelerate, x64):
    x, rng = zoo.rows(), np.random.default_rng(1)
    x[rng.random(x.shape) < 0.3] = np.nan
    model = zoo.EXACT[name]
    params, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=40, missing=True, accelerate=accelerate)
    assert np.diff(trace.objective).min() >= -1e-9
    # The reported likelihood is that of the observed entries: the marginal of each row.
    total = 0.0
    marginal = model.marginal(params)
    if name.startswith("gmm"):
        from scipy.special import logsumexp
        from scipy.stats import norm

        for row in x:
            seen = ~np.isnan(row)
            scores = norm(np.asarray(marginal.components.loc), np.asarray(marginal.components.scale)).logpdf(row)
            total += logsumexp(jax.nn.log_softmax(marginal.logits) + scores[:, seen].sum(1))
    else:
        from scipy.stats import multivariate_normal

        cov = np.asarray(marginal.factor @ marginal.factor.T + jnp.diag(marginal.scale**2))
        for row in x:
            seen = np.flatnonzero(~np.isnan(row))
            if len(seen):
                total += multivariate_normal(np.asarray(marginal.loc)[seen], cov[np.ix_(seen, seen)]).logpdf(row[seen])
    np.testing.assert_allclose(trace.log_likelihood[-1], total / len(x), atol=1e-9)


@pytest.mark.parametrize("name", ["gmm-diag", "ppca", "factor-analysis"])
def test_nothing_missing_is_the_complete_fit(name, x64):
    model, x = zoo.EXACT[name], zoo.rows()
    complete, first = vj.em.fit(model, jax.random.key(0), x, num_steps=10)
    masked, second = vj.em.fit(model, jax.random.key(0), x, num_steps=10, missing=True)
    np.testing.assert_allclose(first.objective, second.objective, atol=1e-8)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), complete, masked)


@pytest.mark.parametrize("name", ["gmm-full", "gmm-diag", "ppca", "factor-analysis"])
def test_half_steps_rise_and_gaps_close(name, x64):  # oracles 2 and 3, source A section 2
    model, x = zoo.EXACT[name], jnp.asarray(zoo.rows())
    old = zoo.fitted(name, 2)
    if "mean" in old:
        old = old | {"mean": x.mean(0)}
    new = vj.em.em_step(model, old, x).params
    stale = zoo.fitted(name, 1)
    half = vj.em.half_steps(model, stale, old, new, x)
    exact = [np.mean(vj.evaluate.exact_log_evidence(model, params, x)) for params in (old, new)]
    np.testing.assert_allclose(half.after_e, exact[0], atol=1e-10)
    np.testing.assert_allclose(half.log_likelihood, exact[1], atol=1e-10)
    assert half.before < half.after_e < half.after_m < half.log_likelihood
    path, halves = vj.em.ascent(model, old, x, num_steps=3)
    jax.tree.map(lambda walked, one: np.testing.assert_allclose(walked[1], one, atol=1e-9), path, new)
    np.testing.assert_allclose(halves.before[1:], halves.after_m[:-1], atol=1e-10)
    np.testing.assert_allclose([halves.after_e[0], halves.after_m[0]], [half.after_e, half.after_m], atol=1e-10)
    # The gap is the divergence of the posteriors, computed without the bound.
    posteriors = [jax.vmap(lambda row: model.posterior(params, row))(x) for params in (stale, old)]  # noqa: B023
    from vaejax.distributions import analytic_kl

    gap = jnp.mean(jax.vmap(analytic_kl)(*posteriors))
    np.testing.assert_allclose(vj.em.kl_gap(model, old, stale, x), gap, atol=1e-9)
    # The bound is Q plus the entropy of q, and M raises Q.
    q_old, q_new = (vj.em.expected_log_joint(model, params, old, x) for params in (old, new))
    assert q_new > q_old
    np.testing.assert_allclose(half.after_m - half.after_e, q_new - q_old, atol=1e-10)


def test_bound_of_a_ppca_mixture_is_exact_too(x64):
    model, x = zoo.EXACT["ppca-mixture"], jnp.asarray(zoo.rows(20))
    params = zoo.fitted("ppca-mixture")
    np.testing.assert_allclose(
        vj.em.lower_bound(model, params, params, x),
        np.mean(vj.evaluate.exact_log_evidence(model, params, x)),
        atol=1e-10,
    )
    stale = zoo.fitted("ppca-mixture", 1)
    assert vj.em.kl_gap(model, params, stale, x) > 1e-3


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("name", NAMES)
def test_gmm_against_scikit_learn(name, covariance, tables, x64):
    from sklearn.mixture import GaussianMixture

    x, k = tables[name], 3
    model = vj.GMM(k, x.shape[1], covariance)
    start, _ = vj.em.fit(model, jax.random.key(1), x, num_steps=0)
    if "scale_tril" in start:
        tril = np.asarray(start["scale_tril"])
        precisions = np.linalg.inv(tril @ np.swapaxes(tril, -1, -2))
    else:
        precisions = np.exp(-2 * np.asarray(start["log_scale"]))
    twin = GaussianMixture(
        k,
        covariance_type=covariance,
        max_iter=5,
        tol=0.0,
        reg_covar=0.0,
        weights_init=np.full(k, 1 / k),
        means_init=np.asarray(start["means"]),
        precisions_init=precisions,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin.fit(x)
    params, trace = vj.em.fit(model, jax.random.key(1), x, num_steps=5, init=start)
    np.testing.assert_allclose(trace.log_likelihood[-1], twin.score(x), rtol=1e-8)
    np.testing.assert_allclose(params["means"], twin.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.nn.softmax(params["logits"]), twin.weights_, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_pca_and_factor_analysis_against_scikit_learn(name, tables, x64):
    from sklearn.decomposition import PCA, FactorAnalysis

    x, m = tables[name], 2
    count, dim = x.shape
    # scikit-learn's PCA divides by n - 1: its densities are those of its own parameters ...
    twin = PCA(m, svd_solver="full").fit(x)
    weight = twin.components_.T * np.sqrt(twin.explained_variance_ - twin.noise_variance_)
    params = {
        "mean": jnp.asarray(twin.mean_),
        "weight": jnp.asarray(weight),
        "log_scale": jnp.asarray(0.5 * np.log(twin.noise_variance_)),
    }
    np.testing.assert_allclose(
        vj.evaluate.exact_log_evidence(vj.PPCA(dim, m), params, x), twin.score_samples(x), rtol=1e-7
    )
    # ... and ours are the same fit with n.
    exact = vj.em.ppca_exact(vj.PPCA(dim, m), x)
    np.testing.assert_allclose(np.exp(2 * exact["log_scale"]) * count / (count - 1), twin.noise_variance_, rtol=1e-8)
    # Factor analysis has local maxima and Heywood cases: ours is never worse than 1e-3 nats a row.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops at its last step
        twin = FactorAnalysis(m, tol=1e-8, max_iter=3000, svd_method="lapack").fit(x)
    _, trace = vj.em.fit(vj.FactorAnalysis(dim, m), jax.random.key(0), x, num_steps=2000)
    assert trace.log_likelihood[-1] > twin.score(x) - 1e-3
    params = {
        "mean": jnp.asarray(twin.mean_),
        "weight": jnp.asarray(twin.components_.T),
        "log_scale": jnp.asarray(0.5 * np.log(twin.noise_variance_)),
    }
    np.testing.assert_allclose(
        vj.evaluate.exact_log_evidence(vj.FactorAnalysis(dim, m), params, x), twin.score_samples(x), rtol=1e-6
    )


def test_singularity_floor_and_prior(x64):  # oracle 20
    x = np.concatenate([np.random.default_rng(0).normal(size=(40, 2)), [[8.0, 8.0]]])
    model = vj.GMM(2, 2, "spherical")
    init = {
        "logits": jnp.zeros(2),
        "means": jnp.asarray([[0.0, 0.0], [8.0, 8.0]]),
        "log_scale": jnp.log(jnp.asarray([1.0, 1e-3])),
    }
    fit = lambda **options: vj.em.fit(model, jax.random.key(0), x, num_steps=30, init=init, **options)
    heights = []
    for floor in (1e-2, 1e-6, 1e-12, 0.0):
        params, trace = fit(variance_floor=floor)
        assert np.all(np.exp(2 * params["log_scale"]) >= floor * (1 - 1e-9))
        heights.append(trace.log_likelihood[-1])
    assert heights[0] < heights[1] < heights[2] < heights[3]  # unbounded as the floor goes
    rise = 0.5 * np.log(1e4) * 2 / 41  # one row of two dimensions gains -ln sigma each
    np.testing.assert_allclose(heights[1] - heights[0], rise, atol=1e-6)
    params, trace = fit(prior_count=2.0, prior_variance=0.5, variance_floor=0.0)
    assert np.exp(2 * params["log_scale"][1]) > 0.1 and np.all(np.isfinite(trace.objective))
    full, _ = vj.em.fit(vj.GMM(2, 2), jax.random.key(0), x, num_steps=30, variance_floor=0.05)
    for tril in np.asarray(full["scale_tril"]):
        assert np.linalg.eigvalsh(tril @ tril.T).min() >= 0.05 * (1 - 1e-9)


def test_objective_is_the_penalised_likelihood_in_the_units_of_the_data(x64):
    x, count, variance = 50.0 * zoo.rows(), 4.0, 7.0
    for name, model in zoo.EXACT.items():
        if name == "ppca-mixture":
            continue
        params, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=4, prior_count=count, prior_variance=variance)
        if "scale_tril" in params:
            covs = params["scale_tril"] @ np.swapaxes(params["scale_tril"], -1, -2)
            covs = covs if covs.ndim == 3 else covs[None]
        elif name.startswith("gmm"):
            scales = np.asarray(params["log_scale"])
            scales = scales if scales.ndim == 2 else scales[:, None]
            covs = [np.diag(np.exp(2 * np.broadcast_to(s, 5))) for s in scales]
        else:
            covs = [np.diag(np.exp(2 * np.broadcast_to(params["log_scale"], 5)))]
        prior = sum(np.linalg.slogdet(c)[1] + variance * np.trace(np.linalg.inv(c)) for c in covs)
        expected = np.mean(vj.evaluate.exact_log_evidence(model, params, x)) - 0.5 * count * prior / len(x)
        np.testing.assert_allclose(trace.objective[-1], expected, atol=1e-9)


@pytest.mark.slow
def test_mnist_table(mnist, x64):
    """The pPCA references on MNIST/255: noise, train and test log-likelihood to the printed digits."""
    table = {
        2: (0.05610, 12.43, 14.36),
        8: (0.03826, 149.82, 154.10),
        10: (0.03487, 182.15, 186.02),
        20: (0.02460, 299.76, 306.55),
        32: (0.01798, 400.43, 409.41),
        64: (0.01011, 570.25, 579.75),
    }
    train = mnist.train.x.reshape(60_000, 784)
    test = mnist.test.x.reshape(10_000, 784)
    for m, (noise, train_score, test_score) in table.items():
        model = vj.PPCA(784, m)
        params = vj.em.ppca_exact(model, train)
        assert round(float(np.exp(2 * params["log_scale"])), 5) == noise
        _, trace = vj.em.fit(model, jax.random.key(0), train, num_steps=0, init=params)
        np.testing.assert_allclose(trace.log_likelihood[-1], train_score, atol=0.0051)
        np.testing.assert_allclose(
            np.mean(vj.evaluate.exact_log_evidence(model, params, test)), test_score, atol=0.0051
        )
    model = vj.PPCA(784, 10)
    _, trace = vj.em.fit(model, jax.random.key(0), train, num_steps=300)
    assert abs(trace.log_likelihood[-1] - 182.15) < 0.05
