"""Runs on the mixture that fail: against numbers that are made up."""

import numpy as np

from experiments.harness.grid import Grid
from experiments.harness.study import Study
from experiments.plane import failures, points

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
    config = points.Config(rows=300, out=tmp_path, work=tmp_path)
    panels = failures.worst(Study("a.b", config, "?"), Grid(CELLS, 2), "diagonal", (1, 9))
    assert panels["run 1 after 1 epochs"] == ("4.5 mixture", "diagonal", 1, 1)
    assert panels["run 0 after 9 epochs"] == ("4.5 mixture", "diagonal", 0, 9)
    assert list(panels)[0] == "data" and len(panels) == 3
    np.testing.assert_array_equal(panels["data"], points.dataset(config, "4.5 mixture").test.x)


def test_how_far_runs_go_is_told_where_there_is_far_to_go():
    found = Grid({"a, k, seed 0": {"closed": 0.25}, "b, k, seed 0": {"closed": None}}, 1)
    assert failures.way(found, ("a", "b"), "k") == "25% (a)"
    near = Grid({"a, k, seed 0": {"closed": -0.002}}, 1)
    assert failures.way(near, ("a",), "k") == "0% (a)"


def run(nll, **more):
    return {"nll": nll, "gaussian nll": 2.0, "best nll": 1.0, "above the best": nll - 1.0, "closed": 2.0 - nll} | more


def test_runs_beside_a_gaussian():
    grid = Grid({"a, seed 0": run(2.5), "a, seed 1": run(2.7), "b, seed 0": run(1.5), "b, seed 1": run(1.5)}, 2)
    assert failures.beside(grid, "a") == "0.6000 ± 0.1000 nats worse than a Gaussian"
    assert failures.beside(grid, "b") == "0.5000 ± 0.0000 nats better than a Gaussian"


def test_what_is_said_of_the_gaussians():
    cells = {"4.1 axis, diagonal": run(1.5, kl=0.02), "4.1 axis, full": run(1.25, kl=1.0)}
    grid = Grid({f"{name}, seed {seed}": cell for name, cell in cells.items() for seed in (0, 1)}, 2)
    said = failures.of_gaussians(grid, list(cells))
    assert (
        "which fails for 4.1 diagonal, 4.1 full" in said and "gain 0.2500 ± 0.0000 on 4.1 (predicted: 0, which" in said
    )
    assert "reconstructions of 4.1 diagonal are nearly one point" in said
    assert "gain" not in failures.of_gaussians(grid, list(cells)[:1])


def test_what_is_said_of_curves():
    grid = Grid({"a, diagonal, seed 0": run(2.0, unused=1.0), "b, diagonal, seed 0": run(1.2, unused=0.0)}, 1)
    said = failures.of_curves(grid, ("a", "b"))
    assert "0% (a), 80% (b) (predicted: some of it, which fails for a)" in said and "1 of 1 (a), 0 of 1 (b)" in said


def test_what_is_said_of_figures_eight():
    cells = {"far, diagonal": run(1.9, unused=1.0), "far, warm": run(1.2, unused=0.0)}
    cells |= {"flat, diagonal": run(2.0, unused=1.0, closed=None), "flat, warm": run(2.25, unused=0.0)}
    grid = Grid({f"{name}, seed 0": cell for name, cell in cells.items()}, 1)
    said = failures.of_eights(grid, ("far", "flat"), "warm")
    assert "On far 1 of 1 runs" in said and "10% (far) (predicted for far: most, which fails)" in said
    assert "warm-up 0 of 1, going 80% (far)" in said and "On flat, 1.000 nats are to gain: 1 of 1 runs" in said
    assert said.endswith("with the warm-up 0 of 1, ending 0.2500 nats worse than a Gaussian.")
    assert "On flat" not in failures.of_eights(grid, ("far",), "warm")


def test_runs_that_join_components_are_counted():
    each = {"a": (0.4, 0.3), "b": (0.1, 0.25)}
    cells = {
        f"{name}, seed {seed}": run(1.5, between=value) | {"least share": 0.3}
        for name, values in each.items()
        for seed, value in enumerate(values)
    }
    said = failures.of_mixture(Grid(cells, 2), {"first": "a", "second": "b"})
    assert said.startswith("no component is left out (30%")
    assert "2 of 2 first runs (35% on average), 1 of 2 second runs (18% on average)" in said
    cells["a, seed 0"]["least share"] = 0.05
    assert failures.of_mixture(Grid(cells, 2), {"first": "a"}).startswith("components are left out (5%")


def test_only_smaller_runs_stand_beside_the_source():
    assert failures.beside_source(points.Config.full()) == ""
    assert "40000 and 200 for the rest, 17 times the steps" in failures.beside_source(points.Config())
