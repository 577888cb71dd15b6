"""Images of a folder, and image sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vaejax.checks import require_integer
from vaejax.data.arrays import named_classes
from vaejax.data.dataset import Split

__all__ = ["from_folder", "image_dataset"]

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # by content: a name may lie, and EPS would start Ghostscript
_ORIENTATION = 0x0112  # of EXIF
_MOST = 2**31  # bytes of all images
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


def from_folder(
    path: Path, notes: list[str], side: int | None = None, most: int | None = None
) -> tuple[Split, tuple[str, ...]]:
    """The images of a folder and of its subfolders, whose names are the classes; `most` of them, evenly spaced."""
    _check_side(side, most)
    files = sorted(file for file in path.rglob("*") if _is_image(file))
    if not files:
        raise ValueError(f"{path}: expected images ({', '.join(_IMAGES)}), found none")
    if most is not None and most < len(files):
        notes.append(f"{most} of {len(files)} images, evenly spaced in the order of their names")
        files = [files[i * len(files) // most] for i in range(most)]
    images, total = [], 0
    for file in files:
        images.append(_image(file, notes, side))
        if (total := total + images[-1].nbytes) > _MOST:
            raise ValueError(f"{path}: expected at most {_MOST} bytes of pixels: take fewer (most=), smaller (side=)")
    notes[:] = dict.fromkeys(notes)
    if len({image.ndim for image in images}) > 1:
        notes.append("grey images became RGB, as others are")
    colour = any(image.ndim == 3 for image in images)
    images = [np.repeat(im[..., None], 3, -1) if colour and im.ndim == 2 else np.atleast_3d(im) for im in images]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(f"{file}: expected the size of {files[0].name}, {images[0].shape}, got {image.shape}")
    classes = [file.relative_to(path).parts[0] if file.parent != path else None for file in files]
    words = [name for name in classes if name is not None]
    names, y = named_classes(words) if len(words) == len(files) else ((), None)
    if words and y is None:
        notes.append(f"no labels: {len(files) - len(words)} images lie beside the folders of classes")
    return Split(np.stack(images), y), names


def _is_image(file: Path) -> bool:
    """Whether a file is meant as an image; hidden ones are notes of a system beside it."""
    return file.suffix.lower() in _IMAGES and not file.name.startswith(".") and file.is_file()


def _squared(image: Any, side: int) -> Any:
    """The largest square in the middle of an image of Pillow, `side` pixels wide and high."""
    from PIL import ImageOps

    return ImageOps.fit(image, (side, side))


def _check_side(side: int | None, most: int | None) -> None:
    """`ValueError` for sizes and numbers of images that cannot be."""
    for name, value in (("side", side), ("most", most)):
        if value is not None:
            require_integer(name, value)


def _image(file: Path, notes: list[str], side: int | None) -> np.ndarray:
    """Pixels of 8 bits, (H, W) where the image is grey, else (H, W, 3)."""
    from PIL import Image, ImageOps

    mode, pixels, frames, deep, turned = None, None, 1, False, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                mode, frames = image.mode, getattr(image, "n_frames", 1)
                deep = any(";16" in str(tile) for tile in image.tile)  # Pillow would cut them to 8 bits
                turned = image.getexif().get(_ORIENTATION, 1) != 1
                if mode in _MODES and frames == 1 and not deep:
                    plain = ImageOps.exif_transpose(image).convert("L" if mode in ("1", "L", "LA") else "RGB")
                    pixels = np.asarray(plain if side is None else _squared(plain, side))
    except Exception as problem:  # Pillow raises many kinds for files that are not whole
        raise ValueError(f"{file}: not an image that can be read ({type(problem).__name__}: {problem})") from problem
    if frames > 1:
        raise ValueError(f"{file}: expected one picture, got an animation of {frames}")
    if pixels is None:
        raise ValueError(f"{file}: expected 8 bits a channel, got an image of mode {mode}{' with 16' if deep else ''}")
    if turned:
        notes.append("images were turned as their EXIF orientation says")
    if side is not None:
        notes.append(f"the middle square of each image became {side} x {side}")
    if mode not in ("L", "RGB"):
        alpha = ", without its transparency" if mode in ("LA", "RGBA") else ""
        notes.append(f"images of mode {mode} became {'grey' if pixels.ndim == 2 else 'RGB'}{alpha}")
    return pixels


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
    _check_side(side, most)
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
    return np.atleast_3d(np.asarray(_squared(image, side)))


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
