"""From a network's output to a distribution: the likelihoods p(x | z), and the posteriors q(z | x) too.

A head reads the parameters of an event from the last axis of the output: k parameters an entry make
`(d,)` out of `(k d,)`, and an image `(H, W, C)` out of `(H, W, k C)`.
"""

import abc
import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    LowRankNormal,
    Normal,
    TrilNormal,
)
from vaejax.kernels import fill_tril
from vaejax.pytrees import static

__all__ = ["Head", "bernoulli", "continuous_bernoulli", "discretized_logistic", "full_normal"]
__all__ += ["low_rank_normal", "normal"]

SCALES = ("shared", "optimal", "per_pixel_constant", "per_pixel")


class Head(abc.ABC):
    """The recipe of a distribution over events, read from a network's output.

    Attributes:
      support: `(least, greatest)` value of the data, or `None` for the real line.
      levels: number of grey values on a grid over [0, 1], for a probability of them, or `None`.
      binary: whether only zeros and ones have a likelihood.
      width: numbers that the network gives for each entry of an event.
    """

    support: tuple[float, float] | None = None
    levels: Any = None
    binary: Any = False
    width: Any = 1

    def init(self, event_shape: tuple[int, ...]) -> dict[str, jax.Array]:
        """Parameters that the head has beside the network's output."""
        return {}

    @abc.abstractmethod
    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> Distribution:
        """The distribution of one event."""

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the events that an output of this shape describes."""
        if not output_shape or output_shape[-1] % self.width:
            wanted = f"{self} reads {self.width} numbers for each entry of the data from the output's last axis"
            raise ValueError(f"{wanted}: expected a multiple of {self.width} there, got shape {output_shape}")
        return (*output_shape[:-1], output_shape[-1] // self.width)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape that a network's output needs for events of this shape."""
        return (*event_shape[:-1], event_shape[-1] * self.width)


