"""EM for mixtures of PPCAs, in the latent space of each component: no D x D matrix is formed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from vaejax.em.linear import explain, regress
from vaejax.em.mixtures import LEAST, MixtureStep, reseed, responsibilities
from vaejax.em.step import Chunks, Hyper, Update, Vector
from vaejax.models import PPCAMixture
from vaejax.recipes import static
from vaejax.types import Array, Key, Params

__all__ = ["PPCAMixtureStep"]

LOG_2PI = math.log(2.0 * math.pi)


@static
class PPCAMixtureStep(MixtureStep[PPCAMixture]):
    """Generalised EM: responsibilities, then weights and means, then one inner step on W and the noise.

    Reference: Tipping and Bishop, 1999, appendix C (both stages on one set of responsibilities).
    """

    model: PPCAMixture
    frame = "common"

    @property
    def covariances(self):
        return self.model.num_components

    @property
    def least_rows(self):
        return self.model.latent_dim + 2

    def at(self, means: Float[Array, "K D"], scale: Float[Array, " D"], key: Key) -> Params:
        """With small random W."""
        k, d, m = self.model.num_components, self.model.dim, self.model.latent_dim
        noise = jnp.sqrt(jnp.mean(scale**2))
        return {
            "logits": jnp.full((k,), -math.log(k), means.dtype),
            "means": means,
            "weights": 0.01 * noise * jax.random.normal(key, (k, d, m), means.dtype),
            "log_scale": jnp.broadcast_to(jnp.log(noise), (k,)),
        }

    def variances(self, params: Params) -> Float[Array, "K D"]:
        return jnp.sum(params["weights"] ** 2, -1) + jnp.exp(2.0 * params["log_scale"])[:, None]

    def at_floor(self, params: Params, hyper: Hyper) -> Bool[Array, " K"]:
        return jnp.exp(2.0 * params["log_scale"]) <= 2.0 * hyper.floor

    def rescale(self, params: Params, shift: Vector, scale: np.ndarray) -> Params:
        return params | {
            "means": params["means"] * scale[None] + shift[None],
            "weights": params["weights"] * scale[None, :, None],
            "log_scale": params["log_scale"] + np.log(scale[0]),
        }

    def update(self, params: Params, rows: Chunks, hyper: Hyper, key: Key) -> Update:
        weights, log_scale, dim = params["weights"], params["log_scale"], self.model.dim
        each = jnp.broadcast_to(log_scale[:, None], (len(log_scale), dim))
        posterior_map, covariance, log_det = jax.vmap(explain)(weights, each)
        constant = jax.nn.log_softmax(params["logits"]) - 0.5 * (dim * LOG_2PI + log_det)
        known = (params["means"], weights, log_scale, posterior_map, constant)
        count, first, cross, square, log_likelihood = rows.sum(_moments, known, precise=True)
        total, kept = jnp.sum(count), count < LEAST
        n = jnp.maximum(count, LEAST)
        shift = jnp.where(kept[:, None], 0.0, first / n[:, None])
        cross = cross / n[:, None, None] - shift[:, :, None] * jnp.einsum("kmd,kd->km", posterior_map, shift)[:, None]
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
        fresh = lambda key: {  # noqa: E731
            "weights": 0.01 * jax.random.normal(key, weights.shape, weights.dtype),
            "log_scale": jnp.zeros_like(log_scale),
        }
        new, reseeds = reseed(new, fresh, count, rows, hyper, key)
        prior = jnp.sum(2.0 * dim * log_scale + jnp.sum(hyper.prior_variance) * jnp.exp(-2.0 * log_scale))
        return Update(new, log_likelihood / total, -0.5 * hyper.prior_count * prior / total, reseeds)


def _moments(known: tuple[Array, ...], chunk: Chunks) -> tuple[Array, ...]:
    means, weights, log_scale, posterior_map, constant = known
    centred = chunk.x[None] - means[:, :, None]
    code = jnp.einsum("kmd,kdc->kmc", posterior_map, centred)
    left = centred - jnp.einsum("kdm,kmc->kdc", weights, code)
    energy = jnp.sum(left * left, 1) * jnp.exp(-2.0 * log_scale)[:, None] + jnp.sum(code * code, 1)
    r, log_likelihood = responsibilities(constant[:, None] - 0.5 * energy, chunk.w)
    weighted = r[:, None] * centred
    first, cross = jnp.sum(weighted, 2), jnp.einsum("kdc,kmc->kdm", weighted, code)
    return jnp.sum(r, 1), first, cross, jnp.sum(weighted * centred, (1, 2)), log_likelihood
