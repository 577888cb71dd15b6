"""What a fitted model does with its latents and its noise, and what to try next."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows, checked_rows, is_grey
from vaejax.distributions import Distribution, Normal, kl_per_dimension
from vaejax.evaluate.activity import active_units
from vaejax.evaluate.advice import advise
from vaejax.evaluate.aggregate import aggregate_posterior
from vaejax.evaluate.evidence import has_exact_evidence, log_evidence_estimate
from vaejax.evaluate.refine import refine
from vaejax.models import LatentModel, elbo

__all__ = ["Diagnosis", "diagnose"]

_AT_ONCE = 256
_LOW_VARIANCE = 1e-2


class Diagnosis(NamedTuple):
    """What `diagnose` finds.

    Attributes:
      numbers: by name, nats unless the name says otherwise; what a model does not have is absent.
      arrays: `kl_per_dimension` (M,), `kl_per_layer` (L,), `correlations` (M, M), where there are any.
      advice: sentences, the most important first; empty where no rule applies.
      protocol: rows and draws behind the numbers.
      errors: standard errors of those numbers that are means, over the rows that were looked at.
    """

    numbers: dict[str, float]
    arrays: dict[str, np.ndarray]
    advice: list[str]
    protocol: str
    errors: dict[str, float]


@jax.jit
def _scores(model: LatentModel, params: Any, key: jax.Array, rows: Rows) -> dict[str, jax.Array]:
    """For each row: the bound and its parts, the noise of the likelihood at a draw of z, and what each pixel gives."""

    def one(item: tuple[jax.Array, Rows]) -> dict[str, jax.Array]:
        key, (x, context) = item
        x = model.event(x)
        bound = elbo(model, params, key, x, context)
        found = {"elbo": bound.value, "log_likelihood": bound.log_likelihood, "kl": bound.kl}
        p, q = model.prior(params, context), model.posterior(params, x, context)
        if not isinstance(q, Distribution):
            return found
        each = kl_per_dimension(q, p)
        if each is not None:
            found["kl_per_dimension"] = each
        _, h = p.score(q.sample(key))
        likelihood = model.likelihood(params, h, context)
        if isinstance(likelihood, Normal):
            sigma = jnp.broadcast_to(likelihood.scale, x.shape)
            pixels = jax.vmap(lambda m, s, v: Normal(m, s).log_prob(v))(*map(jnp.ravel, (likelihood.loc, sigma, x)))
            found |= {"sigma": jnp.ravel(sigma), "pixels": pixels}
            found["squared_error"] = jnp.mean((x - likelihood.loc) ** 2)
        return found

    return jax.lax.map(one, (jax.random.split(key, len(rows.x)), rows), batch_size=min(len(rows.x), _AT_ONCE))


def _spectrum(x: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance of the rows, largest first."""
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    x = x - x.mean(0)
    return np.linalg.svd(x, compute_uv=False) ** 2 / len(x)


def _of_noise(model: Any, x: np.ndarray, each: dict[str, np.ndarray]) -> dict[str, float]:
    """What a Gaussian likelihood makes of its noise."""
    sigma, flat = each["sigma"], x.reshape(len(x), -1)
    found = {
        "least_sigma": float(sigma.min()),
        "greatest_sigma": float(sigma.max()),
        "mean_squared_error": float(each["squared_error"].mean()),
    }
    found["implied_sigma"] = math.sqrt(found["mean_squared_error"])
    scale = model.scale
    if isinstance(scale, float | int):
        found["fixed_sigma"] = float(scale)
        found["effective_beta"] = float(scale) ** 2 / max(found["mean_squared_error"], 1e-300)
        found["ppca_keeps"] = int((_spectrum(flat) > scale**2).sum())
    low = flat.var(0) < _LOW_VARIANCE
    total = each["pixels"].mean(0).sum()
    if low.any() and total > 0:
        found["low_variance_share"] = float(each["pixels"].mean(0)[low].sum() / total)
    return found


