"""The notebooks: made from their sources, and every cell runs."""

import json

import pytest

from experiments.notebooks.__main__ import HERE

NAMES = [path.stem for path in sorted(HERE.glob("[0-9]*.py"))]
LARGEST = 400_000  # bytes


def test_there_are_four():
    assert len(NAMES) == 4


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_the_one_of_its_source(name):
    jupytext = pytest.importorskip("jupytext")
    path = HERE / f"{name}.ipynb"
    stored = json.loads(path.read_text())
    text = lambda cell: "".join(cell["source"])
    assert [text(cell) for cell in stored["cells"]] == [text(c) for c in jupytext.read(HERE / f"{name}.py").cells]
    assert path.stat().st_size < LARGEST
    kinds = [output["output_type"] for cell in stored["cells"] for output in cell.get("outputs", ())]
    assert "display_data" in kinds or "execute_result" in kinds and "error" not in kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("default")  # the kernel's own: sockets and event loops
def test_notebook_runs(name):
    from experiments.notebooks.__main__ import execute

    notebook = execute(HERE / f"{name}.py")
    assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")
