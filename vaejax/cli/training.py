"""`vaejax fit`: the data, the model and its training, by EM or by gradients."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import vaejax as vj
from vaejax.checks import require_integer, require_number
from vaejax.cli.folder import Folder
from vaejax.cli.members import build, by_em
from vaejax.cli.options import Fit
from vaejax.cli.source import Source, load_source, prepare
from vaejax.cli.terminal import is_first, say
from vaejax.files import write_text
from vaejax.types import Transform

__all__ = ["fit"]

_adam = functools.cache(
    optax.adam
)  # one object a rate: programs of a second fit in this process are not compiled again


def fit(command: Fit) -> None:
    """Train a model, or go on where it was stopped."""
    path = str(Path(command.data).resolve()) if Path(command.data).exists() else command.data
    options = dataclasses.asdict(command) | {"out": None, "data": path}
    source, em = load_source(options | {"data": command.data}), by_em(command.model)
    train = source.train.x
    size = (
        _batch_size(len(train)) if command.batch_size is None else require_integer("--batch-size", command.batch_size)
    )
    model = build(command, train.shape[1:], source.labels, source.levels, max(1, len(train) // size))
    form, transform, _ = prepare(model, train[:1], command.pixels, source.levels)
    epochs = require_integer("--epochs", (200 if em else 100) if command.epochs is None else command.epochs)
    if em and jax.process_count() > 1:
        raise ValueError(f"{command.model} is fitted by one process, got {jax.process_count()}")
    folder = Folder(command.out)
    if is_first():
        folder.claim(json.loads(json.dumps(options | {"epochs": epochs, "digest": source.digest})))
    sizes = {name: len(part) for name in ("train", "validation", "test") if (part := getattr(source.data, name))}
    parts = ", ".join(f"{count} {name}" for name, count in sizes.items())
    say(f"{command.model} on {parts} rows {train.shape[1:]}, {form}", source.data.notes)
    if em:
        _by_em(command, folder, model, source, epochs)
    else:
        _by_gradients(command, folder, model, source, transform, epochs=epochs, batch_size=size)
    say(f"saved in {folder.path}; next: vaejax evaluate {folder.path}, vaejax report {folder.path}")


def _batch_size(rows: int) -> int:
    """128, or a twentieth of few rows; a number that the devices of several processes can share."""
    size, devices = min(128, max(16, rows // 20)), jax.device_count() if jax.process_count() > 1 else 1
    return max(devices, size // devices * devices)


def _by_em(command: Fit, folder: Folder, model: vj.LatentModel, source: Source, epochs: int) -> None:
    if (folder.path / "model").is_dir():
        say("the fit is finished")
        return
    x = prepare(model, source.train.x, command.pixels, source.levels).rows
    params, trace = vj.em.fit(
        model,
        jax.random.key(command.seed),
        x.reshape(len(x), -1),
        num_steps=epochs,
        num_restarts=require_integer("--restarts", command.restarts),
        tol=1e-6,
        missing=bool(np.isnan(x).any()),
    )
    steps = int(trace.steps)
    lines = [f"{i},{value}\n" for i, value in enumerate(trace.log_likelihood[: steps + 1])]
    write_text(folder.path / "history.csv", "step,log_likelihood\n" + "".join(lines))
    vj.save(folder.path / "model", model, params)
    ended = "converged" if trace.converged else "not converged"
    units = " in standard units" if command.standardize else ""
    say(f"{steps} steps, {ended}: log-likelihood {trace.log_likelihood[steps]:.4f} nats a row of train{units}")


def _by_gradients(
    command: Fit, folder: Folder, model: vj.LatentModel, source: Source, transform: Transform | None, **options: Any
) -> None:
    result = vj.fit(
        model,
        jax.random.key(command.seed),
        vj.data.share(source.data, jax.process_index(), jax.process_count()),
        optimizer=_adam(require_number("--learning-rate", command.learning_rate, above=0)),
        context="labels" if model.context_dim else None,
        checkpoint=folder.path,
        patience=command.patience,
        transform=transform,
        **options,
    )
    if is_first():
        result.history.to_csv(folder.path / "history.csv")
    where, name = ("validation", "validation_value") if source.data.validation else ("train", "value")
    values = result.history[name]
    best = int(np.nanargmax(values))
    units = "" if source.data.scaling is None else ", in standard units"
    nats = " nats" if model.has_density else ""  # an autoencoder's objective is minus a squared error
    reached = f"objective {values[best]:.2f}{nats}{units} ({where}, epoch {best + 1})"
    say(f"{len(values)} epochs: {reached}", result.history.notes)
