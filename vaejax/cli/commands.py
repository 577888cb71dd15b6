"""What each command does."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import vaejax as vj
from vaejax.cli import options as ask
from vaejax.cli.folder import Folder, load_source, rows_for
from vaejax.cli.members import MEMBERS, build, by_em, describe
from vaejax.cli.report import write_report
from vaejax.cli.sampling import sample
from vaejax.cli.scoring import evaluate, file_of, latest, score_rows

__all__ = ["run"]


def run(command: Any) -> None:
    """Run a parsed command."""
    _DO[type(command)](command)


def _first() -> bool:
    """Whether this is the first of several processes, which speaks and writes for all."""
    return jax.process_index() == 0


def _say(text: str) -> None:
    if not _first():
        return
    from rich.console import Console

    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _list(command: ask.List) -> None:
    fitted = lambda name: "EM" if by_em(name) else "gradients"  # noqa: E731
    _table(("model", "fitted by", ""), [(name, fitted(name), describe(name)) for name in MEMBERS])


def _count(name: str, value: int, least: int = 1) -> None:
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def _fit(command: ask.Fit) -> None:
    path = str(Path(command.data).resolve()) if Path(command.data).exists() else command.data
    asked = dataclasses.asdict(command) | {"out": None, "data": path}
    source = load_source(command.data, asked)
    train = source.data.train
    _count("--batch-size", 1 if command.batch_size is None else command.batch_size)
    batch_size = command.batch_size or _batch_size(len(train))
    steps = max(1, len(train) // batch_size)
    model = build(command, train.x.shape[1:], source.labels, source.levels, steps)
    told, transform, _ = rows_for(model, train.x[:1], command.pixels, source.levels)
    folder = Folder(command.out)
    epochs = command.epochs if command.epochs is not None else (200 if by_em(command.model) else 100)
    _count("--epochs", epochs)
    if by_em(command.model) and jax.process_count() > 1:
        raise ValueError(f"{command.model} is fitted by one process, got {jax.process_count()}")
    if _first():
        folder.claim(json.loads(json.dumps(asked | {"epochs": epochs, "digest": source.digest})))
    parts = [
        (name, part) for name, part in zip(("train", "validation", "test"), source.data.parts, strict=True) if part
    ]
    sizes = ", ".join(f"{len(part)} {name}" for name, part in parts)
    _say(f"{command.model} on {sizes} rows {train.x.shape[1:]}, {told}")
    for note in source.data.notes:
        _say(f"  {note}")
    if by_em(command.model):
        _fit_em(command, folder, model, rows_for(model, train.x, command.pixels, source.levels)[2], epochs)
    else:
        _fit_by_gradients(command, folder, model, source, transform, epochs, batch_size)
    _say(f"saved in {folder.path}; next: vaejax evaluate {folder.path}, vaejax report {folder.path}")


def _batch_size(rows: int) -> int:
    """128, or a twentieth of few rows; what the devices of several processes can share."""
    size, devices = min(128, max(16, rows // 20)), jax.device_count() if jax.process_count() > 1 else 1
    return max(devices, size // devices * devices)


def _fit_em(command: ask.Fit, folder: Folder, model: Any, x: np.ndarray, epochs: int) -> None:
    if (folder.path / "model").is_dir():
        _say("the fit is finished")
        return
    _count("--restarts", command.restarts)
    rows = x.reshape(len(x), -1)
    missing = bool(np.isnan(rows).any())
    key = jax.random.key(command.seed)
    params, trace = vj.em.fit(
        model, key, rows, num_steps=epochs, num_restarts=command.restarts, tol=1e-6, missing=missing
    )
    steps = int(trace.steps)
    with (folder.path / "history.csv").open("w") as file:
        file.write("step,log_likelihood\n")
        file.writelines(f"{i},{value}\n" for i, value in enumerate(trace.log_likelihood[: steps + 1]))
    vj.save(folder.path / "model", model, params)
    ended = "converged" if trace.converged else "not converged"
    units = " in standard units" if command.standardize else ""
    _say(f"{steps} steps, {ended}: log-likelihood {trace.log_likelihood[steps]:.4f} nats a row of train{units}")


def _fit_by_gradients(
    command: ask.Fit, folder: Folder, model: Any, source: Any, transform: Any, epochs: int, batch_size: int
) -> None:
    if not command.learning_rate > 0:
        raise ValueError(f"--learning-rate: expected a positive number, got {command.learning_rate}")
    result = vj.fit(
        model,
        jax.random.key(command.seed),
        vj.data.share(source.data, jax.process_index(), jax.process_count()),
        optimizer=optax.adam(command.learning_rate),
        epochs=epochs,
        batch_size=batch_size,
        context="labels" if model.context_dim else None,
        checkpoint=folder.path,
        patience=command.patience,
        transform=transform,
    )
    if _first():
        result.history.to_csv(folder.path / "history.csv")
    values = result.history["validation_value" if source.data.validation is not None else "value"]
    where = "validation" if source.data.validation is not None else "train"
    best = int(np.nanargmax(values))
    units = "" if source.data.scaling is None else ", in standard units"
    nats = " nats" if model.has_density else ""  # an autoencoder's objective is minus a squared error
    _say(f"{len(values)} epochs: objective {values[best]:.2f}{nats}{units} ({where}, epoch {best + 1})")
    for note in result.history.notes:
        _say(f"  {note}")


def _evaluate(command: ask.Evaluate) -> None:
    _count("--k", command.k)
    folder = Folder(command.dir)
    if command.ais:
        _count("--ais", command.ais)
    asked = {name: getattr(command, name) for name in ("k", "quick", "data", "seed", "ais")}
    metrics, anew = evaluate(folder, **asked)
    _say(f"{metrics['model']} on {metrics['data']}: {metrics['protocol']}")
    for note in metrics["notes"]:
        _say(f"  {note}")
    rows, notes = score_rows(metrics)
    _table(("score", "mean ± s.e.", "unit", "note"), rows)
    for note in notes:
        _say(f"  {note}")
    if metrics["advice"]:
        _say("what the diagnosis suggests:")
    for sentence in metrics["advice"]:
        _say(f"- {sentence}")
    _say(("written to " if anew else "nothing has changed since ") + str(folder.path / file_of(command.data)))


def _report(command: ask.Report) -> None:
    folder = Folder(command.dir)
    metrics = latest(folder)
    out = command.out or folder.path / "report.html"
    write_report(folder, metrics, out)
    _say(f"page: {out}")


def _export(command: ask.Export) -> None:
    folder = Folder(command.dir)
    model, params, source = folder.load()
    out = command.out or folder.path / f"{command.what}.stablehlo"
    blob = vj.export(model, params, command.what)
    temporary = Path(f"{out}.part")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(blob)
    temporary.replace(out)
    _say(f"{command.what}: {len(blob)} bytes in {out}; jax.export.deserialize(blob).call(...) runs it")
    if source.data.scaling is not None:
        scaling = {name: getattr(source.data.scaling, name).tolist() for name in ("mean", "scale")}
        beside = out.with_name(f"{out.name}.scaling.json")
        beside.write_text(json.dumps(scaling) + "\n")
        _say(f"x is in standard units, (x - mean) / scale; mean and scale are in {beside}")


_DO: dict[type, Callable[[Any], None]] = {
    ask.List: _list,
    ask.Fit: _fit,
    ask.Evaluate: _evaluate,
    ask.Sample: lambda command: _say(sample(command)),
    ask.Report: _report,
    ask.Export: _export,
}
