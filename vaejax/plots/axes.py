"""Figures without global state of pyplot, and the marks that all of them share."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "STYLES", "dot_size", "label", "new_figure", "plane_points"]

STYLES = ("-", "--", "-.", ":")  # of lines, so that they differ without colour
COLOURS = ("#1b6ca8", "#c04000", "#222222")


def new_figure(width: float, height: float, *counts: int, **options: Any) -> "tuple[Figure, Any]":
    """A figure of this size in inches, and its axes, one or an array of `counts`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(*counts, **options)


def label(axes: "Axes", names: tuple[str, str], title: str = "", size: float = 10) -> None:
    """Names of both axes, and the title."""
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_title(title, fontsize=size)


def dot_size(x: np.ndarray) -> float:
    """Size of a dot: few points are large."""
    return float(np.clip(6000 / max(len(x), 1), 4, 36))


def plane_points(name: str, x: Any) -> np.ndarray:
    """Points in the plane, (N, 2)."""
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{name}: expected points in the plane, (N, 2), got shape {x.shape}")
    return x
