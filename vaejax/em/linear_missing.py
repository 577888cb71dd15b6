r"""EM for PPCA and factor analysis where entries are missing at random.

Each row is explained by its observed entries alone. With $\tilde z = (z, 1)$ the M step is one
regression a column, of the column's observed entries on $E[\tilde z]$.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.em.accumulate import sum_over_chunks
from vaejax.em.linear import noise, penalty
from vaejax.em.prepare import Rows
from vaejax.em.step import Hyper, Step
from vaejax.models import PPCA, FactorAnalysis

__all__ = ["step"]

LOG_2PI = math.log(2.0 * math.pi)


def _moments(params: tuple[jax.Array, jax.Array, jax.Array], chunk: Rows):
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
    ones = jnp.ones_like(code[:, :1])
    code = jnp.concatenate([code, ones], 1)
    outer = code[:, :, None] * code[:, None, :] + jnp.pad(covariance, ((0, 0), (0, 1), (0, 1)))
    seen = mask * chunk.w[None]
    normal = (seen @ outer.reshape(-1, (m + 1) ** 2)).reshape(dim, m + 1, m + 1)
    total = jnp.tensordot(chunk.w, outer, 1)
    return normal, (seen * residual) @ code, jnp.sum(seen * residual**2, 1), jnp.sum(seen, 1), total, log_likelihood


def step(
    model: PPCA | FactorAnalysis, params: dict[str, Any], rows: Rows, hyper: Hyper, key: jax.Array, mesh=None
) -> Step:
    """One E step and one M step; the mean is fitted too."""
    log_scale = jnp.broadcast_to(params["log_scale"], (model.dim,))
    known = (params["mean"], params["weight"], log_scale)
    normal, cross, square, seen, total, log_likelihood = sum_over_chunks(_moments, known, rows, mesh, precise=True)
    count = jnp.sum(rows.w)
    solution = jax.vmap(lambda a, b: jax.scipy.linalg.solve(a, b, assume_a="pos"))(normal, cross)
    residual = jnp.maximum(square - jnp.sum(solution * cross, 1), 0.0)
    second, centre = total[:-1, :-1] / count, jnp.where(hyper.expand, total[:-1, -1] / count, 0.0)
    second = second - centre[:, None] * centre[None, :]
    new = {
        "mean": params["mean"] + solution[:, -1] + solution[:, :-1] @ centre,
        "weight": jnp.where(hyper.expand, solution[:, :-1] @ jnp.linalg.cholesky(second), solution[:, :-1]),
        "log_scale": noise(model, residual, seen, hyper),
    }
    log_likelihood = log_likelihood / count
    objective = log_likelihood + penalty(model, params, hyper) / count
    return Step(new, objective, log_likelihood, jnp.zeros((), jnp.int32))
