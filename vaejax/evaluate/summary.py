"""One call that scores a model on held-out rows, with the protocol beside the numbers."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data import Split, Sprites
from vaejax.data.inputs import Rows, checked_rows
from vaejax.evaluate.arrays import as_classes
from vaejax.evaluate.classifier import Classifier
from vaejax.evaluate.diagnose import Diagnosis, diagnose
from vaejax.evaluate.evidence import has_exact_evidence, log_evidence_estimate
from vaejax.evaluate.parts import Score, annealed, diagnosed, disentangled, mean_score, of_labels, of_samples
from vaejax.models import LatentModel, elbo, reconstruct

__all__ = ["Scores", "run"]

_AT_ONCE = 256


class Scores(dict[str, Score]):
    """`Score`s by name.

    Attributes:
      diagnosis: what `diagnose` found, with its advice; `None` where it was not asked.
    """

    diagnosis: Diagnosis | None = None


@jax.jit
def _bounds(model: LatentModel, params: Any, key: jax.Array, rows: Rows) -> dict[str, jax.Array]:
    """ELBO and its parts, and the squared error of the reconstruction from the centre of q, for each row."""

    def one(row: tuple[jax.Array, Rows]) -> dict[str, jax.Array]:
        key, (x, context) = row
        again = reconstruct(model, params, key, x, context, temperature=0.0)
        error = {"squared_error": jnp.mean((again - model.event(x)) ** 2)}
        if not model.has_density:
            return error
        bound = elbo(model, params, key, x, context)
        parts = {"elbo": bound.value, "log_likelihood": bound.log_likelihood, "kl": jnp.sum(bound.kl)}
        return parts | error | ({"kl_by_layer": bound.kl} if bound.kl.ndim else {})

    return jax.lax.map(one, (jax.random.split(key, len(rows.x)), rows), batch_size=min(len(rows.x), _AT_ONCE))


def run(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    k: int = 100,
    levels: int | None = None,
    log_jacobian: float = 0.0,
    train: Split | None = None,
    labels: Any = None,
    classifier: Classifier | None = None,
    grey: Any = None,
    sprites: Sprites | None = None,
    ais: int = 0,
    beta: float = 1.0,
    quick: bool = False,
    progress: bool = True,
) -> Scores:
    """Score a model on rows that it was not trained on: all that is known of it in one table.

    Exact evidence where the model has it, else the evidence lower bound with its parts and the
    importance-weighted bound; the error of reconstructions from the centre of the posterior; of models with continuous
    latents the diagnosis. What else there is depends on what is handed over.

    Args:
      model: any model.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...) in the form that the likelihood scores.
      context: labels (N,) or vectors, where the model has a context; the scores are then of x given it.
      k: draws of the importance-weighted bound.
      levels: grey values of the images that `x` are the dequantised form of: adds bits per dimension of
        the grey values themselves, $(-\\ln p(x) + D\\ln\\text{levels}) / (D\\ln 2)$, an upper bound; 1 where the
        likelihood is a probability already.
      log_jacobian: added to log-likelihoods, `Scaling.log_jacobian` of standardised tables.
      train: rows that were trained on, in the form of `x`: the generalisation gap, and what follows.
      labels: classes (N,) of `x`: mutual information with clusters of the codes (of a mixture: with its components),
        and with the labels of `train` a linear and a nearest-neighbour probe of the codes.
      classifier: what `train_classifier` returned: `sample_quality` of draws and of means of x given sampled z.
      grey: images that the means are compared with; `x` unless told (binarised images have grey means).
      sprites: what the images were drawn from: `disentanglement`.
      ais: chains of annealed importance sampling of the first 16 rows, 0 for none: slow.
      beta: the weight of the divergence in training, for the advice.
      quick: leave out the diagnosis.
      progress: show a bar with the time left, on a terminal or in a notebook.

    Returns:
      `Scores`, a dict of `Score`s by name with the `diagnosis`; nats are higher-is-better.

    >>> import jax, vaejax as vj
    >>> model, x = vj.PPCA(dim=4, latent_dim=1), jax.random.normal(jax.random.key(2), (40, 4))
    >>> scores = vj.evaluate.run(model, model.init(jax.random.key(0)), jax.random.key(1), x, quick=True)
    >>> scores["log_evidence"].protocol
    'exact'
    """
    rows = checked_rows(model, x, context, "x")
    known = None if labels is None else as_classes("labels", labels, len(rows.x))
    key_bound, key_weights = jax.random.split(key)
    key_ais, key_look, key_codes, key_draws, key_factors = jax.random.split(jax.random.fold_in(key, 1), 5)
    exact, dims, given = has_exact_evidence(model), math.prod(rows.x.shape[1:]), ", given the context"
    given = given if model.context_dim else ""
    scores = Scores()
    best, name = np.zeros(0), "log_evidence" if exact else "iwae"
    if model.has_density:
        found = log_evidence_estimate(model, params, key_weights, x, context, k=k, progress=progress)
        best = found.log_evidence + log_jacobian
        told = "" if exact else f", median effective sample size {np.median(found.ess):.0f}"
        scores[name] = mean_score(best, "nats", found.protocol + told)
    parts = _bounds(model, params, key_bound, rows)
    if model.has_density and not exact:
        scores["elbo"] = mean_score(np.asarray(parts["elbo"]) + log_jacobian, "nats", f"one draw{given}")
        scores["log_likelihood"] = mean_score(
            np.asarray(parts["log_likelihood"]) + log_jacobian, "nats", "one draw of z from q"
        )
        scores["kl"] = mean_score(parts["kl"], "nats", "analytic where there is a closed form")
        for i, layer in enumerate(np.asarray(parts["kl_by_layer"]).T if "kl_by_layer" in parts else ()):
            scores[f"kl_{i}"] = mean_score(layer, "nats", f"latent {i + 1}, from the top")
    if model.has_density and levels is not None:
        bits = (dims * math.log(levels) - best) / (dims * math.log(2.0))
        of = f"{levels} grey values" if levels > 1 else "probabilities"
        scores["bits_per_dimension"] = mean_score(bits, "bits", f"from {name}, {of}, an upper bound")
    root = functools.partial(_root, dims=dims)
    scores["reconstruction_rmse"] = root(mean_score(parts["squared_error"], "", "from the centre of the posterior"))
    if ais:
        scores |= annealed(model, params, key_ais, rows, ais, k, log_jacobian, progress=progress)
    if not quick and model.has_density and model.num_components is None:
        some = None if train is None else train.take(slice(len(rows.x)))
        seen = None if some is None else (some.x, some.y) if model.context_dim else some.x
        found = diagnose(model, params, key_look, x, context, train=seen, beta=beta, progress=progress)
        scores |= diagnosed(found, scores)
        scores.diagnosis = found
    if known is not None and len(np.unique(known)) > 1:
        scores |= of_labels(model, params, key_codes, rows, known, train)
    if classifier is not None and model.has_density:
        scores |= of_samples(model, params, key_draws, rows, classifier, train, grey)
    if sprites is not None:
        scores |= disentangled(model, params, key_factors, sprites)
    return scores


def _root(score: Score, dims: int) -> Score:
    """The root of a mean square, with its standard error by the delta method."""
    value = math.sqrt(score.value)
    error = score.standard_error / (2.0 * value) if value else 0.0
    return Score(value, error, f"a dimension, of {dims}", score.protocol)
