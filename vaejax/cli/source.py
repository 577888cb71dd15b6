"""Data of a run: its parts as `--data` names them, and its rows in the form that a model scores."""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import vaejax as vj
from vaejax.types import Transform

__all__ = ["Prepared", "Source", "digest", "load_source", "other_source", "prepare"]

_MOST_LABELS = 10_000


@dataclasses.dataclass(frozen=True)
class Source:
    """The data of a run.

    Attributes:
      data: its parts; there is always a test part.
      levels: grey values of its pixels.
      digest: a checksum of the train and test rows.
      apart: whether the test rows were not trained on.
    """

    data: vj.data.Dataset
    levels: int
    digest: str
    apart: bool = True

    @property
    def train(self) -> vj.data.Split:
        """Rows that are trained on."""
        return self.data.train

    @property
    def test(self) -> vj.data.Split:
        """Rows that are scored."""
        return self.data.test or self.data.train

    @property
    def labels(self) -> int:
        """Number of labels, 0 where the data have none."""
        y = [part.y for part in self.data.parts if part is not None and part.y is not None]
        count = max((int(labels.max()) + 1 for labels in y), default=0)
        if count > _MOST_LABELS:
            raise ValueError(
                f"the data have labels up to {count - 1}: expected classes 0 to {_MOST_LABELS - 1} at most"
            )
        return count


def digest(arrays: Iterable[Any]) -> str:
    """A checksum of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def load_source(options: dict[str, Any]) -> Source:
    """The data of a run; parts that they do not bring are cut from train by the run's seed."""
    name, seed, labels = options["data"], options["seed"], options["labels"]
    for part in ("validation", "test"):
        if not 0 <= options[part] < 1:
            raise ValueError(f"--{part}: expected a share of the rows in [0, 1), got {options[part]}")
    if labels is not None and Path(name).suffix.lower() != ".csv":
        raise ValueError(f"--labels is for a .csv file, not for {name}")
    data, apart = _read(name, labels, seed), True
    if data.test is None:
        train, test = vj.data.hold_out(data.train, float(options["test"]), seed + 1)
        apart = test is not None
        notes = () if apart else ("no test part: scores are of the rows that were trained on",)
        data = dataclasses.replace(data, train=train, test=test or train, notes=(*data.notes, *notes))
    if data.validation is None:
        data = data.cut(float(options["validation"]), seed)
    rows = digest(part.x for part in (data.train, data.test) if part is not None)
    if options["standardize"]:
        data = vj.data.standardize(data)
    return Source(data, 17 if name == "digits" else 256, rows, apart)


def _read(name: str, labels: str | None, seed: int) -> vj.data.Dataset:
    """The data, with the parts that they bring."""
    match name:
        case "digits":
            return vj.data.digits(seed=seed)
        case "mnist":
            return vj.data.mnist()
        case "sprites":
            return vj.data.sprites(10_000, test=2_000, seed=seed).data
        case str() if name.startswith("tfds:"):
            train, test = vj.data.image_dataset(name.removeprefix("tfds:"))
            return vj.data.Dataset(train, None, test)
        case _:
            return vj.data.from_file(name, labels=labels)


def other_source(own: Source, name: str, labels: str | None) -> Source:
    """All rows of other data as the test part of a run, their labels numbered as the run's own."""
    data = _read(name, labels if Path(name).suffix.lower() == ".csv" else None, 0)
    parts = [part for part in data.parts if part is not None]
    x, y = np.concatenate([part.x for part in parts]), None
    if x.shape[1:] != own.test.x.shape[1:]:
        expected = f"rows of shape {own.test.x.shape[1:]}, as the run's own"
        raise ValueError(f"{name}: expected {expected}, got {x.shape[1:]}")
    labelled = [part.y for part in parts if part.y is not None]
    if len(labelled) == len(parts):
        y, classes = np.concatenate(labelled), own.data.classes
        if data.classes != classes:
            unknown = sorted(set(data.classes) - set(classes))
            if unknown or not data.classes:
                raise ValueError(f"{name}: expected labels among {list(classes)}, got {unknown or 'numbers'}")
            y = np.array([classes.index(word) for word in data.classes], np.int32)[y]
    if own.data.scaling is not None:
        x = own.data.scaling.apply(x)
    return dataclasses.replace(own, data=dataclasses.replace(own.data, test=vj.data.Split(x, y), notes=data.notes))


class Prepared(NamedTuple):
    """Rows in the form that a model's likelihood takes.

    Attributes:
      note: name of that form.
      transform: of a batch in training, or `None`.
      rows: as they are scored.
    """

    note: str
    transform: Transform | None
    rows: np.ndarray


def prepare(model: vj.LatentModel, x: np.ndarray, pixels: str, levels: int) -> Prepared:
    """Rows for this model's likelihood, by the option `--pixels`."""
    if x.dtype != np.uint8:
        if pixels not in ("auto", "grey"):
            raise ValueError(f"--pixels {pixels} is for uint8 images; these rows are {x.dtype}")
        return Prepared("as they are", None, x)
    if pixels == "auto":
        real = model.support is None and model.levels is None
        pixels = "binarize" if model.binary else "dequantize" if real else "grey"
    match pixels:
        case "binarize":
            ones = np.random.default_rng(0).random(x.shape) * 255 < x
            return Prepared("binarized (seed 0)", vj.transforms.binarize, ones.astype(np.float32))
        case "dequantize":
            note, transform = f"dequantized ({levels} levels, seed 0)", vj.transforms.dequantize(levels)
            return Prepared(note, transform, vj.data.dequantize(x, levels=levels))
        case _:
            return Prepared("grey, in [0, 1]", None, x)
