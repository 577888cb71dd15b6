"""One call that scores a model on held-out rows, with the protocol beside the numbers."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.evaluate.evidence import has_exact_evidence, log_evidence_estimate
from vaejax.inputs import Rows, prepare
from vaejax.models import LatentModel, elbo, reconstruct

__all__ = ["Score", "run"]

_AT_ONCE = 256


class Score(NamedTuple):
    """A mean over rows.

    Attributes:
      value: the mean.
      standard_error: of the mean over the rows.
      unit: of both.
      protocol: how it was computed.
    """

    value: float
    standard_error: float
    unit: str
    protocol: str


def _score(values: Any, unit: str, protocol: str) -> Score:
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Score(float(values.mean()), float(error), unit, protocol)


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
    progress: bool = True,
) -> dict[str, Score]:
    """Score a model on rows that it was not trained on.

    Exact evidence where the model has it, else the evidence lower bound with its parts and the
    importance-weighted bound; the error of reconstructions from the centre of the posterior.

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
      progress: show a bar with the time left, on a terminal or in a notebook.

    Returns:
      `Score`s by name; nats are higher-is-better.

    >>> import jax, vaejax as vj
    >>> model, x = vj.PPCA(dim=4, latent_dim=1), jax.numpy.ones((5, 4))
    >>> scores = vj.evaluate.run(model, model.init(jax.random.key(0)), jax.random.key(1), x)
    >>> scores["log_evidence"].protocol
    'exact'
    """
    rows = prepare(model, x, context, "x")
    key_bound, key_weights = jax.random.split(key)
    exact, dims, given = has_exact_evidence(model), math.prod(rows.x.shape[1:]), ", given the context"
    given = given if model.context_dim else ""
    scores: dict[str, Score] = {}
    best, name = np.zeros(0), "log_evidence" if exact else "iwae"
    if model.has_density:
        found = log_evidence_estimate(model, params, key_weights, x, context, k=k, progress=progress)
        best = found.log_evidence + log_jacobian
        told = "" if exact else f", median effective sample size {np.median(found.ess):.0f}"
        scores[name] = _score(best, "nats", found.protocol + told)
    parts = _bounds(model, params, key_bound, rows)
    if model.has_density and not exact:
        scores["elbo"] = _score(np.asarray(parts["elbo"]) + log_jacobian, "nats", f"one draw{given}")
        scores["log_likelihood"] = _score(
            np.asarray(parts["log_likelihood"]) + log_jacobian, "nats", "one draw of z from q"
        )
        scores["kl"] = _score(parts["kl"], "nats", "analytic where there is a closed form")
        for i, layer in enumerate(np.asarray(parts["kl_by_layer"]).T if "kl_by_layer" in parts else ()):
            scores[f"kl_{i}"] = _score(layer, "nats", f"latent {i + 1}, from the top")
    if model.has_density and levels is not None:
        bits = (dims * math.log(levels) - best) / (dims * math.log(2.0))
        of = f"{levels} grey values" if levels > 1 else "probabilities"
        scores["bits_per_dimension"] = _score(bits, "bits", f"from {name}, {of}, an upper bound")
    root = functools.partial(_root, dims=dims)
    scores["reconstruction_rmse"] = root(_score(parts["squared_error"], "", "from the centre of the posterior"))
    return scores


def _root(score: Score, dims: int) -> Score:
    """The root of a mean square, with its standard error by the delta method."""
    value = math.sqrt(score.value)
    error = score.standard_error / (2.0 * value) if value else 0.0
    return Score(value, error, f"a dimension, of {dims}", score.protocol)
