"""From grey levels to a density's support."""

import numpy as np

from vaejax.checks import require_integer

__all__ = ["dequantize", "level_step"]


def level_step(x: np.ndarray, levels: int) -> int:
    """Step between the grey levels of uint8 images; `ValueError` unless they have `levels` of them."""
    if x.dtype != np.uint8:
        raise ValueError(f"x: expected uint8 grey levels, got {x.dtype}")
    step = 255 // (require_integer("levels", levels, 2, 256) - 1)
    if np.any(x % step) or x.size and x.max() > step * (levels - 1):
        raise ValueError(f"x: expected multiples of {step} up to {step * (levels - 1)} for {levels} levels")
    return step


def dequantize(x: np.ndarray, *, levels: int = 256, seed: int = 0) -> np.ndarray:
    r"""Uniform dequantisation, $(k + u)/\text{levels}$ with $u \sim U[0, 1)$ and k the grey level.

    Densities of quantised images are stated for dequantised data: without the noise a constant pixel
    makes them diverge. A density q of these values bounds the probability of the grey levels,
    $\log P(k) \ge E_u \log q - D\ln\text{levels}$.

    Args:
      x: uint8 images whose levels are the multiples of `255 // (levels - 1)`.
      levels: number of grey levels: 256, or 17 for the digits.
      seed: of the noise.

    Returns:
      float32 in [0, 1), in the shape of `x`.

    Reference: Theis, van den Oord and Bethge, 2016, section 3.1.

    >>> float(dequantize(np.full((1, 1), 255, np.uint8)).round(2)[0, 0])
    1.0
    """
    step = level_step(x, levels)
    noise = np.random.default_rng(seed).random(x.shape)
    # Rounding to float32 must not reach the next level.
    return np.minimum((x // step + noise) / levels, np.nextafter(np.float32(1), np.float32(0))).astype(np.float32)
