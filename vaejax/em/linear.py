r"""EM for PPCA and factor analysis, from second moments of centred rows or row by row where values are missing.

With the posterior map $B = (I + A^\top A)^{-1}A^\top/\sigma$, $A = W/\sigma$, a step on second moments S needs only
$SB^\top$: one D x D x M product, whatever the number of rows. With missing values each row is explained by its
observed entries alone; with $\tilde z = (z, 1)$ the M step is one regression a column, of its observed entries on
$E[\tilde z]$.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vaejax.em.step import Chunks, EMStep, Hyper, Update, Vector
from vaejax.kernels import inverse_cholesky
from vaejax.models import PPCA, FactorAnalysis
from vaejax.recipes import static
from vaejax.types import Array, Key, Params, PyTree

__all__ = ["LinearStep", "MissingLinearStep", "Second", "explain", "regress"]

LOG_2PI = math.log(2.0 * math.pi)
WIDE = 128  # columns from which second moments are summed within a chunk in the precision of the data
_BLOCKS = 4


class Second(NamedTuple):
    """Second moments of centred rows: the weighted mean of x x^T, and the number of rows."""

    moments: Float[Array, "D D"]
    rows: Float[Array, ""]


class _Linear(EMStep):
    """What both steps share: start, noise and its prior, units."""

    model: PPCA | FactorAnalysis
    covariances = 1

    @property
    def frame(self):
        return "common" if isinstance(self.model, PPCA) else "columns"

    def start(self, key: Key, rows: PyTree, hyper: Hyper) -> Params:
        r"""$W \sim 0.01\,N(0, 1)$ and unit noise, the mean variance of the standard frame."""
        dtype, dim = hyper.floor.dtype, self.model.dim
        weight = 0.01 * jax.random.normal(key, (dim, self.model.latent_dim), dtype)
        log_scale = 0.5 * jnp.log(jnp.maximum(hyper.floor, 1.0))
        log_scale = log_scale if isinstance(self.model, PPCA) else jnp.broadcast_to(log_scale, (dim,))
        return {"mean": jnp.zeros(dim, dtype), "weight": weight, "log_scale": log_scale}

    def rescale(self, params: Params, shift: Vector, scale: np.ndarray) -> Params:
        return {
            "mean": params["mean"] * scale + shift,
            "weight": params["weight"] * scale[:, None],
            "log_scale": params["log_scale"] + np.log(scale[0] if isinstance(self.model, PPCA) else scale),
        }

    def at_floor(self, params: Params, hyper: Hyper) -> Bool[Array, " K"]:
        noise = jnp.exp(2.0 * params["log_scale"])
        overall = noise + jnp.sum(params["weight"] ** 2, 1)
        low = (noise <= 2.0 * hyper.floor) & (overall > 4.0 * hyper.floor)
        return jnp.any(low)[None]

    def _noise(self, residual: Array, seen: Array, hyper: Hyper) -> Array:
        """Log standard deviation of the noise from residual sums of squares (D,) over `seen` entries (D,)."""
        residual = residual + hyper.prior_count * hyper.prior_variance
        seen = seen + hyper.prior_count
        if isinstance(self.model, PPCA):
            residual, seen = jnp.sum(residual), jnp.sum(seen)
        return 0.5 * jnp.log(jnp.maximum(residual / seen, hyper.floor))

    def _result(self, old: Params, new: Params, log_likelihood: Array, count: Array, hyper: Hyper) -> Update:
        r"""With the log-prior of the old noise: $-\tfrac12 n_0\sum_d[\ln\sigma_d^2 + \psi_d/\sigma_d^2]$."""
        log_scale = jnp.broadcast_to(old["log_scale"], (self.model.dim,))
        prior = jnp.sum(2.0 * log_scale + hyper.prior_variance * jnp.exp(-2.0 * log_scale))
        return Update(new, log_likelihood, -0.5 * hyper.prior_count * prior / count)


@static
class LinearStep(_Linear):
    """EM of a `PPCA` or `FactorAnalysis` on second moments; its mean is the data's, the origin of the frame."""

    model: PPCA | FactorAnalysis
    rows_first = True
    double = True

    @property
    def width(self):
        return self.model.dim // 8 + 1

    def floor(self, dtype: np.dtype) -> float:
        return max(1e-8, 8.0 * float(jnp.finfo(dtype).eps)) if self.model.dim >= WIDE else 1e-8

    def summarize(self, rows: Chunks) -> Second:
        total, count = rows.sum(
            lambda _, chunk: (_gram(chunk.x * jnp.sqrt(chunk.w)[:, None]), chunk.count),
            (),
            precise=self.model.dim < WIDE,
        )
        return Second(total / count, count)

    def rescale(self, params: Params, shift: Vector, scale: np.ndarray) -> Params:
        return super().rescale(params, shift, scale) | {"mean": shift}

    def update(self, params: Params, rows: Second, hyper: Hyper, key: Key) -> Update:
        s, count = rows
        weight, dim = params["weight"], self.model.dim
        log_scale = jnp.broadcast_to(params["log_scale"], (dim,))
        posterior_map, covariance, log_det = explain(weight, log_scale)
        cross = s @ posterior_map.T  # mean of x E[z]^T
        within = posterior_map @ cross
        new_weight, grown = regress(cross, covariance + within, hyper)
        variances = jnp.diagonal(s)
        residual = jnp.maximum(variances - jnp.sum(new_weight * cross, 1), 0.0)
        log_scales = self._noise(count * residual, jnp.full((dim,), 1.0, s.dtype) * count, hyper)
        new = {"mean": jnp.zeros_like(params["mean"]), "weight": grown, "log_scale": log_scales}
        # tr(C^-1 S) as residual plus code energy: no large terms are subtracted.
        leftover = variances - 2.0 * jnp.sum(weight * cross, 1) + jnp.sum((weight @ within) * weight, 1)
        energy = jnp.sum(jnp.maximum(leftover, 0.0) * jnp.exp(-2.0 * log_scale)) + jnp.trace(within)
        return self._result(params, new, -0.5 * (dim * LOG_2PI + log_det + energy), count, hyper)


