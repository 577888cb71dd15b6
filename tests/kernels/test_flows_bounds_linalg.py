import chex
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs
from jax.tree_util import Partial

from vaejax import kernels

rng = np.random.default_rng(2)


def slogdet(f, z):
    sign, value = jnp.linalg.slogdet(jax.jacfwd(f)(z))
    return float(sign), float(value)


@pytest.mark.parametrize("seed", range(5))
def test_planar_log_det(seed, x64):  # oracles 12 and 14
    z, u, w = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 4)) * 3)
    b = jnp.asarray(0.3)
    _, stated = kernels.planar_step(z, u, w, b)
    sign, exact = slogdet(lambda z: kernels.planar_step(z, u, w, b)[0], z)
    assert sign > 0
    np.testing.assert_allclose(stated, exact, atol=1e-9)
    slope = jnp.tanh(w @ z + b)
    y, _ = kernels.planar_step(z, u, w, b)
    u_hat = (y - z) / slope
    assert w @ u_hat > -1
    np.testing.assert_allclose(stated, jnp.log(1 + (u_hat @ w) * (1 - slope**2)), atol=1e-9)
    np.testing.assert_allclose(w @ u_hat, -1 + jax.nn.softplus(w @ u), atol=1e-9)


def test_planar_is_a_translation_where_w_vanishes(x64):
    z, u = jnp.asarray(rng.normal(size=(2, 3)))
    y, stated = kernels.planar_step(z, u, jnp.zeros(3), 0.7)
    np.testing.assert_allclose(y, z + u * np.tanh(0.7), atol=1e-12)
    assert stated == 0.0
    chex.assert_tree_all_finite(jax.jacrev(kernels.planar_step, (0, 1, 2, 3))(z, u, jnp.zeros(3), 0.7))


vectors = hnp.arrays(np.float32, (3, 3), elements=hs.floats(-300, 300, width=32))


@settings(deadline=None, max_examples=100)
@given(vectors, hs.floats(-5, 5, width=32))
def test_planar_is_finite_and_orientation_keeping(zuw, b):
    f = lambda zuw: kernels.planar_step(zuw[0], zuw[1], zuw[2], b)
    chex.assert_tree_all_finite(f(zuw))
    chex.assert_tree_all_finite(jax.jacrev(lambda zuw: f(zuw)[1])(jnp.asarray(zuw)))


def test_iaf_step_log_det(x64):  # oracle 12
    z = jnp.asarray(rng.normal(size=5))
    lower = jnp.tril(jnp.asarray(rng.normal(size=(2, 5, 5))), -1)

    def step(z):
        return kernels.iaf_step(z, lower[0] @ z, lower[1] @ z + 1.5)

    sign, exact = slogdet(lambda z: step(z)[0], z)
    np.testing.assert_allclose(step(z)[1], exact, atol=1e-9)
    gate = jax.nn.sigmoid(lower[1] @ z + 1.5)
    np.testing.assert_allclose(step(z)[0], gate * z + (1 - gate) * (lower[0] @ z), atol=1e-12)


def test_iaf_step_extremes():
    f = lambda s: kernels.iaf_step(jnp.ones(2), jnp.zeros(2), s)
    for gate in (-1e4, 1e4):
        chex.assert_tree_all_finite((f(jnp.full(2, gate)), jax.jacrev(f)(jnp.full(2, gate))))


def test_inverses_of_the_steps(x64):
    z, shift, raw = jnp.asarray(rng.normal(size=(3, 5)))
    y, log_det = kernels.iaf_step(z, shift, raw)
    back, undone = kernels.iaf_inverse(y, shift, raw)
    np.testing.assert_allclose(back, z, atol=1e-12)
    assert abs(log_det + undone) < 1e-12
    y, log_det = kernels.affine_step(z, shift, raw)
    _, exact = slogdet(lambda z: kernels.affine_step(z, shift, raw)[0], z)
    np.testing.assert_allclose(log_det, exact, atol=1e-9)
    np.testing.assert_allclose(kernels.affine_step(y, -shift * jnp.exp(-raw), -raw)[0], z, atol=1e-12)


def test_flows_in_single_precision():
    z, u, w = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    _, exact = slogdet(lambda z: kernels.planar_step(z, u, w, 0.1)[0], z)
    np.testing.assert_allclose(kernels.planar_step(z, u, w, 0.1)[1], exact, atol=1e-4)


