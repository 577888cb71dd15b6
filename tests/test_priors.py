import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from vaejax import distributions, priors

KEY = jax.random.key(0)


def test_standard_normal():
    p = priors.standard_normal().apply({}, 3, lambda x: x)
    np.testing.assert_allclose(p.log_prob(jnp.ones(3)), st.norm.logpdf(np.ones(3)).sum(), rtol=1e-6)


def test_mixture_against_scipy():
    recipe = priors.mixture(2)
    params = recipe.init(KEY, 3, (5,)) | {"logits": jnp.log(jnp.array([0.3, 0.7]))}
    params["log_scale"] = params["log_scale"] + 0.2
    z = np.array([0.1, 0.2, -0.3])
    each = [st.norm.pdf(z, params["loc"][k], np.exp(0.2)).prod() for k in range(2)]
    mine = recipe.apply(params, 3, lambda x: x).log_prob(z)
    np.testing.assert_allclose(mine, np.log(0.3 * each[0] + 0.7 * each[1]), rtol=1e-5)


@pytest.mark.parametrize("support", [(0.0, 1.0), (-1.0, 3.0), None])
def test_vamp_is_the_mixture_of_posteriors(support):
    recipe = priors.vamp(4, support=support)
    params = recipe.init(KEY, 2, (3, 1))
    seen = []

    def posterior(x):
        seen.append(x.shape)
        return distributions.Normal(x[:2, 0], jnp.full(2, 0.5))

    z = np.array([0.4, 0.6])
    mine = recipe.apply(params, 2, posterior).log_prob(z)
    raw = np.asarray(params["inputs"])
    inputs = raw if support is None else support[0] + (support[1] - support[0]) / (1 + np.exp(-raw))
    each = [st.norm.pdf(z, u[:2, 0], 0.5).prod() for u in inputs]
    np.testing.assert_allclose(mine, np.log(np.mean(each)), rtol=1e-5)
    assert seen == [(3, 1)]


def test_empty_priors_are_refused():
    with pytest.raises(ValueError, match="num_components: expected an integer of at least 1, got 0"):
        priors.mixture(0)
    with pytest.raises(ValueError, match="num_inputs: expected an integer of at least 1, got 0"):
        priors.vamp(0)
