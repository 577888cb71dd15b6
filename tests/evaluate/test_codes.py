import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import vaejax as vj

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def blobs(count, classes=4, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    angle = 2 * np.pi * y / classes
    return np.stack([np.cos(angle), np.sin(angle)], 1) * 3 + spread * rng.normal(size=(count, 2)), y


def test_probes_read_labels_that_are_there():
    (z, y), (test, wanted) = blobs(200, 10), blobs(100, 10, seed=1)
    assert (
        vj.evaluate.codes.linear_probe(z, y, test, wanted) == 1.0
    )  # ten classes in two dimensions: least squares fails
    assert vj.evaluate.codes.knn_probe(z, y, test, wanted) == 1.0
    noise = np.random.default_rng(2).normal(size=(2000, 2))
    for probe in (vj.evaluate.codes.linear_probe, vj.evaluate.codes.knn_probe):
        assert abs(probe(noise[:1000], y.repeat(5), noise[1000:], y.repeat(5)) - 0.1) < 0.04
        scaled = probe(1e3 * z + 7.0, y * 3 + 1, 1e3 * test + 7.0, wanted * 3 + 1)
        assert scaled == 1.0


def test_probes_against_scikit_learn():
    z, y = RNG.normal(size=(300, 5)) * [1, 2, 3, 4, 5], RNG.integers(0, 3, 300)
    z[:, 0] += y
    mean, scale = z[:200].mean(0), z[:200].std(0)
    peer = LogisticRegression(C=1 / (200 * 1e-2), tol=1e-8, max_iter=2000).fit((z[:200] - mean) / scale, y[:200])
    score = vj.evaluate.codes.linear_probe(z[:200], y[:200], z[200:], y[200:], ridge=1e-2)
    assert score == peer.score((z[200:] - mean) / scale, y[200:])
    near = KNeighborsClassifier(1).fit(z[:200], y[:200])
    assert vj.evaluate.codes.knn_probe(z[:200], y[:200], z[200:], y[200:], k=1) == near.score(z[200:], y[200:])
    line = np.array([[0.0], [1.0], [2.0], [10.0]])
    assert (
        vj.evaluate.codes.knn_probe(line, [7, 8, 8, 7], np.array([[0.1], [1.4]]), [7, 8], k=4) == 1.0
    )  # ties: the nearer


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_clusters_of_separate_points_are_their_classes(method):
    z, y = blobs(400, 4)
    found = vj.evaluate.codes.cluster(KEY, z + 1e3, 4, method=method)
    assert found.shape == (400,) and vj.evaluate.codes.nmi(found, y) == 1.0


def test_clusters_of_few_points():
    z = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]]), 5, 0)
    assert vj.evaluate.codes.nmi(vj.evaluate.codes.cluster(KEY, z, 2), np.arange(10) // 5) == 1.0
    assert set(vj.evaluate.codes.cluster(KEY, z, 1)) == {0}
    with pytest.raises(ValueError, match="codes: expected at least 11 rows"):
        vj.evaluate.codes.cluster(KEY, z, 11)
    with pytest.raises(ValueError, match="method: expected one of kmeans, gmm, got 'dbscan'"):
        vj.evaluate.codes.cluster(KEY, z, 2, method="dbscan")


def test_nmi_against_scikit_learn():
    for a_count, b_count in ((2, 2), (3, 7), (10, 10), (1, 4), (1, 1)):
        a, b = RNG.integers(0, a_count, 60), RNG.integers(0, b_count, 60)
        assert vj.evaluate.codes.nmi(a, b) == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-12)
        assert vj.evaluate.codes.nmi(a, b) == pytest.approx(
            vj.evaluate.codes.nmi(b, 9 - a if a_count <= 10 else a), abs=1e-12
        )
    assert vj.evaluate.codes.nmi(np.arange(6), np.arange(6)[::-1]) == pytest.approx(1.0)


def test_codes_that_cannot_be_meant_are_refused():
    z, y = blobs(8)
    bad = z.copy()
    bad[3] = np.nan
    for call in (vj.evaluate.codes.linear_probe, vj.evaluate.codes.knn_probe):
        with pytest.raises(ValueError, match="codes: expected finite values, got nan in row 3"):
            call(bad, y, z, y)
        with pytest.raises(ValueError, match="test_labels: expected 8 integer labels, got float64"):
            call(z, y, z, y / 2)
    with pytest.raises(ValueError, match="codes: expected finite values, got nan in row 3"):
        vj.evaluate.codes.cluster(KEY, bad, 2)
    with pytest.raises(ValueError, match="k: expected 1 to 8 neighbours, got 9"):
        vj.evaluate.codes.knn_probe(z, y, z, y, k=9)
    with pytest.raises(ValueError, match="ridge: expected a finite number above 0, got 0"):
        vj.evaluate.codes.linear_probe(z, y, z, y, ridge=0)
    with pytest.raises(ValueError, match="b: expected 3 integer labels"):
        vj.evaluate.codes.nmi([0, 1, 2], [0, 1])


