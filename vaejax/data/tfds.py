"""Image sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import numpy as np

from vaejax.data.dataset import Split

__all__ = ["image_dataset"]


def image_dataset(name: str, parts: tuple[str, str] = ("train", "test")) -> tuple[Split, Split]:
    """Read the `image` and `label` features of a TFDS set that lies prepared on disk.

    `tfds.data_source` reads prepared array_record files without TensorFlow; preparing them once
    needs it.

    Args:
      name: as TFDS names it.
      parts: names of the train and the test part.

    Returns:
      Two `Split`s with images (N, H, W, C) uint8.

    Raises:
      ImportError: without tensorflow-datasets; it says what to install.
      FileNotFoundError: where the set is not prepared; it says how to do that.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as missing:
        raise ImportError(
            'tensorflow-datasets is not installed: python -m pip install "vaejax[data]" '
            "(from a checkout: python -m pip install -e '.[data]')"
        ) from missing
    return _read(tfds, name, parts[0]), _read(tfds, name, parts[1])


def _read(tfds, name: str, part: str) -> Split:
    try:
        source = tfds.data_source(name, split=part, download=False)
    except Exception as problem:  # TFDS raises many kinds; each means that there is no prepared copy to read
        raise FileNotFoundError(
            f"TFDS cannot read {name!r} ({type(problem).__name__}: {problem}); where TensorFlow is installed, "
            f"prepare it once with tfds.builder({name!r}, file_format='array_record').download_and_prepare()"
        ) from problem
    images, labels = [], []
    for record in source:
        images.append(np.asarray(record["image"], np.uint8))
        labels.append(int(record["label"]))
    return Split(np.stack(images), np.asarray(labels, np.int32))
