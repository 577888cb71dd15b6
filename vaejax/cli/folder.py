"""A run's folder as the command line keeps it: what was asked, on which data, and what came of it."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import vaejax as vj
from vaejax.cli.members import by_em

__all__ = ["Folder", "Source", "load_source", "rows_for"]

_FILE = "command.json"
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
    def labels(self) -> int:
        """Number of labels, 0 where the data have none."""
        y = [part.y for part in self.data.parts if part is not None and part.y is not None]
        count = max((int(labels.max()) + 1 for labels in y), default=0)
        if count > _MOST_LABELS:
            raise ValueError(
                f"the data have labels up to {count - 1}: expected classes 0 to {_MOST_LABELS - 1} at most"
            )
        return count


def load_source(name: str, options: dict[str, Any]) -> Source:
    """Load what `--data` names; parts that the data do not bring are cut from train by the run's seed."""
    validation, test, seed = options["validation"], options["test"], options["seed"]
    for flag, share in (("--validation", validation), ("--test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"{flag}: expected a share of the rows in [0, 1), got {share}")
    labels = options["labels"]
    if labels is not None and Path(name).suffix.lower() != ".csv":
        raise ValueError(f"--labels is for a .csv file, not for {name}")
    data = _read(name, labels, seed)
    train, held, tested = data.parts
    notes, apart = data.notes, True
    if tested is None:
        train, tested = vj.data.hold_out(train, float(test), seed + 1)
        if tested is None:
            apart, tested, notes = False, train, (*notes, "no test part: scores are of the rows that were trained on")
    if held is None:
        train, held = vj.data.hold_out(train, float(validation), seed)
    data = vj.data.Dataset(train, held, tested, classes=data.classes, notes=notes)
    if options["standardize"]:
        data = vj.data.standardize(data)
    total = hashlib.sha256(np.ascontiguousarray(train.x).data)
    total.update(np.ascontiguousarray(tested.x).data)
    return Source(data, 17 if name == "digits" else 256, total.hexdigest(), apart)


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


def _others(name: str, options: dict[str, Any], own: vj.data.Dataset) -> tuple[vj.data.Split, tuple[str, ...]]:
    """All rows of other data, their labels numbered as the run's own."""
    labels = options["labels"] if Path(name).suffix.lower() == ".csv" else None
    data = _read(name, labels, 0)
    parts = [part for part in data.parts if part is not None]
    x, y = np.concatenate([part.x for part in parts]), None
    if all(part.y is not None for part in parts):
        y = np.concatenate([part.y for part in parts if part.y is not None])
    if y is not None and data.classes != own.classes:
        unknown = sorted(set(data.classes) - set(own.classes))
        if unknown or not data.classes:
            raise ValueError(f"{name}: expected labels among {list(own.classes)}, got {unknown or 'numbers'}")
        y = np.array([own.classes.index(word) for word in data.classes], np.int32)[y]
    return vj.data.Split(x, y), data.notes


def rows_for(model: Any, x: np.ndarray, pixels: str, levels: int) -> tuple[str, Any, np.ndarray]:
    """What is done to the rows for this model's likelihood: its name, the transform of a step, the rows to score."""
    if x.dtype != np.uint8:
        if pixels not in ("auto", "grey"):
            raise ValueError(f"--pixels {pixels} is for uint8 images; these rows are {x.dtype}")
        return "as they are", None, x
    if pixels == "auto":
        real = model.support is None and model.levels is None
        pixels = "binarize" if model.binary else "dequantize" if real else "grey"
    match pixels:
        case "binarize":
            ones = np.random.default_rng(0).random(x.shape) * 255 < x
            return "binarized (seed 0)", vj.transforms.binarize, ones.astype(np.float32)
        case "dequantize":
            transform = vj.transforms.dequantize(levels)
            return f"dequantized ({levels} levels, seed 0)", transform, vj.data.dequantize(x, levels=levels)
        case _:
            return "grey, in [0, 1]", None, x


class Folder:
    """A run's folder.

    Args:
      path: where it is.

    Raises:
      FileNotFoundError: where it is asked for something that is not there.
    """

    def __init__(self, path: Path):
        self.path = path

    @property
    def options(self) -> dict[str, Any]:
        """The options of `vaejax fit`, and the digest of its data."""
        file = self.path / _FILE
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} holds no run of `vaejax fit`")
        found = self.read(_FILE)
        if not isinstance(found, dict) or not {"model", "data", "epochs", "digest", "pixels", "beta"} <= found.keys():
            raise ValueError(f"{file} is not what `vaejax fit` writes: use a new folder")
        return found

    def claim(self, options: dict[str, Any]) -> None:
        """Make the folder this run's, or see that it is.

        Raises:
          ValueError: where it belongs to something else.
        """
        begun = (self.path / "run.json").is_file() or (self.path / "model").is_dir()
        if begun and (self.path / _FILE).is_file():
            stored = self.options
            grows = set() if by_em(options["model"]) else {"epochs"}
            for name in sorted((stored.keys() | options.keys()) - grows):
                if stored.get(name) != options.get(name):
                    raise ValueError(
                        f"{self.path} holds another run: its {name} is {stored.get(name)!r}, this one's is "
                        f"{options.get(name)!r}; use a new folder"
                    )
            if stored["epochs"] >= options["epochs"]:
                return
        elif self.path.exists() and (not self.path.is_dir() or any(map(_is_foreign, self.path.iterdir()))):
            raise ValueError(f"{self.path} holds something else: use a new folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self.write(_FILE, options)

    def write(self, name: str, values: Any) -> None:
        """Write a JSON file, whole or not at all."""
        temporary = self.path / f".{name}.{os.getpid()}"
        temporary.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n")
        temporary.replace(self.path / name)

    def read(self, name: str) -> Any:
        """A JSON file of the folder, or `None` where there is none that can be read."""
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def load(self, data: str | None = None) -> tuple[Any, Any, Source]:
        """The model, its best parameters, and the data: the run's own, or others.

        Raises:
          ValueError: where the run's own data have changed since.
        """
        options = self.options
        if by_em(options["model"]):
            if not (self.path / "model").is_dir():
                raise FileNotFoundError(f"{self.path} holds no finished fit yet")
            model, params = vj.load(self.path / "model")
        else:
            model, params = vj.load(self.path)
        own = load_source(options["data"], options)
        if data is None:
            if own.digest != options["digest"]:
                raise ValueError(f"{options['data']} is not what {self.path} was trained on: it has changed since")
            return model, params, own
        other, notes = _others(data, options, own.data)
        x = other.x
        if x.shape[1:] != own.data.test.x.shape[1:]:  # type: ignore[union-attr]
            shape = own.data.test.x.shape[1:]  # type: ignore[union-attr]
            raise ValueError(f"{data}: expected rows of shape {shape}, as the run's own, got {x.shape[1:]}")
        if own.data.scaling is not None:
            x = own.data.scaling.apply(x)
        scored = dataclasses.replace(own.data, test=vj.data.Split(x, other.y), notes=notes)
        return model, params, dataclasses.replace(own, data=scored)

    def test_rows(self, model: Any, source: Source) -> tuple[str, vj.data.Split]:
        """What is scored: how it was prepared, the rows and their labels."""
        assert source.data.test is not None
        return self.scored(model, source.data.test, source.levels)

    def scored(self, model: Any, split: Any, levels: int) -> tuple[str, vj.data.Split]:
        """Rows of any part as `test_rows` gives those of the test part."""
        if model.context_dim and split.y is None:
            raise ValueError("the model is conditional: expected data with labels")
        missing = np.isnan(split.x).reshape(len(split), -1).any(1) if split.x.dtype.kind == "f" else np.zeros(1, bool)
        if missing.all() and len(missing) == len(split):
            raise ValueError("every row has missing values: none can be scored")
        if missing.any():
            split = split.take(~missing)
        told, _, x = rows_for(model, split.x, self.options["pixels"], levels)
        told += f", {missing.sum()} rows with missing values left out" if missing.any() else ""
        return told, vj.data.Split(x, split.y)


def _is_foreign(path: Path) -> bool:
    """Whether a file is none of those that a fit leaves before its first checkpoint."""
    return not (path.name in (_FILE, "lock") or path.name.startswith((f".{_FILE}.", "run.json.")))
