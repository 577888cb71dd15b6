"""Maximum likelihood without steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.checks import require_kind
from vaejax.em.frame import EMRows, chunked, restored, wide
from vaejax.em.linear import LinearStep
from vaejax.em.step import Chunks
from vaejax.models import PPCA
from vaejax.types import Array, ArrayLike, Params

__all__ = ["ppca_exact"]


def ppca_exact(
    model: PPCA, x: EMRows, *, weights: ArrayLike | None = None, variance_floor: float | None = None
) -> Params:
    r"""Maximum-likelihood PPCA in closed form, from one eigendecomposition of the data's covariance.

    $$\sigma^2 = \frac{1}{D-M}\sum_{i>M}\lambda_i, \qquad W = U_M(\Lambda_M - \sigma^2 I)^{1/2}$$

    Args:
      model: a `PPCA`.
      x: rows (N, D) of floats or images (N, H, W, C), as for `fit`.
      weights: a non-negative weight for each row, shape (N,).
      variance_floor: least noise variance, in squared units of `x`; default 1e-8 of the mean variance.

    Reference: Tipping and Bishop, 1999, equations 7-8.

    >>> import numpy as np, vaejax as vj
    >>> x = np.random.default_rng(0).normal(size=(1000, 3)) * [3.0, 1.0, 1.0]
    >>> params = vj.em.ppca_exact(vj.PPCA(3, 1), x)
    >>> round(float(np.exp(params["log_scale"])), 1)
    1.0
    """
    step = LinearStep(require_kind("model", model, PPCA))
    rows, frame = chunked(step, x, weights, variance_floor=variance_floor)
    with wide():
        params = jax.tree.map(np.asarray, _exact(step, rows, jnp.asarray(frame.floor, float)))
    return restored(step, params, frame)


@functools.partial(jax.jit, static_argnames=("step",))
def _exact(step: LinearStep, rows: Chunks, floor: Array) -> Params:
    dim, latent_dim, s = step.model.dim, step.model.latent_dim, step.summarize(rows).moments
    values, vectors = jnp.linalg.eigh(s)
    top, directions = values[::-1][:latent_dim], vectors[:, ::-1][:, :latent_dim]
    variance = jnp.maximum(jnp.mean(values[: dim - latent_dim]), floor)
    weight = directions * jnp.sqrt(jnp.maximum(top - variance, 0.0))[None, :]
    return {"mean": jnp.zeros(dim, s.dtype), "weight": weight, "log_scale": 0.5 * jnp.log(variance)}
