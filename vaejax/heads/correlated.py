"""Gaussians whose entries are correlated: low rank plus diagonal, full covariance, and one linear flow step."""

import jax.numpy as jnp

from vaejax.checks import require_integer, require_number
from vaejax.distributions import LowRankNormal, TrilNormal
from vaejax.heads.head import EntryHead, Head, VectorHead, deviation, raw_deviation, with_floor
from vaejax.kernels import fill_tril
from vaejax.recipes import static
from vaejax.types import Array, Key, Params

__all__ = ["LinearIAF", "full_normal", "low_rank_normal"]


_REACH = 0.05


@static
class _LowRankNormal(EntryHead):
    rank: int
    floor: float
    reach: float = _REACH

    def __post_init__(self):
        require_number("reach", self.reach, above=0.0)

    @property
    def per_entry(self) -> int:
        return 1 + self.rank

    def init(self, key: Key, event_shape: tuple[int, ...]) -> Params:
        return {"log_scale": jnp.zeros(())}

    def from_data(self, params: Params, mean: Array, deviation: Array) -> tuple[Array, Params]:
        none = jnp.zeros((*mean.shape[:-1], mean.shape[-1] * self.rank), mean.dtype)
        return jnp.concatenate([mean, none], -1), {"log_scale": 0.5 * jnp.log(jnp.mean(deviation**2))}

    def apply(self, params: Params, output: Array) -> LowRankNormal:
        loc, *factors = self.parts(output)
        factor = self.reach * jnp.stack(factors, -1) if factors else jnp.zeros((*loc.shape, 0), loc.dtype)
        scale = with_floor(jnp.exp(params["log_scale"]), self.floor)
        return LowRankNormal(loc, factor, jnp.broadcast_to(scale, loc.shape))


class _Triangle(VectorHead):
    """Heads that read d numbers and a lower triangle, with deviations on its diagonal."""

    reach: float = _REACH

    def __post_init__(self):
        require_number("floor", self.floor, least=0.0)
        require_number("reach", self.reach, above=0.0)

    def size(self, dim: int) -> int:
        return dim * (dim + 3) // 2

    def parts(self, output: Array) -> tuple[Array, Array, Array]:
        """The d numbers, the triangle below the diagonal times the reach, and the deviations."""
        (dim,) = self.event_shape(output.shape)
        raw = fill_tril(output[dim:])
        return output[:dim], self.reach * jnp.tril(raw, -1), deviation(jnp.diagonal(raw), self.floor)


@static
class _FullNormal(_Triangle):
    floor: float
    reach: float = _REACH

    def from_data(self, params: Params, mean: Array, deviation: Array) -> tuple[Array, Params]:
        rows = jnp.arange(mean.size)
        triangle = jnp.zeros(mean.size * (mean.size + 1) // 2, mean.dtype)
        triangle = triangle.at[rows * (rows + 3) // 2].set(raw_deviation(jnp.ravel(deviation)))
        return jnp.concatenate([jnp.ravel(mean), triangle]), params

    def apply(self, params: Params, output: Array) -> TrilNormal:
        loc, below, diagonal = self.parts(output)
        return TrilNormal(loc, below + jnp.diag(diagonal))


@static
class LinearIAF(_Triangle):
    r"""One linear step of an inverse autoregressive flow: a Gaussian with correlated entries.

    $$y = \mu + \sigma\odot\epsilon,\quad z = y + S y,\quad L = I + S, \qquad
    q(z) = N\big(L\mu,\ L\,\mathrm{diag}(\sigma^2)\,L^\top\big)$$

    The network gives $\mu$, then a lower triangle row by row: $\sigma$ on its diagonal, S / reach below.
    $L\,\mathrm{diag}(\sigma)$ is a Cholesky factor, any one: the family is that of `full_normal` in other
    coordinates. It is returned as a `TrilNormal`, so that every point has a density and the
    divergence a closed form.

    Attributes:
      floor: least $\sigma$; 0 for none.
      reach: what the numbers below the diagonal are multiplied by, so that q starts near the diagonal Gaussian and
        leaves it slowly: Adam's steps know no scale.

    Reference: Kingma et al., 2016 (linear IAF); Mittas, section 5.3.

    >>> q = LinearIAF(reach=1.0).apply({}, jnp.array([1.0, 2.0, 0.0, 0.5, 0.0]))
    >>> q.loc, q.scale_tril.round(2)
    (Array([1. , 2.5], dtype=float32), Array([[1. , 0. ],
           [0.5, 1. ]], dtype=float32))
    """

    floor: float = 1e-6
    reach: float = _REACH

    def apply(self, params: Params, output: Array) -> TrilNormal:
        loc, below, scale = self.parts(output)
        unit = below + jnp.eye(loc.size, dtype=below.dtype)
        return TrilNormal(unit @ loc, unit * scale[None])


def low_rank_normal(rank: int, *, floor: float = 1e-3, reach: float = _REACH) -> Head:
    r"""A Gaussian with covariance $F(z)F(z)^\top + \sigma^2 I$: correlated noise of `rank` directions.

    Args:
      rank: columns of F, by the network; 0 leaves one shared, learned $\sigma$.
      floor: as in `normal`.
      reach: what the network's numbers for F are multiplied by, as in `LinearIAF`.
    """
    return _LowRankNormal(require_integer("rank", rank, 0), floor, reach)


def full_normal(*, floor: float = 1e-3, reach: float = _REACH) -> Head:
    r"""A Gaussian with covariance $L(z)L(z)^\top$ for vectors: d means, then the entries of L row by row.

    Args:
      floor: least entry of L's diagonal; 0 for none.
      reach: what the network's numbers below the diagonal are multiplied by, as in `LinearIAF`.
    """
    return _FullNormal(floor, reach)
