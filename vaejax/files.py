"""Files and folders that are written whole or not at all, and read as untrusted input."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["brief", "lock", "new_folder", "plain_path", "read_json", "write_json", "write_text"]

LONGEST = 2_000_000  # bytes of a JSON file


def brief(problem: BaseException) -> str:
    """Kind and first line of an error; of a long line both ends, since the system's reason comes last."""
    text = f"{type(problem).__name__}: {problem}".splitlines()[0].split(" [tensorstore_spec=")[0]
    return text if len(text) <= 300 else f"{text[:150]} ... {text[-150:]}"


def plain_path(path: str | Path) -> Path:
    """The absolute path; `ValueError` for one that Orbax would read as a pattern, and lose what is written there."""
    path = Path(path).absolute()
    if found := sorted(set("[]*?\\") & set(str(path))):
        raise ValueError(
            f"{path}: expected a path without {' '.join('[]*?')} and backslash, got one with {' '.join(found)}"
        )
    return path


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


def read_json(path: Path, expected: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
      path: the file.
      expected: its writer, for errors: `"what vaejax.save writes"`.
      keys: names that the object must have.

    Raises:
      FileNotFoundError: where there is none.
      ValueError: for a file that is too long, malformed, no object, or without one of the names.
    """
    if path.stat().st_size > LONGEST:
        raise ValueError(f"{path}: expected at most {LONGEST} bytes")
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: expected {expected}, got something else ({problem})") from problem
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected {expected}, got something else (no JSON object)")
    for key in keys:
        if key not in value:
            raise ValueError(f"{path}: expected {expected}, got something else (no {key!r})")
    return value


@contextlib.contextmanager
def new_folder(path: Path, content: str = "the folder") -> Iterator[Path]:
    """A temporary folder that becomes `path` where the block succeeds, and vanishes where it fails.

    Args:
      path: the folder to be.
      content: its name in errors: `"the model"`.

    Raises:
      FileExistsError: where something is at `path` already.
      OSError: where it cannot be written, whatever the block raised.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already: save to a new folder")
    folder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield folder
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)  # mkdtemp gives it to its owner alone
        os.rename(folder, path)
    except BaseException as problem:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(problem, Exception):  # Orbax and TensorStore raise many kinds where they cannot write
            raise OSError(f"{path}: {content} could not be saved ({brief(problem)})") from problem
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
