"""The scores of a run, with what is behind them; an evaluation that is there already is not made again."""

import hashlib
import math
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.cli.folder import Folder

__all__ = ["evaluate", "file_of", "latest", "score_rows"]

_FORMAT = 2  # of metrics.json
_FEWEST = 20  # rows that samples are compared with


def _digest(params: Any) -> str:
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()


def file_of(data: str | None) -> str:
    """Where the scores of the run's own data, or of others, are kept."""
    return "metrics.json" if data is None else f"metrics-{hashlib.sha256(data.encode()).hexdigest()[:8]}.json"


def latest(folder: Folder) -> dict[str, Any]:
    """The scores of the run as it stands: those that are there, or rough ones."""
    stored = folder.read("metrics.json")
    asked = stored.get("asked", {}) if isinstance(stored, dict) else {}
    if asked.get("params") == _digest(folder.load()[1]) and asked.get("format") == _FORMAT:
        return stored
    return evaluate(folder, k=100, quick=True, data=None, seed=0, ais=0)[0]


def _plain(value: Any) -> Any:
    """A number that JSON has: what is not finite becomes null."""
    number = np.asarray(value).item()
    return number if isinstance(number, bool | int) or math.isfinite(number) else None


def evaluate(
    folder: Folder, *, k: int, quick: bool, data: str | None, seed: int, ais: int
) -> tuple[dict[str, Any], bool]:
    """Score a run's test part by all that its data allow, or roughly: the contents of `metrics.json`, and if new."""
    model, params, source = folder.load(data)
    told, rows = folder.test_rows(model, source)
    asked = {"k": k, "quick": quick, "data": data, "seed": seed, "ais": ais, "vaejax": vj.__version__}
    asked |= {"params": _digest(params), "rows": hashlib.sha256(np.ascontiguousarray(rows.x).data).hexdigest()}
    asked["format"] = _FORMAT
    stored = folder.read(file_of(data))
    if stored is not None and stored.get("asked") == asked:
        return stored, False
    k, rows = (min(k, 20), rows.take(slice(200))) if quick else (k, rows)
    x, scaling, key = rows.x, source.data.scaling, jax.random.key(seed)
    levels = source.levels if told.startswith("dequantized") and model.support is None else None
    if (model.binary and told.startswith("binarized")) or (model.levels is not None and told.startswith("grey")):
        levels = 1  # a probability of the values themselves
    jacobian = 0.0 if scaling is None else scaling.log_jacobian
    more = {} if quick else _inputs(folder, model, source, rows)
    scores = vj.evaluate.run(
        model, params, key, x, rows.y if model.context_dim else None, k=k, levels=levels, log_jacobian=jacobian,
        ais=ais, quick=quick, **more,
    )  # fmt: skip
    if scaling is not None:
        error = scores["reconstruction_rmse"]
        scores["reconstruction_rmse"] = error._replace(protocol=f"{error.protocol}, in standard units")
    part = "test rows" if data is None else f"rows of {data}"
    protocol = f"{len(x)} {part}, {told}, seed {seed}" + ("" if scaling is None else ", nats in the units of the data")
    notes = list(source.data.notes)
    if model.binary and x.dtype.kind == "f" and np.any((x > 0) & (x < 1)):
        notes.append("a Bernoulli score of grey values is not a likelihood")
    if not model.binary and model.levels is None and told.startswith(("grey", "binarized")):
        notes.append(
            "a density at values on a grid is not a likelihood: it can be as large as one likes (see --pixels)"
        )
    metrics: dict[str, Any] = {
        "model": folder.options["model"],
        "data": data or folder.options["data"],
        "protocol": protocol,
        "rows": len(x),
        "notes": notes,
        "vaejax": vj.__version__,
        "jax": jax.__version__,
        "scores": {},
        "advice": [],
        "asked": asked,
    }
    for name, score in scores.items():
        numbers = {"value": _plain(score.value), "standard_error": _plain(score.standard_error)}
        metrics["scores"][name] = numbers | {"unit": score.unit, "protocol": score.protocol}
    if scores.diagnosis is not None:
        metrics["arrays"] = {name: np.round(value, 6).tolist() for name, value in scores.diagnosis.arrays.items()}
        metrics["advice"] = scores.diagnosis.advice or ["nothing stands out"]
    folder.write(file_of(data), metrics)
    return metrics, True


def _inputs(folder: Folder, model: Any, source: Any, rows: vj.data.Split) -> dict[str, Any]:
    """What the data allow beyond the rows themselves."""
    options, train = folder.options, source.data.train
    beta = options["beta"] or (4.0 if options["model"] == "beta-vae" else 1.0)
    found: dict[str, Any] = {"beta": beta, "labels": rows.y, "train": folder.scored(model, train, source.levels)[1]}
    enough = source.apart and len(rows) >= _FEWEST and rows.x.ndim > 2
    if enough and train.x.dtype == np.uint8 and rows.y is not None and len(np.unique(train.y)) > 1:
        found |= {"classifier": _classifier(folder), "grey": source.data.test.x if model.binary else None}
    if options["data"] == "sprites" and not model.context_dim:
        found["sprites"] = vj.data.sprites(1)
    return found


def _classifier(folder: Folder) -> Any:
    """The classifier of the run's own data, trained once and kept beside the run."""
    path = folder.path / "classifier"
    if not path.is_dir():
        vj.evaluate.save_classifier(path, vj.evaluate.train_classifier(folder.load()[2].data))
    return vj.evaluate.load_classifier(path)


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
