"""Names of what is kept, and numbers as JSON has them."""

import ast
import hashlib
import inspect
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["asked", "code_of", "hashed", "plain", "short"]

LONGEST_ARRAY = 100  # in metrics.json


def _text(value: Any) -> str:
    """What a setting is called, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def hashed(*parts: Any) -> str:
    """A short name for all of these."""
    return hashlib.sha256("\n".join(map(_text, parts)).encode()).hexdigest()[:16]


def asked(about: str) -> tuple[str, str]:
    """The question of a docstring, which is its first paragraph, and the prediction, in one line each."""
    paragraphs = [" ".join(part.split()) for part in about.split("\n\n")]
    predicted = [part.removeprefix("Prediction: ") for part in paragraphs if part.startswith("Prediction: ")]
    return paragraphs[0], "".join(predicted)


class _Code(ast.NodeTransformer):
    """What a module does, without what it says."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")


def code_of(module: str) -> str:
    """The code of a module: it changes with all but names and sentences."""
    found = sys.modules.get(module)
    return "" if found is None or not found.__file__ else ast.dump(_Code().visit(ast.parse(inspect.getsource(found))))


def plain(value: Any) -> Any:
    """As JSON has it: numbers and lists, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, str | bool | None):
        return value
    value = np.asarray(value, object if isinstance(value, list | tuple) else None)
    if value.ndim:
        return [plain(part) for part in value]
    number = value.item()
    return number if isinstance(number, str | bool | int | dict | None) else number if np.isfinite(number) else None


def short(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Without long arrays, which stay in the cells and, where they were drawn, in the series of the figures."""
    return {
        name: value for name, value in numbers.items() if not isinstance(value, list) or len(value) <= LONGEST_ARRAY
    }
