"""Draws of a run's model, as an array and as a file."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.checks import require_integer, require_number
from vaejax.cli.folder import Folder, Run
from vaejax.cli.options import Sample

__all__ = ["draws", "sample"]


def draws(run: Run, key: jax.Array, count: int, label: int | None = None, **options: Any) -> np.ndarray:
    """Draws of a model; of a conditional one of a class, or of all in turn."""
    one, keys, classes = partial(vj.sample, run.model, run.params, **options), jax.random.split(key, count), None
    if run.model.context_dim:
        most = run.model.context_dim - 1
        given = None if label is None else require_integer("--label", label, 0, most)
        classes = np.arange(count, dtype=np.int32) % (most + 1) if given is None else np.full(count, given, np.int32)
    elif label is not None:
        raise ValueError("--label is for conditional models")
    return np.asarray(jax.vmap(one)(keys, classes))


def sample(command: Sample) -> str:
    """Draw as `Sample` says, and return a line on the file."""
    require_integer("-n", command.n)
    require_number("--temperature", command.temperature, least=0)
    kind = command.out.suffix.lower()
    if kind not in (".png", ".npy", ".csv"):
        raise ValueError(f"--out: expected a .png, .npy or .csv file, got {command.out}")
    if command.offset and command.mode != "offset":
        raise ValueError("--offset goes with --mode offset")
    run = Folder(command.dir).load()
    options = {"mode": command.mode, "temperature": command.temperature, "offset": command.offset}
    x = draws(run, jax.random.key(command.seed), command.n, command.label, **options)
    train = run.source.train.x
    x = x.reshape(len(x), *train.shape[1:])
    if run.source.data.scaling is not None:
        x = run.source.data.scaling.undo(x)
    command.out.parent.mkdir(parents=True, exist_ok=True)
    if kind == ".npy":
        np.save(command.out, x)
    elif kind == ".csv":
        np.savetxt(command.out, x.reshape(len(x), -1), delimiter=",", fmt="%.7g")
    else:
        _picture(x, command.out, (0.0, 1.0) if train.dtype == np.uint8 else None)
    return f"{len(x)} draws ({command.mode}) in {command.out}"


def _picture(x: np.ndarray, out: Path, limits: tuple[float, float] | None) -> None:
    if x.ndim == 4:
        figure = vj.plots.image_grid(x, columns=max(1, round(len(x) ** 0.5)), limits=limits)
    elif x.shape[1] == 2:
        figure = vj.plots.scatter(x, title=f"{len(x)} draws")
    else:
        raise ValueError(f"rows of {x.shape[1]} columns are no picture: write them to a .csv or .npy file with --out")
    figure.savefig(out, dpi=110)
