import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st

from tests.refusals import refused
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


COUNT = 40_000


@functools.partial(jax.jit, static_argnums=0)
def quantities(name):
    d, _ = CASES[name]()
    keys = jax.random.split(jax.random.key(0), COUNT)
    x = jax.vmap(d.sample)(keys)
    leaves, tree = jax.tree.flatten(d)
    score = jax.vmap(lambda x: jax.grad(lambda leaves: tree.unflatten(leaves).log_prob(x))(leaves))(x)
    value, log_p = d.sample_and_log_prob(keys[0])
    return {
        "x": x,
        "moments": (d.mean, d.stddev),
        "log_prob": jax.vmap(d.log_prob)(x[:20]),
        "score": [(jnp.mean(leaf, 0), jnp.std(leaf, 0)) for leaf in score],
        "same": (log_p, d.log_prob(value), d.score(value)[0]),
        "run": d.run(keys[0]),
        "heat": [d.sample(keys[0], t) for t in (0.0, 0.5, 1.0)],
    }


@pytest.fixture(scope="module", params=CASES)
def leaf(request):
    with jax.enable_x64(True):
        return request.param, CASES[request.param]()[1], jax.tree.map(np.asarray, quantities(request.param))


def test_moments_density_and_pytree(leaf):
    _, twin, found = leaf
    x, (mean, stddev) = found["x"], found["moments"]
    assert np.all(np.abs(x.mean(0) - mean) < 5 * stddev / np.sqrt(COUNT) + 1e-9)
    np.testing.assert_allclose(x.std(0), stddev, rtol=0.05)
    if twin is not None:
        np.testing.assert_allclose(found["log_prob"], twin.logpdf(x[:20]), atol=1e-10)
        np.testing.assert_allclose(stddev, np.sqrt(np.diag(twin.cov)), atol=1e-12)
    # Score functions have mean zero: a density that is not normalised, or another than the sampler's, fails.
    for centre, spread in found["score"]:
        assert np.all(np.abs(centre) < 5 * spread / np.sqrt(COUNT) + 1e-9)
    np.testing.assert_allclose(found["same"], found["same"][0], atol=1e-12)
    np.testing.assert_array_equal(*found["run"])


def test_temperature_scales_the_spread(leaf):
    name, _, found = leaf
    if name in ("normal", "tril", "low_rank"):
        cold, mild, warm = found["heat"]
        np.testing.assert_allclose(cold, found["moments"][0])
        np.testing.assert_allclose(mild - cold, 0.5 * (warm - cold), atol=1e-12)


def test_temperature_of_discrete_values(x64):
    logits = np.asarray([1.0, -2.0, 0.5])

    @jax.jit
    def run(logits, key):
        kinds = dist.Bernoulli(logits), dist.Categorical(logits)
        warm = [jax.vmap(lambda key, d=d: d.sample(key, 2.0))(jax.random.split(key, 20_000)) for d in kinds]
        return warm, [d.sample(key, 0.0) for d in (*kinds, dist.ContinuousBernoulli(logits))]

    (p, z), (bits, best, sharp) = jax.tree.map(np.asarray, run(logits, jax.random.key(0)))
    np.testing.assert_allclose(p.mean(0), 1 / (1 + np.exp(-logits / 2)), atol=0.02)  # oracle 21
    shares = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(np.bincount(z, minlength=3) / len(z), shares, atol=0.02)
    np.testing.assert_array_equal(bits, [1, 0, 1])
    np.testing.assert_allclose(sharp, [1, 0, 1], atol=1e-12)
    assert best == 0


def test_continuous_bernoulli_moments(x64):
    logits = np.asarray([-1e4, -40.0, -1.0, 0.0, 1e-5, 0.3, 1e4])
    x = np.linspace(0.0, 1.0, 20_001)

    @jax.jit
    def run(logits, x):
        one = lambda logit: dist.ContinuousBernoulli(logit)
        density = jax.vmap(lambda logit: jax.vmap(lambda x: jnp.exp(one(logit).log_prob(x)))(x))
        return jax.vmap(lambda logit: (one(logit).mean, one(logit).stddev))(logits), density(logits)

    (mean, stddev), density = jax.tree.map(np.asarray, run(logits, x))
    assert np.all(np.isfinite(mean)) and np.all(np.isfinite(stddev))
    known = np.abs(logits) < 100
    centre = scipy.integrate.simpson(x * density, x=x)
    spread = scipy.integrate.simpson((x - centre[:, None]) ** 2 * density, x=x)
    np.testing.assert_allclose(mean[known], centre[known], atol=1e-8)
    np.testing.assert_allclose(stddev[known], np.sqrt(spread)[known], atol=1e-7)


