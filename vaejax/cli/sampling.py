"""Draws of a run's model, as an array and as a file."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.cli.folder import Folder

__all__ = ["draws", "sample"]


def draws(model: Any, params: Any, key: jax.Array, count: int, label: int | None = None, **how: Any) -> np.ndarray:
    """Draws of a model; of a conditional one of a class, or of all in turn."""
    one: Callable[..., Any] = partial(vj.sample, model, params, **how)
    each = jax.random.split(key, count)
    if not model.context_dim:
        if label is not None:
            raise ValueError("--label is for conditional models")
        return np.asarray(jax.vmap(one)(each))
    if label is not None and not 0 <= label < model.context_dim:
        raise ValueError(f"--label: expected 0 to {model.context_dim - 1}, got {label}")
    labels = np.full(count, label) if label is not None else np.arange(count) % model.context_dim
    return np.asarray(jax.vmap(one)(each, labels.astype(np.int32)))


def sample(command: Any) -> str:
    """Draw what `Sample` asks for, and say what was written."""
    if command.n < 1:
        raise ValueError(f"-n: expected at least 1, got {command.n}")
    kind = command.out.suffix.lower()
    if kind not in (".png", ".npy", ".csv"):
        raise ValueError(f"--out: expected a .png, .npy or .csv file, got {command.out}")
    if command.temperature < 0:
        raise ValueError(f"--temperature: expected at least 0, got {command.temperature}")
    model, params, source = Folder(command.dir).load()
    how: dict[str, Any] = {"mode": command.mode, "temperature": command.temperature}
    if command.mode == "offset":
        how["offset"] = command.offset
    elif command.offset:
        raise ValueError("--offset goes with --mode offset")
    x = draws(model, params, jax.random.key(command.seed), command.n, command.label, **how)
    x = x.reshape(len(x), *source.data.train.x.shape[1:])
    if source.data.scaling is not None:
        x = source.data.scaling.undo(x)
    command.out.parent.mkdir(parents=True, exist_ok=True)
    if kind == ".npy":
        np.save(command.out, x)
    elif kind == ".csv":
        np.savetxt(command.out, x.reshape(len(x), -1), delimiter=",", fmt="%.7g")
    elif x.ndim == 4:
        unit = source.data.train.x.dtype == np.uint8
        vj.plots.image_grid(x, columns=max(1, round(len(x) ** 0.5)), limits=(0.0, 1.0) if unit else None).savefig(
            command.out, dpi=110
        )
    elif x.shape[1] == 2:
        vj.plots.scatter(x, title=f"{len(x)} draws").savefig(command.out, dpi=110)
    else:
        raise ValueError(f"rows of {x.shape[1]} columns are no picture: write them to a .csv or .npy file with --out")
    return f"{len(x)} draws ({command.mode}) in {command.out}"
