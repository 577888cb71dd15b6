"""One call that scores a model on held-out rows, with the protocol beside the numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from vaejax.checks import integer_labels
from vaejax.data import Split, Sprites
from vaejax.evaluate.ais import ais as anneal
from vaejax.evaluate.ais import bdmc
from vaejax.evaluate.classifier import Classifier
from vaejax.evaluate.codes import cluster, knn_probe, linear_probe, nmi
from vaejax.evaluate.diagnose import Diagnosis, diagnose
from vaejax.evaluate.disentanglement import score as disentanglement_score
from vaejax.evaluate.draw import draw_rows, from_prior
from vaejax.evaluate.evidence import Evidence, log_evidence_estimate
from vaejax.evaluate.evidence import labels as likeliest
from vaejax.evaluate.rows import Rows, RowsLike, Score, bounds, centres, checked, flat, mean_score, over_rows, remarks
from vaejax.evaluate.samples import sample_quality
from vaejax.models import Elbo, LatentModel, reconstruct
from vaejax.types import Array, ArrayLike, Context, Key, Params

__all__ = ["Scores", "run"]

_REPEATS = 3
_ROWS_OF_AIS = 16
_MOST = 5000  # rows of a part that probes are fitted on and clusters are made of
_RESAMPLED = 100
_UNITS = {"beta": "", "relative_ess": "of k", "low_variance_share": "share"}
_UNITS |= dict.fromkeys(("latents", "active_units", "ppca_keeps"), "latents")


class Scores(dict[str, Score]):
    """`Score`s by name.

    Attributes:
      diagnosis: numbers and advice of `diagnose`; `None` where it was left out.
    """

    diagnosis: Diagnosis | None = None


def run(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
    context: ArrayLike | None = None,
    *,
    k: int = 100,
    levels: int | None = None,
    log_jacobian: float = 0.0,
    train: Split | None = None,
    labels: ArrayLike | None = None,
    classifier: Classifier | None = None,
    grey: ArrayLike | None = None,
    sprites: Sprites | None = None,
    ais: int = 0,
    beta: float = 1.0,
    rise: float = math.nan,
    quick: bool = False,
    progress: bool = True,
) -> Scores:
    """Score a model on rows that it was not trained on: everything known of it in one table.

    Exact evidence where the model has it, else the evidence lower bound with its parts and the
    importance-weighted bound; the error of reconstructions from the centre of the posterior; of models with continuous
    latents the diagnosis. The rest depends on what is handed over.

    Args:
      context: where the model has a context; the scores are then of x given it.
      k: draws of the importance-weighted bound.
      levels: grey values of the images that `x` are the dequantised form of: adds bits per dimension of
        the grey values themselves, $(-\\ln p(x) + D\\ln\\text{levels}) / (D\\ln 2)$, an upper bound; 1 where the
        likelihood is a probability already.
      log_jacobian: added to log-likelihoods, `Scaling.log_jacobian` of standardised tables.
      train: rows that were trained on, in the form of `x`: the generalisation gap, and what follows.
      labels: classes (N,) of `x`: mutual information with clusters of the codes (of a mixture: with its components),
        and with the labels of `train` a linear and a nearest-neighbour probe of the codes.
      classifier: `sample_quality` of draws and of means of x given sampled z.
      grey: images that the means are compared with; default: `x` (binarised images have grey means).
      sprites: factors and images that `x` was drawn from: `disentanglement.score`.
      ais: chains of annealed importance sampling of the first 16 rows, 0 for none: slow.
      beta: the weight of the divergence in training, for the advice.
      rise: nats that the objective gained in the last tenth of the training, for the advice.
      quick: leave out the diagnosis.

    Returns:
      `Scores`, a dict of `Score`s by name with the `diagnosis`; nats are higher-is-better.

    >>> import jax, vaejax as vj
    >>> model, x = vj.PPCA(dim=4, latent_dim=1), jax.random.normal(jax.random.key(2), (40, 4))
    >>> scores = vj.evaluate.run(model, model.init(jax.random.key(0)), jax.random.key(1), x, quick=True)
    >>> scores["log_evidence"].protocol
    'exact'
    """
    rows = checked(model, x, context)
    known = None if labels is None else integer_labels("labels", labels, len(rows.x))
    seen = None
    if train is not None:
        some = train.take(slice(max(len(rows.x), _MOST)))
        seen = checked(model, some.x, some.y if model.context_dim else None, "train")
    key_bound, key_weights = jax.random.split(key)
    key_ais, key_look, key_codes, key_draws, key_factors = jax.random.split(jax.random.fold_in(key, 1), 5)
    scores = Scores()
    bound = evidence = None
    if model.has_density:
        evidence = log_evidence_estimate(model, params, key_weights, rows, k=k, progress=progress)
        bound = bounds(model, params, key_bound, rows)
        scores |= _likelihoods(model, evidence, bound, log_jacobian, levels, rows)
    keys = jax.random.split(key_bound, len(rows.x))
    scores["reconstruction_rmse"] = _root(over_rows(_squared_error, (model, params), (keys, *rows)), rows)
    if ais:
        scores |= _annealed(model, params, key_ais, rows, ais, k, log_jacobian, progress)
    if not quick and model.has_density and model.num_components is None:
        part = None if seen is None else _first(seen, len(rows.x))
        diagnosis = diagnose(
            model,
            params,
            key_look,
            rows,
            train=part,
            bound=bound,
            evidence=evidence,
            k=k,
            beta=beta,
            rise=rise,
            progress=progress,
        )
        scores |= _diagnosed(diagnosis, scores)
        scores.diagnosis = diagnosis
    if known is not None and len(np.unique(known)) > 1:
        others = None if seen is None or train is None or train.y is None else (seen, train.y)
        scores |= _of_labels(model, params, key_codes, rows, known, others)
    if classifier is not None and model.has_density:
        scores |= _of_samples(model, params, key_draws, rows, classifier, None if train is None else train.x, grey)
    if sprites is not None:
        found = [disentanglement_score(model, params, key, sprites) for key in jax.random.split(key_factors, _REPEATS)]
        scores |= _repeated(found, lambda name: "from 0 to 1", f"{_REPEATS} times 5000 images")
    return scores


def _likelihoods(
    model: LatentModel, evidence: Evidence, bound: Elbo, log_jacobian: float, levels: int | None, rows: Rows
) -> dict[str, Score]:
    """Exact evidence, or the bounds with their parts; bits per dimension."""
    name = "log_evidence" if model.has_evidence else "iwae"
    dims, said = math.prod(rows.x.shape[1:]), remarks(model, rows, rows)
    best = evidence.log_evidence + log_jacobian
    ess = "" if model.has_evidence else f", median effective sample size {np.median(evidence.ess):.0f}"
    scores = {name: mean_score(best, "nats", evidence.protocol + ess)}
    if not model.has_evidence:
        given = ", given the context" if model.context_dim else ""
        scores["elbo"] = mean_score(bound.value + log_jacobian, "nats", f"one draw{given}{said}")
        scores["log_likelihood"] = mean_score(
            bound.log_likelihood + log_jacobian, "nats", f"one draw of z from q{said}"
        )
        kl = bound.kl.reshape(len(best), -1)
        scores["kl"] = mean_score(kl.sum(1), "nats", "analytic where there is a closed form")
        for i, layer in enumerate(kl.T if bound.kl.ndim > 1 else ()):
            scores[f"kl_{i}"] = mean_score(layer, "nats", f"latent {i + 1}, from the top")
    if levels is not None:
        bits = (dims * math.log(levels) - best) / (dims * math.log(2.0))
        of = f"{levels} grey values" if levels > 1 else "probabilities"
        scores["bits_per_dimension"] = mean_score(bits, "bits", f"from {name}, {of}, an upper bound{said}")
    return scores


def _squared_error(model: LatentModel, params: Params, key: Key, x: Array, context: Context) -> Array:
    again = reconstruct(model, params, key, x, context, temperature=0.0)
    return jnp.mean((again - model.event(x)) ** 2)


def _root(squares: np.ndarray, rows: Rows) -> Score:
    """The root of a mean square, with its standard error by the delta method."""
    score = mean_score(squares, f"a dimension, of {math.prod(rows.x.shape[1:])}", "from the centre of the posterior")
    value = math.sqrt(score.value)
    return score._replace(value=value, standard_error=score.standard_error / (2.0 * value) if value else 0.0)


def _repeated(found: Sequence[Mapping[str, float]], unit: Callable[[str], str], protocol: str) -> dict[str, Score]:
    """The means of numbers that were found several times."""
    return {name: mean_score(np.array([each[name] for each in found]), unit(name), protocol) for name in found[0]}


def _first(rows: Rows, count: int) -> Rows:
    return jax.tree.map(lambda leaf: leaf[:count], rows)


def _annealed(
    model: LatentModel, params: Params, key: Key, rows: Rows, chains: int, k: int, log_jacobian: float, progress: bool
) -> dict[str, Score]:
    """Annealing of the first rows, against importance sampling of the same, and its bracket on rows of the model."""
    some = _first(rows, _ROWS_OF_AIS)
    count = len(some.x)
    key_ais, key_weights, key_bracket = jax.random.split(key, 3)
    options: dict[str, Any] = {"num_chains": chains, "num_temperatures": 500, "burn_in": 100, "progress": progress}
    found = anneal(model, params, key_ais, some, **options)
    other = log_evidence_estimate(model, params, key_weights, some, k=k, progress=False)
    protocol = f"first {count} rows, {found.protocol}"
    pair = bdmc(model, params, key_bracket, count, some.context, **options)
    gap = pair.upper.log_evidence - pair.lower.log_evidence
    return {
        "ais": mean_score(found.log_evidence + log_jacobian, "nats", protocol),
        "ais_minus_iwae": mean_score(found.log_evidence - other.log_evidence, "nats", f"{protocol}; {other.protocol}"),
        "bdmc_gap": mean_score(gap, "nats", f"upper minus lower bound, {len(gap)} rows drawn from the model"),
    }


def _diagnosed(found: Diagnosis, known: Mapping[str, Score]) -> dict[str, Score]:
    """The numbers of a diagnosis that are not among the `known` ones."""
    hidden = {*known, "grey_bernoulli", "log_evidence", "elbo", "log_likelihood", "kl"}
    unit = lambda name: _UNITS.get(name, "" if "sigma" in name or "squared" in name else "nats")  # noqa: E731
    return {
        name: Score(value, found.errors.get(name, math.nan), unit(name), f"diagnosis: {found.protocol}")
        for name, value in found.numbers.items()
        if name not in hidden
    }


def _agreement(clusters: np.ndarray, labels: np.ndarray, protocol: str) -> Score:
    """Mutual information of clusters and labels, its error by resampling the rows."""
    rng, count = np.random.default_rng(0), len(labels)
    again = [nmi(clusters[i], labels[i]) for i in rng.integers(0, count, (_RESAMPLED, count))]
    return Score(nmi(clusters, labels), float(np.std(again, ddof=1)), "from 0 to 1", protocol)


def _of_labels(
    model: LatentModel,
    params: Params,
    key: Key,
    rows: Rows,
    labels: Int[np.ndarray, " N"],
    train: tuple[Rows, np.ndarray] | None,
) -> dict[str, Score]:
    """Labels in the latents: probes of the codes where there are labels of train, and clusters."""
    if model.num_components is not None:
        components = likeliest(model, params, rows)
        return {"cluster_nmi": _agreement(components, labels, f"{len(labels)} rows, the likeliest component")}
    code = lambda rows: flat(centres(model, params, _first(rows, _MOST)))  # noqa: E731
    codes, labels = code(rows), labels[:_MOST]
    protocol = f"centres of q of {len(codes)} rows" + (", given the context" if model.context_dim else "")
    scores = {}
    if train is not None:
        others, known = code(train[0]), train[1][:_MOST]
        for name, probe in (("linear_probe", linear_probe), ("knn_probe", knn_probe)):
            value = probe(others, known, codes, labels)
            error = math.sqrt(value * (1.0 - value) / len(codes))
            scores[name] = Score(value, error, "share right", f"{protocol}, fitted on {len(others)}")
    count = len(np.unique(labels))
    return scores | {"kmeans_nmi": _agreement(cluster(key, codes, count), labels, f"{protocol}, {count} clusters")}


def _of_samples(
    model: LatentModel,
    params: Params,
    key: Key,
    rows: Rows,
    classifier: Classifier,
    train: np.ndarray | None,
    grey: ArrayLike | None,
) -> dict[str, Score]:
    """Samples against the rows: draws (`sample_`) and means of x given sampled z (`mean_`)."""
    some = _first(rows, 1000)
    count, context, x = len(some.x), some.context, np.asarray(some.x)
    labels = None if context is None or context.ndim > 1 else np.asarray(context)
    means = x if grey is None else np.asarray(grey)[:count]
    scores: dict[str, Score] = {}
    of_data: dict[str, Score] = {}
    for prefix, sampler, reference, words in (
        ("sample", from_prior(model, params), x, "draws"),
        ("mean", from_prior(model, params, mode="mean"), means, "means of x given sampled z"),
    ):
        draws = [draw_rows(sampler, key, count, context) for key in jax.random.split(key, _REPEATS)]
        found = [sample_quality(drawn, reference, classifier, train=train, labels=labels) for drawn in draws]
        protocol = f"{_REPEATS} times {count} {words} against {count} rows; {classifier}"
        for name, score in _repeated(found, _unit_of_quality, protocol).items():
            if name.startswith(("reference_", "train_")):
                words = f"the data themselves, in the form of the rows; {classifier}"
                of_data.setdefault(name, score._replace(standard_error=math.nan, protocol=words))
            else:
                scores[f"{prefix}_{name}"] = score
    return scores | of_data


def _unit_of_quality(name: str) -> str:
    if "frechet" in name:
        return "features^2"
    return "nats" if "entropy" in name else "ratio" if "ratio" in name else "correlation" if "lag1" in name else "share"
