"""Cells: numbers that are computed once and kept as JSON, by story, cell, settings and the story's revision."""

import functools
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Cells", "commit", "hashed", "plain", "short"]

LONGEST_ARRAY = 100  # in metrics.json


class Cells:
    """Kept cells of one story: `{"cell", "seconds", "commit", "numbers"}` in a file each.

    Neither the version of the library nor the text of the code is part of a cell's name: a story whose numbers change
    with its code raises its `REVISION`.

    Args:
      folder: where they are kept.
      settings: of the story, those that its numbers depend on.
      revision: of the story.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], revision: int):
        self.folder, self.settings, self.revision = folder, settings, revision

    def _path(self, cell: str) -> Path:
        return self.folder / f"{hashed(cell, self.settings, self.revision)}.json"

    def read(self, cell: str) -> dict[str, Any] | None:
        """The record of a cell, None where it is not there."""
        path = self._path(cell)
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def compute(self, cell: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The record of a cell that is computed now, and kept."""
        start = time.perf_counter()
        numbers = plain(compute())
        found = {"cell": cell, "seconds": time.perf_counter() - start, "commit": commit(), "numbers": numbers}
        path = self._path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found), "utf-8")
        part.replace(path)
        return found


@functools.cache
def commit() -> str | None:
    """Git commit of this code, with a `+` where Python files differ from it; None outside git."""
    git = ["git", "-C", str(Path(__file__).parents[2])]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "*.py"], capture_output=True, check=False)
    return head + "+" * (changed.returncode != 0)


def _text(value: Any) -> str:
    """What a setting is called, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def hashed(*parts: Any) -> str:
    """A short name for all of these."""
    return hashlib.sha256("\n".join(map(_text, parts)).encode()).hexdigest()[:16]


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
