"""A user's own data from one path: .npy, .npz, .csv, or a folder of images."""

import csv
import math
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from vaejax.data.arrays import loaded_labels, loaded_rows, named_classes
from vaejax.data.dataset import Dataset, Split
from vaejax.data.images import from_folder

__all__ = ["from_file"]

_MOST = 2**31  # bytes of the arrays that a file may claim; more than that is a job for a stream
_LONGEST = 1000  # characters of a cell
_MISSING = ("", "na", "nan", "null", "none", "?")


def from_file(
    path: str | Path,
    *,
    validation: int | float = 0,
    seed: int = 0,
    labels: str | None = None,
    side: int | None = None,
    most: int | None = None,
) -> Dataset:
    """Load rows or images from a file or a folder.

    - `.npy`: one array; numbers (N, D) become float32 rows; (N, H, W), (N, H, W, C) and (N, C, H, W) are
      images, of uint8 or of floats.
    - `.npz`: the array `x` (or the only one), and `y` for labels; `x_test` and `y_test` if there.
    - `.csv`: comma-separated numbers, with a header or without; empty cells, `nan`, `na` and `?` are
      missing (nan). `labels` names the label column (or gives its number).
    - a folder: its images, all of one size or made so by `side`, in the order of their names; subfolders
      are the classes.
      A link to an image is followed wherever it leads, a link to a folder is not.

    Nothing is unpickled or unpacked to disk, and a file that claims more than it holds is refused.

    Args:
      path: the file or folder.
      validation: rows (or share of them) cut from train; 0 for none.
      seed: of the choice of the validation rows.
      labels: column of a `.csv` that holds the labels: numbers are used as they are, words numbered
        in alphabetic order.
      side: of a folder: each image's middle square becomes `side` x `side` pixels, one image at a time.
      most: of a folder: as many images at most, evenly spaced in their order.

    Returns:
      A `Dataset`, whose `notes` say what was converted.

    Raises:
      FileNotFoundError: where there is nothing at `path`.
      ValueError: for a kind of file that is not listed, or contents that cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    kind = "folder" if path.is_dir() else path.suffix.lower()
    if labels is not None and kind != ".csv":
        raise ValueError(f"labels: expected a .csv file, got {path}")
    if kind != "folder" and (side, most) != (None, None):
        raise ValueError(f"side, most: expected a folder of images, got {path}")
    notes: list[str] = []
    match kind:
        case ".npy":
            data = Dataset(Split(loaded_rows(_npy(path), path.name, notes)))
        case ".npz":
            data = _npz(path, notes)
        case ".csv":
            data = _csv(path, labels, notes)
        case "folder":
            train, classes = from_folder(path, notes, side, most)
            data = Dataset(train, classes=classes)
        case _:
            raise ValueError(f"{path}: expected .npy, .npz, .csv or a folder of images, got {kind or 'no ending'!r}")
    return replace(data, notes=tuple(notes)).cut(validation, seed)


def _read_array(file: IO[bytes], size: int, where: object) -> np.ndarray:
    """An array in .npy format from a stream of `size` bytes; no pickles, no more than it claims."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as problem:  # NumPy's parser raises many kinds for what is not a header
        reason = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
        raise ValueError(f"{where}: expected an array in .npy format ({reason})") from problem
    if dtype.hasobject:
        raise ValueError(f"{where}: expected numbers, got an array of Python objects, which would have to be unpickled")
    claimed, claim = math.prod(shape) * dtype.itemsize, f"{str(shape)[:80]} of {dtype}"
    if not 0 <= claimed <= min(size, _MOST):
        raise ValueError(f"{where}: the header claims {claim}, the file holds at most {min(size, _MOST)} bytes")
    data = file.read(claimed + 1)  # to the end: only there does an archive compare its checksum
    if len(data) != claimed:
        actual = "more" if len(data) > claimed else len(data)
        raise ValueError(f"{where}: expected {claimed} bytes of data, got {actual}")
    try:
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
    except (ValueError, TypeError) as problem:  # sizes below zero, too many or too large, numbers of no bytes
        raise ValueError(f"{where}: no array has the shape {claim} ({problem})") from problem


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return _read_array(file, path.stat().st_size, path)


