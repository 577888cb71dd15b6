"""EM against closed forms and against scikit-learn, in float64."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests.em.common import X, start

NAMES = ("iris", "wine", "breast_cancer", "diabetes", "digits")


@pytest.fixture(scope="module")
def tables():
    from sklearn import datasets

    found = {name: getattr(datasets, f"load_{name}")().data.astype(float) for name in NAMES}
    pixels = found["digits"]
    noise = np.random.default_rng(0).random(pixels.shape)
    return found | {"digits": (pixels + noise)[:, pixels.var(0) > 5.0]}


@pytest.fixture(autouse=True)
def one_thread():
    """scikit-learn's many small factorisations are slow where its threads wait for processors."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.mark.parametrize("name", NAMES)
def test_ppca_against_closed_form_em_and_scikit_learn(name, tables, x64):  # oracle 1
    from sklearn.decomposition import PCA

    x, m = tables[name], 2
    count, dim = x.shape
    model = vj.PPCA(dim, m)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    noise = values[m:].mean()
    params = vj.em.ppca_exact(model, x)
    np.testing.assert_allclose(np.exp(2 * params["log_scale"]), noise, rtol=1e-9)
    score = np.mean(vj.evaluate.exact_log_evidence(model, params, x))
    closed = -0.5 * (dim * np.log(2 * np.pi) + np.log(values[:m]).sum() + (dim - m) * np.log(noise) + dim)
    np.testing.assert_allclose(score, closed, atol=1e-9 * max(1, abs(score)))
    fitted, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=500)
    np.testing.assert_allclose(trace.log_likelihood[-1], score, atol=1e-6)
    again = np.mean(vj.evaluate.exact_log_evidence(model, fitted, x))
    np.testing.assert_allclose(again, trace.log_likelihood[-1], atol=1e-9 * abs(score))
    spans = [np.asarray(p["weight"]) @ np.asarray(p["weight"]).T for p in (params, fitted)]
    np.testing.assert_allclose(spans[0], spans[1], atol=1e-4 * np.abs(spans[0]).max())
    # scikit-learn divides by n - 1: its densities are those of its own parameters, and ours are the same fit with n.
    twin = PCA(m, svd_solver="full").fit(x)
    np.testing.assert_allclose(noise * count / (count - 1), twin.noise_variance_, rtol=1e-8)
    theirs = {
        "mean": jnp.asarray(twin.mean_),
        "weight": jnp.asarray(twin.components_.T * np.sqrt(twin.explained_variance_ - twin.noise_variance_)),
        "log_scale": jnp.asarray(0.5 * np.log(twin.noise_variance_)),
    }
    np.testing.assert_allclose(vj.evaluate.exact_log_evidence(model, theirs, x), twin.score_samples(x), rtol=1e-7)


def test_plain_em_step_is_the_corrected_formula(x64):
    x, model = X, vj.PPCA(5, 2)
    params = start("ppca")
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
    exact = np.mean(vj.evaluate.exact_log_evidence(model, params, x))
    np.testing.assert_allclose(step.log_likelihood, exact, atol=1e-10)


