"""Small dense linear algebra of one datum."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from vaejax.kernels.shapes import require_broadcast, require_shape

__all__ = ["fill_tril", "inverse_cholesky", "linear_gaussian_posterior"]


@jax.jit
def fill_tril(values: jax.Array) -> jax.Array:
    """Lower-triangular matrix from its `d (d + 1) / 2` entries, row by row.

    Args:
      values: shape `(d (d + 1) / 2,)`.

    Returns:
      Shape `(d, d)`, zero above the diagonal; nothing is done to the diagonal.

    >>> fill_tril(jnp.array([1.0, 2.0, 3.0]))
    Array([[1., 0.],
           [2., 3.]], dtype=float32)
    """
    (size,) = jnp.shape(values)
    dim = (math.isqrt(8 * size + 1) - 1) // 2
    if dim * (dim + 1) // 2 != size:
        raise ValueError(f"values: expected d (d + 1) / 2 entries for some d (1, 3, 6, 10, ...), got {size}")
    rows, columns = jnp.tril_indices(dim)
    return jnp.zeros((dim, dim), values.dtype).at[rows, columns].set(values)


@jax.jit
def inverse_cholesky(precision: jax.Array) -> jax.Array:
    r"""Lower-triangular $L$ with $LL^\top = P^{-1}$, from one Cholesky factorisation and one solve.

    Args:
      precision: symmetric positive definite, shape `(d, d)`.

    Returns:
      Shape `(d, d)`.

    >>> inverse_cholesky(jnp.array([[4.0, 0.0], [0.0, 16.0]]))
    Array([[0.5 , 0.  ],
           [0.  , 0.25]], dtype=float32)
    """
    (dim, _) = jnp.shape(precision)
    require_shape("precision", precision, (dim, dim))
    upper = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]  # P = U U^T with U upper triangular
    return solve_triangular(upper, jnp.eye(dim, dtype=precision.dtype), lower=False).T


@jax.jit
def linear_gaussian_posterior(residual: jax.Array, weight: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Posterior of z for $x = Wz + \mu + \mathrm{diag}(\sigma)\epsilon$, $z \sim N(0, I)$.

    With $A = W/\sigma$: covariance $(I + A^\top A)^{-1}$ and mean $(I + A^\top A)^{-1}A^\top(x-\mu)/\sigma$.

    Args:
      residual: $x - \mu$, shape `(d,)`.
      weight: $W$, shape `(d, m)`.
      scale: $\sigma$, standard deviation, a scalar or shape `(d,)`.

    Returns:
      `(loc, scale_tril)`: shapes `(m,)` and `(m, m)`.

    Reference: Tipping and Bishop, 1999, equation 25 (the sources' E step, with $M = W^\top W + \sigma^2 I$).

    >>> loc, tril = linear_gaussian_posterior(jnp.array([2.0]), jnp.array([[1.0]]), 1.0)
    >>> round(float(loc[0]), 4), round(float(tril[0, 0]) ** 2, 4)
    (1.0, 0.5)
    """
    dim, latent = jnp.shape(weight)
    require_shape("residual", residual, (dim,))
    require_broadcast("scale", scale, (dim,))
    scale = jnp.broadcast_to(scale, (dim,))
    a = weight / scale[:, None]
    tril = inverse_cholesky(jnp.eye(latent, dtype=a.dtype) + a.T @ a)
    return tril @ (tril.T @ (a.T @ (residual / scale))), tril
