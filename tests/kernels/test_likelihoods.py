import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from scipy.integrate import quad

from vaejax import kernels

rng = np.random.default_rng(1)
LOGITS = rng.normal(size=5) * 3


def test_bernoulli_against_scipy(x64):
    x = (rng.random(5) < 0.5).astype(float)
    expected = st.bernoulli(1 / (1 + np.exp(-LOGITS))).logpmf(x).sum()
    np.testing.assert_allclose(kernels.bernoulli_log_prob(x, LOGITS), expected, atol=1e-12)
    jax.test_util.check_grads(lambda l: kernels.bernoulli_log_prob(x, l), (jnp.asarray(LOGITS),), order=2)


def test_bernoulli_keeps_small_losses():
    value = kernels.bernoulli_log_prob(jnp.ones(1), jnp.full(1, 20.0))
    np.testing.assert_allclose(value, -2.0611537e-9, rtol=1e-5)


def test_grey_pixels_are_the_mixture_of_the_two_outcomes(x64):
    off, on, grey = (kernels.bernoulli_log_prob(jnp.full(1, x), LOGITS[:1]) for x in (0.0, 1.0, 0.3))
    np.testing.assert_allclose(grey, 0.3 * on + 0.7 * off, atol=1e-12)


@pytest.mark.parametrize("logit", [-30.0, -2.0, -0.1, -1e-3, 0.0, 1e-9, 0.0999, 0.1001, 3.0, 30.0])
def test_continuous_bernoulli_is_a_density(logit, x64):
    density = lambda x: float(jnp.exp(kernels.continuous_bernoulli_log_prob(x, logit)))
    total, _ = quad(density, 0, 1, points=[0, 1])
    np.testing.assert_allclose(total, 1.0, atol=1e-9)
    # log C = log of 2 atanh(1 - 2 l) / (1 - 2 l), away from one half
    if abs(logit) > 0.5 and abs(logit) < 20:
        p = 1 / (1 + np.exp(-logit))
        log_c = np.log(2 * np.arctanh(1 - 2 * p) / (1 - 2 * p))
        expected = 0.3 * np.log(p) + 0.7 * np.log1p(-p) + log_c
        np.testing.assert_allclose(kernels.continuous_bernoulli_log_prob(0.3, logit), expected, atol=1e-10)


@pytest.mark.parametrize("logit", [-2.0, -0.1, 0.0, 0.05, 0.1, 4.0])
def test_continuous_bernoulli_gradients(logit, x64):
    # Centred differences straddle the seam of the two branches.
    f = lambda l: kernels.continuous_bernoulli_log_prob(jnp.asarray(0.7), l)
    step = 1e-4
    numeric = (f(logit + step) - f(logit - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(f)(jnp.asarray(logit)), numeric, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 16, 256])
@pytest.mark.parametrize("loc, scale", [(0.4, 0.1), (0.0, 1.0), (1.3, 0.02), (0.5, 1e-3)])
def test_discretized_logistic_sums_to_one_and_is_the_bin_mass(levels, loc, scale, x64):
    grid = np.linspace(0, 1, levels)
    log_p = jax.vmap(lambda x: kernels.discretized_logistic_log_prob(x, loc, scale, levels))(grid)
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, atol=1e-12)
    twin, half = st.logistic(loc, scale * np.sqrt(3) / np.pi), 0.5 / (levels - 1)
    if scale >= 0.1:
        upper = np.where(grid == 1, 1.0, twin.cdf(grid + half))
        lower = np.where(grid == 0, 0.0, twin.cdf(grid - half))
        np.testing.assert_allclose(np.exp(log_p), upper - lower, atol=1e-12)


def test_categorical(x64):
    logits = jnp.asarray(LOGITS)
    log_p = jnp.stack([kernels.categorical_log_prob(k, logits) for k in range(5)])
    np.testing.assert_allclose(log_p, LOGITS - np.log(np.exp(LOGITS).sum()), atol=1e-12)
    assert kernels.categorical_log_prob(5, logits) == kernels.categorical_log_prob(-1, logits) == -jnp.inf


@pytest.mark.parametrize("double", [False, True])
def test_extremes_are_finite_with_finite_gradients(double):
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        edge = jnp.asarray([0.0, 1.0, 0.5], dtype)
        for logit in (-1e4, -1e-6, 0.0, 1e-6, 1e4):
            for f in (kernels.bernoulli_log_prob, kernels.continuous_bernoulli_log_prob):
                chex.assert_tree_all_finite(jax.value_and_grad(f, (0, 1))(edge, jnp.full(3, logit, dtype)))
        for scale in (1e-6, 1.0, 1e6):
            f = kernels.discretized_logistic_log_prob
            args = edge, jnp.full(3, 0.2, dtype), jnp.full(3, scale, dtype)
            chex.assert_tree_all_finite(jax.value_and_grad(f, (1, 2))(*args))
        logits = jnp.asarray([1e4, -1e4, 0.0], dtype)
        chex.assert_tree_all_finite(jax.value_and_grad(kernels.categorical_log_prob, 1)(1, logits))
