import chex
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given, settings
from hypothesis import strategies as hs

from tests.refusals import refused
from vaejax import kernels

rng = np.random.default_rng(0)
D = 4
X, LOC = rng.normal(size=(2, D))
SCALE = np.exp(rng.normal(size=D))
TRIL = np.tril(rng.normal(size=(D, D))) + 2 * np.eye(D)
FACTOR = rng.normal(size=(D, 2))
OTHER = np.tril(rng.normal(size=(D, D))) + 3 * np.eye(D)


def covariance_kl(mean, cov, prior_mean, prior_cov):
    solved = np.linalg.solve(prior_cov, cov)
    shift = mean - prior_mean
    quad = shift @ np.linalg.solve(prior_cov, shift)
    return 0.5 * (np.trace(solved) + quad - len(mean) - np.linalg.slogdet(solved)[1])


TABLE = {
    "normal": (kernels.normal_log_prob, (X, LOC, SCALE), st.norm(LOC, SCALE).logpdf(X).sum()),
    "tril": (kernels.tril_normal_log_prob, (X, LOC, TRIL), st.multivariate_normal(LOC, TRIL @ TRIL.T).logpdf(X)),
    "flipped": (  # a negative diagonal is the same covariance
        kernels.tril_normal_log_prob,
        (X, LOC, TRIL * np.array([1, -1, 1, -1])),
        st.multivariate_normal(LOC, TRIL @ TRIL.T).logpdf(X),
    ),
    "low_rank": (
        kernels.low_rank_normal_log_prob,
        (X, LOC, FACTOR, SCALE),
        st.multivariate_normal(LOC, FACTOR @ FACTOR.T + np.diag(SCALE**2)).logpdf(X),
    ),
    "kl_diag": (
        kernels.kl_diag,
        (X, SCALE, LOC, 1 / SCALE),
        covariance_kl(X, np.diag(SCALE**2), LOC, np.diag(SCALE**-2)),
    ),
    "kl_diag_standard": (kernels.kl_diag, (X, SCALE), covariance_kl(X, np.diag(SCALE**2), np.zeros(D), np.eye(D))),
    "kl_tril": (kernels.kl_tril, (X, TRIL, LOC, OTHER), covariance_kl(X, TRIL @ TRIL.T, LOC, OTHER @ OTHER.T)),
    "kl_tril_standard": (kernels.kl_tril, (X, TRIL), covariance_kl(X, TRIL @ TRIL.T, np.zeros(D), np.eye(D))),
}


@pytest.mark.parametrize("name", TABLE)
def test_value_gradient_jit_vmap_and_single_precision(name, x64):  # oracle 11 is the row "tril"
    f, args, expected = TABLE[name]
    np.testing.assert_allclose(f(*args), expected, rtol=0, atol=1e-10)
    with jax.disable_jit():
        np.testing.assert_allclose(f(*map(jnp.asarray, args)), expected, rtol=0, atol=1e-10)
    jax.test_util.check_grads(f, args, order=1, modes=["rev", "fwd"])
    stacked = [np.stack([a, 0.9 * a, 1.1 * a]) for a in args]
    loop = [f(*(a[i] for a in stacked)) for i in range(3)]
    np.testing.assert_allclose(kernels.batched(f)(*stacked), loop, atol=1e-12)
    with jax.enable_x64(False):
        single = f(*map(np.float32, args))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("double", [False, True])
def test_extreme_scales_stay_finite(scale, double):
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        x, loc = jnp.zeros(2, dtype), jnp.ones(2, dtype)
        factor = jnp.ones((2, 2), dtype)  # rank one: two equal columns
        cases = [
            (kernels.normal_log_prob, (x, loc, jnp.full(2, scale, dtype))),
            (kernels.tril_normal_log_prob, (x, loc, scale * jnp.eye(2, dtype=dtype))),
            (kernels.low_rank_normal_log_prob, (x, loc, factor, jnp.full(2, scale, dtype))),
            (kernels.kl_diag, (x, jnp.full(2, scale, dtype), loc, jnp.full(2, 1 / scale, dtype))),
            (kernels.kl_tril, (x, scale * jnp.eye(2, dtype=dtype), loc, jnp.eye(2, dtype=dtype) / scale)),
        ]
        for f, args in cases:
            value, grads = jax.value_and_grad(f, argnums=tuple(range(len(args))))(*args)
            chex.assert_tree_all_finite((value, grads))


def test_low_rank_is_accurate_where_woodbury_cancels(x64):
    x = jnp.asarray(rng.normal(size=D))
    for scale in (1e-6, 1e-3, 1e3):
        a = np.concatenate([FACTOR / scale, np.eye(2)])
        u = np.concatenate([(x - LOC) / scale, np.zeros(2)])
        quad = np.linalg.lstsq(a, u, rcond=None)[1].sum()
        log_det = 2 * np.log(np.linalg.svd(a)[1]).sum() + 2 * D * np.log(scale)
        expected = -0.5 * (quad + log_det + D * np.log(2 * np.pi))
        double = kernels.low_rank_normal_log_prob(x, LOC, FACTOR, scale)
        np.testing.assert_allclose(double, expected, rtol=1e-6)
        single = kernels.low_rank_normal_log_prob(*(jnp.asarray(a, jnp.float32) for a in (x, LOC, FACTOR, scale)))
        np.testing.assert_allclose(single, expected, rtol=1e-4)


def test_kl_is_zero_at_the_prior_and_nats(x64):  # oracle 10
    assert kernels.kl_diag(X, SCALE, X, SCALE) == 0.0
    np.testing.assert_allclose(kernels.kl_tril(X, TRIL, X, TRIL), 0.0, atol=1e-12)


