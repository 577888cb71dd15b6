"""A run's folder as the command line keeps it: the command, its data, and the results."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.checks import require_integer
from vaejax.cli.members import by_em
from vaejax.cli.source import Source, load_source, other_source, prepare
from vaejax.files import lock, read_json, write_json
from vaejax.types import Key, Params

__all__ = ["Folder", "Run"]

_FILE = "command.json"
_KEYS = {"model", "data", "epochs", "digest", "pixels", "beta"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A fitted model with its best parameters, and its data.

    Attributes:
      options: of `vaejax fit`, and the digest of its data.
    """

    options: dict[str, Any]
    model: vj.LatentModel
    params: Params
    source: Source

    def scored(self, split: vj.data.Split) -> tuple[str, vj.data.Split]:
        """Rows in the form that is scored, without those that miss values, and the name of that form."""
        if self.model.context_dim and split.y is None:
            raise ValueError("the model is conditional: expected data with labels")
        missing = np.zeros(len(split), bool)
        if split.x.dtype.kind == "f":
            missing = np.asarray(np.isnan(split.x).reshape(len(split), -1).any(1))
        if missing.all():
            raise ValueError("every row has missing values: none can be scored")
        split = split.take(~missing) if missing.any() else split
        note, _, x = prepare(self.model, split.x, self.options["pixels"], self.source.levels)
        note += f", {missing.sum()} rows with missing values left out" if missing.any() else ""
        return note, vj.data.Split(x, split.y)

    def draws(
        self, key: Key, count: int, label: int | None = None, **options: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Draws of the model; of a conditional one of a class, or of all in turn, with the classes."""
        one, classes = partial(vj.sample, self.model, self.params, **options), None
        if self.model.context_dim:
            most = self.model.context_dim - 1
            classes = np.arange(count, dtype=np.int32) % (most + 1)
            if label is not None:
                classes[:] = require_integer("--label", label, 0, most)
        elif label is not None:
            raise ValueError("--label is for conditional models")
        return np.asarray(jax.vmap(one)(jax.random.split(key, count), classes)), classes


@dataclasses.dataclass(frozen=True)
class Folder:
    """Folder of a run; `FileNotFoundError` where it lacks what is read from it."""

    path: Path

    @property
    def options(self) -> dict[str, Any]:
        """The options of `vaejax fit`, and the digest of its data."""
        file = self.path / _FILE
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} holds no run of `vaejax fit`")
        stored = self.read(_FILE)
        if stored is None or not _KEYS <= stored.keys():
            raise ValueError(f"{file} is not what `vaejax fit` writes: use a new folder")
        return stored

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of a fit; `ValueError` where another process has it."""
        held = lock(self.path / "lock", f"{self.path}: another process is writing this run")
        try:
            yield
        finally:
            held.release()

    def claim(self, options: dict[str, Any], scaling: vj.data.Scaling | None) -> None:
        """Make the folder this run's, or see that it is; `ValueError` where it belongs to something else."""
        begun = (self.path / "run.json").is_file() or (self.path / "model").is_dir()
        if begun and (self.path / _FILE).is_file():
            stored = self.options
            grows = {"extend"} | (set() if by_em(options["model"]) else {"epochs"})
            names = sorted((stored.keys() | options.keys()) - grows, key=lambda name: (name != "model", name))
            for name in names:
                old, new = stored.get(name), options.get(name)
                if old != new:
                    difference = f"its {name} is {old!r}, this one's is {new!r}"
                    raise ValueError(f"{self.path} holds another run: {difference}; use a new folder")
            if stored["epochs"] >= options["epochs"]:
                return
            if not options["extend"]:
                longer = f"its epochs are {stored['epochs']}, this one's {options['epochs']}"
                raise ValueError(f"{self.path} holds a run with a schedule of its length: {longer}; --extend goes on")
        elif self.path.exists() and (not self.path.is_dir() or any(map(_is_foreign, self.path.iterdir()))):
            raise ValueError(f"{self.path} holds something else: use a new folder")
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            write_json(self.path / _FILE, options)
            if scaling is not None:
                scaling.write(self.path)

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder, or `None` where there is none that can be read."""
        try:
            return read_json(self.path / name, "what the command line writes")
        except (OSError, ValueError):
            return None

    def load(self, data: str | None = None) -> Run:
        """The run, to be scored on its own data or on others; `ValueError` where its own have changed since."""
        options = self.options
        path = self.path / "model" if by_em(options["model"]) else self.path
        if not path.is_dir():
            raise FileNotFoundError(f"{self.path} holds no finished fit yet")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "this model is of rows in standard units")  # `Source` scales them
            model, params = vj.load(path)
        source = load_source(options)
        if data is not None:
            source = other_source(source, data, options["labels"])
        elif source.digest != options["digest"]:
            raise ValueError(f"{options['data']} is not what {self.path} was trained on: it has changed since")
        return Run(options, model, params, source)


def _is_foreign(path: Path) -> bool:
    """Whether a file is none of those that a fit leaves before its first checkpoint."""
    ours = (_FILE, "lock", "history.csv", "scaling.json")
    return not (path.name in ours or path.name.startswith((*(f".{name}." for name in (*ours, "model")), "run.json.")))
