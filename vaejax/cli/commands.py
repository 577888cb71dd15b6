"""The commands, each a function of its options. Of several processes the first one speaks and writes for all."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import vaejax as vj
from vaejax.checks import require_integer, require_number
from vaejax.cli import options as of
from vaejax.cli.folder import Folder
from vaejax.cli.members import MEMBERS, build, by_em, describe
from vaejax.cli.report import write_report
from vaejax.cli.scoring import evaluate, file_of, latest, score_rows
from vaejax.cli.source import Source, load_source, prepare
from vaejax.files import write_json, write_text
from vaejax.types import Transform

__all__ = ["COMMANDS"]

# One object a rate: programs of a second fit in this process are not compiled again.
_adam = functools.cache(optax.adam)


def _list(command: of.List) -> None:
    rows = [(name, "EM" if by_em(name) else "gradients", describe(name)) for name in MEMBERS]
    _show_table(("model", "fitted by", ""), rows)


def _fit(command: of.Fit) -> None:
    """Train a model, or go on where it was stopped."""
    path = str(Path(command.data).resolve()) if Path(command.data).exists() else command.data
    options = dataclasses.asdict(command) | {"out": None, "data": path}
    source, em = load_source(options | {"data": command.data}), by_em(command.model)
    train = source.train.x
    size = _batch_size(len(train)) if command.batch_size is None else command.batch_size
    require_integer("--batch-size", size)
    model = build(command, train.shape[1:], source.labels, source.levels, max(1, len(train) // size))
    form, transform, _ = prepare(model, train[:1], command.pixels, source.levels)
    epochs = require_integer("--epochs", (200 if em else 100) if command.epochs is None else command.epochs)
    if em and jax.process_count() > 1:
        raise ValueError(f"{command.model} is fitted by one process, got {jax.process_count()}")
    folder = Folder(command.out)
    if _is_first():
        folder.claim(json.loads(json.dumps(options | {"epochs": epochs, "digest": source.digest})))
    sizes = {name: len(part) for name in ("train", "validation", "test") if (part := getattr(source.data, name))}
    parts = ", ".join(f"{count} {name}" for name, count in sizes.items())
    _say(f"{command.model} on {parts} rows {train.shape[1:]}, {form}", source.data.notes)
    if em:
        _by_em(command, folder, model, source, epochs)
    else:
        _by_gradients(command, folder, model, source, transform, epochs=epochs, batch_size=size)
    _say(f"saved in {folder.path}; next: vaejax evaluate {folder.path}, vaejax report {folder.path}")


def _batch_size(rows: int) -> int:
    """128, or a twentieth of few rows; a number that the devices of several processes can share."""
    size, devices = min(128, max(16, rows // 20)), jax.device_count() if jax.process_count() > 1 else 1
    return max(devices, size // devices * devices)


def _by_em(command: of.Fit, folder: Folder, model: vj.LatentModel, source: Source, epochs: int) -> None:
    if (folder.path / "model").is_dir():
        _say("the fit is finished")
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
    _say(f"{steps} steps, {ended}: log-likelihood {trace.log_likelihood[steps]:.4f} nats a row of train{units}")


def _by_gradients(
    command: of.Fit, folder: Folder, model: vj.LatentModel, source: Source, transform: Transform | None, **options: Any
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
    if _is_first():
        result.history.to_csv(folder.path / "history.csv")
    where, name = ("validation", "validation_value") if source.data.validation else ("train", "value")
    values = result.history[name]
    best = int(np.nanargmax(values))
    units = "" if source.data.scaling is None else ", in standard units"
    nats = " nats" if model.has_density else ""  # an autoencoder's objective is minus a squared error
    reached = f"objective {values[best]:.2f}{nats}{units} ({where}, epoch {best + 1})"
    _say(f"{len(values)} epochs: {reached}", result.history.notes)


def _evaluate(command: of.Evaluate) -> None:
    require_integer("--k", command.k)
    require_integer("--ais", command.ais, 0)
    folder = Folder(command.dir)
    metrics, anew = evaluate(folder, folder.load(command.data), command)
    _say(f"{metrics['model']} on {metrics['data']}: {metrics['protocol']}", metrics["notes"])
    rows, notes = score_rows(metrics)
    _show_table(("score", "mean ± s.e.", "unit", "note"), rows)
    for note in notes:
        _say(f"  {note}")
    if metrics["advice"]:
        _say("what the diagnosis suggests:")
    for sentence in metrics["advice"]:
        _say(f"- {sentence}")
    _say(f"{'written to' if anew else 'nothing has changed since'} {folder.path / file_of(command.data)}")


def _sample(command: of.Sample) -> None:
    require_integer("-n", command.n)
    require_number("--temperature", command.temperature, least=0)
    kind = command.out.suffix.lower()
    if kind not in (".png", ".npy", ".csv"):
        raise ValueError(f"--out: expected a .png, .npy or .csv file, got {command.out}")
    if command.offset and command.mode != "offset":
        raise ValueError("--offset goes with --mode offset")
    run = Folder(command.dir).load()
    options = {"mode": command.mode, "temperature": command.temperature, "offset": command.offset}
    x = run.draws(jax.random.key(command.seed), command.n, command.label, **options)
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
    _say(f"{len(x)} draws ({command.mode}) in {command.out}")


def _picture(x: np.ndarray, out: Path, limits: tuple[float, float] | None) -> None:
    if x.ndim == 4:
        figure = vj.plots.image_grid(x, columns=max(1, round(len(x) ** 0.5)), limits=limits)
    elif x.shape[1] == 2:
        figure = vj.plots.scatter(x, title=f"{len(x)} draws")
    else:
        raise ValueError(f"rows of {x.shape[1]} columns are no picture: write them to a .csv or .npy file with --out")
    figure.savefig(out, dpi=110)


def _report(command: of.Report) -> None:
    folder = Folder(command.dir)
    run, out = folder.load(), command.out or folder.path / "report.html"
    write_report(folder, run, latest(folder, run), out)
    _say(f"page: {out}")


def _export(command: of.Export) -> None:
    folder = Folder(command.dir)
    run, out = folder.load(), command.out or folder.path / f"{command.what}.stablehlo"
    artefact = vj.export(run.model, run.params, command.what)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, artefact)
    _say(f"{command.what}: {len(artefact)} bytes in {out}; jax.export.deserialize(blob).call(...) runs it")
    if (scaling := run.source.data.scaling) is not None:
        beside = out.with_name(f"{out.name}.scaling.json")
        write_json(beside, {"mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()})
        _say(f"x is in standard units, (x - mean) / scale; mean and scale are in {beside}")


def _is_first() -> bool:
    """Whether this is the first of several processes, which speaks and writes for all."""
    return jax.process_index() == 0


def _say(text: str, notes: Iterable[str] = ()) -> None:
    """Print a line, and notes below it."""
    if _is_first():
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False, markup=False)
        for line in (text, *(f"  {note}" for note in notes)):
            console.print(line)


def _show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


COMMANDS: dict[type, Callable[[Any], None]] = {
    of.List: _list,
    of.Fit: _fit,
    of.Evaluate: _evaluate,
    of.Sample: _sample,
    of.Report: _report,
    of.Export: _export,
}