def test_flowed_and_known(x64):
    @jax.jit
    def run(u, w, b, key):
        base = dist.Normal.standard(3, like=u)
        z0, log_base = base.sample_and_log_prob(key)
        q = dist.Flowed(base, (dist.PlanarStep(u, w, b),))
        return q.sample_and_log_prob(key), kernels.planar_step(z0, u, w, b), log_base

    (z, log_q), (y, log_det), log_base = run(LOC, SCALE, 0.2, jax.random.key(0))
    np.testing.assert_allclose(z, y)
    np.testing.assert_allclose(log_q, log_base - log_det)
    q = dist.Flowed(dist.Normal(LOC, SCALE), (dist.PlanarStep(LOC, SCALE, 0.2),))
    refused("sample_and_log_prob", q.log_prob, LOC, error=TypeError)
    known = dist.Known(z, log_q)
    assert known.sample_and_log_prob(None)[1] is log_q and known.mean is z and not known.has_density


def test_planar_posterior_integrates_to_one(x64):  # oracle 12, on a grid of the base
    u, w, b = np.asarray([1.0, -0.5]), np.asarray([2.0, 1.0]), 0.3
    axis = np.linspace(-6, 6, 301)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    step = jax.jit(jax.vmap(lambda z: (*kernels.planar_step(z, u, w, b), dist.Normal.standard(2).log_prob(z))))
    y, log_det, log_base = map(np.asarray, step(grid))
    log_q = log_base - log_det
    # Integrate q over the image of each cell: its area is det times the cell's.
    area = (axis[1] - axis[0]) ** 2 * np.exp(log_det)
    assert abs(np.sum(np.exp(log_q) * area) - 1) < 1e-3
    # ... and the image of the grid is the plane: a cell's area by its corners, not by the stated det.
    corners = y.reshape(301, 301, 2)
    a, c = corners[1:, :-1] - corners[:-1, :-1], corners[:-1, 1:] - corners[:-1, :-1]
    real = np.abs(a[..., 0] * c[..., 1] - a[..., 1] * c[..., 0])
    assert abs(np.sum(np.exp(log_q).reshape(301, 301)[:-1, :-1] * real) - 1) < 2e-3


def test_analytic_kl_table(x64):
    normal, (tril, _) = dist.Normal(LOC, SCALE), (dist.TrilNormal(LOC, TRIL), None)
    b, closed = dist.Categorical(np.zeros(3)), np.asarray([0.0, -np.inf, 0.0])

    @jax.jit
    def run():
        classes = dist.Categorical(jnp.asarray(LOGITS)), dist.Categorical(jnp.asarray(closed))
        return {
            "self": dist.analytic_kl(normal, normal),
            "tril": [dist.analytic_kl(tril, p) for p in (normal, dist.TrilNormal(LOC, jnp.diag(SCALE)))],
            "classes": [dist.analytic_kl(a, b) for a in classes],
            "gradient": jax.grad(lambda logits: dist.analytic_kl(dist.Categorical(logits), b))(jnp.asarray(closed)),
        }

    found = jax.tree.map(np.asarray, run())
    assert found["self"] == 0.0
    np.testing.assert_allclose(*found["tril"], atol=1e-12)
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum()
    np.testing.assert_allclose(found["classes"], [st.entropy(shares, np.full(3, 1 / 3)), np.log(3 / 2)], atol=1e-12)
    assert np.all(np.isfinite(found["gradient"]))
    assert dist.analytic_kl(dist.Bernoulli(np.zeros(2)), normal) is None
    refused("no standard deviation", lambda: b.stddev, error=TypeError)
