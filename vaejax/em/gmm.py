r"""EM for Gaussian mixtures, in the frame in which each component is a standard normal.

A chunk is whitened by every component, $y = L_k^{-1}(x - \mu_k)$; the E step reads log-densities off
$\|y\|^2$ and the M step adds up moments of y, which are mapped back with $L_k$. Second moments are
therefore taken about the current mean, at the scale of the current covariance: nothing large is
subtracted, and single precision is enough. All arrays run down the rows of a chunk (last axis).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from vaejax.em.accumulate import sum_over_chunks
from vaejax.em.init import kmeans_plus_plus, random_rows
from vaejax.em.prepare import Rows
from vaejax.em.step import Hyper, Step, any_restart
from vaejax.models import GMM

__all__ = ["LEAST", "rescale", "responsibilities", "start", "step"]

LOG_2PI = math.log(2.0 * math.pi)
LEAST = 1e-8  # rows; a component that explains less keeps its place and shape


class Moments(NamedTuple):
    """Sums over rows of responsibilities times powers of the whitened rows, and of log p(x)."""

    mass: jax.Array  # (K,)
    seen: jax.Array  # (K, 1), or (K, D) observed entries
    first: jax.Array  # (K, D)
    second: jax.Array  # (K, D, D), or (K, D) for diagonal covariances
    log_likelihood: jax.Array


def start(model: GMM, key: jax.Array, rows: Rows, hyper: Hyper) -> dict[str, Any]:
    """Equal weights, k-means++ means, and the variance about the nearest seed for every component."""
    k, d = model.num_components, model.dim
    means, variance = (leaf.astype(hyper.floor.dtype) for leaf in kmeans_plus_plus(key, rows, k))
    scale = jnp.sqrt(jnp.maximum(variance, hyper.floor))
    params = {"logits": jnp.full((k,), -math.log(k), means.dtype), "means": means}
    match model.covariance:
        case "full":
            return params | {"scale_tril": jnp.broadcast_to(jnp.diag(scale), (k, d, d))}
        case "tied":
            return params | {"scale_tril": jnp.diag(scale)}
        case "diag":
            return params | {"log_scale": jnp.broadcast_to(jnp.log(scale), (k, d))}
        case _:
            return params | {"log_scale": jnp.broadcast_to(0.5 * jnp.log(jnp.mean(scale**2)), (k,))}


def _trils(model: GMM, params: dict[str, Any]) -> jax.Array:
    tril = params["scale_tril"]
    return tril if model.covariance == "full" else jnp.broadcast_to(tril[None], (model.num_components, *tril.shape))


def _log_scales(model: GMM, params: dict[str, Any]) -> jax.Array:
    log_scale = params["log_scale"]
    if model.covariance == "diag":
        return log_scale
    return jnp.broadcast_to(log_scale[:, None], (model.num_components, model.dim))


def _dense(model: GMM) -> bool:
    return model.covariance in ("full", "tied")


def _inverses(tril: jax.Array) -> jax.Array:
    eye = jnp.eye(tril.shape[-1], dtype=tril.dtype)
    return jax.vmap(lambda tril: solve_triangular(tril, eye, lower=True))(tril)


def responsibilities(log_joint: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weighted responsibilities (K, C) and the weighted sum of log p(x) from log p(x, k)."""
    top = jnp.max(log_joint, 0)
    mass = jnp.exp(log_joint - top[None])
    total = jnp.sum(mass, 0)
    return mass * (w / total)[None], jnp.sum(w * (top + jnp.log(total)))


def _dense_moments(whiten: tuple[jax.Array, jax.Array, jax.Array], chunk: Rows) -> Moments:
    inverse, offset, constant = whiten
    k, d, _ = inverse.shape
    y = inverse.reshape(k * d, d) @ chunk.x - offset.reshape(k * d, 1)
    y = y.reshape(k, d, -1)
    r, log_likelihood = responsibilities(constant[:, None] - 0.5 * jnp.sum(y * y, 1), chunk.w)
    # A row of ones below y gives both moments from one product.
    ones = jnp.ones_like(y[:, :1])
    moments = jnp.einsum("kdc,kec->kde", r[:, None] * y, jnp.concatenate([y, ones], 1))
    count = jnp.sum(r, 1)
    return Moments(count, count[:, None], moments[:, :, d], moments[:, :, :d], log_likelihood)