@pytest.mark.parametrize("full", [False, True])
def test_analytic_kl_against_monte_carlo(full, x64):  # oracle 10
    keys = jax.random.split(jax.random.key(3), 100_000)
    if full:
        z = jax.vmap(kernels.reparameterize_tril, (0, None, None))(keys, LOC, TRIL)
        score = jax.vmap(kernels.tril_normal_log_prob, (0, None, None))
        ratio = score(z, LOC, TRIL) - score(z, X, OTHER)
        exact = kernels.kl_tril(LOC, TRIL, X, OTHER)
    else:
        z = jax.vmap(kernels.reparameterize_diag, (0, None, None))(keys, LOC, SCALE)
        score = jax.vmap(kernels.normal_log_prob, (0, None, None))
        ratio = score(z, LOC, SCALE) - score(z, X, np.ones(D))
        exact = kernels.kl_diag(LOC, SCALE, X, np.ones(D))
    assert abs(ratio.mean() - exact) < 4 * ratio.std() / np.sqrt(len(keys))


def test_precision_product(x64):
    loc, scale = kernels.precision_product(*(jnp.asarray(a) for a in (X, SCALE, LOC, 1 / SCALE)))
    precision = SCALE**-2 + SCALE**2
    np.testing.assert_allclose(scale, precision**-0.5, atol=1e-12)
    np.testing.assert_allclose(loc, (X * SCALE**-2 + LOC * SCALE**2) / precision, atol=1e-12)
    # The product of the densities is the density of the product, up to a constant.
    points = jnp.asarray(rng.normal(size=(5, D)))
    score = jax.vmap(kernels.normal_log_prob, (0, None, None))
    left = score(points, X, SCALE) + score(points, LOC, 1 / SCALE) - score(points, loc, scale)
    np.testing.assert_allclose(left, left[0], atol=1e-10)


@pytest.mark.parametrize("scales", [(1e-6, 1e6), (1e6, 1e-6), (1e-6, 1e-6)])
def test_precision_product_extremes(scales):
    loc, scale = kernels.precision_product(jnp.ones(2), jnp.full(2, scales[0]), jnp.zeros(2), jnp.full(2, scales[1]))
    np.testing.assert_allclose(scale, (scales[0] ** -2 + scales[1] ** -2) ** -0.5, rtol=1e-5)
    np.testing.assert_allclose(loc, 1 / (1 + (scales[0] / scales[1]) ** 2), rtol=1e-4)
    f = lambda a, b: kernels.precision_product(jnp.ones(2), a, jnp.zeros(2), b)[1].sum()
    da, db = jax.grad(f, (0, 1))(jnp.full(2, scales[0]), jnp.full(2, scales[1]))
    ratio = (scales[1] / scales[0]) ** 2
    np.testing.assert_allclose(da, (1 + 1 / ratio) ** -1.5, rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(db, (1 + ratio) ** -1.5, rtol=1e-3, atol=1e-12)


floats = hs.floats(-50, 50, width=32)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float32, (3, D), elements=floats),
    hnp.arrays(np.float32, (2, D), elements=hs.floats(-10, 10, width=32)),
)
def test_kl_is_never_negative(points, log_scales):
    value = kernels.kl_diag(points[0], np.exp(log_scales[0]), points[1], np.exp(log_scales[1]))
    assert np.isfinite(value) and value >= -1e-4


def test_batched_is_cached_and_traces_once():
    @chex.assert_max_traces(n=1)
    def f(x):
        return jnp.sum(x)

    for _ in range(3):
        kernels.batched(f)(jnp.ones((3, 2)))
    assert kernels.batched(f) is kernels.batched(f)


ONES, EYE, KEY = jnp.ones(3), jnp.eye(3), jax.random.key(0)
WRONG = {
    "loc: expected a scalar or a shape that broadcasts to (3,), got (2,)": lambda: kernels.kl_tril(ONES, EYE, ONES[:2]),
    "loc: expected ..., got (1, 3)": lambda: kernels.normal_log_prob(ONES, ONES[None], 1.0),
    "loc: expected ..., got (2,)": lambda: kernels.normal_log_prob(ONES, ONES[:2], 1.0),
    "scale_tril: expected shape (3, 3), got (2, 2)": lambda: kernels.tril_normal_log_prob(ONES, ONES, jnp.eye(2)),
    "factor: expected ...": lambda: kernels.low_rank_normal_log_prob(ONES, ONES, ONES[:2, None], 1.0),
    "scale: expected ..., got (4,)": lambda: kernels.kl_diag(ONES, jnp.ones(4)),
    "scale_tril: expected ..., got (4, 4)": lambda: kernels.kl_tril(ONES, jnp.eye(4)),
    "scale: expected ..., got (2,)": lambda: kernels.reparameterize_diag(KEY, ONES, ONES[:2]),
    "scale_tril: expected ..., got (1, 1)": lambda: kernels.reparameterize_tril(KEY, ONES, jnp.eye(1)),
    "shift: expected ..., got (2,)": lambda: kernels.iaf_inverse(ONES, ONES[:2], ONES),
    "log_scale: expected ..., got (2,)": lambda: kernels.affine_step(ONES, ONES, ONES[:2]),
    "log_qz: expected ..., got (2,)": lambda: kernels.monte_carlo_elbo(ONES, ONES, ONES[:2]),
    "values: expected d (d + 1) / 2 entries for some d ...": lambda: kernels.fill_tril(jnp.ones(5)),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_shapes_are_named(words):
    refused(words, WRONG[words])
