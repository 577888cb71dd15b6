"""What all figures are made with: no global state of pyplot."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STYLES", "dot_size", "new_figure"]

STYLES = ("-", "--", "-.", ":")  # of lines, so that they are told apart without colour


def new_figure(width: float, height: float, *counts: int, **how: Any) -> "tuple[Figure, Any]":
    """A figure of this size in inches, and its axes, one or an array of `counts`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(*counts, **how)


def dot_size(x: np.ndarray) -> float:
    """Size of a dot: few points are large."""
    return float(np.clip(6000 / max(len(x), 1), 4, 36))
