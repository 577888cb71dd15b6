"""Image sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import itertools
from typing import Any

import numpy as np

from vaejax.data.dataset import Split
from vaejax.data.images import check_side, squared

__all__ = ["image_dataset"]


def image_dataset(
    name: str, parts: tuple[str, str] = ("train", "test"), *, side: int | None = None, most: int | None = None
) -> tuple[Split, Split]:
    """Read the `image` features of a TFDS set that lies prepared on disk, and `label` where it has labels.

    `tfds.data_source` reads prepared array_record files without TensorFlow; preparing them once
    needs it.

    Args:
      name: as TFDS names it.
      parts: names of the train and the test part.
      side: each image's middle square becomes `side` x `side` pixels; default: images stay as they are.
      most: images of each part, at most the first so many.

    Returns:
      Two `Split`s with images (N, H, W, C) uint8.

    Raises:
      ImportError: without tensorflow-datasets; it says what to install.
      FileNotFoundError: where the set is not prepared; it says how to do that.
    """
    check_side(side, most)
    try:
        import tensorflow_datasets as tfds
    except ImportError as missing:
        raise ImportError(
            'tensorflow-datasets is not installed: python -m pip install "vaejax[data]" '
            "(from a checkout: python -m pip install -e '.[data]')"
        ) from missing
    return _read(tfds, name, parts[0], side, most), _read(tfds, name, parts[1], side, most)


def _pixels(image: Any, side: int | None) -> np.ndarray:
    pixels = np.asarray(image, np.uint8)
    if side is None:
        return pixels
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return np.atleast_3d(np.asarray(squared(image, side)))


def _read(tfds: Any, name: str, part: str, side: int | None, most: int | None) -> Split:
    try:
        source = tfds.data_source(name, split=part, download=False)
    except Exception as problem:  # TFDS raises many kinds; each means that there is no prepared copy to read
        raise FileNotFoundError(
            f"TFDS cannot read {name!r} ({type(problem).__name__}: {problem}); where TensorFlow is installed, "
            f"prepare it once with tfds.builder({name!r}, file_format='array_record').download_and_prepare()"
        ) from problem
    images, labels = [], []
    for record in itertools.islice(iter(source), most):
        images.append(_pixels(record["image"], side))
        labels += [int(record["label"])] if "label" in record else []
    return Split(np.stack(images), np.asarray(labels, np.int32) if labels else None)
