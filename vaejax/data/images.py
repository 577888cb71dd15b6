"""Folders of images."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vaejax.checks import require_integer
from vaejax.data.arrays import named_classes
from vaejax.data.dataset import Split

__all__ = ["check_side", "from_folder", "squared"]

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # by content: a name may lie, and EPS would start Ghostscript
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


def from_folder(
    path: Path, notes: list[str], side: int | None = None, most: int | None = None
) -> tuple[Split, tuple[str, ...]]:
    """The images of a folder and of its subfolders, whose names are the classes; `most` of them, evenly spaced."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _IMAGES and file.is_file())
    if not files:
        raise ValueError(f"{path}: expected images ({', '.join(_IMAGES)}), found none")
    if most is not None and most < len(files):
        notes.append(f"{most} of {len(files)} images, evenly spaced in the order of their names")
        files = [files[i * len(files) // most] for i in range(most)]
    images = [_image(file, notes, side) for file in files]
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


def squared(image: Any, side: int) -> Any:
    """The largest square in the middle of an image of Pillow, `side` pixels wide and high."""
    from PIL import ImageOps

    return ImageOps.fit(image, (side, side))


def check_side(side: int | None, most: int | None) -> None:
    """`ValueError` for sizes and numbers of images that cannot be."""
    for name, value in (("side", side), ("most", most)):
        if value is not None:
            require_integer(name, value)


def _image(file: Path, notes: list[str], side: int | None) -> np.ndarray:
    """Pixels of 8 bits, (H, W) where the image is grey, else (H, W, 3)."""
    from PIL import Image

    mode = pixels = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                mode = image.mode
                if mode in _MODES:
                    plain = image.convert("L" if mode in ("1", "L", "LA") else "RGB")
                    pixels = np.asarray(plain if side is None else squared(plain, side))
    except Exception as problem:  # Pillow raises many kinds for files that are not whole
        raise ValueError(f"{file}: not an image that can be read ({type(problem).__name__}: {problem})") from problem
    if pixels is None:
        raise ValueError(f"{file}: expected 8 bits a channel, got an image of mode {mode}")
    if side is not None:
        notes.append(f"the middle square of each image became {side} x {side}")
    if mode not in ("L", "RGB"):
        alpha = ", without its transparency" if mode in ("LA", "RGBA") else ""
        notes.append(f"images of mode {mode} became {'grey' if pixels.ndim == 2 else 'RGB'}{alpha}")
    return pixels
