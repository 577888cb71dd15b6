"""Runs on the mixture that fail: against numbers that are made up."""

import numpy as np

from experiments import failures, plane
from experiments.grid import Grid
from experiments.study import Study

CELLS = {
    "diagonal, 1, seed 0": {"fails": 1.0, "nll": 4.5},
    "diagonal, 1, seed 1": {"fails": 1.0, "nll": 4.7},
    "diagonal, 9, seed 0": {"fails": 1.0, "nll": 4.3},
    "diagonal, 9, seed 1": {"fails": 0.0, "nll": 4.1},
    "full, 1, seed 0": {"fails": 1.0, "nll": 4.4},
    "full, 1, seed 1": {"fails": 0.0, "nll": 4.2},
    "full, 9, seed 0": {"fails": 0.0, "nll": 4.0},
    "full, 9, seed 1": {"fails": 0.0, "nll": 4.0},
}


def test_failures_are_counted_over_seeds_and_heads():
    assert failures.counts(Grid(CELLS, 2), ("diagonal", "full"), (1, 9)) == {1: 3, 9: 1}
    assert failures.counts(Grid(CELLS, 1), ("full",), (9,)) == {9: 0}


def test_the_worst_run_is_drawn_as_it_was_then(tmp_path, monkeypatch):
    monkeypatch.setattr(plane, "drawn", lambda study, *which: which)
    config = plane.Config(rows=300, out=tmp_path, work=tmp_path)
    panels = failures.worst(Study("a.b", config, "?"), Grid(CELLS, 2), "diagonal", (1, 9))
    assert panels["run 1 after 1 epochs"] == ("4.5 mixture", "diagonal", 1, 1)
    assert panels["run 0 after 9 epochs"] == ("4.5 mixture", "diagonal", 0, 9)
    assert list(panels)[0] == "data" and len(panels) == 3
    np.testing.assert_array_equal(panels["data"], plane.dataset(config, "4.5 mixture").test.x)


def test_how_far_runs_go_is_told_where_there_is_far_to_go():
    found = Grid({"a, k, seed 0": {"closed": 0.25}, "b, k, seed 0": {"closed": None}}, 1)
    assert failures.way(found, ("a", "b"), "k") == "25% (a)"