@static
class MissingLinearStep(_Linear):
    """EM of a `PPCA` or `FactorAnalysis` whose rows miss entries at random; the mean is fitted too."""

    model: PPCA | FactorAnalysis
    missing = True

    @property
    def width(self):
        return max(self.model.dim, 4 * self.model.latent_dim**2)

    def update(self, params: Params, rows: Chunks, hyper: Hyper, key: Key) -> Update:
        log_scale = jnp.broadcast_to(params["log_scale"], (self.model.dim,))
        known = (params["mean"], params["weight"], log_scale)
        normal, cross, square, seen, total, log_likelihood = rows.sum(_row_moments, known, precise=True)
        count = rows.count
        solution = jax.vmap(lambda a, b: jax.scipy.linalg.solve(a, b, assume_a="pos"))(normal, cross)
        residual = jnp.maximum(square - jnp.sum(solution * cross, 1), 0.0)
        second, centre = total[:-1, :-1] / count, jnp.where(hyper.expand, total[:-1, -1] / count, 0.0)
        second = second - centre[:, None] * centre[None, :]
        new = {
            "mean": params["mean"] + solution[:, -1] + solution[:, :-1] @ centre,
            "weight": jnp.where(hyper.expand, solution[:, :-1] @ jnp.linalg.cholesky(second), solution[:, :-1]),
            "log_scale": self._noise(residual, seen, hyper),
        }
        return self._result(params, new, log_likelihood / count, count, hyper)


