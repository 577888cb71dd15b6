"""Files and folders that are written whole or not at all, and read as untrusted input."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["brief", "lock", "new_folder", "read_json", "write_json", "write_text"]

LONGEST = 2_000_000  # bytes of a JSON file


def brief(problem: BaseException) -> str:
    """Kind and first line of an error; of a long line both ends, since the system's reason comes last."""
    text = f"{type(problem).__name__}: {problem}".splitlines()[0].split(" [tensorstore_spec=")[0]
    return text if len(text) <= 300 else f"{text[:150]} ... {text[-150:]}"


def write_text(path: Path, text: str | bytes) -> None:
    """Write a file in one step: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(text.encode() if isinstance(text, str) else text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
      path: the file.
      expected: its writer, for errors: `"what vaejax.save writes"`.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: for a file that is too long, malformed, or no object.
    """
    if path.stat().st_size > LONGEST:
        raise ValueError(f"{path}: expected at most {LONGEST} bytes")
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: expected {expected}, got something else ({problem})") from problem
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected {expected}, got something else (no JSON object)")
    return value


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` where the block succeeds, and vanishes where it fails.

    Raises:
      FileExistsError: where something is at `path` already.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already: save to a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield folder
        os.rename(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def lock(path: Path, taken: str) -> FileLock:
    """The lock of a file, held until `release()` is called; it ends with its process.

    Raises:
      ValueError: with the message `taken`, where another holds it.
      OSError: where the file cannot be written.
    """
    held = FileLock(path, thread_local=False)
    try:
        held.acquire(timeout=0)
    except Timeout as problem:
        raise ValueError(taken) from problem
    return held
