import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import vaejax as vj
from tests import zoo
from tests.refusals import refused


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_gmm_density_against_scipy(covariance, x64):
    model = vj.GMM(3, 5, covariance)
    params = zoo.fitted(f"gmm-{covariance}")
    x = zoo.rows(4, seed=2)
    params = jax.tree.map(np.asarray, params)
    weights = np.exp(params["logits"]) / np.exp(params["logits"]).sum()
    total = 0.0
    for k in range(3):
        if "scale_tril" in params:
            tril = params["scale_tril"][k] if covariance == "full" else params["scale_tril"]
            cov = tril @ tril.T
        else:
            cov = np.diag(np.exp(2 * np.broadcast_to(params["log_scale"][k], 5)))
        total += weights[k] * st.multivariate_normal(params["means"][k], cov).pdf(x)
    np.testing.assert_allclose(vj.evaluate.exact_log_evidence(model, params, x), np.log(total), atol=1e-10)


def test_ppca_posterior_and_samples(x64):  # oracle 26
    model, n, x = vj.PPCA(5, 2), 100_000, zoo.rows(1, seed=2)[0]
    params = jax.tree.map(np.asarray, zoo.fitted("ppca"))

    @jax.jit
    def run(keys, x):
        draw = lambda mode: jax.vmap(lambda key: vj.sample(model, params, key, mode=mode))(keys)
        return model.posterior(params, x), draw("ancestral"), draw("mean")

    q, ancestral, means = jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(0), n), x))
    weight, variance = params["weight"], float(np.exp(2 * params["log_scale"]))
    m = weight.T @ weight + variance * np.eye(2)
    np.testing.assert_allclose(q.loc, np.linalg.solve(m, weight.T @ (x - params["mean"])), atol=1e-12)
    np.testing.assert_allclose(q.scale_tril @ q.scale_tril.T, variance * np.linalg.inv(m), atol=1e-12)
    for drawn, cov in ((ancestral, weight @ weight.T + variance * np.eye(5)), (means, weight @ weight.T)):
        centred = drawn - params["mean"]
        products = centred[:, :, None] * centred[:, None, :]
        error = products.std(0) / np.sqrt(n)
        assert np.all(np.abs(products.mean(0) - cov) < 4 * error + 1e-12)


def test_bernoulli_model_has_no_closed_evidence():
    from vaejax.distributions import Bernoulli, Normal
    from vaejax.recipes import static

    @static
    class Flat(vj.LatentModel):
        event_shape = (1,)

        def init(self, key):
            return {}

        def prior(self, params, context=None):
            return Normal(jnp.zeros(1), jnp.ones(1))

        def likelihood(self, params, h, context=None):
            return Bernoulli(h)

        def posterior(self, params, x, context=None):
            return Normal(jnp.zeros(1), jnp.ones(1))

    refused("importance_bound", vj.log_evidence, Flat(), {}, np.ones(1), error=TypeError)
    # E log p(x) under a symmetric logistic-normal: both outcomes have probability one half.
    bound = vj.importance_bound(Flat(), {}, jax.random.key(0), np.ones(1), k=20_000)
    np.testing.assert_allclose(bound, np.log(0.5), atol=0.02)


def test_parameter_counts():
    assert vj.GMM(3, 4).num_parameters == 2 + 12 + 30
    assert vj.GMM(3, 4, "tied").num_parameters == 2 + 12 + 10
    assert vj.GMM(3, 4, "diag").num_parameters == 2 + 12 + 12
    assert vj.GMM(3, 4, "spherical").num_parameters == 2 + 12 + 3
    assert vj.PPCA(5, 1).num_parameters == 5 + 5 + 1
    assert vj.FactorAnalysis(5, 2).num_parameters == 5 + 10 - 1 + 5
    assert vj.PPCAMixture(2, 5, 1).num_parameters == 1 + 2 * 11


def test_images_are_flattened_and_scaled(x64):
    image = np.asarray([[0, 51], [102, 255]], np.uint8)[..., None]
    np.testing.assert_allclose(vj.PPCA(4, 1).event(image), [0, 0.2, 0.4, 1.0], atol=1e-12)


def test_impossible_models_are_refused():
    refused("num_components: expected an integer of at least 1, got 0", vj.GMM, 0, 2)
    refused("num_components: expected an integer", vj.GMM, 2.0, 2)
    refused("dim: expected an integer of at least 1, got 0", vj.GMM, 2, 0)
    refused("covariance: expected one of full, tied, diag, spherical, got 'round'", vj.GMM, 2, 2, "round")
    refused("latent_dim: expected less than dim = 3, got 3", vj.PPCA, 3, 3)
    refused("latent_dim: expected an integer of at least 1, got 0", vj.PPCA, 3, 0)
    refused("latent_dim: expected less than dim = 3, got 5", vj.FactorAnalysis, 3, 5)
    refused("num_components", vj.PPCAMixture, 0, 3, 1)
    refused("latent_dim: expected less than dim = 3, got 4", vj.PPCAMixture, 2, 3, 4)


def test_responsibilities_labels_and_criteria(x64):
    from sklearn.mixture import GaussianMixture

    model, params, x = vj.GMM(3, 5), zoo.fitted("gmm-full", 20), zoo.rows()
    twin = GaussianMixture(3).fit(x)
    twin.weights_ = np.exp(np.asarray(jax.nn.log_softmax(params["logits"])))
    twin.means_ = np.asarray(params["means"])
    twin.precisions_cholesky_ = np.swapaxes(np.linalg.inv(params["scale_tril"]), 1, 2)
    np.testing.assert_allclose(vj.evaluate.responsibilities(model, params, x), twin.predict_proba(x), atol=1e-9)
    np.testing.assert_array_equal(vj.evaluate.labels(model, params, x), twin.predict(x))
    np.testing.assert_allclose(vj.evaluate.bic(model, params, x), twin.bic(x), rtol=1e-10)
    np.testing.assert_allclose(vj.evaluate.aic(model, params, x), twin.aic(x), rtol=1e-10)
    mixture = vj.evaluate.responsibilities(zoo.EXACT["ppca-mixture"], zoo.fitted("ppca-mixture"), x)
    np.testing.assert_allclose(mixture.sum(1), 1.0, atol=1e-12)
    words = "expected a GMM or a PPCAMixture, got PPCA"
    refused(words, vj.evaluate.responsibilities, zoo.EXACT["ppca"], {}, x, error=TypeError)
    x[7, 1] = np.nan
    refused("nan in row 7", vj.evaluate.labels, model, params, x)
    refused("expected rows of shape (5,)", vj.evaluate.labels, model, params, x[:7, :4])
