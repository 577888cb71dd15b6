"""The parts of `run` that need more than rows: annealing, labels, a classifier, factors; each gives `Score`s."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from vaejax.data import Split, Sprites
from vaejax.data.inputs import Rows, checked_rows
from vaejax.evaluate.ais import ais, bdmc
from vaejax.evaluate.classifier import Classifier
from vaejax.evaluate.clustering import cluster, nmi
from vaejax.evaluate.criteria import labels as likeliest
from vaejax.evaluate.diagnose import Diagnosis
from vaejax.evaluate.disentanglement import disentanglement
from vaejax.evaluate.evidence import log_evidence_estimate
from vaejax.evaluate.probes import knn_probe, linear_probe
from vaejax.evaluate.quality import sample_quality
from vaejax.evaluate.sampling import draws, from_prior
from vaejax.models import LatentModel, encode

__all__ = ["Score", "annealed", "diagnosed", "disentangled", "mean_score", "of_labels", "of_samples"]

_REPEATS = 3
_ROWS_OF_AIS = 16
_MOST = 5000  # rows of a part that probes are fitted on and clusters are made of
_RESAMPLED = 100
_UNITS = {"beta": "", "relative_ess": "of k", "low_variance_share": "share"}
_COUNTS = ("latents", "active_units", "ppca_keeps")


class Score(NamedTuple):
    """A number with its error.

    Attributes:
      value: a mean over rows, or over repetitions.
      standard_error: of the value; nan where it has none.
      unit: of both.
      protocol: how it was computed.
    """

    value: float
    standard_error: float
    unit: str
    protocol: str


def mean_score(values: Any, unit: str, protocol: str) -> Score:
    """The mean of values, with the standard error that their spread implies."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Score(float(values.mean()), float(error), unit, protocol)


def _repeated(call: Callable[[jax.Array], Mapping[str, float]], key: jax.Array, unit: Any, protocol: str) -> dict:
    found = [call(key) for key in jax.random.split(key, _REPEATS)]
    return {name: mean_score([each[name] for each in found], unit(name), protocol) for name in found[0]}


def annealed(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    rows: Rows,
    chains: int,
    k: int,
    log_jacobian: float,
    **options: Any,
) -> dict[str, Score]:
    """Annealing of the first rows, against importance sampling of the same, and its bracket on rows of the model."""
    some = jax.tree.map(lambda leaf: leaf[:_ROWS_OF_AIS], rows)
    key_ais, key_weights, key_bracket = jax.random.split(key, 3)
    options = {"num_chains": chains, "num_temperatures": 500, "burn_in": 100} | options
    found = ais(model, params, key_ais, some.x, some.context, **options)
    other = log_evidence_estimate(model, params, key_weights, some.x, some.context, k=k, progress=False)
    told = f"first {len(some.x)} rows, {found.protocol}"
    pair = bdmc(model, params, key_bracket, len(some.x), some.context, **options)
    gap = pair.upper.log_evidence - pair.lower.log_evidence
    return {
        "ais": mean_score(found.log_evidence + log_jacobian, "nats", told),
        "ais_minus_iwae": mean_score(found.log_evidence - other.log_evidence, "nats", f"{told}; {other.protocol}"),
        "bdmc_gap": mean_score(gap, "nats", f"upper minus lower bound, {len(gap)} rows drawn from the model"),
    }


def diagnosed(found: Diagnosis, known: Mapping[str, Any]) -> dict[str, Score]:
    """The numbers of a diagnosis that are not among the `known` ones."""
    hidden = {*known, "grey_bernoulli", "log_evidence", "generalisation_gap_error", "elbo", "log_likelihood", "kl"}
    scores = {}
    for name, value in found.numbers.items():
        if name not in hidden:
            unit = "latents" if name in _COUNTS else "" if "sigma" in name or "squared" in name else "nats"
            error = found.errors.get(name, math.nan)
            scores[name] = Score(value, error, _UNITS.get(name, unit), f"diagnosis: {found.protocol}")
    return scores


@jax.jit
def _centres(model: LatentModel, params: Any, rows: Rows) -> jax.Array:
    one = lambda row: ravel_pytree(encode(model, params, row.x, row.context))[0]  # noqa: E731
    return jax.lax.map(one, rows, batch_size=min(len(rows.x), 512))


