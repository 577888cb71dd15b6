"""The commands, each a function of its options. Of several processes the first one speaks and writes for all."""

import csv
import dataclasses
import functools
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

import vaejax as vj
from vaejax.checks import require_integer, require_number
from vaejax.cli import options as of
from vaejax.cli.folder import Folder, Run
from vaejax.cli.members import MEMBERS, build, by_em, describe
from vaejax.cli.report import write_report
from vaejax.cli.scoring import evaluate, file_of, latest, score_rows
from vaejax.cli.source import Source, load_source, prepare
from vaejax.files import write_text
from vaejax.types import Transform

__all__ = ["COMMANDS"]

T = TypeVar("T")


def _list(command: of.List) -> None:
    rows = [(name, "EM" if by_em(name) else "gradients", describe(name)) for name in MEMBERS]
    _show_table(("model", "fitted by", ""), rows)


def _fit(command: of.Fit) -> None:
    """Train a model, or go on where it was stopped."""
    path = str(Path(command.data).resolve()) if Path(command.data).exists() else command.data
    options = dataclasses.asdict(command) | {"out": None, "data": path}
    source, em = load_source(options | {"data": command.data}), by_em(command.model)
    train = source.train.x
    devices = jax.device_count() if jax.process_count() > 1 else 1
    size = command.batch_size
    if size is None:  # more steps of few rows: the best of them is kept by the validation part
        size = vj.train.rows_of_a_step(devices, min(100, max(16, len(train) // 20)))
    require_integer("--batch-size", size)
    model = build(command, train.shape[1:], source.labels, source.levels, max(1, len(train) // size))
    form, transform, _ = prepare(model, train[:1], command.pixels, source.levels)
    epochs = require_integer("--epochs", (200 if em else 100) if command.epochs is None else command.epochs)
    if em and jax.process_count() > 1:
        raise ValueError(f"{command.model} is fitted by one process, got {jax.process_count()}")
    folder = Folder(command.out)
    if _is_first():
        folder.claim(json.loads(json.dumps(options | {"epochs": epochs, "digest": source.digest})), source.data.scaling)
    sizes = {name: len(part) for name in ("train", "validation", "test") if (part := getattr(source.data, name))}
    parts = ", ".join(f"{count} {name}" for name, count in sizes.items())
    _say(f"{command.model} on {parts} rows {train.shape[1:]}, {form}", source.data.notes)
    if em:
        _by_em(command, folder, model, source, epochs)
    else:
        _by_gradients(command, folder, model, source, transform, epochs=epochs, batch_size=size)
    _say(f"saved in {folder.path}; next: vaejax evaluate {folder.path}, vaejax report {folder.path}")


def _by_em(command: of.Fit, folder: Folder, model: vj.LatentModel, source: Source, epochs: int) -> None:
    with folder.locked():
        if (folder.path / "model").is_dir():
            _say("finished run read: nothing was trained")
            return
        _em(command, folder, model, source, epochs)


def _em(command: of.Fit, folder: Folder, model: vj.LatentModel, source: Source, epochs: int) -> None:
    x = prepare(model, source.train.x, command.pixels, source.levels).rows
    fit = functools.partial(
        vj.em.fit,
        model,
        jax.random.key(command.seed),
        x,
        num_steps=epochs,
        num_restarts=require_integer("--restarts", command.restarts),
        tol=1e-6,
        missing=bool(np.isnan(x).any()),
    )
    params, trace = _interruptible(fit)
    steps = int(trace.steps)
    lines = [f"{i},{value}\n" for i, value in enumerate(trace.log_likelihood[: steps + 1])]
    write_text(folder.path / "history.csv", "step,log_likelihood\n" + "".join(lines))
    vj.save(folder.path / "model", model, params)
    ended = "converged" if trace.converged else "not converged"
    units = " in standard units" if command.standardize else ""
    _say(f"{steps} steps, {ended}: log-likelihood {trace.log_likelihood[steps]:.4f} nats a row of train{units}")


def _interruptible(work: Callable[[], T]) -> T:
    """The result of work in a thread of its own: the main one hears Ctrl-C, which a compiled loop does not."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        return work()
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as problem:
            result.set_exception(problem)
        ended.set()

    ended, stopped = threading.Event(), threading.Event()
    # An exception that Python raises wherever the main thread stands may be lost in a finaliser; an event is not.
    before = signal.signal(signal.SIGINT, lambda number, frame: (stopped.set(), ended.set()))
    try:
        threading.Thread(target=run, daemon=True).start()
        while not ended.wait(0.2):
            pass
    finally:
        signal.signal(signal.SIGINT, before)
    if stopped.is_set():
        raise KeyboardInterrupt
    return result.result()


def _by_gradients(
    command: of.Fit, folder: Folder, model: vj.LatentModel, source: Source, transform: Transform | None, **options: Any
) -> None:
    result = vj.fit(
        model,
        jax.random.key(command.seed),
        vj.data.share(source.data, jax.process_index(), jax.process_count()),
        optimizer=vj.train.cosine_adam(require_number("--learning-rate", command.learning_rate, above=0)),
        extend=command.extend,
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
    if command.out is not None and command.out.suffix.lower() not in (".png", ".npy", ".csv"):
        raise ValueError(f"--out: expected a .png, .npy or .csv file, got {command.out}")
    if command.offset and command.mode != "offset":
        raise ValueError("--offset goes with --mode offset")
    run = Folder(command.dir).load()
    data, shape = run.source.data, run.source.train.x.shape[1:]
    pictures = len(shape) == 3 and run.model.num_components is None
    mode = command.mode or ("mean" if pictures else "ancestral")
    options = {"mode": mode, "temperature": command.temperature, "offset": command.offset}
    x, classes = run.draws(jax.random.key(command.seed), command.n, command.label, **options)
    x = x.reshape(len(x), *shape)
    x = x if data.scaling is None else data.scaling.undo(x)
    out = command.out
    if out is None and (len(shape) == 3 or shape == (2,)):
        out = Path("samples.png")
    if out is None:
        _show_table(*_as_table(x, classes, run, _short))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".npy":
        content = io.BytesIO()
        np.save(content, x)
        write_text(out, content.getvalue())
    elif out.suffix.lower() == ".csv":
        columns, rows = _as_table(x, classes, run, lambda number: f"{number:.7g}")
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows] if data.columns else rows)
        write_text(out, text.getvalue())
    else:
        _picture(x, out, (0.0, 1.0) if run.source.train.x.dtype == np.uint8 else None)
    _say(f"{len(x)} draws ({mode}) in {out}")


def _short(number: float) -> str:
    return f"{number:.4g}"


def _as_table(
    x: np.ndarray, classes: np.ndarray | None, run: Run, shown: Callable[[float], str]
) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, in the order of the file, and rows of words; a conditional model's class comes last."""
    flat, data = x.reshape(len(x), -1), run.source.data
    columns = list(data.columns) or [str(i) for i in range(flat.shape[1])]
    rows = [[shown(number) for number in row] for row in flat]
    if classes is not None:
        columns.append(run.options["labels"] or "label")
        for row, label in zip(rows, classes, strict=True):
            row.append(data.classes[label] if data.classes else str(label))
    return columns, rows


def _picture(x: np.ndarray, out: Path, limits: tuple[float, float] | None) -> None:
    if x.ndim == 4:
        figure = vj.plots.image_grid(x, columns=max(1, round(len(x) ** 0.5)), limits=limits)
    elif x.shape[1] == 2:
        figure = vj.plots.scatter(x, title=f"{len(x)} draws")
    else:
        raise ValueError(f"rows of {x.shape[1]} columns are no picture: write them to a .csv or .npy file with --out")
    content = io.BytesIO()
    figure.savefig(content, dpi=110)
    write_text(out, content.getvalue())


def _report(command: of.Report) -> None:
    folder = Folder(command.dir)
    run, out = folder.load(), command.out or folder.path / "report.html"
    write_report(folder, run, latest(folder, run), out)
    _say(f"page: {out}")


def _export(command: of.Export) -> None:
    folder = Folder(command.dir)
    run, out = folder.load(), command.out or folder.path / f"{command.what}.stablehlo"
    scaling = run.source.data.scaling
    artefact = vj.export(run.model, run.params, command.what, scaling=scaling)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, artefact)
    _say(f"{command.what}: {len(artefact)} bytes in {out}; jax.export.deserialize(blob).call(...) runs it")
    if scaling is not None:
        _say("rows go in and come out in the units of the data; the scaling of --standardize is part of it")


def _is_first() -> bool:
    """Whether this is the first of several processes, which speaks and writes for all."""
    return jax.process_index() == 0


def _say(text: str, notes: Iterable[str] = ()) -> None:
    """Print a line, and notes below it."""
    if _is_first():
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False, markup=False)
        for line in (text, *(f"  {note}" for note in notes)):
            console.print(_printable(line))


def _show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(_printable(column), overflow="fold")
    for row in rows:
        table.add_row(*map(_printable, row))
    Console(highlight=False, markup=False).print(table)


def _printable(text: str) -> str:
    """The text in the letters that the terminal has."""
    letters = sys.stdout.encoding or "utf-8"
    try:
        text.encode(letters)
    except UnicodeEncodeError:
        return text.replace("±", "+-").encode(letters, "replace").decode(letters)
    return text


COMMANDS: dict[type, Callable[[Any], None]] = {
    of.List: _list,
    of.Fit: _fit,
    of.Evaluate: _evaluate,
    of.Sample: _sample,
    of.Report: _report,
    of.Export: _export,
}