def diagnose(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    train: Any = None,
    k: int = 500,
    num_rows: int = 500,
    beta: float = 1.0,
    progress: bool = True,
) -> Diagnosis:
    r"""Say what a fitted model does with its latents and its noise, and what to try next.

    Active units; the divergence by latent and by layer; of flat models the mutual information, the divergence and
    the total correlation of the aggregate posterior and its correlations; of Gaussian likelihoods the least and the
    greatest sigma, the sigma that the errors imply, and which share of the log-likelihood comes from pixels of
    variance below 0.01; the generalisation gap; the amortisation gap (by refining q) and the approximation gap
    (importance sampling from the best q, minus its bound).

    Args:
      model: any model with a density and continuous latents.
      params: its parameters.
      key: a PRNG key.
      x: held-out rows (N, ...) in the form that the likelihood scores; the first `num_rows` are used.
      context: labels (N,) or vectors, where the model has a context.
      train: rows that were trained on, in the same form (of a conditional model the pair `(x, context)`): for the
        generalisation gap.
      k: draws of the importance bound.
      num_rows: rows that are looked at.
      beta: the weight of the divergence that the model was trained with, for the advice.
      progress: show bars.

    Returns:
      A `Diagnosis`.
    """
    rows = checked_rows(model, x, context, "x")
    rows = jax.tree.map(lambda leaf: leaf[:num_rows], rows)
    key_score, key_train, key_aggregate, key_weights, key_gap = jax.random.split(key, 5)
    each = jax.tree.map(np.asarray, _scores(model, params, key_score, rows))
    kl = each["kl"].reshape(len(rows.x), -1)
    active = active_units(model, params, rows.x, rows.context)
    counts = jax.tree.leaves(active.count)
    numbers: dict[str, Any] = {
        "elbo": float(each["elbo"].mean()),
        "log_likelihood": float(each["log_likelihood"].mean()),
        "kl": float(kl.sum(1).mean()),
        "latents": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(active.variance)),
        "active_units": int(sum(counts)),
        "beta": beta,
        "grey_bernoulli": is_grey(model, rows, None),
    }
    errors = {"elbo": _error(each["elbo"]), "log_likelihood": _error(each["log_likelihood"]), "kl": _error(kl.sum(1))}
    arrays = {"kl_per_layer": kl.mean(0)} if kl.shape[1] > 1 else {}
    if "kl_per_dimension" in each:
        arrays["kl_per_dimension"] = each["kl_per_dimension"].mean(0)
    if "sigma" in each:
        flat = np.asarray(jax.vmap(model.event)(rows.x))
        numbers |= _of_noise(model, flat, each)
        errors["mean_squared_error"] = _error(each["squared_error"])
    if train is not None:
        seen, given = train if isinstance(train, tuple) else (train, None)
        others = jax.tree.map(lambda leaf: leaf[:num_rows], checked_rows(model, seen, given, "train"))
        other = np.asarray(_scores(model, params, key_train, others)["elbo"], np.float64)
        numbers["generalisation_gap"] = float(other.mean() - numbers["elbo"])
        errors["generalisation_gap"] = math.hypot(_error(other), _error(each["elbo"]))
        numbers["generalisation_gap_error"] = float(np.nan_to_num(errors["generalisation_gap"]))
    q = jax.eval_shape(lambda row: model.posterior(params, model.event(row.x), row.context), _first(rows))
    if isinstance(q, Distribution) and not model.context_dim and _has_density(q):
        found = aggregate_posterior(model, params, key_aggregate, rows.x)
        numbers |= {"mutual_information": found.mutual_information, "aggregate_kl": found.kl_to_prior}
        names = ("mutual_information", "aggregate_kl", "total_correlation")
        errors |= dict(zip(names, found.standard_errors, strict=True))
        arrays["correlations"] = found.correlations
        if math.isfinite(found.total_correlation):
            numbers["total_correlation"] = found.total_correlation
    evidence = log_evidence_estimate(model, params, key_weights, rows.x, rows.context, k=k, progress=progress)
    numbers["log_evidence"], errors["log_evidence"] = evidence.mean
    if not has_exact_evidence(model):
        numbers["relative_ess"] = float(np.median(evidence.ess) / k)
    if type(q).__name__ in ("Normal", "TrilNormal"):
        refined = refine(model, params, key_gap, rows.x, rows.context, progress=progress)
        gaps = {
            "amortisation_gap": np.asarray(refined.best - refined.encoder, np.float64),
            "approximation_gap": np.asarray(refined.importance - refined.best, np.float64),
        }
        numbers |= {name: float(gap.mean()) for name, gap in gaps.items()}
        errors |= {name: _error(gap) for name, gap in gaps.items()}
    return Diagnosis(numbers, arrays, advise(numbers), f"{len(rows.x)} rows, {evidence.protocol}", errors)


def _error(values: Any) -> float:
    """Standard error of a mean; of one row it is not known."""
    values = np.asarray(values, np.float64)
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def _first(rows: Rows) -> Rows:
    return jax.tree.map(lambda leaf: leaf[0], rows)


def _has_density(q: Any) -> bool:
    """Whether q(z|x) has a density away from its own draws: `Flowed` with a step that has no inverse has none."""
    return all(hasattr(step, "inverse") for step in getattr(q, "steps", ()))
