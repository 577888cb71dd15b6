import numpy as np
import pytest

from experiments import plane


def test_a_loss_that_falls_to_zero_has_settled_where_its_mean_is_small():
    lines, settled = plane.settling(np.r_[np.full(100, 5.0), np.zeros(900)])
    (label, (batches, mean)), *_ = lines.items()
    assert label == "loss, mean of 25 batches" and batches[0] == 25 and len(batches) == len(mean) == 976
    assert settled == 125 and mean[settled - 25] == pytest.approx(0.0, abs=1e-9) and mean[settled - 26] > 0.1


def test_terms_by_epoch_are_means_over_runs():
    lines = plane.by_epoch({"a": np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])})
    np.testing.assert_allclose(lines["a"], [[1, 2, 3], [2.0, 3.0, 4.0], [1.0, 1.0, 1.0]])


def test_the_sources_entropies_are_those_of_the_generators():
    config = plane.Config.smoke()
    for name in ("4.1 axis", "4.3 eight", "4.4 blobs", "4.5 mixture"):
        x = plane.dataset(config, name).test.x
        assert -plane._truth(name, x, 20_000).mean() == pytest.approx(plane.SETS[name].entropy, abs=0.12)
