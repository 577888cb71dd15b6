r"""EM for PPCA and factor analysis from the second moments S of the centred data.

With the posterior map $B = (I + A^\top A)^{-1}A^\top/\sigma$, $A = W/\sigma$, a step needs only $SB^\top$:
one D x D x M product, whatever the number of rows.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.em.accumulate import sum_over_chunks
from vaejax.em.prepare import Rows
from vaejax.em.step import Hyper, Step, regress
from vaejax.kernels import inverse_cholesky
from vaejax.models import PPCA, FactorAnalysis

__all__ = ["WIDE", "Second", "from_eigh", "rescale", "second_moments", "start", "step"]

LOG_2PI = math.log(2.0 * math.pi)
WIDE = 128  # columns from which second moments are summed within a chunk in the precision of the data
_BLOCKS = 4


class Second(NamedTuple):
    """Second moments of centred rows: the weighted mean of x x^T, shape (D, D), and the sum of weights."""

    moments: jax.Array
    total: jax.Array


def _gram(x: jax.Array) -> jax.Array:
    """x^T x of (C, D) rows; for wide rows block by block, the lower triangle only."""
    dim = x.shape[1]
    if dim < WIDE:
        return x.T @ x
    edges = [round(dim * i / _BLOCKS) for i in range(_BLOCKS + 1)]
    lower = jnp.zeros((dim, dim), x.dtype)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        lower = lower.at[low:high, :high].set(x[:, low:high].T @ x[:, :high])
    return jnp.tril(lower) + jnp.tril(lower, -1).T


def second_moments(rows: Rows, mesh=None) -> Second:
    """Second moments of chunks with x of shape (n, C, D)."""

    def add(frame: Any, chunk: Rows) -> tuple[jax.Array, jax.Array]:
        x = chunk.x if frame is None else (chunk.x - frame[0][None]) * frame[1][None]
        return _gram(x * jnp.sqrt(chunk.w)[:, None]), jnp.sum(chunk.w)

    narrow = rows.x.shape[-1] < WIDE
    frame = None if rows.centre is None else (rows.centre, rows.factor)
    total, count = sum_over_chunks(add, frame, Rows(rows.x, rows.w, rows.mask), mesh, precise=narrow)
    return Second(total / count, count)


def start(model: PPCA | FactorAnalysis, key: jax.Array, data: Second | Rows, hyper: Hyper) -> dict[str, Any]:
    r"""$W \sim 0.01\,N(0, 1)$ and unit noise, the mean variance of the standard frame."""
    dtype = hyper.floor.dtype
    shape = () if isinstance(model, PPCA) else (model.dim,)
    weight = 0.01 * jax.random.normal(key, (model.dim, model.latent_dim), dtype)
    log_scale = jnp.broadcast_to(0.5 * jnp.log(jnp.maximum(hyper.floor, 1.0)), shape)
    return {"mean": jnp.zeros(model.dim, dtype), "weight": weight, "log_scale": log_scale}


def noise(model: PPCA | FactorAnalysis, residual: jax.Array, seen: jax.Array, hyper: Hyper) -> jax.Array:
    """Log standard deviation of the noise from residual sums of squares (D,) over `seen` entries (D,)."""
    residual = residual + hyper.prior_count * hyper.prior_variance
    seen = seen + hyper.prior_count
    if isinstance(model, PPCA):
        residual, seen = jnp.sum(residual), jnp.sum(seen)
    return 0.5 * jnp.log(jnp.maximum(residual / seen, hyper.floor))


def penalty(model: PPCA | FactorAnalysis, params: dict[str, Any], hyper: Hyper) -> jax.Array:
    r"""Log-prior of the noise: $-\tfrac12 n_0\sum_d[\ln\sigma_d^2 + \psi_d/\sigma_d^2]$."""
    log_scale = jnp.broadcast_to(params["log_scale"], (model.dim,))
    return -0.5 * hyper.prior_count * jnp.sum(2.0 * log_scale + hyper.prior_variance * jnp.exp(-2.0 * log_scale))


def step(
    model: PPCA | FactorAnalysis, params: dict[str, Any], data: Second, hyper: Hyper, key: jax.Array, mesh=None
) -> Step:
    """One E step and one M step on the second moments; the mean is the data's."""
    s, count = data
    weight, dim = params["weight"], model.dim
    log_scale = jnp.broadcast_to(params["log_scale"], (dim,))
    precision = jnp.exp(-2.0 * log_scale)
    scaled = weight * precision[:, None]
    tril = inverse_cholesky(jnp.eye(model.latent_dim, dtype=weight.dtype) + weight.T @ scaled)
    covariance = tril @ tril.T
    posterior_map = covariance @ scaled.T
    cross = s @ posterior_map.T  # mean of x E[z]^T
    within = posterior_map @ cross
    new_weight, grown = regress(cross, covariance + within, hyper)
    variances = jnp.diagonal(s)
    residual = jnp.maximum(variances - jnp.sum(new_weight * cross, 1), 0.0)
    new = {
        "mean": jnp.zeros_like(params["mean"]),
        "weight": grown,
        "log_scale": noise(model, count * residual, jnp.full((dim,), 1.0, s.dtype) * count, hyper),
    }
    # tr(C^-1 S) as residual plus code energy: no large terms are subtracted.
    leftover = variances - 2.0 * jnp.sum(weight * cross, 1) + jnp.sum((weight @ within) * weight, 1)
    energy = jnp.sum(jnp.maximum(leftover, 0.0) * precision) + jnp.trace(within)
    log_det = 2.0 * jnp.sum(log_scale) - 2.0 * jnp.sum(jnp.log(jnp.diagonal(tril)))
    log_likelihood = -0.5 * (dim * LOG_2PI + log_det + energy)
    objective = log_likelihood + penalty(model, params, hyper) / count
    return Step(new, objective, log_likelihood, jnp.zeros((), jnp.int32))


def from_eigh(model: PPCA, s: jax.Array, floor: jax.Array) -> dict[str, Any]:
    r"""Maximum likelihood in closed form: $\sigma^2$ is the mean dropped eigenvalue, $W = U(\Lambda-\sigma^2)^{1/2}$.

    Reference: Tipping and Bishop, 1999, equations 7-8.
    """
    values, vectors = jnp.linalg.eigh(s)
    top, directions = values[::-1][: model.latent_dim], vectors[:, ::-1][:, : model.latent_dim]
    variance = jnp.maximum(jnp.mean(values[: model.dim - model.latent_dim]), floor)
    weight = directions * jnp.sqrt(jnp.maximum(top - variance, 0.0))[None, :]
    return {"mean": jnp.zeros(model.dim, s.dtype), "weight": weight, "log_scale": 0.5 * jnp.log(variance)}


def rescale(
    model: PPCA | FactorAnalysis, params: dict[str, Any], shift: np.ndarray, scale: np.ndarray
) -> dict[str, Any]:
    """Parameters of shift + scale * x from those of x, on the host; `scale` has one entry a column."""
    log_scale = np.log(scale[0] if isinstance(model, PPCA) else scale)
    return {
        "mean": params["mean"] * scale + shift,
        "weight": params["weight"] * scale[:, None],
        "log_scale": params["log_scale"] + log_scale,
    }
