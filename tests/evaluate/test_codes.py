import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import vaejax as vj
from tests.refusals import refused
from vaejax.evaluate.codes import cluster, knn_probe, linear_probe, nmi

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def blobs(count, classes=4, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    angle = 2 * np.pi * y / classes
    return np.stack([np.cos(angle), np.sin(angle)], 1) * 3 + spread * rng.normal(size=(count, 2)), y


def test_probes_read_labels_that_are_there():
    (z, y), (test, true) = blobs(200, 10), blobs(100, 10, seed=1)
    assert linear_probe(z, y, test, true) == 1.0  # ten classes in two dimensions: least squares fails
    assert knn_probe(z, y, test, true) == 1.0
    noise = np.random.default_rng(2).normal(size=(2000, 2))
    for probe in (linear_probe, knn_probe):
        assert abs(probe(noise[:1000], y.repeat(5), noise[1000:], y.repeat(5)) - 0.1) < 0.04
        scaled = probe(1e3 * z + 7.0, y * 3 + 1, 1e3 * test + 7.0, true * 3 + 1)
        assert scaled == 1.0


def test_probes_against_scikit_learn():
    z, y = RNG.normal(size=(300, 5)) * [1, 2, 3, 4, 5], RNG.integers(0, 3, 300)
    z[:, 0] += y
    mean, scale = z[:200].mean(0), z[:200].std(0)
    peer = LogisticRegression(C=1 / (200 * 1e-2), tol=1e-8, max_iter=2000).fit((z[:200] - mean) / scale, y[:200])
    score = linear_probe(z[:200], y[:200], z[200:], y[200:], ridge=1e-2)
    assert score == peer.score((z[200:] - mean) / scale, y[200:])
    near = KNeighborsClassifier(1).fit(z[:200], y[:200])
    assert knn_probe(z[:200], y[:200], z[200:], y[200:], k=1) == near.score(z[200:], y[200:])
    line = np.array([[0.0], [1.0], [2.0], [10.0]])
    assert knn_probe(line, [7, 8, 8, 7], np.array([[0.1], [1.4]]), [7, 8], k=4) == 1.0  # ties: the nearer


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_clusters_of_separate_points_are_their_classes(method):
    z, y = blobs(400, 4)
    found = cluster(KEY, z + 1e3, 4, method=method)
    assert found.shape == (400,) and nmi(found, y) == 1.0


def test_clusters_of_few_points():
    z = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]]), 5, 0)
    assert nmi(cluster(KEY, z, 2), np.arange(10) // 5) == 1.0
    assert set(cluster(KEY, z, 1)) == {0}
    refused("codes: expected at least 11 rows", cluster, KEY, z, 11)
    refused("method: expected one of kmeans, gmm, got 'dbscan'", cluster, KEY, z, 2, method="dbscan")


def test_nmi_against_scikit_learn():
    for a_count, b_count in ((2, 2), (3, 7), (10, 10), (1, 4), (1, 1)):
        a, b = RNG.integers(0, a_count, 60), RNG.integers(0, b_count, 60)
        assert nmi(a, b) == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-12)
        assert nmi(a, b) == pytest.approx(nmi(b, 9 - a if a_count <= 10 else a), abs=1e-12)
    assert nmi(np.arange(6), np.arange(6)[::-1]) == pytest.approx(1.0)


def test_codes_that_cannot_be_meant_are_refused():
    z, y = blobs(8)
    bad = z.copy()
    bad[3] = np.nan
    for call in (linear_probe, knn_probe):
        refused("codes: expected finite values, got nan in row 3", call, bad, y, z, y)
        refused("test_labels: expected 8 integer labels, got float64", call, z, y, z, y / 2)
    refused("codes: expected finite values, got nan in row 3", cluster, KEY, bad, 2)
    refused("k: expected 1 to 8 neighbours, got 9", knn_probe, z, y, z, y, k=9)
    refused("ridge: expected a finite number above 0, got 0", linear_probe, z, y, z, y, ridge=0)
    refused("b: expected 3 integer labels", nmi, [0, 1, 2], [0, 1])


def test_codes_are_draws_of_the_aggregate_posterior():
    model = vj.PPCA(5, 2)
    weight = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    params = {"weight": weight, "mean": np.zeros(5, np.float32), "log_scale": np.zeros((), np.float32)}
    x = vj.evaluate.draw_rows(vj.evaluate.from_prior(model, params), jax.random.key(1), 4000)
    z = vj.evaluate.encode_rows(model, params, jax.random.key(2), x)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.08)  # of an exact posterior: the prior
    refused("finite values, got nan in row 0", vj.evaluate.encode_rows, model, params, KEY, np.full((2, 5), np.nan))
    centres = vj.evaluate.encode_rows(model, params, jax.random.key(2), x, temperature=0.0)
    np.testing.assert_allclose(centres[:9], jax.vmap(vj.encode, (None, None, 0))(model, params, x[:9]), atol=1e-5)
    assert np.trace(np.cov(centres.T)) < 1.9