def _npz(path: Path, notes: list[str]) -> Dataset:
    arrays: dict[str, np.ndarray] = {}
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name, where = info.filename.removesuffix(".npy"), f"{path}: {info.filename!r}"
                if name in arrays:
                    raise ValueError(f"{path}: expected one array of each name, got two named {name!r}")
                # Deflate packs by a factor of a thousand at most: more is a bomb, and none of ours is close.
                total += info.file_size
                if total > _MOST or info.file_size > 2000 * max(info.compress_size, 512):
                    raise ValueError(f"{where} unpacks to {info.file_size} bytes; refused")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{where} is packed as NumPy packs nothing; refused")
                with archive.open(info) as file:
                    arrays[name] = _read_array(file, info.file_size, where)
    except PermissionError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path}: expected an .npz archive ({problem})") from problem
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    if "x" not in arrays:
        raise ValueError(f"{path}: expected an array named x, got {sorted(arrays)}")

    def split(x_name: str, y_name: str) -> Split:
        x, y = arrays[x_name], arrays.get(y_name)
        y = y if y is None else loaded_labels(y, f"{path}: {y_name}")
        if y is not None and y.shape != x.shape[:1]:
            raise ValueError(f"{path}: {y_name}: expected {x.shape[:1]} labels, got shape {y.shape}")
        return Split(loaded_rows(x, f"{path.name}: {x_name}", notes), y)

    return Dataset(split("x", "y"), test=split("x_test", "y_test") if "x_test" in arrays else None)


def _number(cell: str) -> float | None:
    cell = cell.strip()
    if cell.lower() in _MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return None


def _csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Numbers of the lines that are not empty, and their cells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if row]
            for line, row in rows:
                if (longest := max(map(len, row))) > _LONGEST:
                    raise ValueError(
                        f"{path}: expected cells of at most {_LONGEST} characters, got {longest} in line {line}"
                    )
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path}: expected text in UTF-8 ({problem})") from problem
    except csv.Error as problem:
        raise ValueError(f"{path}: expected comma-separated text ({problem})") from problem
    if not rows:
        raise ValueError(f"{path}: expected at least one row, the file is empty")
    return rows


def _csv(path: Path, labels: str | None, notes: list[str]) -> Dataset:
    rows = _csv_rows(path)
    if len(rows[0][1]) > 1 and all(not row[-1].strip() for _, row in rows):
        rows = [(line, row[:-1]) for line, row in rows]
        notes.append("the last column is empty: left out")
    first = rows[0][1]
    width, names, columns = len(first), [str(i) for i in range(len(first))], ()
    second = rows[1][1] if len(rows) > 1 else ["0"] * width
    # A header is where some column is words in it and numbers below.
    if any(_number(a) is None and _number(b) is not None for a, b in zip(first, second, strict=False)):
        names, rows = [cell.strip() for cell in first], rows[1:]
        columns = tuple(names)
    if not rows:
        raise ValueError(f"{path}: expected rows below the header, got none")
    place = None
    if labels is not None:
        if labels not in names and labels in map(str, range(width)):
            labels = names[int(labels)]
        if labels not in names:
            raise ValueError(f"labels: expected one of the columns {names}, got {labels!r}")
        place = names.index(labels)
    table = np.empty((len(rows), width))
    for i, (line, row) in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{path}: expected {width} columns, got {len(row)} in line {line}")
        for j, cell in enumerate(row):
            number = math.nan if j == place else _number(cell)
            if number is None:
                where = f"in line {line}, column {j + 1} (words: labels=)"
                raise ValueError(f"{path}: expected a number, got {cell!r} {where}")
            table[i, j] = number
    y, classes = None, ()
    if place is not None:
        table, columns = np.delete(table, place, 1), columns and (*names[:place], *names[place + 1 :])
        y, classes = _csv_labels([(line, row[place].strip()) for line, row in rows], f"{path}: {labels}", path)
    return Dataset(Split(loaded_rows(table, path, []), y), classes=classes, columns=columns)


def _csv_labels(cells: list[tuple[int, str]], where: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers as they are, words as classes; an empty cell is no label, and a missing number is none."""
    words = [word for _, word in cells]
    numbers = [_number(word) for word in words]
    for line, word in cells:
        if not word or (None not in numbers and word.lower() in _MISSING):
            actual = repr(word) if word else "an empty one"
            raise ValueError(f"{path}: expected a label in every row, got {actual} in line {line}")
    if all(number is not None and number.is_integer() and number >= 0 for number in numbers):
        return loaded_labels(np.array(numbers), where), ()
    classes, y = named_classes(words)
    return y, classes
