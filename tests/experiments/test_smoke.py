"""Every experiment at its smallest: it runs, its pictures show something, and they show what `metrics.json` says."""

import dataclasses
import importlib
import json

import numpy as np
import pytest
from PIL import Image

from experiments.harness.stories import stories
from experiments.harness.study import LARGEST_PICTURE, Study


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """One folder of fits for all experiments, which share them."""
    return tmp_path_factory.mktemp("work")


@pytest.mark.slow
@pytest.mark.parametrize("name", stories())
def test_experiment(name, tmp_path, work, monkeypatch):
    drawn = {}
    keep = lambda self, name, figure, **how: (drawn.update({name: figure}), figure_of(self, name, figure, **how))[1]
    figure_of = Study.figure
    monkeypatch.setattr(Study, "figure", keep)
    module = importlib.import_module(stories()[name].module)
    config = module.Config.smoke()
    assert config.size == "smoke" and config.seeds >= 1
    found = module.main(dataclasses.replace(config, out=tmp_path, work=work))
    stored = json.loads((tmp_path / name / "metrics.json").read_text())
    assert stored == found and stored["name"] == name and stored["size"] == "smoke"
    assert len(stored["answer"]) > 40 and "nan" not in stored["answer"] and stored["protocol"] and stored["numbers"]
    assert stored["figures"] and stored["tables"]
    for figure in stored["figures"]:
        path = tmp_path / name / figure["file"]
        with Image.open(path) as opened:
            assert np.asarray(opened.convert("L")).std() > 2.0
        assert path.stat().st_size <= LARGEST_PICTURE and figure["caption"]
        lines = [line for axes in drawn[path.stem].axes for line in axes.lines]
        for line, (label, values) in zip(lines, figure.get("series", {}).items(), strict=False):
            assert line.get_label() == label
            np.testing.assert_allclose(line.get_ydata(), [np.nan if v is None else v for v in values[1]])
    for table in stored["tables"]:
        assert table["rows"] and all(len(row) == len(table["columns"]) for row in table["rows"])
