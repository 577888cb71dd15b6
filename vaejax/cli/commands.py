"""The commands, each a function of its options."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.checks import require_integer, require_number
from vaejax.cli import options as of
from vaejax.cli.folder import Folder
from vaejax.cli.members import MEMBERS, by_em, describe
from vaejax.cli.report import write_report
from vaejax.cli.scoring import evaluate, file_of, latest, score_rows
from vaejax.cli.terminal import say, show_table
from vaejax.cli.training import fit
from vaejax.files import write_json, write_text

__all__ = ["run"]


def run(command: Any) -> None:
    """Run a parsed command."""
    _COMMANDS[type(command)](command)


def _list(command: of.List) -> None:
    rows = [(name, "EM" if by_em(name) else "gradients", describe(name)) for name in MEMBERS]
    show_table(("model", "fitted by", ""), rows)


def _evaluate(command: of.Evaluate) -> None:
    require_integer("--k", command.k)
    require_integer("--ais", command.ais, 0)
    folder = Folder(command.dir)
    metrics, anew = evaluate(folder, folder.load(command.data), command)
    say(f"{metrics['model']} on {metrics['data']}: {metrics['protocol']}", metrics["notes"])
    rows, notes = score_rows(metrics)
    show_table(("score", "mean ± s.e.", "unit", "note"), rows)
    for note in notes:
        say(f"  {note}")
    if metrics["advice"]:
        say("what the diagnosis suggests:")
    for sentence in metrics["advice"]:
        say(f"- {sentence}")
    say(f"{'written to' if anew else 'nothing has changed since'} {folder.path / file_of(command.data)}")


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
    say(f"{len(x)} draws ({command.mode}) in {command.out}")


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
    say(f"page: {out}")


def _export(command: of.Export) -> None:
    folder = Folder(command.dir)
    run, out = folder.load(), command.out or folder.path / f"{command.what}.stablehlo"
    artefact = vj.export(run.model, run.params, command.what)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, artefact)
    say(f"{command.what}: {len(artefact)} bytes in {out}; jax.export.deserialize(blob).call(...) runs it")
    if (scaling := run.source.data.scaling) is not None:
        beside = out.with_name(f"{out.name}.scaling.json")
        write_json(beside, {"mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()})
        say(f"x is in standard units, (x - mean) / scale; mean and scale are in {beside}")


_COMMANDS: dict[type, Callable[[Any], None]] = {
    of.List: _list,
    of.Fit: fit,
    of.Evaluate: _evaluate,
    of.Sample: _sample,
    of.Report: _report,
    of.Export: _export,
}
