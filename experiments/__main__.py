"""The experiments: `python -m experiments NAME [--smoke | --full] [flags]`, `list`, `report`, `all [--smoke]`."""

import importlib
import json
import sys
import time
from pathlib import Path

import jax
import tyro
from rich.console import Console
from rich.table import Table

from experiments.harness import page
from experiments.harness.stories import question_and_prediction, stories


def run(name: str, words: list[str]) -> dict:
    """One experiment; `--smoke` and `--full` choose the settings that the other flags then change."""
    module = importlib.import_module(stories()[name].module)
    sizes = {size: getattr(module.Config, size) for size in ("smoke", "full") if hasattr(module.Config, size)}
    chosen = [size for size in sizes if f"--{size}" in words]
    if len(chosen) > 1:
        raise SystemExit("expected one of --smoke and --full, got both")
    default = sizes[chosen[0]]() if chosen else module.Config()
    if chosen == ["smoke"]:  # compiling is most of a smoke run
        jax.config.update("jax_disable_most_optimizations", True)
    rest = [word for word in words if word not in [f"--{size}" for size in chosen]]
    about = f"{module.__doc__}\n\nPresets that the flags change: " + ", ".join(f"--{size}" for size in sizes)
    program = f"python -m experiments {name}"
    return module.main(tyro.cli(module.Config, default=default, args=rest, prog=program, description=about))


def every(words: list[str]) -> int:
    """All experiments, one after the other; what fails is named at the end."""
    failed, start = [], time.perf_counter()
    for i, name in enumerate(stories()):
        try:
            run(name, words)
        except Exception as problem:  # the others are still worth having; the exit code tells
            failed.append(f"{name}: {type(problem).__name__}: {problem}")
            Console().print(f"[red]{failed[-1]}[/red]")
        jax.clear_caches()  # thousands of compiled programs reach the limit on memory maps and crash the compiler
        Console().print(f"{i + 1} of {len(stories())} experiments after {(time.perf_counter() - start) / 60:.1f} min")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return len(failed) > 0


def listing(out: Path) -> None:
    """What there is, and what has been measured."""
    table = Table()
    for column in ("experiment", "what it asks", "results"):
        table.add_column(column)
    for name, story in stories().items():
        about, _ = question_and_prediction(story.about)
        path = out / name / "metrics.json"
        found = json.loads(path.read_text()) if path.exists() else None
        table.add_row(name, about, "none yet" if found is None else f"{found['size']}, {found['seconds'] / 60:.1f} min")
    Console().print(table)


def main(words: list[str]) -> int:
    """Words of the command line to an exit code."""
    match words:
        case []:
            print(__doc__)
            listing(Path("results"))
        case ["list", *rest]:
            listing(Path(rest[0]) if rest else Path("results"))
        case ["report", *rest]:
            print(page.write(Path(rest[0]) if rest else Path("results")).resolve())
            if not rest:
                page.update(Path("results"))
        case ["all", *rest]:
            return every(rest)
        case [name, *rest] if name in stories():
            run(name, rest)
        case [name, *_]:
            print(f"{name!r} is no experiment: expected list, report, all, or one of {', '.join(stories())}")
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