# Every table with full covariances; the other forms on the smallest and on the worst conditioned one.
@pytest.mark.parametrize(
    "name, covariance",
    [(name, "full") for name in NAMES]
    + [(name, form) for name in ("iris", "breast_cancer") for form in ("tied", "diag", "spherical")],
)
def test_gmm_against_scikit_learn(name, covariance, tables, x64):
    from sklearn.mixture import GaussianMixture

    x, k = tables[name], 3
    dim, variances, log_scale = x.shape[1], x.var(0), 0.5 * np.log(x.var(0))
    along = np.linalg.svd((x - x.mean(0)) / x.std(0), full_matrices=False)[0][:, 0]
    means = np.stack([x[part].mean(0) for part in np.array_split(np.argsort(along), k)])
    begin, precisions = {
        "full": (np.tile(np.diag(np.sqrt(variances)), (k, 1, 1)), np.tile(np.diag(1 / variances), (k, 1, 1))),
        "tied": (np.diag(np.sqrt(variances)), np.diag(1 / variances)),
        "diag": (np.tile(log_scale, (k, 1)), np.tile(1 / variances, (k, 1))),
        "spherical": (np.full(k, 0.5 * np.log(variances.mean())), np.full(k, 1 / variances.mean())),
    }[covariance]
    how = {"covariance_type": covariance, "max_iter": 5, "tol": 0.0, "reg_covar": 0.0}
    twin = GaussianMixture(k, **how, weights_init=np.full(k, 1 / k), means_init=means, precisions_init=precisions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin.fit(x)
    spread = "scale_tril" if covariance in ("full", "tied") else "log_scale"
    init = {"logits": np.zeros(k), "means": means, spread: begin}
    params, trace = vj.em.fit(vj.GMM(k, dim, covariance), jax.random.key(1), x, num_steps=5, init=init)
    np.testing.assert_allclose(trace.log_likelihood[-1], twin.score(x), rtol=1e-8)
    np.testing.assert_allclose(params["means"], twin.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.nn.softmax(params["logits"]), twin.weights_, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_factor_analysis_against_scikit_learn(name, tables, x64):
    from sklearn.decomposition import FactorAnalysis

    x, m = tables[name], 2
    model = vj.FactorAnalysis(x.shape[1], m)
    # Factor analysis has local maxima and Heywood cases, where EM is slow. On iris and diabetes it is 1e-3 nats a row
    # behind scikit-learn after 500 steps and 5e-4 ahead after these 2 000: the margin is far from either rounding.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops at its last step
        twin = FactorAnalysis(m, tol=1e-8, max_iter=1000, svd_method="lapack").fit(x)
    _, trace = vj.em.fit(model, jax.random.key(0), x, num_steps=2000)
    assert trace.log_likelihood[-1] > twin.score(x) - 1e-3
    params = {
        "mean": jnp.asarray(twin.mean_),
        "weight": jnp.asarray(twin.components_.T),
        "log_scale": jnp.asarray(0.5 * np.log(twin.noise_variance_)),
    }
    np.testing.assert_allclose(vj.evaluate.exact_log_evidence(model, params, x), twin.score_samples(x), rtol=1e-6)


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
        with pytest.warns(vj.em.DegenerateFit):
            params, trace = fit(variance_floor=floor)
        assert np.all(np.exp(2 * params["log_scale"]) >= floor * (1 - 1e-9))
        heights.append(trace.log_likelihood[-1])
    assert heights[0] < heights[1] < heights[2] < heights[3]  # unbounded as the floor goes
    rise = 0.5 * np.log(1e4) * 2 / 41  # one row of two dimensions gains -ln sigma each
    np.testing.assert_allclose(heights[1] - heights[0], rise, atol=1e-6)
    params, trace = fit(prior_count=2.0, prior_variance=0.5, variance_floor=0.0)
    assert np.exp(2 * params["log_scale"][1]) > 0.1 and np.all(np.isfinite(trace.objective))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vj.em.DegenerateFit)  # of one row, where a start gives it a component
        full, _ = vj.em.fit(vj.GMM(2, 2), jax.random.key(0), x, num_steps=30, variance_floor=0.05)
    for tril in np.asarray(full["scale_tril"]):
        assert np.linalg.eigvalsh(tril @ tril.T).min() >= 0.05 * (1 - 1e-9)


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
    train, test = mnist.train.x, mnist.test.x
    for m, (noise, train_score, test_score) in table.items():
        model = vj.PPCA(784, m)
        params = vj.em.ppca_exact(model, train)
        assert round(float(np.exp(2 * params["log_scale"])), 5) == noise
        _, trace = vj.em.fit(model, jax.random.key(0), train, num_steps=0, init=params)
        np.testing.assert_allclose(trace.log_likelihood[-1], train_score, atol=0.0051)
        held_out = np.mean(vj.evaluate.exact_log_evidence(model, params, test))
        np.testing.assert_allclose(held_out, test_score, atol=0.0051)
    model = vj.PPCA(784, 10)
    _, trace = vj.em.fit(model, jax.random.key(0), train, num_steps=300)
    assert abs(trace.log_likelihood[-1] - 182.15) < 0.05
