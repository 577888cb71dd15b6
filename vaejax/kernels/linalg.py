"""Small dense linear algebra of one datum."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from vaejax.checks import require_broadcast, require_shape
from vaejax.types import Array, ArrayLike

__all__ = ["fill_tril", "inverse_cholesky", "linear_gaussian_posterior", "regularised_columns"]


@jax.jit
def fill_tril(values: Float[Array, " triangle"]) -> Float[Array, "d d"]:
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
def inverse_cholesky(precision: Float[Array, "d d"]) -> Float[Array, "d d"]:
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
def linear_gaussian_posterior(
    residual: Float[Array, " d"], weight: Float[Array, "d m"], scale: Float[ArrayLike, " #d"]
) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    r"""Posterior of z for $x = Wz + \mu + \mathrm{diag}(\sigma)\epsilon$, $z \sim N(0, I)$.

    With $A = W/\sigma$: covariance $(I + A^\top A)^{-1}$ and mean $(I + A^\top A)^{-1}A^\top(x-\mu)/\sigma$,
    from an orthogonalisation of $[A; I]$, whose columns keep a norm of at least one: it never fails.

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
    # Columns in reverse order, so that the factor of the inverse comes out lower triangular.
    upper, code, _ = regularised_columns(residual, weight[:, ::-1], scale)
    tril = solve_triangular(upper[::-1, ::-1], jnp.eye(latent, dtype=upper.dtype), lower=True)
    return tril @ code[::-1], tril


def regularised_columns(
    residual: Float[Array, " d"], factor: Float[Array, "d r"], scale: Float[ArrayLike, " #d"]
) -> tuple[Float[Array, "r r"], Float[Array, " r"], Float[Array, " d+r"]]:
    r"""Gram-Schmidt sweep over the columns of $[F/\sigma; I] = QR$, and of $u = [\text{residual}/\sigma; 0]$.

    Returns:
      `(R, c, rest)` with $c = Q^\top u$ and $\text{rest} = u - Qc$.
    """
    dim, rank = jnp.shape(factor)
    scale = jnp.broadcast_to(scale, (dim,))
    columns = jnp.concatenate([factor / scale[:, None], jnp.eye(rank, dtype=factor.dtype)])
    u = jnp.concatenate([residual / scale, jnp.zeros(rank, factor.dtype)]).astype(columns.dtype)
    order = jnp.arange(rank)

    def sweep(carry: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        columns, u = carry
        column = columns[:, index]
        norm = jnp.sqrt(jnp.sum(column * column))
        q = column / norm
        along, c = q @ columns, q @ u
        row = jnp.where(order == index, norm, jnp.where(order < index, 0.0, along))
        return (columns - q[:, None] * along[None, :], u - q * c), (row, c)

    (_, rest), (upper, c) = jax.lax.scan(sweep, (columns, u), order)
    return upper, c, rest
