import numpy as np
import pytest

import vaejax as vj
from experiments.images import coders

LABELS = np.arange(200) % 10


def test_probes_of_codes_that_hold_the_labels_and_lose_half_the_image():
    codes = np.eye(10, dtype=np.float32)[LABELS]
    x = np.random.default_rng(0).random((200, 4)).astype(np.float32)
    found = coders.probes(coders.Coded(codes, codes, x + 0.5, 7.0, kl=np.log(8)), LABELS, vj.data.Split(x, LABELS))
    assert found["linear"] == found["knn"] == 1.0 and found["bits"] == 7.0
    assert found["rmse"] == pytest.approx(0.5, rel=1e-5) and found["kl_bits"] == pytest.approx(3.0)
    assert np.isnan(coders.probes(coders.Coded(codes, codes, x, 7.0), LABELS, vj.data.Split(x, LABELS))["kl_bits"])


def test_clusters_far_apart_are_found_and_those_of_a_code_are_its_own():
    places = np.stack([30.0 * (LABELS % 5), 30.0 * (LABELS // 5)], 1)
    codes = (places + np.random.default_rng(0).normal(size=(200, 2))).astype(np.float32)
    found = coders.clusters("PCA", codes, LABELS, 0)
    assert found["kmeans"] > 0.9 and found["gmm"] > 0.9
    assert coders.clusters("pixels", codes, LABELS, 0).keys() == {"kmeans"}
    for name, number in (("k-means", "kmeans"), ("GMM", "gmm")):
        assert coders.clusters(name, np.eye(10)[LABELS], LABELS, 0) == {number: pytest.approx(1.0)}
