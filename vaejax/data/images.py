"""Folders of images."""

import warnings
from pathlib import Path

import numpy as np

from vaejax.data.arrays import named_classes
from vaejax.data.dataset import Split

__all__ = ["from_folder"]

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # by content: a name may lie, and EPS would start Ghostscript
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


def from_folder(path: Path, notes: list[str]) -> tuple[Split, tuple[str, ...]]:
    """The images of a folder and of its subfolders, whose names are the classes."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _IMAGES and file.is_file())
    if not files:
        raise ValueError(f"{path}: expected images ({', '.join(_IMAGES)}), found none")
    images = [_image(file, notes) for file in files]
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


def _image(file: Path, notes: list[str]) -> np.ndarray:
    """Pixels of 8 bits, (H, W) where the image is grey, else (H, W, 3)."""
    from PIL import Image

    mode = pixels = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                mode = image.mode
                if mode in _MODES:
                    pixels = np.asarray(image.convert("L" if mode in ("1", "L", "LA") else "RGB"))
    except Exception as problem:  # Pillow raises many kinds for files that are not whole
        raise ValueError(f"{file}: not an image that can be read ({type(problem).__name__}: {problem})") from problem
    if pixels is None:
        raise ValueError(f"{file}: expected 8 bits a channel, got an image of mode {mode}")
    if mode not in ("L", "RGB"):
        alpha = ", without its transparency" if mode in ("LA", "RGBA") else ""
        notes.append(f"images of mode {mode} became {'grey' if pixels.ndim == 2 else 'RGB'}{alpha}")
    return pixels
