"""The scores of a run, with what is behind them; an evaluation that is there already is not made again."""

import hashlib
import math
from typing import Any

import jax
import numpy as np

import vaejax as vj
from vaejax.cli.folder import Folder

__all__ = ["evaluate", "file_of", "latest", "number_rows", "score_rows"]


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
    if isinstance(stored, dict) and stored.get("asked", {}).get("params") == _digest(folder.load()[1]):
        return stored
    return evaluate(folder, k=100, quick=True, data=None, seed=0)[0]


def _plain(value: Any) -> Any:
    """A number that JSON has: what is not finite becomes null."""
    number = np.asarray(value).item()
    return number if isinstance(number, bool | int) or math.isfinite(number) else None


def evaluate(folder: Folder, *, k: int, quick: bool, data: str | None, seed: int) -> tuple[dict[str, Any], bool]:
    """Score a run's test part, and look at its latents unless `quick`: the contents of `metrics.json`, and if new."""
    model, params, source = folder.load(data)
    told, x, context = folder.test_rows(model, source)
    asked = {"k": k, "quick": quick, "data": data, "seed": seed, "vaejax": vj.__version__}
    asked |= {"params": _digest(params), "rows": hashlib.sha256(np.ascontiguousarray(x).data).hexdigest()}
    stored = folder.read(file_of(data))
    if stored is not None and stored.get("asked") == asked:
        return stored, False
    if quick:
        k, x, context = min(k, 20), x[:200], None if context is None else context[:200]
    scaling, key = source.data.scaling, jax.random.key(seed)
    levels = source.levels if told.startswith("dequantized") and model.support is None else None
    if (model.binary and told.startswith("binarized")) or (model.levels is not None and told.startswith("grey")):
        levels = 1  # a probability of the values themselves
    jacobian = 0.0 if scaling is None else scaling.log_jacobian
    scores = vj.evaluate.run(model, params, key, x, context, k=k, levels=levels, log_jacobian=jacobian)
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
        "diagnosis": {},
        "advice": [],
        "asked": asked,
    }
    for name, score in scores.items():
        numbers = {"value": _plain(score.value), "standard_error": _plain(score.standard_error)}
        metrics["scores"][name] = numbers | {"unit": score.unit, "protocol": score.protocol}
    if not quick and model.has_density and not hasattr(model, "num_components"):
        found = _diagnosis(folder, model, params, key, x, context, source)
        metrics["diagnosis"] = {name: _plain(value) for name, value in found.numbers.items()}
        metrics["arrays"] = {name: np.round(value, 6).tolist() for name, value in found.arrays.items()}
        metrics["advice"], metrics["diagnosis_protocol"] = found.advice, found.protocol
    folder.write(file_of(data), metrics)
    return metrics, True


def _diagnosis(folder: Folder, model: Any, params: Any, key: jax.Array, x: Any, context: Any, source: Any) -> Any:
    seen = source.data.train.take(slice(0, 500))
    _, train, labels = folder.scored(model, seen, source.levels)
    beta = folder.options["beta"] or (4.0 if folder.options["model"] == "beta-vae" else 1.0)
    pair = train if labels is None else (train, labels)
    return vj.evaluate.diagnose(model, params, key, x, context, train=pair, beta=beta)


def score_rows(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    """The scores as a table: name, value with its standard error, unit, protocol."""
    shown = []
    for name, score in metrics["scores"].items():
        value, error = (_short(score[part]) for part in ("value", "standard_error"))
        shown.append((name.replace("_", " "), f"{value} ± {error}", score["unit"], score["protocol"]))
    return shown


def number_rows(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    """The diagnosis as a table: name and value."""
    hidden = ("elbo", "log_likelihood", "grey_bernoulli", "log_evidence", "generalisation_gap_error")
    return [(n.replace("_", " "), _short(v)) for n, v in metrics["diagnosis"].items() if n not in hidden]


def _short(value: float | None) -> str:
    if value is None:
        return "unknown"
    return str(value) if isinstance(value, int) else f"{value:.2f}" if abs(value) >= 1 else f"{value:.2g}"