def _share(value: float, count: int) -> float:
    return math.sqrt(value * (1.0 - value) / count)


def _agreement(clusters: np.ndarray, labels: np.ndarray, protocol: str) -> Score:
    """Mutual information of clusters and labels, its error by resampling the rows."""
    rng, count = np.random.default_rng(0), len(labels)
    again = [nmi(clusters[i], labels[i]) for i in rng.integers(0, count, (_RESAMPLED, count))]
    return Score(nmi(clusters, labels), float(np.std(again, ddof=1)), "from 0 to 1", protocol)


def of_labels(
    model: Any, params: Any, key: jax.Array, rows: Rows, labels: np.ndarray, train: Split | None
) -> dict[str, Score]:
    """What the latents know of labels: probes of the codes where there are labels of train, and clusters."""
    if model.num_components is not None:
        own = np.asarray(likeliest(model, params, rows.x))
        return {"cluster_nmi": _agreement(own, labels, f"{len(labels)} rows, the likeliest component")}
    rows = jax.tree.map(lambda leaf: leaf[:_MOST], rows)
    codes, labels = np.asarray(_centres(model, params, rows)), labels[:_MOST]
    told = f"centres of q of {len(codes)} rows" + (", given the context" if model.context_dim else "")
    scores = {}
    if train is not None and train.y is not None:
        seen = checked_rows(model, train.x[:_MOST], train.y[:_MOST] if model.context_dim else None, "train")
        others, known = np.asarray(_centres(model, params, seen)), train.y[:_MOST]
        for name, probe in (("linear_probe", linear_probe), ("knn_probe", knn_probe)):
            value = probe(others, known, codes, labels)
            scores[name] = Score(value, _share(value, len(codes)), "share right", f"{told}, fitted on {len(others)}")
    count = len(np.unique(labels))
    clusters = cluster(key, codes, count)
    return scores | {"kmeans_nmi": _agreement(clusters, labels, f"{told}, {count} clusters")}


def of_samples(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    rows: Rows,
    classifier: Classifier,
    train: Split | None,
    grey: Any,
) -> dict[str, Score]:
    """Samples against the rows: draws (`sample_`) and means of x given sampled z (`mean_`)."""
    count = min(len(rows.x), 1000)
    context = None if rows.context is None else rows.context[:count]
    asked = None if context is None or context.ndim > 1 else np.asarray(context)
    scores: dict[str, Score] = {}
    others: dict[str, Score] = {}
    for prefix, mode, reference in (
        ("sample", "ancestral", rows.x),
        ("mean", "mean", rows.x if grey is None else grey),
    ):
        sampler, seen = from_prior(model, params, mode=mode), None if train is None else train.x

        def quality(key: jax.Array, sampler=sampler, reference=reference, seen=seen) -> dict[str, float]:
            x = draws(sampler, key, count, context)
            return sample_quality(x, np.asarray(reference)[:count], classifier, train=seen, labels=asked)

        told = f"{_REPEATS} times {count} {'draws' if mode == 'ancestral' else 'means of x given sampled z'}"
        found = _repeated(quality, key, _unit_of_quality, f"{told} against {count} rows; {classifier}")
        apart = [name for name in found if name.startswith(("reference_", "train_"))]
        for name in apart:
            told = f"what the data score, in the form of the rows; {classifier}"
            others.setdefault(name, found.pop(name)._replace(standard_error=math.nan, protocol=told))
        scores |= {f"{prefix}_{name}": score for name, score in found.items()}
    return scores | others


def _unit_of_quality(name: str) -> str:
    if "frechet" in name:
        return "features^2"
    return "nats" if "entropy" in name else "ratio" if "ratio" in name else "correlation" if "lag1" in name else "share"


def disentangled(model: LatentModel, params: Any, key: jax.Array, sprites: Sprites) -> dict[str, Score]:
    """The scores of disentanglement, each drawn anew so many times."""
    told = f"{_REPEATS} times 5000 images"
    return _repeated(lambda key: disentanglement(model, params, key, sprites), key, lambda name: "from 0 to 1", told)
