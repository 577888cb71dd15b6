"""The commands, each a function of its options."""

from collections.abc import Callable
from typing import Any

import vaejax as vj
from vaejax.checks import require_integer
from vaejax.cli import options as of
from vaejax.cli.folder import Folder
from vaejax.cli.members import MEMBERS, by_em, describe
from vaejax.cli.report import write_report
from vaejax.cli.sampling import sample
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
    of.Sample: lambda command: say(sample(command)),
    of.Report: _report,
    of.Export: _export,
}