def explain(weight: Float[Array, "D M"], log_scale: Float[Array, " D"]) -> tuple[Array, Array, Array]:
    """B with E[z] = B (x - mean), shape (M, D), the covariance of z given x, and log det of x's covariance."""
    scaled = weight * jnp.exp(-2.0 * log_scale)[:, None]
    tril = inverse_cholesky(jnp.eye(weight.shape[1], dtype=weight.dtype) + weight.T @ scaled)
    covariance = tril @ tril.T
    log_det = 2.0 * jnp.sum(log_scale) - 2.0 * jnp.sum(jnp.log(jnp.diagonal(tril)))
    return covariance @ scaled.T, covariance, log_det


def regress(cross: Float[Array, "D M"], second: Float[Array, "M M"], hyper: Hyper) -> tuple[Array, Array]:
    r"""The M step of W, $E[xz^\top]E[zz^\top]^{-1}$, and the W of the parameter-expanded step.

    The latter is W times the Cholesky factor of $E[zz^\top]$: EM in the model with $z \sim N(0, R)$,
    mapped back. It costs nothing, never lowers the likelihood, and cures EM's slow growth of W where
    the noise is small. Without `hyper.expand` both are the plain step.

    Reference: Liu, Rubin and Wu, 1998 (parameter-expanded EM).
    """
    root = jnp.linalg.cholesky(second)
    weight = jax.scipy.linalg.cho_solve((root, True), cross.T).T
    return weight, jnp.where(hyper.expand, weight @ root, weight)


def _gram(x: Float[Array, "C D"]) -> Float[Array, "D D"]:
    """x^T x; for wide rows block by block, the lower triangle only."""
    dim = x.shape[1]
    if dim < WIDE:
        return x.T @ x
    edges = [round(dim * i / _BLOCKS) for i in range(_BLOCKS + 1)]
    lower = jnp.zeros((dim, dim), x.dtype)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        lower = lower.at[low:high, :high].set(x[:, low:high].T @ x[:, :high])
    return jnp.tril(lower) + jnp.tril(lower, -1).T


def _row_moments(params: tuple[Array, Array, Array], chunk: Chunks) -> tuple[Array, ...]:
    mean, weight, log_scale = params
    (dim, m), mask = weight.shape, chunk.mask
    assert mask is not None
    precision = jnp.exp(-2.0 * log_scale)
    scaled = weight * precision[:, None]
    products = (scaled[:, :, None] * weight[:, None, :]).reshape(dim, m * m)
    posterior_precision = (mask.T @ products).reshape(-1, m, m) + jnp.eye(m, dtype=weight.dtype)[None]
    root = jnp.linalg.cholesky(posterior_precision)
    residual = mask * (chunk.x - mean[:, None])
    eye = jnp.broadcast_to(jnp.eye(m, dtype=root.dtype)[None], root.shape)
    sides = jnp.concatenate([eye, (residual.T @ scaled)[:, :, None]], 2)
    solved = jax.vmap(lambda root, sides: jax.scipy.linalg.cho_solve((root, True), sides))(root, sides)
    covariance, code = solved[:, :, :m], solved[:, :, m]
    left = mask * (residual - weight @ code.T)
    log_det = 2.0 * jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), 1)
    constant = (LOG_2PI + 2.0 * log_scale) @ mask
    energy = precision @ (left * left) + jnp.sum(code * code, 1)
    log_likelihood = -0.5 * jnp.sum(chunk.w * (constant + log_det + energy))
    code = jnp.concatenate([code, jnp.ones_like(code[:, :1])], 1)
    outer = code[:, :, None] * code[:, None, :] + jnp.pad(covariance, ((0, 0), (0, 1), (0, 1)))
    seen = mask * chunk.w[None]
    normal = (seen @ outer.reshape(-1, (m + 1) ** 2)).reshape(dim, m + 1, m + 1)
    total = jnp.tensordot(chunk.w, outer, 1)
    return normal, (seen * residual) @ code, jnp.sum(seen * residual**2, 1), jnp.sum(seen, 1), total, log_likelihood
