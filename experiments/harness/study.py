"""Record of a story: cells that are computed once, fits that are shared, pictures, tables, answer.

A study computes cells (numbers, kept as JSON as soon as they are there) from fits (kept as the run folders of
`vj.fit`), so that a killed experiment goes on where it was, and an experiment uses the fits of another.
"""

import dataclasses
import functools
import inspect
import io
import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
import optax
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.table import Table

import vaejax as vj
from experiments.harness.cells import Cells, hashed, plain, short
from experiments.harness.grid import Grid, mean_and_error, plus_minus
from experiments.harness.stories import question_and_prediction
from vaejax.recipes import digest

__all__ = ["Base", "Grid", "Study", "adam", "judge", "mean_and_error", "plus_minus", "slim"]

LARGEST_PICTURE = 200_000  # bytes


@dataclasses.dataclass(frozen=True)
class Base:
    """Settings of every story."""

    out: Path = Path("results")
    """Folder of the results; each experiment has one of its own in it."""
    work: Path = Path("out/experiments")
    """Folder of fits and cells, which a later run goes on with."""
    size: str = "default"
    """What the results are called: smoke, default or full."""
    seeds: int = 3
    """Runs of each setting, told apart by their seeds."""

    @classmethod
    def small(cls, **settings: Any) -> Self:
        """A configuration for a quick look, whose results do not overwrite real ones."""
        return cls(**{"size": "smoke", "out": Path("out/smoke"), "seeds": 1} | settings)