def _diagonal_moments(whiten: tuple[jax.Array, jax.Array, jax.Array], chunk: Rows) -> Moments:
    means, log_scale, log_weights = whiten
    y = (chunk.x[None] - means[:, :, None]) * jnp.exp(-log_scale)[:, :, None]
    if chunk.mask is None:
        constant = log_weights - jnp.sum(log_scale + 0.5 * LOG_2PI, 1)
        constant = jnp.broadcast_to(constant[:, None], (constant.size, chunk.w.size))
    else:
        y = y * chunk.mask[None]
        constant = log_weights[:, None] - (log_scale + 0.5 * LOG_2PI) @ chunk.mask
    r, log_likelihood = responsibilities(constant - 0.5 * jnp.sum(y * y, 1), chunk.w)
    count = jnp.sum(r, 1)
    seen = count[:, None] if chunk.mask is None else r @ chunk.mask.T
    first, second = jnp.einsum("kc,kdc->kd", r, y), jnp.einsum("kc,kdc->kd", r, y * y)
    return Moments(count, seen, first, second, log_likelihood)


def _floored_tril(tril: jax.Array, whitened: jax.Array, inverse: jax.Array, floor: jax.Array) -> jax.Array:
    r"""Factors of $L C L^\top$ with its eigenvalues clipped at `floor`: the exact constrained maximiser.

    Where $C \succeq \text{floor}\,(L^\top L)^{-1}$ no eigenvalue is below the floor, and $L\,\mathrm{chol}(C)$ will do.
    """
    slack = whitened - floor * inverse @ jnp.swapaxes(inverse, 1, 2)
    # One call for both: several batched factorisations at once can deadlock XLA's CPU thread pool.
    roots = jnp.linalg.cholesky(jnp.concatenate([whitened, slack]))
    fast = tril @ roots[: len(tril)]
    fine = jnp.all(jnp.isfinite(roots[len(tril) :]), (1, 2)) & jnp.all(jnp.isfinite(fast), (1, 2))

    def clipped(_):
        covariance = tril @ whitened @ jnp.swapaxes(tril, 1, 2)
        values, vectors = jnp.linalg.eigh(covariance)
        roots = jnp.sqrt(jnp.maximum(values, floor))
        upper = jnp.linalg.qr(roots[:, :, None] * jnp.swapaxes(vectors, 1, 2), mode="r")
        sign = jnp.where(jnp.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0).astype(upper.dtype)
        return jnp.where(fine[:, None, None], fast, jnp.swapaxes(upper * sign[:, :, None], 1, 2))

    return jax.lax.cond(any_restart(~jnp.all(fine)), clipped, lambda _: fast, None)


def _maximize_dense(
    model: GMM, params: dict[str, Any], inverse: jax.Array, sums: Moments, hyper: Hyper
) -> dict[str, Any]:
    tril = _trils(model, params)
    kept = sums.mass < LEAST
    count = jnp.maximum(sums.mass, LEAST)[:, None, None]
    shift = jnp.where(kept[:, None], 0.0, sums.first / count[:, :, 0])
    means = params["means"] + jnp.einsum("kij,kj->ki", tril, shift)
    eye = jnp.eye(model.dim, dtype=tril.dtype)[None]
    scatter = jnp.where(kept[:, None, None], count * eye, sums.second - count * shift[:, :, None] * shift[:, None, :])
    if model.covariance == "tied":
        scatter, count, tril, inverse = jnp.sum(scatter, 0)[None], jnp.sum(count, 0)[None], tril[:1], inverse[:1]
    believed = (inverse * hyper.prior_variance[None, None, :]) @ jnp.swapaxes(inverse, 1, 2)
    whitened = (scatter + hyper.prior_count * believed) / (count + hyper.prior_count)
    tril = _floored_tril(tril, whitened, inverse, hyper.floor)
    return {"means": means, "scale_tril": tril[0] if model.covariance == "tied" else tril}


def _maximize_diagonal(model: GMM, params: dict[str, Any], sums: Moments, hyper: Hyper) -> dict[str, Any]:
    log_scale = _log_scales(model, params)
    kept = jnp.broadcast_to(sums.seen < LEAST, sums.first.shape)
    seen = jnp.maximum(jnp.broadcast_to(sums.seen, sums.first.shape), LEAST)
    shift = jnp.where(kept, 0.0, sums.first / seen)
    means = params["means"] + shift * jnp.exp(log_scale)
    scatter = jnp.where(kept, seen, jnp.maximum(sums.second - seen * shift**2, 0.0)) * jnp.exp(2.0 * log_scale)
    scatter, seen = scatter + hyper.prior_count * hyper.prior_variance[None], seen + hyper.prior_count
    if model.covariance == "spherical":
        scatter, seen = jnp.sum(scatter, 1), jnp.sum(seen, 1)
    return {"means": means, "log_scale": 0.5 * jnp.log(jnp.maximum(scatter / seen, hyper.floor))}


