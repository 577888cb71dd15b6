import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from vaejax import distributions as dist
from vaejax import kernels

rng = np.random.default_rng(0)
LOC, SCALE = rng.normal(size=3), np.exp(rng.normal(size=3))
TRIL = np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
FACTOR = rng.normal(size=(3, 2))
LOGITS = rng.normal(size=3)


def arrays(*args):
    return tuple(jnp.asarray(a) for a in args)


CASES = {
    "normal": lambda: (dist.Normal(*arrays(LOC, SCALE)), st.multivariate_normal(LOC, np.diag(SCALE**2))),
    "tril": lambda: (dist.TrilNormal(*arrays(LOC, TRIL)), st.multivariate_normal(LOC, TRIL @ TRIL.T)),
    "low_rank": lambda: (
        dist.LowRankNormal(*arrays(LOC, FACTOR, SCALE)),
        st.multivariate_normal(LOC, FACTOR @ FACTOR.T + np.diag(SCALE**2)),
    ),
    "bernoulli": lambda: (dist.Bernoulli(jnp.asarray(LOGITS)), None),
    "continuous_bernoulli": lambda: (dist.ContinuousBernoulli(4 * jnp.asarray(LOGITS)), None),
    "discretized_logistic": lambda: (dist.DiscretizedLogistic(*arrays(LOC / 2 + 0.5, SCALE / 8), 16), None),
    "mixture": lambda: (
        dist.Mixture(jnp.asarray(LOGITS[:2]), dist.Normal(jnp.stack(arrays(LOC, -LOC)), jnp.ones((2, 3)))),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_moments_density_and_pytree(name, x64):
    d, twin = CASES[name]()
    count = 40_000
    keys = jax.random.split(jax.random.key(0), count)
    x = jax.vmap(d.sample)(keys)
    error = 5 * d.stddev / np.sqrt(count) + 1e-9
    assert jnp.all(jnp.abs(x.mean(0) - d.mean) < error)
    np.testing.assert_allclose(x.std(0), d.stddev, rtol=0.05)
    if twin is not None:
        np.testing.assert_allclose(jax.vmap(d.log_prob)(x[:20]), twin.logpdf(x[:20]), atol=1e-10)
        np.testing.assert_allclose(d.stddev, np.sqrt(np.diag(twin.cov)), atol=1e-12)
    # Score functions have mean zero: a density that is not normalised, or another than the sampler's, fails.
    leaves, tree = jax.tree.flatten(d)
    score = jax.vmap(lambda x: jax.grad(lambda leaves: tree.unflatten(leaves).log_prob(x))(leaves))(x)
    for leaf in score:
        assert jnp.all(jnp.abs(leaf.mean(0)) < 5 * leaf.std(0) / np.sqrt(count) + 1e-9)
    value, log_p = d.sample_and_log_prob(keys[0])
    np.testing.assert_allclose(log_p, d.log_prob(value), atol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda d, x: d.log_prob(x))(d, value), log_p, atol=1e-12)
    assert d.run(keys[0])[1] is not None and d.score(value)[0] == log_p


@pytest.mark.parametrize("name", ["normal", "tril", "low_rank"])
def test_temperature_scales_the_spread(name, x64):
    d, _ = CASES[name]()
    key = jax.random.key(1)
    np.testing.assert_allclose(d.sample(key, 0.0), d.mean)
    np.testing.assert_allclose(d.sample(key, 0.5) - d.mean, 0.5 * (d.sample(key) - d.mean), atol=1e-12)


def test_temperature_of_discrete_values(x64):
    keys = jax.random.split(jax.random.key(0), 20_000)
    logits = jnp.asarray([1.0, -2.0, 0.5])
    p = jax.vmap(lambda key: dist.Bernoulli(logits).sample(key, 2.0))(keys).mean(0)
    np.testing.assert_allclose(p, jax.nn.sigmoid(logits / 2), atol=0.02)  # oracle 21
    np.testing.assert_array_equal(dist.Bernoulli(logits).sample(keys[0], 0.0), [1, 0, 1])
    z = jax.vmap(lambda key: dist.Categorical(logits).sample(key, 2.0))(keys)
    np.testing.assert_allclose(jnp.bincount(z, length=3) / len(z), jax.nn.softmax(logits / 2), atol=0.02)
    assert dist.Categorical(logits).sample(keys[0], 0.0) == 0
    sharp = dist.ContinuousBernoulli(logits).sample(keys[0], 0.0)
    np.testing.assert_allclose(sharp, [1, 0, 1], atol=1e-12)


@pytest.mark.parametrize("logit", [-1e4, -40.0, -1.0, 0.0, 1e-5, 0.3, 1e4])
def test_continuous_bernoulli_moments(logit, x64):
    from scipy.integrate import quad

    d = dist.ContinuousBernoulli(jnp.asarray(logit))
    assert jnp.isfinite(d.mean) and jnp.isfinite(d.stddev)
    if abs(logit) < 100:
        density = lambda x: float(jnp.exp(d.log_prob(jnp.asarray(x))))
        mean = quad(lambda x: x * density(x), 0, 1)[0]
        second = quad(lambda x: (x - mean) ** 2 * density(x), 0, 1)[0]
        np.testing.assert_allclose(d.mean, mean, atol=1e-8)
        np.testing.assert_allclose(d.stddev, np.sqrt(second), atol=1e-7)


def test_flowed_and_known(x64):
    u, w = jnp.asarray(LOC), jnp.asarray(SCALE)
    base = dist.Normal(jnp.zeros(3), jnp.ones(3))
    q = dist.Flowed(base, (dist.PlanarStep(u, w, jnp.asarray(0.2)),))
    key = jax.random.key(0)
    z, log_q = q.sample_and_log_prob(key)
    z0, log_base = base.sample_and_log_prob(key)
    y, log_det = kernels.planar_step(z0, u, w, 0.2)
    np.testing.assert_allclose(z, y)
    np.testing.assert_allclose(log_q, log_base - log_det)
    with pytest.raises(TypeError, match="sample_and_log_prob"):
        q.log_prob(z)
    known = dist.Known(z, log_q)
    assert known.sample_and_log_prob(key)[1] == log_q and known.mean is z


def test_planar_posterior_integrates_to_one(x64):  # oracle 12, on a grid of the base
    u, w, b = jnp.asarray([1.0, -0.5]), jnp.asarray([2.0, 1.0]), jnp.asarray(0.3)
    axis = jnp.linspace(-6, 6, 301)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
    y, log_det = jax.vmap(lambda z: kernels.planar_step(z, u, w, b))(grid)
    log_q = jax.vmap(lambda z: kernels.normal_log_prob(z, jnp.zeros(2), jnp.ones(2)))(grid) - log_det
    # Integrate q over the image of each cell: its area is det times the cell's.
    area = (axis[1] - axis[0]) ** 2 * jnp.exp(log_det)
    assert abs(jnp.sum(jnp.exp(log_q) * area) - 1) < 1e-3
    # ... and the image of the grid is the plane: a cell's area by its corners, not by the stated det.
    corners = y.reshape(301, 301, 2)
    a, c = corners[1:, :-1] - corners[:-1, :-1], corners[:-1, 1:] - corners[:-1, :-1]
    real = jnp.abs(a[..., 0] * c[..., 1] - a[..., 1] * c[..., 0])
    assert abs(jnp.sum(jnp.exp(log_q).reshape(301, 301)[:-1, :-1] * real) - 1) < 2e-3


def test_analytic_kl_table(x64):
    q, p = CASES["normal"]()[0], CASES["normal"]()[0]
    assert dist.analytic_kl(q, p) == 0.0
    tril, _ = CASES["tril"]()
    both = dist.analytic_kl(tril, p)
    np.testing.assert_allclose(both, dist.analytic_kl(tril, dist.TrilNormal(p.loc, jnp.diag(p.scale))), atol=1e-12)
    a, b = dist.Categorical(jnp.asarray(LOGITS)), dist.Categorical(jnp.zeros(3))
    np.testing.assert_allclose(dist.analytic_kl(a, b), st.entropy(a.mean, b.mean), atol=1e-12)
    closed = dist.Categorical(jnp.asarray([0.0, -jnp.inf, 0.0]))
    np.testing.assert_allclose(dist.analytic_kl(closed, b), np.log(3 / 2), atol=1e-12)
    grad = jax.grad(lambda l: dist.analytic_kl(dist.Categorical(l), b))(closed.logits)
    assert jnp.all(jnp.isfinite(grad))
    assert dist.analytic_kl(dist.Bernoulli(jnp.zeros(2)), p) is None
    with pytest.raises(TypeError, match="no standard deviation"):
        _ = a.stddev
