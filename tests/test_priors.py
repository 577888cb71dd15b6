import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from vaejax import distributions, priors

KEY, Z = jax.random.key(0), np.array([0.1, 0.2, -0.3], np.float32)


def run(recipe, posterior=lambda x: x, event_shape=(5,), **changed):
    """Parameters of the prior, and its log-density of Z."""

    @jax.jit
    def run(key):
        params = recipe.init(key, 3, event_shape)
        params |= {name: params[name] + value for name, value in changed.items()}
        return params, recipe.apply(params, 3, posterior).log_prob(Z)

    return jax.tree.map(np.asarray, run(KEY))


def test_standard_normal():
    np.testing.assert_allclose(run(priors.standard_normal())[1], st.norm.logpdf(Z).sum(), rtol=1e-6)


def test_mixture_against_scipy():
    params, log_p = run(priors.mixture(2), logits=np.log([0.3, 0.7]), log_scale=0.2)
    first, second = (st.norm.pdf(Z, loc, np.exp(0.2)).prod() for loc in params["loc"])
    np.testing.assert_allclose(log_p, np.log(0.3 * first + 0.7 * second), rtol=1e-5)


@pytest.mark.parametrize("support", [(0.0, 1.0), (-1.0, 3.0), None])
def test_vamp_is_the_mixture_of_posteriors(support):
    seen = []

    def posterior(x):
        seen.append(x.shape)
        return distributions.Normal(x[:3, 0], jnp.full(3, 0.5))

    params, log_p = run(priors.vamp(4, support=support), posterior, (4, 1))
    raw = params["inputs"]
    inputs = raw if support is None else support[0] + (support[1] - support[0]) / (1 + np.exp(-raw))
    densities = [st.norm.pdf(Z, u[:3, 0], 0.5).prod() for u in inputs]
    np.testing.assert_allclose(log_p, np.log(np.mean(densities)), rtol=1e-5)
    assert seen == [(4, 1)]


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: priors.mixture(0), "num_components: expected an integer of at least 1, got 0"),
        (lambda: priors.vamp(0), "num_inputs: expected an integer of at least 1, got 0"),
        (lambda: priors.autoregressive(0), "depth: expected an integer of at least 1, got 0"),
        (lambda: priors.coupling(2, 0), "sizes: expected at least 2 positive sizes, got \\(1, 0, 2\\)"),
    ],
)
def test_wrong_settings_are_named(build, words):
    with pytest.raises(ValueError, match=words):
        build()