def test_bounds(x64):
    log_px, log_pz, log_qz = jnp.asarray(rng.normal(size=(3, 7)))
    elbo, iwae = kernels.monte_carlo_elbo, kernels.importance_weighted_bound
    weighted = np.mean(log_px + 2 * (log_pz - log_qz))
    np.testing.assert_allclose(elbo(log_px, log_pz, log_qz, 2.0), weighted, atol=1e-12)
    exact = np.log(np.exp(log_px + log_pz - log_qz).mean())
    np.testing.assert_allclose(iwae(log_px, log_pz, log_qz), exact, atol=1e-12)
    assert iwae(log_px, log_pz, log_qz) >= elbo(log_px, log_pz, log_qz)
    one = [a[0] for a in (log_px, log_pz, log_qz)]
    np.testing.assert_allclose(iwae(*one), elbo(*one), atol=1e-12)
    np.testing.assert_allclose(iwae(log_px - 1e5, log_pz, log_qz) + 1e5, exact, atol=1e-9)


def test_algorithm_1_equals_its_three_terms(x64):
    loc, tril = jnp.asarray(rng.normal(size=3)), jnp.tril(jnp.asarray(rng.normal(size=(3, 3)))) + 2 * jnp.eye(3)
    x, weight = jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.normal(size=(4, 3)))
    decode = Partial(lambda w, z: w @ z, weight)
    score = Partial(lambda x, mean: kernels.normal_log_prob(x, mean, 0.5), x)
    n = 20_000
    value = kernels.algorithm_1(jax.random.key(0), loc, tril, decode, score, n)
    z = loc[None] + jax.random.normal(jax.random.key(5), (n, 3)) @ tril.T
    log_px = jax.vmap(lambda z: kernels.normal_log_prob(x, weight @ z, 0.5))(z)
    reference = log_px - kernels.kl_tril(loc, tril)
    assert abs(value - reference.mean()) < 6 * reference.std() / np.sqrt(n)
    assert kernels.algorithm_1(jax.random.key(0), loc, tril, lambda z: weight @ z, score, n) == value


def test_algorithm_1_recompiles_only_for_new_code(x64):
    traces = []

    def decode(w, z):
        traces.append(1)
        return w @ z

    for weight in (jnp.eye(2), 2.0 * jnp.eye(2)):
        kernels.algorithm_1(jax.random.key(0), jnp.zeros(2), jnp.eye(2), Partial(decode, weight), jnp.sum, 3)
    assert len(traces) == 1


def test_fill_tril():
    expected = np.zeros((4, 4))
    expected[np.tril_indices(4)] = np.arange(10.0)
    np.testing.assert_array_equal(kernels.fill_tril(jnp.arange(10.0)), expected)


def test_inverse_cholesky(x64):
    a = rng.normal(size=(4, 4))
    precision = a @ a.T + np.eye(4)
    tril = kernels.inverse_cholesky(jnp.asarray(precision))
    np.testing.assert_allclose(tril @ tril.T, np.linalg.inv(precision), atol=1e-12)
    np.testing.assert_array_equal(tril, np.tril(tril))


def test_linear_gaussian_posterior(x64):
    weight, scale, residual = rng.normal(size=(5, 2)), np.exp(rng.normal(size=5)), rng.normal(size=5)
    loc, tril = kernels.linear_gaussian_posterior(residual, weight, scale)
    joint = weight @ weight.T + np.diag(scale**2)
    np.testing.assert_allclose(loc, weight.T @ np.linalg.solve(joint, residual), atol=1e-12)
    np.testing.assert_allclose(tril @ tril.T, np.eye(2) - weight.T @ np.linalg.solve(joint, weight), atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1.0, 1e6])
def test_linear_gaussian_posterior_with_collinear_columns(scale):
    v = jnp.asarray(rng.normal(size=5), jnp.float32)
    f = lambda w: kernels.linear_gaussian_posterior(1.3 * v, w, scale)
    weight = jnp.stack([v, 2 * v], 1)
    (loc, tril), grads = f(weight), jax.jacrev(f)(weight)
    chex.assert_tree_all_finite((loc, tril, grads))
    if scale <= 1e-4:  # W z = 1.3 v whichever of the solutions rounding picks
        np.testing.assert_allclose(weight @ loc, 1.3 * v, rtol=1e-2)


def test_reparameterised_moments(x64):
    keys = jax.random.split(jax.random.key(0), 50_000)
    tril = jnp.asarray([[2.0, 0.0], [1.0, 0.5]])
    z = jax.vmap(kernels.reparameterize_tril, (0, None, None))(keys, jnp.ones(2), tril)
    np.testing.assert_allclose(jnp.cov(z.T), tril @ tril.T, atol=0.1)
    np.testing.assert_allclose(z.mean(0), 1.0, atol=0.05)
    grad = jax.grad(lambda loc: jnp.sum(kernels.reparameterize_diag(keys[0], loc, jnp.ones(2))))(jnp.zeros(2))
    np.testing.assert_array_equal(grad, 1.0)
