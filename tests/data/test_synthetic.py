"""The generators against the entropies of their densities, by numerical integration."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import expit, logsumexp, ndtr
from scipy.stats import multivariate_normal

from vaejax import data

Z = np.linspace(-8, 8, 2001)
PRIOR = np.exp(-0.5 * Z**2) / np.sqrt(2 * np.pi) * (Z[1] - Z[0])


def curve(name):
    if name == "figure_eight":
        u = (0.6 + 1.8 * ndtr(Z)) * np.pi
        f = np.sqrt(2) * np.cos(u) / (np.sin(u) ** 2 + 1)
        return np.stack([f / 2, f * np.sin(u)], 1)
    u = 2 * np.pi * expit(0.5 * np.pi * Z)
    floor = np.floor(u / 2)
    t = 2 * np.tanh(10 * u - 20 * floor - 10) + 4 * floor + 2
    return np.stack([np.cos(t), np.sin(t)], 1)


def curve_log_density(x, centres, variance):
    square = cdist(x, centres, "sqeuclidean")
    return logsumexp(-0.5 * square / variance + np.log(PRIOR), axis=1) - np.log(2 * np.pi * variance)


VARIANCES = (0.02, 0.04, 0.2)
ENTROPIES = {"figure_eight": (0.8848, 1.1337, 1.8202), "three_blobs": (0.6317, 1.1637, 2.2839)}


@pytest.mark.parametrize("name, default", [("figure_eight", 0.04), ("three_blobs", 0.2)])
@pytest.mark.parametrize("i", range(3))
def test_curves_have_their_entropy(name, default, i):
    entropy, variance = ENTROPIES[name][i], VARIANCES[i]
    noise = {} if variance == default else {"noise_variance": variance}
    x = getattr(data, name)(4000, test=0, seed=1, **noise).train.x
    scores = -curve_log_density(x, curve(name), variance)
    assert abs(scores.mean() - entropy) < 4 * scores.std() / np.sqrt(len(x))


def rotated(angle, *variances):
    """Covariance with these variances along axes turned by the angle."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag(variances) @ turn.T


@pytest.mark.parametrize("name, angle", [("gaussian_axis", 0.0), ("gaussian_rotated", np.pi / 3)])
def test_gaussians(name, angle):
    x = getattr(data, name)(40_000, seed=2).train.x
    cov = rotated(angle, 9.2, 1 / 9 + 0.2)
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.3)
    entropy = 0.5 * np.log(np.linalg.det(2 * np.pi * np.e * cov))
    np.testing.assert_allclose(entropy, 3.36368, atol=1e-5)
    scores = -multivariate_normal(np.zeros(2), cov).logpdf(x)
    assert abs(scores.mean() - entropy) < 4 * scores.std() / np.sqrt(len(x))
    if angle:
        diagonal = multivariate_normal(np.zeros(2), np.diag(np.diag(cov)))
        np.testing.assert_allclose(-diagonal.logpdf(x).mean() - entropy, 0.9103, atol=0.02)


R3 = 3 * np.sqrt(3)


@pytest.mark.parametrize(
    "options, offsets, entropy, gaussian",
    [
        ({}, [(0, R3), (-R3, -R3 / 2), (R3, -R3 / 2)], 3.9365, 5.6869),
        ({"form": "literal"}, [(0, R3), (-R3, -R3 / 2), (-R3, -R3 / 2)], 3.6581, 4.6195),
        ({"equilateral": True}, [(0, R3), (-4.5, -R3 / 2), (4.5, -R3 / 2)], 3.9365, 5.5570),
    ],
)
def test_mixture(options, offsets, entropy, gaussian):
    split = data.gaussian_mixture(40_000, seed=3, **options).train
    x, y = split.x.astype(float), split.y
    parts = []
    for k, (angle, offset) in enumerate(zip((0, 2 * np.pi / 3, np.pi / 3), offsets, strict=True)):
        twin = multivariate_normal(offset, rotated(angle, 3, 1 / 3))
        np.testing.assert_allclose(np.cov(x[y == k].T), twin.cov, atol=0.15)
        parts.append(twin.logpdf(x))
    scores = np.log(3) - logsumexp(parts, axis=0)
    assert abs(scores.mean() - entropy) < 4 * scores.std() / np.sqrt(len(x))
    whole = 0.5 * np.log(np.linalg.det(2 * np.pi * np.e * np.cov(x.T)))
    np.testing.assert_allclose(whole, gaussian, atol=0.02)


def test_literal_curves_multiply_by_z():
    x = data.figure_eight(20_000, form="literal", noise_variance=0.0, seed=0).train.x
    # x1 = f(z1) z1 with u in (0.6, 2.4) radians: |f| is at most sqrt(2)/2
    assert x.shape == (20_000, 2) and np.abs(x[:, 0]).max() > 1.0
    plain = data.figure_eight(20_000, noise_variance=0.0, seed=0).train.x
    assert np.abs(plain[:, 0]).max() <= np.sqrt(2) / 2 + 1e-6
    blobs = data.three_blobs(5000, form="literal", noise_variance=0.0, seed=0).train.x
    assert np.linalg.norm(blobs, axis=1).max() > 1.5


def test_ring_and_manifold():
    x = data.ring(5000, seed=0).train.x
    radius = np.linalg.norm(x, axis=1)
    assert radius.min() >= 1.0 - 1e-6 and abs(radius.mean() - (1 + 0.1 * np.sqrt(np.pi / 2))) < 0.01
    flat = data.manifold(2, 6, 500, curvature=0.0, seed=0).train.x
    assert np.linalg.matrix_rank(flat, tol=1e-4) == 2
    bent = data.manifold(2, 6, 500, seed=0).train.x
    assert np.linalg.matrix_rank(bent, tol=1e-3) == 4
    np.testing.assert_allclose(data.manifold(2, 6, 10, seed=0).train.x, data.manifold(2, 6, 10, seed=0).train.x)
    with pytest.raises(ValueError, match="d: expected an integer of at least 4, got 3"):
        data.manifold(3, 3)


NAMES = ("gaussian_axis", "gaussian_rotated", "figure_eight", "three_blobs", "gaussian_mixture", "ring")


@pytest.mark.parametrize("name", NAMES)
def test_sizes_seeds_and_types(name):
    make = getattr(data, name)
    one = make(100, validation=20, seed=5)
    assert one.train.x.shape == (80, 2) and one.validation.x.shape == (20, 2) and one.test.x.shape == (50, 2)
    assert one.train.x.dtype == np.float32
    np.testing.assert_array_equal(one.train.x, make(100, validation=20, seed=5).train.x)
    assert np.any(one.train.x != make(100, validation=20, seed=6).train.x)
    whole = make(100, seed=5)
    assert whole.validation is None
    assert sorted(whole.train.x[:, 0]) == sorted([*one.train.x[:, 0], *one.validation.x[:, 0]])
    for bad in (0, -3, 2.5):
        with pytest.raises(ValueError, match="count: expected an integer of at least 1"):
            make(bad)
    if name in ("figure_eight", "three_blobs", "gaussian_mixture"):
        with pytest.raises(ValueError, match="form: expected one of corrected, literal"):
            make(10, form="printed")
