"""The part of experiments/README.md that is made from the results, so that no number stands there by hand."""

import json
from pathlib import Path
from typing import Any

from experiments.__main__ import NAMES
from experiments.kept import title

__all__ = ["answers", "update"]

README = Path(__file__).parent / "README.md"
START, END = "<!-- made by `python -m experiments report` -->", "<!-- end -->"


def _minutes(found: dict[str, Any]) -> str:
    return f"{found['seconds'] / 60:.1f}"


def _answer(name: str, found: dict[str, Any]) -> str:
    """One experiment: what was asked, predicted and measured, with its first picture."""
    picture = found["figures"][0]
    larger = "" if found["size"] == "full" else f", larger: `python -m experiments {name} --full`"
    seeds, how = found["config"]["seeds"], found["protocol"]
    return "\n\n".join(
        [
            f"### {title(name)}",
            f"*{found['question']}*",
            f"**Predicted.** {found['prediction']}",
            f"**Measured.** {found['answer']}",
            f"![{picture['caption']}](../results/{name}/{picture['file']})",
            f"`{found['command']}` ({found['size']} size, {seeds} seed{'s' * (seeds != 1)}{larger}). {how}.",
        ]
    )


def answers(out: Path) -> str:
    """All experiments of a folder of results in Markdown: a table of what they took, and an answer each."""
    paths = {name: out / name / "metrics.json" for name in NAMES}
    found = {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}
    rows = [f"| {name} | {len(each['numbers'])} | {_minutes(each)} |" for name, each in found.items()]
    left = [name for name in NAMES if name not in found]
    table = ["| experiment | cells | minutes |", "|---|---|---|", *rows]
    missing = [f"Not run yet: {', '.join(left)}."] if left else []
    each = [_answer(name, numbers) for name, numbers in found.items()]
    return "\n\n".join(["\n".join(table), *missing, *each])


def update(out: Path, path: Path = README) -> None:
    """Put the answers of a folder of results between the two marks of a file."""
    before, _, rest = path.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n\n{answers(out)}\n\n{END}{after}", "utf-8")
