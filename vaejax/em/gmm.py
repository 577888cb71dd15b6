r"""EM for Gaussian mixtures, in the frame in which each component is a standard normal.

A chunk is whitened by every component, $y = L_k^{-1}(x - \mu_k)$; the E step reads log-densities off
$\|y\|^2$ and the M step adds up moments of y, which are mapped back with $L_k$. Second moments are
therefore taken about the current mean, at the scale of the current covariance: nothing large is
subtracted, and single precision is enough. All arrays run down the rows of a chunk (last axis).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float

from vaejax.em.mixtures import LEAST, MixtureStep, reseed, responsibilities
from vaejax.em.step import Chunks, Hyper, Update, Vector, any_restart
from vaejax.models import GMM
from vaejax.recipes import static
from vaejax.types import Array, Key, Params

__all__ = ["GMMStep"]

LOG_2PI = math.log(2.0 * math.pi)


class Moments(NamedTuple):
    """Sums over rows of responsibilities times powers of the whitened rows, and of log p(x).

    Attributes:
      mass: of the responsibilities.
      seen: of the responsibilities for observed entries, one number a column where values are missing.
      first: times y.
      second: times y y^T, or of its diagonal for diagonal covariances.
      log_likelihood: of log p(x).
    """

    mass: Float[Array, " K"]
    seen: Float[Array, "K 1"] | Float[Array, "K D"]
    first: Float[Array, "K D"]
    second: Float[Array, "K D D"] | Float[Array, "K D"]
    log_likelihood: Float[Array, ""]


@static
class GMMStep(MixtureStep[GMM]):
    """EM of a `GMM`; diagonal and spherical ones take missing values."""

    model: GMM

    @property
    def frame(self):
        return "common" if self.model.covariance == "spherical" else "columns"

    @property
    def missing(self):
        return not self._has_tril

    @property
    def covariances(self):
        return 1 if self.model.covariance == "tied" else self.model.num_components

    @property
    def least_rows(self):
        return {"full": self.model.dim + 1, "tied": 4}.get(self.model.covariance, 2)

    @property
    def projects(self):
        return self.model.covariance == "full"

    @property
    def _has_tril(self) -> bool:
        return self.model.covariance in ("full", "tied")

    def at(self, means: Float[Array, "K D"], scale: Float[Array, " D"] | Float[Array, "D D"], key: Key) -> Params:
        k = self.model.num_components
        return {"logits": jnp.full((k,), -math.log(k), means.dtype), "means": means} | self._spread(scale)

    def _spread(self, scale: Float[Array, " D"] | Float[Array, "D D"]) -> Params:
        """The covariances of components with these standard deviations, or, where they are full, with this factor."""
        k, d = self.model.num_components, self.model.dim
        match self.model.covariance:
            case "full":
                return {"scale_tril": jnp.broadcast_to(scale if scale.ndim == 2 else jnp.diag(scale), (k, d, d))}
            case "tied":
                return {"scale_tril": jnp.diag(scale)}
            case "diag":
                return {"log_scale": jnp.broadcast_to(jnp.log(scale), (k, d))}
            case _:
                return {"log_scale": jnp.broadcast_to(0.5 * jnp.log(jnp.mean(scale**2)), (k,))}

    def variances(self, params: Params) -> Float[Array, "K D"]:
        shape = (self.model.num_components, self.model.dim)
        if self._has_tril:
            return jnp.broadcast_to(jnp.sum(params["scale_tril"] ** 2, -1), shape)
        return jnp.broadcast_to(jnp.exp(2.0 * params["log_scale"]).reshape(shape[0], -1), shape)

    def at_floor(self, params: Params, hyper: Hyper) -> Bool[Array, " K"]:
        """Whether a covariance has more eigenvalues on the floor than the mixture has, whose data may be flat."""
        shares, means, least = self.shares(params), params["means"], 2.0 * hyper.floor
        about = means - (shares @ means)[None]
        if not self._has_tril:
            variances = self.variances(params)
            overall = shares @ (variances + about**2)
            if self.model.covariance == "spherical":
                variances, overall = variances[:, :1], jnp.mean(overall)
            return jnp.any((variances <= least) & (jnp.atleast_1d(overall) > 2.0 * least)[None], 1)
        tril = params["scale_tril"] if self.model.covariance == "full" else params["scale_tril"][None]
        within = tril @ jnp.swapaxes(tril, 1, 2)
        between = jnp.einsum("k,ki,kj->ij", shares, about, about)
        overall = between + (jnp.einsum("k,kij->ij", shares, within) if len(tril) > 1 else within[0])
        # One call for all: several batched factorisations at once can deadlock XLA's CPU thread pool.
        values = jnp.linalg.eigvalsh(jnp.concatenate([within, overall[None]]))
        low = jnp.sum(values[:-1] <= least, 1) > jnp.sum(values[-1] <= 2.0 * least)
        return jnp.broadcast_to(low, shares.shape)

    def rescale(self, params: Params, shift: Vector, scale: np.ndarray) -> Params:
        new = {**params, "means": params["means"] * scale[None] + shift[None]}
        if self._has_tril:
            rows = scale[:, None] if self.model.covariance == "tied" else scale[None, :, None]
            return new | {"scale_tril": params["scale_tril"] * rows}
        unit = np.log(scale[None] if self.model.covariance == "diag" else scale[0])
        return new | {"log_scale": params["log_scale"] + unit}

    def update(self, params: Params, rows: Chunks, hyper: Hyper, key: Key) -> Update:
        log_weights = jax.nn.log_softmax(params["logits"])
        new, log_det, traces, sums = (_dense if self._has_tril else _diagonal)(
            self.model, params, log_weights, rows, hyper
        )
        total = jnp.sum(sums.mass)
        new["logits"] = jnp.log(jnp.maximum(sums.mass, LEAST) / total)
        # -n0/2 sum_k [ln|S_k| + tr(Psi S_k^-1)]
        prior = 2.0 * log_det + traces
        tied = self.model.covariance == "tied"
        prior = prior[0] if tied else jnp.sum(prior)
        fresh = lambda _: {} if tied else self._spread(jnp.ones(self.model.dim))  # noqa: E731
        new, reseeds = reseed(new, fresh, sums.mass, rows, hyper, key)
        return Update(new, sums.log_likelihood / total, -0.5 * hyper.prior_count * prior / total, reseeds)


def _dense(model: GMM, params: Params, log_weights: Array, rows: Chunks, hyper: Hyper):
    """New means and factors, log-determinants (K,), traces of the prior (K,), and the sums."""
    tied = model.covariance == "tied"
    tril = jnp.broadcast_to(params["scale_tril"], (model.num_components, model.dim, model.dim))
    eye = jnp.eye(model.dim, dtype=tril.dtype)
    inverse = jax.vmap(lambda tril: solve_triangular(tril, eye, lower=True))(tril)
    log_det = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(tril, axis1=1, axis2=2))), 1)
    constant = log_weights - log_det - 0.5 * model.dim * LOG_2PI
    offset = jnp.einsum("kij,kj->ki", inverse, params["means"])
    sums = rows.sum(_dense_moments, (inverse, offset, constant))
    traces = jnp.sum(inverse**2 * hyper.prior_variance[None, None, :], (1, 2))

    kept = sums.mass < LEAST
    count = jnp.maximum(sums.mass, LEAST)[:, None, None]
    shift = jnp.where(kept[:, None], 0.0, sums.first / count[:, :, 0])
    means = params["means"] + jnp.einsum("kij,kj->ki", tril, shift)
    about = sums.second - count * shift[:, :, None] * shift[:, None, :]
    scatter = jnp.where(kept[:, None, None], count * eye[None], about)
    if tied:
        scatter, count, tril, inverse = jnp.sum(scatter, 0)[None], jnp.sum(count, 0)[None], tril[:1], inverse[:1]
    believed = (inverse * hyper.prior_variance[None, None, :]) @ jnp.swapaxes(inverse, 1, 2)
    whitened = (scatter + hyper.prior_count * believed) / (count + hyper.prior_count)
    tril = _floored_tril(tril, whitened, inverse, hyper.floor)
    return {"means": means, "scale_tril": tril[0] if tied else tril}, log_det, traces, sums


def _dense_moments(whiten: tuple[Array, Array, Array], chunk: Chunks) -> Moments:
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


def _floored_tril(tril: Array, whitened: Array, inverse: Array, floor: Array) -> Float[Array, "K D D"]:
    r"""Factors of $L C L^\top$ with its eigenvalues clipped at `floor`: the exact constrained maximiser.

    Where $C \succeq \text{floor}\,(L^\top L)^{-1}$ no eigenvalue is below the floor, and $L\,\mathrm{chol}(C)$ will do.
    """
    slack = whitened - floor * inverse @ jnp.swapaxes(inverse, 1, 2)
    # One call for both: several batched factorisations at once can deadlock XLA's CPU thread pool.
    roots = jnp.linalg.cholesky(jnp.concatenate([whitened, slack]))
    fast = tril @ roots[: len(tril)]
    fine = jnp.all(jnp.isfinite(roots[len(tril) :]), (1, 2)) & jnp.all(jnp.isfinite(fast), (1, 2))

    def clipped(_: None) -> Array:
        covariance = tril @ whitened @ jnp.swapaxes(tril, 1, 2)
        values, vectors = jnp.linalg.eigh(covariance)
        roots = jnp.sqrt(jnp.maximum(values, floor))
        upper = jnp.linalg.qr(roots[:, :, None] * jnp.swapaxes(vectors, 1, 2), mode="r")
        sign = jnp.where(jnp.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0).astype(upper.dtype)
        return jnp.where(fine[:, None, None], fast, jnp.swapaxes(upper * sign[:, :, None], 1, 2))

    return jax.lax.cond(any_restart(~jnp.all(fine)), clipped, lambda _: fast, None)


def _diagonal(model: GMM, params: Params, log_weights: Array, rows: Chunks, hyper: Hyper):
    """As `_dense`, with log-scales."""
    k, d = model.num_components, model.dim
    log_scale = jnp.broadcast_to(params["log_scale"].reshape(k, -1), (k, d))
    sums = rows.sum(_diagonal_moments, (params["means"], log_scale, log_weights))
    traces = jnp.sum(hyper.prior_variance[None] * jnp.exp(-2.0 * log_scale), 1)

    seen = jnp.broadcast_to(sums.seen, (k, d))
    kept, seen = seen < LEAST, jnp.maximum(seen, LEAST)
    shift = jnp.where(kept, 0.0, sums.first / seen)
    means = params["means"] + shift * jnp.exp(log_scale)
    scatter = jnp.where(kept, seen, jnp.maximum(sums.second - seen * shift**2, 0.0)) * jnp.exp(2.0 * log_scale)
    scatter, seen = scatter + hyper.prior_count * hyper.prior_variance[None], seen + hyper.prior_count
    if model.covariance == "spherical":
        scatter, seen = jnp.sum(scatter, 1), jnp.sum(seen, 1)
    new = {"means": means, "log_scale": 0.5 * jnp.log(jnp.maximum(scatter / seen, hyper.floor))}
    return new, jnp.sum(log_scale, 1), traces, sums


def _diagonal_moments(whiten: tuple[Array, Array, Array], chunk: Chunks) -> Moments:
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