def _parts(output: jax.Array, width: int) -> list[jax.Array]:
    """The parameters, each in the shape of the event."""
    split = output.reshape(*output.shape[:-1], width, output.shape[-1] // width)
    return [split[..., i, :] for i in range(width)]


def _positive(raw: jax.Array) -> jax.Array:
    """Softplus, one at zero: as the exponential for small scales, linear for large ones."""
    return jax.nn.softplus(raw + math.log(math.e - 1.0))


def _with_floor(scale: jax.Array, floor: float) -> jax.Array:
    return jnp.sqrt(scale**2 + floor**2) if floor else scale


@static
class _Logits(Head):
    continuous: bool
    support = (0.0, 1.0)

    @property
    def binary(self) -> bool:
        return not self.continuous

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> Distribution:
        return ContinuousBernoulli(output) if self.continuous else Bernoulli(output)


class _Scaled(Head):
    """What the heads with a location and a scale share."""

    scale: float | str
    floor: float

    def __post_init__(self):
        number = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        if self.scale not in SCALES and not (number and self.scale > 0):  # type: ignore[operator]
            raise ValueError(f"scale: expected a positive number or one of {', '.join(SCALES)}, got {self.scale!r}")
        if not self.floor >= 0:
            raise ValueError(f"floor: expected a non-negative standard deviation, got {self.floor!r}")

    @property
    def width(self) -> int:
        return 2 if self.scale == "per_pixel" else 1

    def init(self, event_shape: tuple[int, ...]) -> dict[str, jax.Array]:
        if self.scale in ("shared", "optimal"):
            return {"log_scale": jnp.zeros(())}
        return {"log_scale": jnp.zeros(event_shape)} if self.scale == "per_pixel_constant" else {}

    def _loc_and_scale(self, params: dict[str, jax.Array], output: jax.Array) -> tuple[jax.Array, jax.Array]:
        if self.scale == "per_pixel":
            loc, raw = _parts(output, 2)
            return loc, _with_floor(_positive(raw), self.floor)
        if isinstance(self.scale, str):
            log_scale = params["log_scale"]
            if self.scale == "optimal":  # set by its objective, never by a gradient
                return output, jnp.maximum(jnp.exp(jax.lax.stop_gradient(log_scale)), self.floor)
            return output, _with_floor(jnp.exp(log_scale), self.floor)
        return output, jnp.asarray(self.scale, output.dtype)


@static
class _Normal(_Scaled):
    scale: float | str
    floor: float

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> Normal:
        return Normal(*self._loc_and_scale(params, output))


@static
class _DiscretizedLogistic(_Scaled):
    levels: int
    scale: float | str
    floor: float
    support = (0.0, 1.0)

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> DiscretizedLogistic:
        return DiscretizedLogistic(*self._loc_and_scale(params, output), levels=self.levels)


@static
class _LowRankNormal(Head):
    rank: int
    floor: float

    @property
    def width(self) -> int:
        return 1 + self.rank

    def init(self, event_shape: tuple[int, ...]) -> dict[str, jax.Array]:
        return {"log_scale": jnp.zeros(())}

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> LowRankNormal:
        loc, *factors = _parts(output, self.width)
        factor = jnp.stack(factors, -1) if factors else jnp.zeros((*loc.shape, 0), loc.dtype)
        scale = _with_floor(jnp.exp(params["log_scale"]), self.floor)
        return LowRankNormal(loc, factor, jnp.broadcast_to(scale, loc.shape))


@static
class _FullNormal(Head):
    floor: float

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

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> TrilNormal:
        (dim,) = self.event_shape(output.shape)
        raw = fill_tril(output[dim:])
        diagonal = _with_floor(_positive(jnp.diagonal(raw)), self.floor)
        return TrilNormal(output[:dim], jnp.tril(raw, -1) + jnp.diag(diagonal))


def bernoulli() -> Head:
    """Binary data, from logits."""
    return _Logits(False)


def continuous_bernoulli() -> Head:
    """A density on [0, 1], from logits: the normalised form of what a Bernoulli score of grey pixels means."""
    return _Logits(True)


def normal(scale: float | str = "shared", *, floor: float = 1e-3) -> Head:
    r"""A Gaussian $N(\mu(z), \sigma^2)$ with independent entries.

    A learned $\sigma$ can run to zero on entries that are constant, and the likelihood to infinity:
    `floor` bounds it, $\sigma^2 \leftarrow \sigma^2 + \text{floor}^2$ (the optimal one is clipped).

    Args:
      scale: a standard deviation that stays fixed; `"shared"`, one learned number; `"optimal"`, one
        number that `objectives.optimal_sigma` sets to the root of the mean squared error;
        `"per_pixel_constant"`, one learned number for each entry; `"per_pixel"`, $\sigma(z)$ by the
        network, which gives two numbers for each entry.
      floor: least standard deviation of a learned scale; 0 for none.

    Reference: Rybkin, Daniilidis and Levine, 2021 (the optimal scale).

    >>> normal("per_pixel").output_shape((28, 28, 1))
    (28, 28, 2)
    """
    return _Normal(scale, floor)


def discretized_logistic(scale: float | str = "shared", *, levels: int = 256, floor: float = 1e-3) -> Head:
    """Grey values on a grid of `levels` steps over [0, 1]: a probability, not a density.

    Args:
      scale: standard deviation, as in `normal` (there is no optimal one in closed form).
      levels: number of grey values; the data must lie on the grid $k/(\text{levels} - 1)$. 256 for uint8
        pixels, 18 for the embedded digits, whose 17 values are the lower ones of that grid.
      floor: as in `normal`.

    Reference: Salimans et al., 2017, section 2.1, with one component.
    """
    if not isinstance(levels, int) or levels < 2:
        raise ValueError(f"levels: expected an integer of at least 2, got {levels!r}")
    if scale == "optimal":
        raise ValueError('scale: "optimal" has a closed form for heads.normal only')
    return _DiscretizedLogistic(levels, scale, floor)


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