def _penalty(model: GMM, log_det: jax.Array, traces: jax.Array, hyper: Hyper) -> jax.Array:
    r"""Log-prior of the covariances: $-\tfrac12 n_0\sum_k[\ln|\Sigma_k| + \mathrm{tr}(\Psi\Sigma_k^{-1})]$."""
    each = 2.0 * log_det + traces
    return -0.5 * hyper.prior_count * (each[0] if model.covariance == "tied" else jnp.sum(each))


def step(model: GMM, params: dict[str, Any], rows: Rows, hyper: Hyper, key: jax.Array, mesh=None) -> Step:
    """One E step and one M step over all rows."""
    log_weights = jax.nn.log_softmax(params["logits"])
    if _dense(model):
        tril = _trils(model, params)
        inverse = _inverses(tril)
        log_det = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(tril, axis1=1, axis2=2))), 1)
        constant = log_weights - log_det - 0.5 * model.dim * LOG_2PI
        offset = jnp.einsum("kij,kj->ki", inverse, params["means"])
        sums = sum_over_chunks(_dense_moments, (inverse, offset, constant), rows, mesh)
        traces = jnp.sum(inverse**2 * hyper.prior_variance[None, None, :], (1, 2))
        new = _maximize_dense(model, params, inverse, sums, hyper)
    else:
        log_scale = _log_scales(model, params)
        log_det = jnp.sum(log_scale, 1)
        traces = jnp.sum(hyper.prior_variance[None] * jnp.exp(-2.0 * log_scale), 1)
        whiten = (params["means"], log_scale, log_weights)
        sums = sum_over_chunks(_diagonal_moments, whiten, rows, mesh)
        new = _maximize_diagonal(model, params, sums, hyper)
    total = jnp.sum(sums.mass)
    new["logits"] = jnp.log(jnp.maximum(sums.mass, LEAST) / total)
    log_likelihood = sums.log_likelihood / total
    objective = log_likelihood + _penalty(model, log_det, traces, hyper) / total
    # A component that explains less than a thousandth of a row starts again on a random row.
    empty = (sums.mass < 1e-3) & hyper.may_reseed
    revive = lambda new: _revive(model, new, rows, key, empty)  # noqa: E731
    new = jax.lax.cond(any_restart(jnp.any(empty)), revive, lambda new: new, new)
    return Step(new, objective, log_likelihood, jnp.sum(empty, dtype=jnp.int32))


def _revive(model: GMM, params: dict[str, Any], rows: Rows, key: jax.Array, empty: jax.Array):
    """Put each empty component on a row drawn by weight, with the spread of all data and the weight of one row."""
    means = jnp.where(empty[:, None], random_rows(key, rows, model.num_components), params["means"])
    logits = jnp.where(empty, -jnp.log(jnp.sum(rows.w)), params["logits"])
    new = {**params, "means": means, "logits": jax.nn.log_softmax(logits)}
    if model.covariance == "full":
        unit = jnp.eye(model.dim, dtype=means.dtype)[None]
        new["scale_tril"] = jnp.where(empty[:, None, None], unit, params["scale_tril"])
    elif model.covariance != "tied":
        log_scale = params["log_scale"]
        new["log_scale"] = jnp.where(empty.reshape(-1, *(1,) * (log_scale.ndim - 1)), 0.0, log_scale)
    return new


def rescale(model: GMM, params: dict[str, Any], shift: np.ndarray, scale: np.ndarray) -> dict[str, Any]:
    """Parameters of shift + scale * x from those of x, on the host; `scale` has one entry a column."""
    new = {**params, "means": params["means"] * scale + shift}
    match model.covariance:
        case "full":
            return new | {"scale_tril": params["scale_tril"] * scale[None, :, None]}
        case "tied":
            return new | {"scale_tril": params["scale_tril"] * scale[:, None]}
        case "diag":
            return new | {"log_scale": params["log_scale"] + np.log(scale)}
        case _:
            return new | {"log_scale": params["log_scale"] + np.log(scale[0])}
