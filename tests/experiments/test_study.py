"""The record that experiments are made with."""

import dataclasses
import json
import re
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image

import vaejax as vj
from experiments.harness import cells
from experiments.harness.study import Base, Grid, Study, plus_minus, slim


@pytest.fixture
def config(tmp_path):
    return Base(out=tmp_path / "results", work=tmp_path / "work", seeds=2)


def test_a_cell_is_computed_once(config):
    calls = []

    def cell(scale, seed):
        calls.append(seed)
        return {"value": scale * (seed + 1), "list": np.arange(2.0), "bad": np.inf, "word": "a"}

    for _ in range(2):
        grid = Study("a.b", config, "?").grid(cell, {"one": (1.0,), "ten": (10.0,)})
    assert calls == [0, 0, 1, 1]
    assert grid.values("ten", "value") == [10.0, 20.0] and grid.mean("one", "value") == 1.5
    assert grid.say("one", "value") == "1.50 ± 0.50" and grid.say("one", "missing") == "-"
    assert np.isnan(grid.values("one", "bad")).all() and grid.cells["one, seed 0"]["list"] == [0.0, 1.0]
    assert Grid({"a, seed 0": {"x": None}}, 1).say("a", "x") == "-" and plus_minus([1.234]) == "1.23"
    assert grid.line({"one": 1.0, "ten": 2.0}, "value") == ([1.0, 2.0], [1.5, 15.0], [0.5, 5.0])
    assert grid.rows({"label": "ten"}, {"value": 1}) == [("label", "15.0 ± 5.0")]


def test_a_killed_study_goes_on(config):
    def fails():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        Study("a.b", config, "?").measure({"first": lambda: {"x": 1}, "second": fails})
    study = Study("a.b", config, "?")
    again = study.measure({"first": fails, "second": lambda: {"x": 2}})
    assert again == {"first": {"x": 1}, "second": {"x": 2}} and study.seconds > 0


def test_a_cell_is_kept_by_its_name_its_settings_and_the_revision_of_its_story(config, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "commit", lambda: "0123")
    story, calls = types.ModuleType("some.story"), []
    monkeypatch.setitem(sys.modules, "some.story", story)

    def measure(**changes):
        settings = dataclasses.replace(config, **changes)
        Study("some.story", settings, "?").measure({"cell": lambda: calls.append(1) or {"x": len(calls)}})
        return len(calls)

    assert measure() == measure(seeds=5, out=tmp_path) == 1  # neither changes a cell
    story.REVISION = 1  # the default
    assert measure() == 1 and measure(size="full") == 2
    story.REVISION = 2
    assert measure() == measure() == 3
    kept = [json.loads(path.read_text()) for path in (config.work / "cells" / "story").iterdir()]
    assert len(kept) == 3 and {(found["cell"], found["commit"]) for found in kept} == {("cell", "0123")}


def test_the_commit_is_that_of_this_code_or_none(monkeypatch, tmp_path):
    commit = cells.commit.__wrapped__
    found = commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}\+?", found)
    monkeypatch.setattr(cells, "__file__", str(tmp_path / "a" / "b" / "cells.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None
    monkeypatch.setenv("PATH", "")
    assert commit() is None


def test_fits_are_shared_between_studies_and_members_are_those_of_their_seeds(config):
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    model = vj.zoo.vae(2, 1, hidden=(4,), likelihood=vj.heads.normal())
    options = {"epochs": 1, "batch_size": 10, "progress": False}
    first = Study("a.b", config, "?").fit(model, x, **options)
    second = Study("c.d", config, "?").fit(model, x, **options)
    assert len(list((config.work / "fits").iterdir())) == 1
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    other = Study("a.b", config, "?").fit(model, x, seed=1, **options)
    Study("a.b", config, "?").fit(model, x + 1, **options)
    assert len(list((config.work / "fits").iterdir())) == 3
    both = Study("a.b", config, "?").fit(model, x, members=2, **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), both.member(1)[0], other.params)


def test_what_is_written(config):
    study = Study("experiments.name", config, "Why?\n\nMore.\n\nPrediction: So\nand so.")
    study.measure({"cell": lambda: {"x": 1.5}})
    study.table("A table", ("a", "b"), [("row", "1")])
    study.compare("Another", Grid({"v, seed 0": {"x": 1.0}}, 1), {"label": "v"}, {"b": ("x", 1)}, first="a")
    study.lines("curve", {"a": ([1, 2], [3.0, 4.0], [0.1, 0.1])}, x_label="x", y_label="y", caption="A curve.")
    (config.out / "name" / "old.png").write_bytes(b"of an earlier version")
    found = study.finish("The answer.", protocol="none")
    assert not (config.out / "name" / "old.png").exists()
    stored = json.loads((config.out / "name" / "metrics.json").read_text())
    assert stored == found and stored["numbers"] == {"cell": {"x": 1.5}} and stored["prediction"] == "So and so."
    assert stored["tables"][1] == {"title": "Another", "columns": ["a", "b"], "rows": [["label", "1.0"]]}
    assert stored["figures"][0]["series"]["a"] == [[1, 2], [3.0, 4.0], [0.1, 0.1]]
    assert stored["command"] == "python -m experiments name" and (config.out / "name" / "curve.png").exists()


@pytest.mark.parametrize("colours", [1, 3])
def test_pictures_are_made_small(tmp_path, colours):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, colours), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(np.broadcast_to(pixels, (64, 64, 3))).save(path)
    before = path.stat().st_size
    assert slim(path) == path.stat().st_size < before / 2
    shown = np.asarray(Image.open(path).convert("RGB"), int)
    assert np.abs(shown - pixels).max() <= (0 if colours == 1 else 80)


def test_variants_may_have_seeds_of_their_own(config):
    grid = Study("a.b", config, "?").grid(lambda seed: {"n": seed}, {"two": (), "three": ()}, {"three": 3})
    assert grid.values("two", "n") == [0, 1] and grid.values("three", "n") == [0, 1, 2]
    with pytest.raises(KeyError, match="four"):
        grid.values("four", "n")
