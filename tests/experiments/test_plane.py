import numpy as np
import pytest

from experiments.plane import points


def test_a_loss_that_falls_to_zero_has_settled_where_its_mean_is_small():
    lines, settled = points.settling(np.r_[np.full(100, 4.0), np.zeros(900)])
    (label, (batches, mean)), *_ = lines.items()
    assert label == "loss, mean of 100 batches" and batches[0] == 100 and len(batches) == len(mean) == 901
    assert settled == 198 and mean[settled - 100] == pytest.approx(0.08) and mean[settled - 101] > 0.1


def test_a_loss_that_rises_again_has_not_settled_before():
    loss = np.r_[np.full(100, 4.0), np.zeros(200), np.full(50, 1.05), np.zeros(650)]
    assert points.settling(loss)[1] == 100 + 200 + 50 + 100 - 9  # the last 100 hold at most nine of those above nought
    assert points.settling(np.zeros(100))[1] == 50


def test_terms_by_epoch_are_means_over_runs():
    lines = points.by_epoch({"a": np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])})
    np.testing.assert_allclose(lines["a"], [[1, 2, 3], [2.0, 3.0, 4.0], [1.0, 1.0, 1.0]])


def test_the_sources_entropies_are_those_of_the_generators():
    config = points.Config.smoke()
    for name in ("4.1 axis", "4.3 eight", "4.4 blobs", "4.5 mixture"):
        x = points.dataset(config, name).test.x
        assert -plane._truth(name, x, 20_000).mean() == pytest.approx(points.SETS[name].entropy, abs=0.12)


def test_the_names_of_the_forces_stand_above_their_lines():
    figure, series = points.forces({"a": np.array([[1.0, 2.0]]), "b": np.array([[3.0, 4.0]])})
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == list(series) == ["a", "b"]
    figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1
