"""Gaussians whose entries are correlated: low rank plus diagonal, full covariance, and one linear flow step."""

import math

import jax
import jax.numpy as jnp

from vaejax.distributions import LowRankNormal, TrilNormal
from vaejax.heads.head import Head, parts, positive, require_floor, with_floor
from vaejax.kernels import fill_tril
from vaejax.recipes import static

__all__ = ["LinearIAF", "full_normal", "low_rank_normal"]


@static
class _LowRankNormal(Head):
    rank: int
    floor: float

    @property
    def width(self) -> int:
        return 1 + self.rank

    def init(self, key: jax.Array, event_shape: tuple[int, ...]) -> dict[str, jax.Array]:
        return {"log_scale": jnp.zeros(())}

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> LowRankNormal:
        loc, *factors = parts(output, self.width)
        factor = jnp.stack(factors, -1) if factors else jnp.zeros((*loc.shape, 0), loc.dtype)
        scale = with_floor(jnp.exp(params["log_scale"]), self.floor)
        return LowRankNormal(loc, factor, jnp.broadcast_to(scale, loc.shape))


class _Triangle(Head):
    """Heads of vectors that read d numbers and a lower triangle."""

    @property
    def width(self) -> int:
        raise TypeError("a full covariance has no fixed number of parameters for each entry")

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        size = math.prod(output_shape)
        dim = (math.isqrt(8 * size + 9) - 3) // 2
        if len(output_shape) != 1 or dim < 1 or dim * (dim + 3) // 2 != size:
            wanted = "d means and d (d + 1) / 2 factors: expected an output of shape (2,), (5,), (9,), (14,), ..."
            raise ValueError(f"a full covariance reads {wanted}, got {output_shape}")
        return (dim,)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        dim = math.prod(event_shape)
        return (dim * (dim + 3) // 2,)


@static
class _FullNormal(_Triangle):
    floor: float

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> TrilNormal:
        (dim,) = self.event_shape(output.shape)
        raw = fill_tril(output[dim:])
        diagonal = with_floor(positive(jnp.diagonal(raw)), self.floor)
        return TrilNormal(output[:dim], jnp.tril(raw, -1) + jnp.diag(diagonal))


@static
class LinearIAF(_Triangle):
    r"""One linear step of an inverse autoregressive flow: a Gaussian with correlated entries.

    $$y = \mu + \sigma\odot\epsilon,\quad z = y + S y,\quad L = I + S, \qquad
    q(z) = N\big(L\mu,\ L\,\mathrm{diag}(\sigma^2)\,L^\top\big)$$

    The network gives $\mu$, then a lower triangle row by row: $\sigma$ on its diagonal, S below.
    $L\,\mathrm{diag}(\sigma)$ is a Cholesky factor, any one: the family is that of `full_normal` in other
    coordinates. It is returned as what it is, a `TrilNormal`, so that every point has a density and the
    divergence a closed form.

    Attributes:
      floor: least $\sigma$; 0 for none.

    Reference: Kingma et al., 2016 (linear IAF); Mittas, section 5.3.

    >>> q = LinearIAF().apply({}, jnp.array([1.0, 2.0, 0.0, 0.5, 0.0]))
    >>> q.loc, q.scale_tril.round(2)
    (Array([1. , 2.5], dtype=float32), Array([[1. , 0. ],
           [0.5, 1. ]], dtype=float32))
    """

    floor: float = 1e-6

    def __post_init__(self):
        """Check the floor."""
        require_floor(self.floor)

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> TrilNormal:
        """The Gaussian of one event."""
        (dim,) = self.event_shape(output.shape)
        raw = fill_tril(output[dim:])
        scale = with_floor(positive(jnp.diagonal(raw)), self.floor)
        unit = jnp.tril(raw, -1) + jnp.eye(dim, dtype=raw.dtype)
        return TrilNormal(unit @ output[:dim], unit * scale[None])


def low_rank_normal(rank: int, *, floor: float = 1e-3) -> Head:
    r"""A Gaussian with covariance $F(z)F(z)^\top + \sigma^2 I$: correlated noise of `rank` directions.

    Args:
      rank: columns of F, by the network; 0 leaves one shared, learned $\sigma$.
      floor: as in `normal`.
    """
    if not isinstance(rank, int) or rank < 0:
        raise ValueError(f"rank: expected a non-negative integer, got {rank!r}")
    return _LowRankNormal(rank, floor)


def full_normal(*, floor: float = 1e-3) -> Head:
    r"""A Gaussian with covariance $L(z)L(z)^\top$ for vectors: d means, then the entries of L row by row.

    Args:
      floor: least entry of L's diagonal; 0 for none.
    """
    return _FullNormal(floor)
