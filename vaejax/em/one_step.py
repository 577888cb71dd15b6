"""One EM step as a pure function of parameters and rows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.em.family import family_of
from vaejax.em.prepare import Rows
from vaejax.em.step import RESTARTS, Hyper, Step
from vaejax.models import PPCA, FactorAnalysis, LatentModel

__all__ = ["em_step"]


@functools.partial(jax.jit, static_argnames=("missing",))
def em_step(
    model: LatentModel,
    params: dict[str, Any],
    x: jax.Array,
    *,
    weights: jax.Array | None = None,
    variance_floor: float = 0.0,
    prior_count: float = 0.0,
    prior_variance: float = 1.0,
    missing: bool = False,
    accelerate: bool = False,
) -> Step:
    r"""One E step and one M step as a pure function of parameters and rows, in the units of the rows.

    It neither standardises nor re-seeds nor looks at values (negative weights, nan); `fit` does. PPCA
    and factor analysis take the mean of the rows for their mean, its maximum likelihood, before the
    E step, and the values returned are at that mean.

    Args:
      model: a `GMM`, `PPCA`, `FactorAnalysis` or `PPCAMixture`.
      params: the old parameters $\theta^o$.
      x: rows, shape (N, D).
      weights: weight of each row, shape (N,).
      variance_floor: least eigenvalue of a covariance and least noise variance.
      prior_count: as in `fit`.
      prior_variance: as in `fit`.
      missing: as in `fit`.
      accelerate: as in `fit`; off here, where the step is the sources'.

    Returns:
      A `Step`: the new parameters, and the objective and log-likelihood at the old ones.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(2, 3)
    >>> x = jax.random.normal(jax.random.key(0), (50, 3))
    >>> first = vj.em.em_step(model, model.init(jax.random.key(1)), x)
    >>> second = vj.em.em_step(model, first.params, x)
    >>> bool(second.log_likelihood > first.log_likelihood)
    True
    """
    family = family_of(model, missing)
    if jnp.ndim(x) != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x: expected floating-point rows (N, D), got {x.dtype} of shape {jnp.shape(x)}")
    count, dim = x.shape
    if dim != model.dim:  # type: ignore[attr-defined]
        raise ValueError(f"x: expected rows of {model.dim} values, got {dim}")  # type: ignore[attr-defined]
    w = jnp.ones(count, x.dtype) if weights is None else jnp.asarray(weights, x.dtype)
    if w.shape != (count,):
        raise ValueError(f"weights: expected shape ({count},), got {w.shape}")
    mask = (~jnp.isnan(x)).astype(x.dtype) if missing else None
    shift = jnp.zeros(dim, x.dtype)
    if isinstance(model, PPCA | FactorAnalysis) and not missing:
        shift = w @ x / jnp.sum(w)
        x = x - shift[None]
    if mask is not None:
        x = jnp.where(mask > 0, x, 0.0)
    turn = (lambda leaf: leaf.T[None]) if family.rows_last else (lambda leaf: leaf[None])
    data = family.summarize(Rows(turn(x), w[None], None if mask is None else turn(mask)), None)
    hyper = Hyper(
        jnp.maximum(jnp.asarray(variance_floor, x.dtype), jnp.finfo(x.dtype).eps ** 2),
        jnp.asarray(prior_count, x.dtype),
        jnp.full(dim, prior_variance, x.dtype),
        jnp.zeros((), bool),
        jnp.asarray(accelerate),
    )
    alone = lambda params: family.step(model, params, data, hyper, jax.random.key(0), None)  # noqa: E731
    result = jax.vmap(alone, axis_name=RESTARTS)(jax.tree.map(lambda leaf: leaf[None], params))
    result = jax.tree.map(lambda leaf: leaf[0], result)
    if "mean" in result.params:
        result = result._replace(params={**result.params, "mean": result.params["mean"] + shift})
    return result
