import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

import vaejax as vj

rng = np.random.default_rng(0)


def direct(points, x, h):
    scores = -0.5 * cdist(x, points, "sqeuclidean") / h**2 - points.shape[1] * np.log(h * np.sqrt(2 * np.pi))
    return logsumexp(scores, axis=1) - np.log(len(points))


@pytest.mark.parametrize("count, queries", [(5, 3), (300, 257), (9000, 600)])
def test_density(count, queries, x64):
    points, x = rng.normal(size=(count, 3)), rng.normal(size=(queries, 3))
    kde = vj.kde.fit(points, bandwidth=0.3)
    np.testing.assert_allclose(vj.kde.log_density(kde, jnp.asarray(x)), direct(points, x, 0.3), atol=1e-9)
    np.testing.assert_allclose(kde.log_prob(jnp.asarray(x[0])), direct(points, x[:1], 0.3)[0], atol=1e-9)


def test_single_precision_far_from_the_origin():
    points = rng.normal(size=(500, 2)).astype(np.float32)
    kde, far = vj.kde.fit(points, bandwidth=0.2), vj.kde.fit(points + 1000, bandwidth=0.2)
    x = jnp.asarray(rng.normal(size=(50, 2)), jnp.float32)
    np.testing.assert_allclose(vj.kde.log_density(far, x + 1000), vj.kde.log_density(kde, x), atol=2e-2)


def test_narrow_kernels_and_images():
    points = rng.normal(size=(1000, 3)).astype(np.float32)
    kde, x = vj.kde.fit(points, bandwidth=1e-4), points[:5]
    np.testing.assert_allclose(vj.kde.log_density(kde, jnp.asarray(x)), direct(points, x, 1e-4), atol=1e-3)
    images = vj.data.digits().train.x[:100]
    kde = vj.kde.fit(images)
    flat = jnp.asarray(images.reshape(100, 64) / 255.0, jnp.float32)
    np.testing.assert_allclose(vj.kde.log_density(kde, jnp.asarray(images)), vj.kde.log_density(kde, flat), rtol=1e-5)


def test_rules_and_cross_validation(x64):
    points = rng.normal(size=(800, 2)) * 3.0
    spread = np.sqrt(points.var(0).mean())
    np.testing.assert_allclose(vj.kde.fit(points).scale, spread * 800 ** (-1 / 6))
    np.testing.assert_allclose(vj.kde.fit(points, bandwidth="silverman").scale, spread * (800 * 4 / 4) ** (-1 / 6))
    # Two tight clusters far apart: the rules smooth over them, cross-validation does not.
    pair = np.concatenate([rng.normal(size=(300, 1)) * 0.1 - 5, rng.normal(size=(300, 1)) * 0.1 + 5])
    chosen = float(vj.kde.fit(pair, bandwidth="cv").scale)
    grid = np.geomspace(0.05, 4.0, 45) * float(vj.kde.fit(pair).scale)

    def leave_one_out(h):
        square = (pair - pair.T) ** 2
        np.fill_diagonal(square, np.inf)
        return (logsumexp(-0.5 * square / h**2, axis=1) - np.log(h)).mean()

    best = grid[np.argmax([leave_one_out(h) for h in grid])]
    np.testing.assert_allclose(chosen, best, rtol=1e-6)
    assert chosen < 0.2 * float(vj.kde.fit(pair).scale)


def test_samples_and_moments(x64):
    kde = vj.kde.fit(rng.normal(size=(400, 2)) + 3.0, bandwidth=0.5)
    x = jax.vmap(kde.sample)(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose(x.mean(0), kde.mean, atol=0.05)
    np.testing.assert_allclose(x.std(0), kde.stddev, rtol=0.03)
    cold = kde.sample(jax.random.key(0), 0.0)
    assert jnp.min(jnp.sum((kde.points - cold[None]) ** 2, 1)) < 1e-20


def test_memory_of_a_large_evaluation():
    """1e5 points by 1e4 queries in blocks: the compiled program asks for far less than 1 GiB."""
    kde = vj.kde.KDE(jnp.zeros((100_000, 8)), jnp.asarray(1.0))
    compiled = vj.kde.log_density.lower(kde, jax.ShapeDtypeStruct((10_000, 8), jnp.float32)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2**28


@pytest.mark.parametrize(
    "x, bandwidth, words",
    [
        (np.ones(4), 1.0, "expected rows"),
        (np.ones((0, 2)), 1.0, "expected rows"),
        (np.ones((3, 2), int), 1.0, "got int64"),
        (np.array([[0.0], [np.nan]]), 1.0, "got nan in row 1"),
        (np.ones((3, 2)), "scott", "needs rows that differ"),
        (rng.normal(size=(3, 2)), "best", "scott, silverman, cv or a number, got 'best'"),
        (rng.normal(size=(3, 2)), -1.0, "expected a finite number above 0, got -1.0"),
    ],
)
def test_wrong_input(x, bandwidth, words):
    with pytest.raises(ValueError, match=words):
        vj.kde.fit(x, bandwidth=bandwidth)
    with pytest.raises(ValueError, match="rows of 2 values"):
        vj.kde.log_density(vj.kde.fit(rng.normal(size=(3, 2)), bandwidth=1.0), jnp.ones((2, 3)))
