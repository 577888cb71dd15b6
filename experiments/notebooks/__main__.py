"""Make the notebooks from their sources and execute them: `python -m experiments.notebooks [NAME ...]`.

Each `NAME.py` (jupytext, percent format) becomes `NAME.ipynb` beside it, with its outputs.
"""

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def execute(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, executed; an error in a cell is raised."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"  # the same at every making
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        cell["metadata"].pop("execution", None)  # when it ran
    return notebook


def main(names: list[str]) -> None:
    for source in sorted(HERE.glob("[0-9]*.py")):
        if not names or source.stem in names:
            start = time.perf_counter()
            nbformat.write(execute(source), source.with_suffix(".ipynb"))
            print(f"{source.stem}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
