"""Likelihoods whose entries are independent given z: from logits, and with a location and a scale."""

import typing

import jax
import jax.numpy as jnp

from vaejax.checks import require_choice, require_integer, require_number
from vaejax.distributions import Bernoulli, ContinuousBernoulli, DiscretizedLogistic, Normal
from vaejax.heads.head import EntryHead, Head, deviation, raw_deviation, with_floor
from vaejax.recipes import static
from vaejax.types import Array, Key, Params, Scale

__all__ = ["bernoulli", "continuous_bernoulli", "discretized_logistic", "normal"]


_NEAR = 1e-3  # distance of a mean from 0 and 1: entries that are constant have finite logits
_STEEPEST = 1e4  # logit of a continuous Bernoulli whose mean is nearer than that


def _tilted(mean: Array) -> Array:
    """Logits of the continuous Bernoulli with this mean, by bisection."""

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = ContinuousBernoulli(middle).mean < mean
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    ends = jnp.full_like(mean, -_STEEPEST), jnp.full_like(mean, _STEEPEST)
    return jax.lax.fori_loop(0, 40, halve, ends)[0]


@static
class _Logits(EntryHead):
    continuous: bool
    support = (0.0, 1.0)

    @property
    def binary(self) -> bool:
        return not self.continuous

    def from_data(self, params: Params, mean: Array, deviation: Array) -> tuple[Array, Params]:
        inside = jnp.clip(mean, _NEAR, 1.0 - _NEAR)
        return (_tilted(inside) if self.continuous else jax.scipy.special.logit(inside)), params

    def apply(self, params: Params, output: Array) -> Bernoulli | ContinuousBernoulli:
        return ContinuousBernoulli(output) if self.continuous else Bernoulli(output)


@static
class _Scaled(EntryHead):
    """Heads with a location and a scale."""

    scale: float | Scale | None
    floor: float

    def __post_init__(self):
        if isinstance(self.scale, str):
            require_choice("scale", self.scale, typing.get_args(Scale))
        else:
            require_number("scale", self.scale, above=0.0)
        require_number("floor", self.floor, least=0.0)

    @property
    def per_entry(self) -> int:
        return 2 if self.scale == "per_pixel" else 1

    def init(self, key: Key, event_shape: tuple[int, ...]) -> Params:
        if self.scale in ("shared", "optimal"):
            return {"log_scale": jnp.zeros(())}
        return {"log_scale": jnp.zeros(event_shape)} if self.scale == "per_pixel_constant" else {}

    def from_data(self, params: Params, mean: Array, deviation: Array) -> tuple[Array, Params]:
        if self.scale == "per_pixel":
            return jnp.concatenate([mean, raw_deviation(deviation)], -1), params
        if self.scale == "per_pixel_constant":
            return mean, params | {"log_scale": jnp.log(deviation)}
        if isinstance(self.scale, str):
            return mean, params | {"log_scale": 0.5 * jnp.log(jnp.mean(deviation**2))}
        return mean, params

    def loc_and_scale(self, params: Params, output: Array) -> tuple[Array, Array]:
        """Location and standard deviation of each entry, or one deviation for all."""
        if self.scale == "per_pixel":
            loc, raw = self.parts(output)
            return loc, deviation(raw, self.floor)
        if not isinstance(self.scale, str):
            return output, jnp.asarray(self.scale, output.dtype)
        if self.scale == "optimal":  # set by its objective, never by a gradient
            return output, jnp.maximum(jnp.exp(jax.lax.stop_gradient(params["log_scale"])), self.floor)
        return output, with_floor(jnp.exp(params["log_scale"]), self.floor)


@static
class _Normal(_Scaled):
    def apply(self, params: Params, output: Array) -> Normal:
        return Normal(*self.loc_and_scale(params, output))


@static
class _DiscretizedLogistic(_Scaled):
    levels: int  # type: ignore[override]
    support = (0.0, 1.0)

    def apply(self, params: Params, output: Array) -> DiscretizedLogistic:
        return DiscretizedLogistic(*self.loc_and_scale(params, output), levels=self.levels)


def bernoulli() -> Head:
    """Binary data, from logits."""
    return _Logits(False)


def continuous_bernoulli() -> Head:
    """A density on [0, 1], from logits: the normalised form of a Bernoulli score of grey pixels."""
    return _Logits(True)


def normal(scale: float | Scale = "shared", *, floor: float = 1e-3) -> Head:
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


def discretized_logistic(scale: float | Scale = "shared", *, levels: int = 256, floor: float = 1e-3) -> Head:
    """Grey values on a grid of `levels` steps over [0, 1]: a probability, not a density.

    Args:
      scale: standard deviation, as in `normal` (there is no optimal one in closed form).
      levels: number of grey values; the data must lie on the grid $k/(\text{levels} - 1)$. 256 for uint8
        pixels, 18 for the embedded digits, whose 17 values are the lower ones of that grid.
      floor: as in `normal`.

    Reference: Salimans et al., 2017, section 2.1, with one component.
    """
    require_integer("levels", levels, 2)
    if scale == "optimal":
        raise ValueError('scale: "optimal" has a closed form for heads.normal only')
    return _DiscretizedLogistic(scale, floor, levels)
