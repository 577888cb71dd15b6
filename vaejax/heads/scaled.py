"""Likelihoods with a location and a scale: Gaussian and discretised logistic."""

import jax
import jax.numpy as jnp

from vaejax.distributions import DiscretizedLogistic, Normal
from vaejax.heads.head import Head, parts, positive, require_floor, with_floor
from vaejax.recipes import static

__all__ = ["discretized_logistic", "normal"]

SCALES = ("shared", "optimal", "per_pixel_constant", "per_pixel")


class _Scaled(Head):
    """What the heads with a location and a scale share."""

    scale: float | str
    floor: float

    def __post_init__(self):
        number = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        if self.scale not in SCALES and not (number and self.scale > 0):  # type: ignore[operator]
            raise ValueError(f"scale: expected a positive number or one of {', '.join(SCALES)}, got {self.scale!r}")
        require_floor(self.floor)

    @property
    def width(self) -> int:
        return 2 if self.scale == "per_pixel" else 1

    def init(self, key: jax.Array, event_shape: tuple[int, ...]) -> dict[str, jax.Array]:
        if self.scale in ("shared", "optimal"):
            return {"log_scale": jnp.zeros(())}
        return {"log_scale": jnp.zeros(event_shape)} if self.scale == "per_pixel_constant" else {}

    def _loc_and_scale(self, params: dict[str, jax.Array], output: jax.Array) -> tuple[jax.Array, jax.Array]:
        if self.scale == "per_pixel":
            loc, raw = parts(output, 2)
            return loc, with_floor(positive(raw), self.floor)
        if isinstance(self.scale, str):
            log_scale = params["log_scale"]
            if self.scale == "optimal":  # set by its objective, never by a gradient
                return output, jnp.maximum(jnp.exp(jax.lax.stop_gradient(log_scale)), self.floor)
            return output, with_floor(jnp.exp(log_scale), self.floor)
        return output, jnp.asarray(self.scale, output.dtype)


@static
class _Normal(_Scaled):
    scale: float | str
    floor: float

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> Normal:
        return Normal(*self._loc_and_scale(params, output))


@static
class _DiscretizedLogistic(_Scaled):
    scale: float | str
    floor: float
    levels: int
    support = (0.0, 1.0)

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> DiscretizedLogistic:
        return DiscretizedLogistic(*self._loc_and_scale(params, output), levels=self.levels)


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
    return _DiscretizedLogistic(scale, floor, levels)
