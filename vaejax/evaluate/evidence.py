"""Log-likelihoods of many rows, with error bars: exact where they can be, else by importance sampling."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows, checked_rows
from vaejax.distributions import draw
from vaejax.evaluate.criteria import log_evidences
from vaejax.evaluate.progress import groups
from vaejax.models import LatentModel
from vaejax.models.model import require_at_least

__all__ = ["Evidence", "has_exact_evidence", "importance_bounds", "log_evidence_estimate", "of_weights"]

_DRAWS_AT_ONCE = 2048  # at 784 pixels 6 MB: four times as many leave the cache and take a quarter longer
_DRAWS_A_CALL = 2**20  # about a second: the bar moves, and a call can be interrupted
PURPOSE = 0x65766964  # folded into keys, so that rows drawn from `split` of the same key are not met again


class Evidence(NamedTuple):
    r"""Estimates of log p(x), one for each row.

    Attributes:
      log_evidence: nats, (N,). An average of unbiased estimates $w$ of p(x), under the logarithm: its
        expectation is below log p(x), by about half the squared standard error.
      standard_error: of `log_evidence`, (N,), by the delta method from the spread of the weights; to be
        trusted where `ess` is above a tenth of the draws.
      ess: effective sample size $(\sum w)^2/\sum w^2$, (N,).
      protocol: what was computed, in words.
    """

    log_evidence: np.ndarray
    standard_error: np.ndarray
    ess: np.ndarray
    protocol: str

    @property
    def mean(self) -> tuple[float, float]:
        """Mean over the rows, and its standard error: that of the rows and of the estimates together."""
        values = np.asarray(self.log_evidence, np.float64)  # their spread over the rows holds both
        return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


class _Sums(NamedTuple):
    """Streaming sums of weights: the largest logarithm so far, and sums of w and w^2 relative to it."""

    top: jax.Array
    first: jax.Array
    second: jax.Array


def _added(sums: _Sums, log_w: jax.Array) -> _Sums:
    top = jnp.maximum(sums.top, jnp.max(log_w))
    safe = jnp.where(jnp.isfinite(top), top, 0.0)
    old, new = jnp.exp(sums.top - safe), jnp.exp(log_w - safe)
    return _Sums(top, sums.first * old + jnp.sum(new), sums.second * old**2 + jnp.sum(new**2))


def of_weights(log_w: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logarithm of the mean of weights along the last axis, its standard error, and the effective sample size."""
    log_w = jnp.asarray(log_w)
    start = _Sums(*jnp.full((3,), -jnp.inf).at[1:].set(0.0))
    sums = _added(start, log_w) if log_w.ndim == 1 else jax.vmap(lambda row: _added(start, row))(log_w)
    return _estimate(sums, log_w.shape[-1])


