"""Scores of a run as `metrics.json`; an evaluation that is there already is not made again."""

import hashlib
import math
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.cli.folder import Folder, Run
from vaejax.cli.options import Evaluate
from vaejax.cli.source import digest
from vaejax.files import write_json

__all__ = ["evaluate", "file_of", "latest", "score_rows"]

_FORMAT = 2  # of metrics.json
_FEWEST = 20  # rows that samples are compared with


def file_of(data: str | None) -> str:
    """File of the scores of the run's own data, or of others."""
    return "metrics.json" if data is None else f"metrics-{hashlib.sha256(data.encode()).hexdigest()[:8]}.json"


def latest(folder: Folder, run: Run) -> dict[str, Any]:
    """Scores of the run as it stands: the stored ones, or rough ones."""
    stored = folder.read(file_of(None)) or {}
    settings = stored.get("asked", {})
    if settings.get("params") == digest(jax.tree.leaves(run.params)) and settings.get("format") == _FORMAT:
        return stored
    return evaluate(folder, run, Evaluate(folder.path, quick=True))[0]


def evaluate(folder: Folder, run: Run, command: Evaluate) -> tuple[dict[str, Any], bool]:
    """Score a run's test part by all that its data allow, or roughly: the contents of `metrics.json`, and if new."""
    model, scaling = run.model, run.source.data.scaling
    form, rows = run.scored(run.source.test)
    settings = {name: getattr(command, name) for name in ("k", "quick", "data", "seed", "ais")}
    settings |= {"vaejax": vj.__version__, "format": _FORMAT}
    settings |= {"params": digest(jax.tree.leaves(run.params)), "rows": digest([rows.x])}
    stored = folder.read(file_of(command.data))
    if stored is not None and stored.get("asked") == settings:
        return stored, False
    k, rows = (min(command.k, 20), rows.take(slice(200))) if command.quick else (command.k, rows)
    levels = run.source.levels if form.startswith("dequantized") and model.support is None else None
    if (model.binary and form.startswith("binarized")) or (model.levels is not None and form.startswith("grey")):
        levels = 1  # a probability of the values themselves
    scores = vj.evaluate.run(
        model,
        run.params,
        jax.random.key(command.seed),
        rows.x,
        rows.y if model.context_dim else None,
        k=k,
        levels=levels,
        log_jacobian=0.0 if scaling is None else scaling.log_jacobian,
        ais=command.ais,
        quick=command.quick,
        **({} if command.quick else _comparisons(folder, run, rows)),
    )
    if scaling is not None:
        error = scores["reconstruction_rmse"]
        scores["reconstruction_rmse"] = error._replace(protocol=f"{error.protocol}, in standard units")
    part = "test rows" if command.data is None else f"rows of {command.data}"
    units = "" if scaling is None else ", nats in the units of the data"
    metrics: dict[str, Any] = {
        "model": run.options["model"],
        "data": command.data or run.options["data"],
        "protocol": f"{len(rows)} {part}, {form}, seed {command.seed}{units}",
        "rows": len(rows),
        "notes": [*run.source.data.notes, *_warnings(model, rows.x, form)],
        "vaejax": vj.__version__,
        "jax": jax.__version__,
        "scores": {
            name: {field: _plain(value) for field, value in score._asdict().items()} for name, score in scores.items()
        },
        "advice": [],
        "asked": settings,
    }
    if scores.diagnosis is not None:
        metrics["arrays"] = {name: np.round(value, 6).tolist() for name, value in scores.diagnosis.arrays.items()}
        metrics["advice"] = scores.diagnosis.advice or ["nothing stands out"]
    write_json(folder.path / file_of(command.data), metrics)
    return metrics, True


def _plain(value: Any) -> Any:
    """A value that JSON has: a number that is not finite becomes null."""
    if isinstance(value, str):
        return value
    number = np.asarray(value).item()
    return number if math.isfinite(number) else None


def _warnings(model: vj.LatentModel, x: np.ndarray, form: str) -> list[str]:
    """Scores of rows like these that are no likelihoods."""
    if model.binary and x.dtype.kind == "f" and np.any((x > 0) & (x < 1)):
        return ["a Bernoulli score of grey values is not a likelihood"]
    if not model.binary and model.levels is None and form.startswith(("grey", "binarized")):
        return ["a density at values on a grid is not a likelihood: it can be as large as one likes (see --pixels)"]
    return []


def _comparisons(folder: Folder, run: Run, rows: vj.data.Split) -> dict[str, Any]:
    """Arguments of an evaluation that the data allow beyond the rows themselves."""
    options, model, source = run.options, run.model, run.source
    beta = options["beta"] or (4.0 if options["model"] == "beta-vae" else 1.0)
    given: dict[str, Any] = {
        "beta": beta,
        "rise": _rise(folder),
        "labels": rows.y,
        "train": run.scored(source.train)[1],
    }
    train, y = source.train, source.train.y
    enough = source.apart and len(rows) >= _FEWEST and train.x.dtype == np.uint8 and rows.x.ndim > 2
    if enough and rows.y is not None and y is not None and len(np.unique(y)) > 1:
        path = folder.path / "classifier"  # of the run's own data, trained once and kept beside the run
        if not path.is_dir():
            vj.evaluate.classifier.save(path, vj.evaluate.classifier.train(folder.load().source.data))
        given |= {"classifier": vj.evaluate.classifier.load(path), "grey": source.test.x if model.binary else None}
    if options["data"] == "sprites" and not model.context_dim:
        given["sprites"] = vj.data.sprites(1)
    return given


def _rise(folder: Folder) -> float:
    """Nats that the objective gained in the last tenth of the epochs; nan of a fit by EM."""
    file = folder.path / "history.csv"
    if not file.is_file():
        return math.nan
    history = np.genfromtxt(file, delimiter=",", names=True, max_rows=1_000_000)
    names = history.dtype.names or ()
    name = next((name for name in ("validation_value", "value") if name in names), None)
    values = np.atleast_1d(history[name]) if name is not None else np.zeros(0)
    tenth = max(1, len(values) // 10)
    return float(values[-1] - values[-1 - tenth]) if len(values) > tenth else math.nan


def score_rows(metrics: dict[str, Any]) -> tuple[list[tuple[str, ...]], list[str]]:
    """The scores as a table of name, value with its standard error, unit and number of a note; and the notes."""
    shown, notes = [], list(dict.fromkeys(score["protocol"] for score in metrics["scores"].values()))
    for name, score in metrics["scores"].items():
        error = "" if score["standard_error"] is None else f" ± {_short(score['standard_error'])}"
        number = str(notes.index(score["protocol"]) + 1)
        shown.append((name.replace("_", " "), _short(score["value"]) + error, score["unit"], number))
    return shown, [f"{i}: {note}" for i, note in enumerate(notes, 1)]


def _short(value: float | None) -> str:
    if value is None:
        return "unknown"
    return str(value) if isinstance(value, int) else f"{value:.2f}" if abs(value) >= 1 else f"{value:.2g}"
