"""Stories: the modules `experiments/FOLDER/NAME.py` with a `Config` and a `main`, found without importing them."""

import ast
import functools
import math
import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["Story", "question_and_prediction", "stories", "title"]

EXPERIMENTS = Path(__file__).parents[1]
COMMANDS = ("tables", "benchmarks")  # folders of programs that are run by their own names
ACRONYMS = {"gmm": "GMM", "em": "EM", "iaf": "IAF", "ppca": "pPCA", "kl": "KL", "mnist": "MNIST"}


class Story(NamedTuple):
    """Script that is one section of the page: its name, its module, its docstring, its place."""

    name: str
    module: str
    about: str
    order: float


@functools.cache
def stories() -> dict[str, Story]:
    """All stories by name, in the order of the page: by the `ORDER` that a script states, those without it last."""
    found = []
    for path in EXPERIMENTS.glob("*/*.py"):
        defined = _defined(tree := ast.parse(path.read_text("utf-8")))
        if {"Config", "main"} <= defined.keys() and path.parent.name not in COMMANDS:
            module, order = f"experiments.{path.parent.name}.{path.stem}", defined.get("ORDER")
            place = math.inf if order is None else ast.literal_eval(order)
            found.append(Story(path.stem, module, ast.get_docstring(tree) or "", place))
    return {story.name: story for story in sorted(found, key=lambda story: (story.order, story.name))}


def _defined(tree: ast.Module) -> dict[str, ast.expr | None]:
    """Classes, functions and names at the top of a module, and the values of the latter."""
    found: dict[str, ast.expr | None] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = None
        elif isinstance(node, ast.Assign):
            found |= {name.id: node.value for name in node.targets if isinstance(name, ast.Name)}
    return found


def title(name: str) -> str:
    """The heading of a story, from its name."""
    words = [ACRONYMS.get(word, word) for word in name.split("_")]
    words[1:2] = [f"{words[1]}:"] if words[0] == "question" else words[1:2]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def question_and_prediction(about: str) -> tuple[str, str]:
    """First paragraph of a docstring, and the one that begins with "Prediction: ", in one line each."""
    joined = re.sub(r"(?<=\w-)\n", "", about)  # a word that is broken at its hyphen
    paragraphs = [" ".join(part.split()) for part in joined.split("\n\n")]
    predicted = [part.removeprefix("Prediction: ") for part in paragraphs if part.startswith("Prediction: ")]
    return paragraphs[0], "".join(predicted)