@pytest.fixture(scope="module")
def linear():
    model = vj.PPCA(4, 3)
    weight = jnp.asarray(np.random.default_rng(3).normal(size=(4, 3)), jnp.float32)
    return model, {"mean": jnp.zeros(4), "weight": weight, "log_scale": jnp.zeros(())}


def test_walks_between_codes(linear):
    model, params = linear
    a, b = np.array([2.0, 0.0, 0.0], np.float32), np.array([0.0, 2.0, 0.0], np.float32)
    weight = np.asarray(params["weight"])
    t = np.linspace(0, 1, 5)[:, None]
    np.testing.assert_allclose(
        vj.evaluate.draw.interpolate(model, params, a, b, steps=5), ((1 - t) * a + t * b) @ weight.T, atol=1e-5
    )
    circle = np.concatenate([np.cos(t * np.pi / 2), np.sin(t * np.pi / 2), 0 * t], 1) * 2
    walked = vj.evaluate.draw.interpolate(model, params, a, b, steps=5, spherical=True)
    np.testing.assert_allclose(walked, circle @ weight.T, atol=1e-5)
    for end in (a, -a, np.zeros(3, np.float32)):  # no great circle is the shortest
        straight = vj.evaluate.draw.interpolate(model, params, a, end, steps=3)
        np.testing.assert_allclose(
            vj.evaluate.draw.interpolate(model, params, a, end, steps=3, spherical=True)[::2], straight[::2], atol=1e-5
        )
    with pytest.raises(ValueError, match="end: expected a code of shape"):
        vj.evaluate.draw.interpolate(model, params, a, jnp.zeros(2))


def test_traversals_move_one_latent(linear):
    model, params = linear
    z = jnp.array([0.5, -1.0, 2.0])
    images = vj.evaluate.draw.traverse(model, params, z, 1, values=[-1.0, 0.0, 4.0])
    steps = np.diff(np.asarray(images), axis=0)
    np.testing.assert_allclose(images[0], vj.decode(model, params, z), rtol=1e-5)
    np.testing.assert_allclose(steps, np.outer([1.0, 4.0], params["weight"][:, 1]), rtol=1e-4)
    assert vj.evaluate.draw.traverse(model, params, z, 0).shape == (7, 4)
    with pytest.raises(ValueError, match="dimension: expected 0 to 2, got 3"):
        vj.evaluate.draw.traverse(model, params, z, 3)
    with pytest.raises(ValueError, match="layer: expected None for this code, got 0"):
        vj.evaluate.draw.traverse(model, params, z, 0, layer=0)


def test_a_plane_is_read_like_a_page():
    model = vj.PPCA(4, 2)
    params = model.init(KEY) | {"weight": jnp.eye(4, 2)}
    grid = np.asarray(vj.evaluate.draw.plane(model, params, steps=3, limit=1.5)).reshape(3, 3, 4)
    np.testing.assert_allclose(grid[0, :, 0], [-1.5, 0.0, 1.5])
    np.testing.assert_allclose(grid[:, 0, 1], [1.5, 0.0, -1.5])
    labelled = vj.zoo.conditional_vae(3, 2, 2, hidden=(4,))
    some = labelled.init(KEY)
    zero, one = (vj.evaluate.draw.plane(labelled, some, jnp.eye(2)[i], steps=2) for i in range(2))
    assert zero.shape == (4, 3) and not np.allclose(zero, one)
    with pytest.raises(ValueError, match="expected one array of two latents, got \\(3,\\)"):
        vj.evaluate.draw.plane(vj.PPCA(4, 3), vj.PPCA(4, 3).init(KEY))
    with pytest.raises(ValueError, match="limit: expected a finite number above 0, got 0"):
        vj.evaluate.draw.plane(model, params, limit=0)


def test_walks_in_a_hierarchy():
    model = vj.PPCAMixture(2, 4, 2)  # latents: the component, then the factors
    params = model.init(KEY)
    images = vj.evaluate.draw.traverse(model, params, (jnp.asarray(1), jnp.zeros(2)), 0, layer=1, values=[0.0, 1.0])
    assert images.shape == (2, 4)
    np.testing.assert_allclose(images[0], vj.decode(model, params, (jnp.asarray(1), jnp.zeros(2))), atol=1e-6)
    with pytest.raises(ValueError, match="layer: expected an index for this code, got None"):
        vj.evaluate.draw.traverse(model, params, (jnp.asarray(1), jnp.zeros(2)), 0)
