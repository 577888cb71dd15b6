"""EM for mixtures of PPCAs, in the latent space of each component: no D x D matrix is formed."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.em.accumulate import sum_over_chunks
from vaejax.em.gmm import LEAST, responsibilities
from vaejax.em.init import kmeans_plus_plus, random_rows
from vaejax.em.prepare import Rows
from vaejax.em.step import Hyper, Step, regress
from vaejax.kernels import inverse_cholesky
from vaejax.models import PPCAMixture

__all__ = ["rescale", "start", "step"]

LOG_2PI = math.log(2.0 * math.pi)


def start(model: PPCAMixture, key: jax.Array, rows: Rows, hyper: Hyper) -> dict[str, Any]:
    """Equal weights, k-means++ means, small random W, and the variance about the nearest seed as noise."""
    k, d, m = model.num_components, model.dim, model.latent_dim
    key_means, key_weights = jax.random.split(key)
    means, variance = (leaf.astype(hyper.floor.dtype) for leaf in kmeans_plus_plus(key_means, rows, k))
    scale = jnp.sqrt(jnp.maximum(jnp.mean(variance), hyper.floor))
    return {
        "logits": jnp.full((k,), -math.log(k), means.dtype),
        "means": means,
        "weights": 0.01 * scale * jax.random.normal(key_weights, (k, d, m), means.dtype),
        "log_scale": jnp.broadcast_to(jnp.log(scale), (k,)),
    }


def _posterior_map(weight: jax.Array, log_scale: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of one component: B with E[z] = B (x - mean), the covariance of z, and log det of x's covariance."""
    dim, m = weight.shape
    scaled = weight * jnp.exp(-2.0 * log_scale)
    tril = inverse_cholesky(jnp.eye(m, dtype=weight.dtype) + weight.T @ scaled)
    covariance = tril @ tril.T
    log_det = 2.0 * dim * log_scale - 2.0 * jnp.sum(jnp.log(jnp.diagonal(tril)))
    return covariance @ scaled.T, covariance, log_det


def _moments(known: tuple[jax.Array, ...], chunk: Rows):
    means, weights, log_scale, posterior_map, constant = known
    centred = chunk.x[None] - means[:, :, None]
    code = jnp.einsum("kmd,kdc->kmc", posterior_map, centred)
    left = centred - jnp.einsum("kdm,kmc->kdc", weights, code)
    energy = jnp.sum(left * left, 1) * jnp.exp(-2.0 * log_scale)[:, None] + jnp.sum(code * code, 1)
    r, log_likelihood = responsibilities(constant[:, None] - 0.5 * energy, chunk.w)
    weighted = r[:, None] * centred
    first, cross = jnp.sum(weighted, 2), jnp.einsum("kdc,kmc->kdm", weighted, code)
    return jnp.sum(r, 1), first, cross, jnp.sum(weighted * centred, (1, 2)), log_likelihood


def step(model: PPCAMixture, params: dict[str, Any], rows: Rows, hyper: Hyper, key: jax.Array, mesh=None) -> Step:
    """One generalised EM step: responsibilities, then weights and means, then one inner step on W and the noise.

    Reference: Tipping and Bishop, 1999, appendix C (both stages on one set of responsibilities).
    """
    weights, log_scale, dim = params["weights"], params["log_scale"], model.dim
    posterior_map, covariance, log_det = jax.vmap(_posterior_map)(weights, log_scale)
    constant = jax.nn.log_softmax(params["logits"]) - 0.5 * (dim * LOG_2PI + log_det)
    known = (params["means"], weights, log_scale, posterior_map, constant)
    count, first, cross, square, log_likelihood = sum_over_chunks(_moments, known, rows, mesh, precise=True)
    total, kept = jnp.sum(count), count < LEAST
    n = jnp.maximum(count, LEAST)
    shift = jnp.where(kept[:, None], 0.0, first / n[:, None])
    cross = cross / n[:, None, None] - shift[:, :, None] * jnp.einsum("kmd,kd->km", posterior_map, shift)[:, None, :]
    second = covariance + posterior_map @ cross
    solved, grown = jax.vmap(lambda cross, second: regress(cross, second, hyper))(cross, second)
    spread = square / n - jnp.sum(shift**2, 1)
    residual = n * jnp.maximum(spread - jnp.sum(solved * cross, (1, 2)), 0.0)
    believed = hyper.prior_count * jnp.sum(hyper.prior_variance)
    variance = jnp.maximum((residual + believed) / (dim * (n + hyper.prior_count)), hyper.floor)
    new = {
        "logits": jnp.log(n / total),
        "means": params["means"] + shift,
        "weights": jnp.where(kept[:, None, None], weights, grown),
        "log_scale": jnp.where(kept, log_scale, 0.5 * jnp.log(variance)),
    }
    log_likelihood = log_likelihood / total
    prior = jnp.sum(2.0 * dim * log_scale + jnp.sum(hyper.prior_variance) * jnp.exp(-2.0 * log_scale))
    objective = log_likelihood - 0.5 * hyper.prior_count * prior / total
    empty = (count < 1e-3) & hyper.may_reseed
    revived = {
        "logits": jnp.broadcast_to(-jnp.log(total), n.shape),
        "means": random_rows(key, rows, model.num_components),
        "weights": 0.01 * jax.random.normal(key, weights.shape, weights.dtype),
        "log_scale": jnp.zeros_like(log_scale),
    }
    choose = lambda fresh, leaf: jnp.where(empty.reshape(-1, *(1,) * (leaf.ndim - 1)), fresh, leaf)  # noqa: E731
    new = jax.tree.map(choose, revived, new)
    new["logits"] = jax.nn.log_softmax(new["logits"])
    return Step(new, objective, log_likelihood, jnp.sum(empty, dtype=jnp.int32))


def rescale(model: PPCAMixture, params: dict[str, Any], shift: np.ndarray, scale: np.ndarray) -> dict[str, Any]:
    """Parameters of shift + scale * x from those of x, on the host; `scale` has one entry a column."""
    return {
        "logits": params["logits"],
        "means": params["means"] * scale + shift,
        "weights": params["weights"] * scale[None, :, None],
        "log_scale": params["log_scale"] + np.log(scale[0]),
    }