@functools.cache  # one object for equal fits: they compile once
def adam(learning_rate: float, cosine: int = 0) -> optax.GradientTransformation:
    """Adam, its rate constant or falling to zero over `cosine` steps."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, cosine) if cosine else learning_rate)


class Study:
    """The record of one experiment.

    Args:
      module: its `__name__`; the last part is the name of the folder of results. The module may state a `REVISION`,
        an integer (default: 1): cells of another one are not used.
      config: its settings.
      about: default: the module's docstring. The first paragraph is the question, one that begins with "Prediction: "
        what was expected before anything was run.
    """

    def __init__(self, module: str, config: Base, about: str | None = None):
        self.name, self.config = module.rpartition(".")[2], config
        self.revision = getattr(sys.modules.get(module), "REVISION", 1)
        about = inspect.cleandoc(about or sys.modules[module].__doc__ or "")
        self.question, self.prediction = question_and_prediction(about)
        self.seconds = 0.0
        self.numbers: dict[str, Any] = {}
        self.tables: list[dict[str, Any]] = []
        self.figures: list[dict[str, Any]] = []
        self.drawn: dict[str, Figure] = {}
        self.extra: dict[str, Any] = {}
        self.console = Console()
        self.console.rule(f"{self.name} ({config.size})")
        self.console.print(self.question)

    @property
    def folder(self) -> Path:
        """Where the results are written."""
        path = self.config.out / self.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fit(
        self,
        model: Any,
        data: Any,
        *,
        seed: int = 0,
        members: int | None = None,
        epochs: int,
        learning_rate: float = 1e-3,
        cosine: int = 0,
        **options: Any,
    ) -> vj.Fit:
        """`vj.fit` in a folder that is named by all that it is given: finished fits are read, killed ones go on.

        The learning rate falls to zero by a cosine over `cosine` steps, or stays; the other `options` are `vj.fit`'s.
        With `members` it is `vj.fit_ensemble` of that many seeds from `seed` on, which small models gain from.
        """
        parts = getattr(data, "parts", [data])
        arrays = digest([(part.x, part.y) if isinstance(part, vj.data.Split) else part for part in parts])
        shown = sorted((name, value) for name, value in options.items() if name != "checkpoint_every")
        shown += [] if members is None else [("members", members)]
        more = [cosine] if cosine else []
        folder = self.config.work / "fits" / hashed(model, arrays, seed, epochs, learning_rate, shown, *more)
        options |= {"epochs": epochs, "optimizer": adam(learning_rate, cosine), "checkpoint": folder}
        if members is None:
            return vj.fit(model, jax.random.key(seed), data, **options)
        return vj.fit_ensemble(model, jax.vmap(jax.random.key)(seed + np.arange(members)), data, **options)

    def measure(self, cells: Mapping[str, Callable[[], Mapping[str, Any]]]) -> dict[str, Any]:
        """The numbers of each cell: read where they are there, else computed and kept; with the time that is left.

        Numbers are there of cells of the same name, settings and revision of the story.
        """
        settings = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in ("out", "work", "seeds")}
        kept = Cells(self.config.work / "cells" / self.name, settings, self.revision)
        spent: list[float] = []
        for i, (cell, compute) in enumerate(cells.items()):
            found = kept.read(cell)
            if found is None:
                found = kept.compute(cell, compute)
                spent.append(found["seconds"])
                left = np.mean(spent) * (len(cells) - i - 1) / 60
                self.console.print(f"[{i + 1}/{len(cells)}] {cell}: {spent[-1]:.0f} s, about {left:.0f} min left")
            self.seconds += found["seconds"]
            self.numbers[cell] = found["numbers"]
        return {cell: self.numbers[cell] for cell in cells}

    def grid(
        self,
        compute: Callable[..., Mapping[str, Any]],
        variants: Mapping[str, Sequence[Any]],
        seeds: Mapping[str, int] | None = None,
    ) -> Grid:
        """`compute(*arguments, seed)` of each `{variant: arguments}` and seed; `seeds` of variants that have others."""
        runs = {name: (seeds or {}).get(name, self.config.seeds) for name in variants}
        most = max(runs.values())
        cells = {
            f"{name}, seed {seed}": functools.partial(compute, *arguments, seed)
            for seed in range(most)
            for name, arguments in variants.items()
            if seed < runs[name]
        }
        return Grid(self.measure(cells), most)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table, shown now and kept; the first column is text, the others are numbers."""
        shown = Table(columns[0], title=title)
        for column in columns[1:]:
            shown.add_column(column, justify="right")
        for row in rows:
            shown.add_row(*row)
        self.console.print(shown)
        self.tables.append({"title": title, "columns": list(columns), "rows": [list(row) for row in rows]})

    def compare(
        self,
        title: str,
        grid: Grid,
        rows: Iterable[str],
        columns: Mapping[str, tuple[str, int]],
        *,
        first: str = "model",
    ) -> None:
        """A table of means and errors: `rows` are variants, or `{label: variant}`; `{column: (number, digits)}`."""
        names = rows.items() if isinstance(rows, Mapping) else ((name, name) for name in rows)
        cells = [(label, *(grid.say(name, *column) for column in columns.values())) for label, name in names]
        self.table(title, (first, *columns), cells)

    def figure(self, name: str, figure: Figure, *, caption: str, claim: str = "", series: Any = None) -> None:
        """A picture, written as PNG.

        Args:
          name: of the file.
          figure: of matplotlib.
          caption: what is to be seen.
          claim: what a source's figure that it redraws is said to show, with the source's letter and number.
          series: the numbers that are drawn.
        """
        path = self.folder / f"{name}.png"
        for dpi in (120, 90, 70, 50):
            figure.savefig(path, dpi=dpi)
            if slim(path) <= LARGEST_PICTURE:
                break
        self.drawn[name] = figure
        found = {"file": path.name, "caption": caption, "claim": claim}
        self.figures.append(found | ({} if series is None else {"series": plain(series)}))

    def lines(
        self, name: str, series: Mapping[str, Any], *, x_label: str, y_label: str, caption: str, claim: str = "", **how
    ) -> None:
        """Lines `{label: (x, y)}`, or `(x, y, standard error)`; `how` goes to `vj.plots.lines`."""
        figure = vj.plots.lines(series, x_label=x_label, y_label=y_label, **how)
        self.figure(name, figure, caption=caption, claim=claim, series=series)

    def finish(self, answer: str, *, protocol: str) -> dict[str, Any]:
        """Say the answer and write `metrics.json`; pictures of an earlier version are removed.

        Args:
          answer: one paragraph that the numbers back.
          protocol: data, binarisation, number of images and draws, splits: what a number means.
        """
        config = {name: value for name, value in dataclasses.asdict(self.config).items() if name not in ("out", "work")}
        found = {
            "name": self.name,
            "question": self.question,
            "prediction": self.prediction,
            "answer": answer,
            "protocol": protocol,
            "size": self.config.size,
            "command": f"python -m experiments {self.name} --{self.config.size}".removesuffix(" --default"),
            "config": plain({name: str(v) if isinstance(v, Path) else v for name, v in config.items()}),
            "seconds": round(self.seconds, 1),
            "device": f"{jax.devices()[0].device_kind}, {platform.machine()}",
            "versions": {name: metadata.version(name) for name in ("vaejax", "jax", "flax", "optax", "numpy")},
            "numbers": {cell: short(numbers) for cell, numbers in self.numbers.items()},
            "tables": self.tables,
            "figures": self.figures,
        }
        for old in set(self.folder.glob("*.png")) - {self.folder / str(figure["file"]) for figure in self.figures}:
            old.unlink()
        path = self.folder / "metrics.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found | self.extra, indent=1) + "\n", "utf-8")
        part.replace(path)
        self.console.print(f"[bold]Answer[/bold] {answer}\n{protocol}; results in {self.folder}")
        return found


def slim(path: Path) -> int:
    """Make a PNG one of 256 colours, or of grey values if it has no others, where that is smaller; its size."""
    with Image.open(path, formats=["PNG"]) as opened:
        picture = opened.convert("RGB")
    red, green, blue = (np.asarray(channel) for channel in picture.split())
    grey = np.array_equal(red, green) and np.array_equal(red, blue)
    data = io.BytesIO()
    (picture.convert("L") if grey else picture.quantize(256)).save(data, "png", optimize=True)
    if len(data.getvalue()) < path.stat().st_size:
        path.write_bytes(data.getvalue())
    return path.stat().st_size


def judge(config: Base, data: vj.data.Dataset) -> vj.evaluate.classifier.Classifier:
    """The named classifier of these images, trained once and kept."""
    folder = config.work / "classifiers" / digest([data.train.x, data.train.y])[:16]
    if not folder.exists():
        vj.evaluate.classifier.save(folder, vj.evaluate.classifier.train(data))
    return vj.evaluate.classifier.load(folder)
