"""Names of what is kept, and numbers as JSON has them."""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["asked", "hashed", "plain", "short", "slim", "title"]

ACRONYMS = {"gmm": "GMM", "em": "EM", "iaf": "IAF", "ppca": "pPCA", "kl": "KL", "mnist": "MNIST"}
LONGEST_ARRAY = 100  # in metrics.json


def _text(value: Any) -> str:
    """What a setting is called, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def hashed(*parts: Any) -> str:
    """A short name for all of these."""
    return hashlib.sha256("\n".join(map(_text, parts)).encode()).hexdigest()[:16]


def title(name: str) -> str:
    """The heading of an experiment, from its name."""
    words = [ACRONYMS.get(word, word) for word in name.split("_")]
    words[1:2] = [f"{words[1]}:"] if words[0] == "question" else words[1:2]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def asked(about: str) -> tuple[str, str]:
    """The question of a docstring, which is its first paragraph, and the prediction, in one line each."""
    joined = re.sub(r"(?<=\w-)\n", "", about)  # a word that is broken at its hyphen
    paragraphs = [" ".join(part.split()) for part in joined.split("\n\n")]
    predicted = [part.removeprefix("Prediction: ") for part in paragraphs if part.startswith("Prediction: ")]
    return paragraphs[0], "".join(predicted)


def plain(value: Any) -> Any:
    """As JSON has it: numbers and lists, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, str | bool | None):
        return value
    value = np.asarray(value, object if isinstance(value, list | tuple) else None)
    if value.ndim:
        return [plain(part) for part in value]
    number = value.item()
    return number if isinstance(number, str | bool | int | dict | None) else number if np.isfinite(number) else None


def slim(path: Path) -> int:
    """Make a PNG one of 256 colours, or of grey values if it has no others, where that is smaller; its size."""
    with Image.open(path, formats=["PNG"]) as opened:
        picture = opened.convert("RGB")
    red, green, blue = (np.asarray(channel) for channel in picture.split())
    grey = np.array_equal(red, green) and np.array_equal(red, blue)
    data = io.BytesIO()
    (picture.convert("L") if grey else picture.quantize(256)).save(data, "png", optimize=True)
    if len(data.getvalue()) < path.stat().st_size:
        path.write_bytes(data.getvalue())
    return path.stat().st_size


def short(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Without long arrays, which stay in the cells and, where they were drawn, in the series of the figures."""
    return {
        name: value for name, value in numbers.items() if not isinstance(value, list) or len(value) <= LONGEST_ARRAY
    }