def _estimate(sums: _Sums, k: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    ess = sums.first**2 / sums.second
    spread = jnp.sqrt(jnp.maximum(1.0 / ess - 1.0 / k, 0.0) * (k / max(k - 1, 1)))
    return sums.top + jnp.log(sums.first / k), jnp.where(k > 1, spread, jnp.nan), ess


@functools.partial(jax.jit, static_argnames=("k", "chunk"))
def _weigh(model: LatentModel, params: Any, key: jax.Array, rows: Rows, first: Any, *, k: int, chunk: int):
    """Estimates of each row; its draws come in chunks, from `fold_in(key, its number)`, and are summed as they come."""

    def one(item: tuple[jax.Array, Rows]) -> tuple[jax.Array, ...]:
        number, (x, context) = item
        x, own = model.event(x), jax.random.fold_in(jax.random.fold_in(key, PURPOSE), number)
        p, q = model.prior(params, context), model.posterior(params, x, context)

        def weight(i: jax.Array) -> jax.Array:
            d = draw(jax.random.fold_in(own, i), q, p)
            log_w = model.likelihood(params, d.h, context).log_prob(x) - jnp.sum(d.kl)
            return jnp.where(i < k, log_w, -jnp.inf)

        add = lambda sums, at: (_added(sums, jax.vmap(weight)(at + jnp.arange(chunk))), None)  # noqa: E731
        start = _Sums(*jnp.full((3,), -jnp.inf).at[1:].set(0.0))
        sums, _ = jax.lax.scan(add, start, jnp.arange(0, k, chunk))
        return _estimate(sums, k)

    numbers = first + jnp.arange(len(rows.x))
    return jax.lax.map(one, (numbers, rows), batch_size=max(1, min(len(rows.x), _DRAWS_AT_ONCE // chunk)))


def has_exact_evidence(model: LatentModel) -> bool:
    """Whether log p(x) has a closed form."""
    return model.has_evidence


def log_evidence_estimate(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    x: Any,
    context: Any = None,
    *,
    k: int = 1000,
    chunk: int = 1024,
    progress: bool = True,
) -> Evidence:
    r"""Estimate log p(x) of each row; in closed form where the model has one, else by importance sampling.

    $$\hat p(x) = \frac1k\sum_i w_i,\quad w_i = \frac{p(x,z_i)}{q(z_i|x)},\quad z_i\sim q(z|x),\qquad
    \mathrm{se}[\ln\hat p] = \sqrt{\frac{k}{k-1}\Big(\frac{\sum w^2}{(\sum w)^2} - \frac1k\Big)}$$

    Sums are kept as the draws come: the memory does not grow with k. A row's draws depend on the key and on
    the row's number alone.

    Args:
      model: any model with a density.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...) of floats or uint8 pixels, in the form that the likelihood scores.
      context: labels (N,) or vectors (N, context_dim), where the model has a context.
      k: draws a row.
      chunk: draws of a row at once, at most.
      progress: show a bar with the time left, on a terminal or in a notebook.

    Returns:
      An `Evidence`.

    Reference: Burda, Grosse and Salakhutdinov, 2016, equation 8; Owen, 2013, chapter 9 (the standard error).

    >>> import jax, vaejax as vj
    >>> model, x = vj.zoo.vae(4, latent_dim=2, hidden=(8,)), jax.numpy.zeros((3, 4))
    >>> found = log_evidence_estimate(model, model.init(jax.random.key(0)), jax.random.key(1), x, k=50)
    >>> found.log_evidence.shape, found.protocol
    ((3,), 'importance sampling from q, k=50')
    """
    for name, value in (("k", k), ("chunk", chunk)):
        require_at_least(name, value, 1)
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(x)")
    rows = checked_rows(model, x, context, "x")
    if has_exact_evidence(model):
        values = np.asarray(log_evidences(model, params, rows.x))
        return Evidence(values, np.zeros_like(values), np.full_like(values, np.inf), "exact")
    chunk = math.ceil(k / math.ceil(k / chunk))  # equal chunks: none is mostly padding
    call = lambda first, part: _weigh(model, params, key, part, first, k=k, chunk=chunk)  # noqa: E731
    value, error, ess = groups(call, rows, max(1, _DRAWS_A_CALL // k), progress, f"k={k}")
    given = ", given the context" if model.context_dim else ""
    return Evidence(value, error, ess, f"importance sampling from q, k={k}{given}")


def importance_bounds(
    model: LatentModel, params: Any, key: jax.Array, x: Any, context: Any = None, *, k: int = 100
) -> np.ndarray:
    r"""Importance-weighted bound of each row, $\ln\frac1k\sum_i p(x,z_i)/q(z_i|x)$: nats, shape (N,).

    The values of `log_evidence_estimate` alone, without a bar; arguments as there. Where the evidence is in closed
    form it is that.

    >>> import jax, vaejax as vj
    >>> model, x = vj.zoo.vae(4, latent_dim=2, hidden=(8,)), jax.numpy.zeros((3, 4))
    >>> importance_bounds(model, model.init(jax.random.key(0)), jax.random.key(1), x, k=10).shape
    (3,)
    """
    return log_evidence_estimate(model, params, key, x, context, k=k, progress=False).log_evidence
