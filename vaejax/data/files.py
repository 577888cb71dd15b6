"""A user's own data from one path: .npy, .npz, .csv, or a folder of images."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from vaejax.data.arrays import as_labels, as_rows, named_classes
from vaejax.data.dataset import Dataset, Split, hold_out
from vaejax.data.images import check_side, from_folder

__all__ = ["from_file"]

_MOST = 2**32  # bytes of the arrays that a file may claim; more than that is a job for a stream
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
    check_side(side, most)
    notes: list[str] = []
    classes: tuple[str, ...] = ()
    match kind:
        case ".npy":
            train, test = Split(as_rows(_npy(path), path.name, notes)), None
        case ".npz":
            train, test = _npz(path, notes)
        case ".csv":
            (train, classes), test = _csv(path, labels), None
        case "folder":
            (train, classes), test = from_folder(path, notes, side, most), None
        case _:
            raise ValueError(f"{path}: expected .npy, .npz, .csv or a folder of images, got {kind or 'no ending'!r}")
    train, held = hold_out(train, validation, seed)
    return Dataset(train, held, test, classes=classes, notes=tuple(notes))


def _read_array(file, size: int, where: object) -> np.ndarray:
    """An array in .npy format from a stream of `size` bytes; no pickles, no more than it claims."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as problem:  # NumPy's parser raises many kinds for what is not a header
        told = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
        raise ValueError(f"{where}: expected an array in .npy format ({told})") from problem
    if dtype.hasobject:
        raise ValueError(f"{where}: expected numbers, got an array of Python objects, which would have to be unpickled")
    claimed = math.prod(shape) * dtype.itemsize
    if not 0 <= claimed <= min(size, _MOST):
        told = f"{str(shape)[:80]} of {dtype}"
        raise ValueError(f"{where}: the header claims {told}, the file holds at most {min(size, _MOST)} bytes")
    data = file.read(claimed + 1)  # to the end: only there does an archive compare its checksum
    if len(data) != claimed:
        found = "more" if len(data) > claimed else len(data)
        raise ValueError(f"{where}: expected {claimed} bytes of data, got {found}")
    try:
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
    except (ValueError, TypeError) as problem:  # sizes below zero, too many or too large, numbers of no bytes
        raise ValueError(f"{where}: no array has the shape {str(shape)[:80]} of {dtype} ({problem})") from problem


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return _read_array(file, path.stat().st_size, path)


def _npz(path: Path, notes: list[str]) -> tuple[Split, Split | None]:
    arrays, total = {}, 0
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"{path}: expected one array of each name, got two named {name!r}")
                # Deflate packs by a factor of a thousand at most: more is a bomb, and none of ours is close.
                total += info.file_size
                if total > _MOST or info.file_size > 2000 * max(info.compress_size, 512):
                    raise ValueError(f"{path}: {info.filename!r} unpacks to {info.file_size} bytes; refused")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{path}: {info.filename!r} is packed as NumPy packs nothing; refused")
                with archive.open(info) as file:
                    arrays[name] = _read_array(file, info.file_size, f"{path}: {info.filename!r}")
    except PermissionError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path}: expected an .npz archive ({problem})") from problem
    if "x" not in arrays and len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    if "x" not in arrays:
        raise ValueError(f"{path}: expected an array named x, got {sorted(arrays)}")

    def split(x_name: str, y_name: str) -> Split:
        y = as_labels(arrays[y_name], f"{path}: {y_name}") if y_name in arrays else None
        if y is not None and y.shape != arrays[x_name].shape[:1]:
            raise ValueError(f"{path}: {y_name}: expected {arrays[x_name].shape[:1]} labels, got shape {y.shape}")
        return Split(as_rows(arrays[x_name], f"{path.name}: {x_name}", notes), y)

    return split("x", "y"), split("x_test", "y_test") if "x_test" in arrays else None


def _number(cell: str) -> float | None:
    cell = cell.strip()
    if cell.lower() in _MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return None


def _csv(path: Path, labels: str | None) -> tuple[Split, tuple[str, ...]]:
    import csv

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines, rows = [], []
            for row in filter(None, reader):
                lines.append(reader.line_num)
                rows.append(row)
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path}: expected text in UTF-8 ({problem})") from problem
    except csv.Error as problem:
        raise ValueError(f"{path}: expected comma-separated text ({problem})") from problem
    if not rows:
        raise ValueError(f"{path}: expected at least one row, the file is empty")
    width, names = len(rows[0]), [str(i) for i in range(len(rows[0]))]
    keep_words = None
    if any(_number(cell) is None for cell in rows[0]) and (len(rows) == 1 or _is_header(rows)):
        names, rows, lines = [cell.strip() for cell in rows[0]], rows[1:], lines[1:]
    if not rows:
        raise ValueError(f"{path}: expected rows below the header, got none")
    if labels is not None:
        if labels not in names and labels in map(str, range(width)):
            labels = names[int(labels)]
        if labels not in names:
            raise ValueError(f"labels: expected one of the columns {names}, got {labels!r}")
        keep_words = names.index(labels)
    table = np.empty((len(rows), width - (keep_words is not None)))
    words = []
    for i, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{path}: expected {width} columns, got {len(row)} in line {lines[i]}")
        if keep_words is not None:
            words.append(row[keep_words].strip())
            row = row[:keep_words] + row[keep_words + 1 :]
        for j, cell in enumerate(row):
            number = _number(cell)
            if number is None:
                raise ValueError(
                    f"{path}: expected a number, got {cell!r} in line {lines[i]}, column {j + 1} (words: labels=)"
                )
            table[i, j] = number
    y, classes = None, ()
    if words:
        numbers = [_number(word) for word in words]
        if "" in words:
            raise ValueError(
                f"{path}: expected a label in every row, got an empty one in line {lines[words.index('')]}"
            )
        if None not in numbers and any(missing := [word.lower() in _MISSING for word in words]):
            row = missing.index(True)
            raise ValueError(f"{path}: expected a label in every row, got {words[row]!r} in line {lines[row]}")
        if all(number is not None and math.isfinite(number) and number == int(number) for number in numbers):
            y = as_labels(np.array(numbers), f"{path}: {labels}")
        else:
            classes, y = named_classes(words)
    return Split(as_rows(table, path, []), y), classes


def _is_header(rows: list[list[str]]) -> bool:
    """The first row is a header where some column is words in it and numbers in the second."""
    return any(_number(a) is None and _number(b) is not None for a, b in zip(rows[0], rows[1], strict=False))
