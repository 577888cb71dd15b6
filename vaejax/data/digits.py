"""Handwritten digits: 8x8 ones that ship with the package, and MNIST from IDX files or through TFDS."""

import functools
import gzip
import importlib.resources
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from vaejax.checks import require_integer
from vaejax.data.dataset import Dataset, Split
from vaejax.data.images import image_dataset

__all__ = ["digits", "mnist", "read_idx"]

_MOST = 2**30  # bytes: an IDX file that claims more is refused before it is unpacked


@functools.cache
def _whole() -> Split:
    with importlib.resources.files("vaejax.data").joinpath("digits.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as saved:
            return Split(saved["x"], saved["y"])


def digits(*, validation: int | float = 200, test: int = 397, seed: int = 0) -> Dataset:
    """Handwritten digits, 1797 images of 8x8 pixels with 17 grey levels, embedded in the package.

    The levels 0..16 are stored as uint8 multiples of 15 (0..240), so that /255 keeps them in [0, 1].
    The rows are scikit-learn's, in their order; the last `test` of them are the test part, which other
    writers wrote than the first ones.

    Args:
      validation: rows (or share of them) cut from train; 0 for none.
      test: rows at the end that are the test part.
      seed: of the choice of the validation rows.

    Returns:
      A `Dataset` with images (N, 8, 8, 1) uint8 and labels.

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
    Repository (1998), licence CC BY 4.0; the test part of it, as scikit-learn distributes it.

    >>> digits().train.x.shape
    (1200, 8, 8, 1)
    """
    rows = np.arange(len(_whole()))
    cut = len(rows) - require_integer("test", test, 0, len(rows) - 1)
    part = _whole().take  # an index copies: nobody changes the rows of the cache
    return Dataset(part(rows[:cut]), test=part(rows[cut:]) if test else None).cut(validation, seed)


def read_idx(path: str | Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzip or not.

    Args:
      path: the file.

    Returns:
      A uint8 array of the shape that the header states.

    Raises:
      ValueError: where the file is not an IDX file of bytes, or is shorter or longer than it states.
    """
    path = Path(path)
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:3] != b"\x00\x00\x08" or not 1 <= magic[3] <= 4:
                raise ValueError(f"{path}: expected an IDX file of unsigned bytes, got the header {magic!r}")
            header = file.read(4 * magic[3])
            if len(header) < 4 * magic[3]:
                raise ValueError(f"{path}: expected {magic[3]} sizes after the header, the file ends before")
            shape = struct.unpack(f">{magic[3]}I", header)
            size = math.prod(shape)
            if math.prod(max(length, 1) for length in shape) > _MOST:  # NumPy minds the other sizes beside a zero, too
                raise ValueError(f"{path}: expected at most {_MOST} bytes, the header states the shape {shape}")
            data = file.read(size + 1)
    except PermissionError:
        raise
    except (EOFError, zlib.error, OSError) as problem:
        raise ValueError(f"{path}: the compressed file is damaged ({problem})") from problem
    if len(data) != size:
        actual = "more" if len(data) > size else len(data)
        raise ValueError(f"{path}: expected {size} bytes for shape {shape}, got {actual}")
    return np.frombuffer(data, np.uint8).reshape(shape).copy()


def _read(folder: Path, name: str) -> np.ndarray:
    for stem in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            if (folder / (stem + suffix)).is_file():
                return read_idx(folder / (stem + suffix))
    raise FileNotFoundError(f"{folder} holds no {name} or {name}.gz")


def _split(folder: Path, part: str) -> Split:
    images, labels = (_read(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(f"{folder}: expected as many labels as images, got shapes {images.shape} and {labels.shape}")
    return Split(images[..., None], labels.astype(np.int32))


def mnist(folder: str | Path | None = None, *, validation: int | float = 0, seed: int = 0) -> Dataset:
    """MNIST: 60 000 and 10 000 images of 28x28 pixels with 256 grey levels.

    Args:
      folder: where the four IDX files lie, gzip or not. Default: the environment variable
        `VAEJAX_DATA`; without it a copy that TensorFlow Datasets has prepared.
      validation: rows (or share of them) cut from train; 0 for none.
      seed: of the choice of the validation rows.

    Returns:
      A `Dataset` with images (N, 28, 28, 1) uint8 and labels.

    Raises:
      FileNotFoundError: where no copy is found; it lists the ways to give one.
    """
    folder = folder if folder is not None else os.environ.get("VAEJAX_DATA") or None
    if folder is not None:
        train, test = (_split(Path(folder), part) for part in ("train", "t10k"))
    else:
        try:
            train, test = image_dataset("mnist")
        except (ImportError, FileNotFoundError) as problem:
            raise FileNotFoundError(
                "MNIST was not found. Give it in one of these ways: mnist(folder) with the four IDX files "
                "(train-images-idx3-ubyte.gz, ...); the environment variable VAEJAX_DATA set to that folder; "
                f"or TensorFlow Datasets with a prepared copy ({problem})"
            ) from problem
    return Dataset(train, test=test).cut(validation, seed)
