"""Images that a fitted model makes of others, in the rows in which they are shown; lines of several units."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj

__all__ = ["interpolations", "line_panels", "paired", "rebuilt", "sheet", "traversals"]

REACH = 3.0  # a traversal goes from -REACH to REACH


@jax.jit
def rebuilt(model: Any, params: Any, x: Any) -> jax.Array:
    """Reconstructions from the centres of q."""
    one = lambda row: vj.reconstruct(model, params, jax.random.key(0), row, temperature=0.0)  # noqa: E731
    return jax.lax.map(one, x, batch_size=min(len(x), 100))


def paired(above: np.ndarray, below: np.ndarray, rows: int, columns: int = 10) -> np.ndarray:
    """So many rows of images, each with its images of `below` under it."""
    cut = lambda x: np.asarray(x)[: rows * columns].reshape(rows, columns, *x.shape[1:])  # noqa: E731
    return np.concatenate([cut(above), cut(below)], 1).reshape(-1, *above.shape[1:])


def traversals(model: Any, params: Any, codes: np.ndarray, steps: int, most: int = 10) -> np.ndarray:
    """One latent a row moves, the others stay at the first code; those that move most over the codes are above."""
    order, values = np.argsort(-codes.var(0))[:most], np.linspace(-REACH, REACH, steps)
    return np.concatenate([vj.evaluate.draw.traverse(model, params, codes[0], int(i), values=values) for i in order])


def interpolations(model: Any, params: Any, codes: np.ndarray, steps: int, most: int = 4) -> np.ndarray:
    """Steps from the first code to the second, from the third to the fourth, a pair a row."""
    pairs = list(zip(codes[::2], codes[1::2], strict=False))[:most]
    return np.concatenate([vj.evaluate.draw.interpolate(model, params, *pair, steps=steps) for pair in pairs])


def sheet(images: Any, shape: tuple[int, ...], **how: Any) -> Figure:
    """Images of this shape, given in any, side by side; grey values from 0 to 1."""
    return vj.plots.image_grid(np.asarray(images).reshape(-1, *shape), limits=(0, 1), **how)


def line_panels(panels: Mapping[str, Mapping[str, tuple]], x_label: str, *, log_y: bool = False) -> Figure:
    """Lines side by side, one panel for each unit, over the same values on a logarithmic axis; legends stand above.

    Args:
      panels: `{unit: {label: (x, y, standard error)}}`.
      x_label: of all panels.
      log_y: logarithmic vertical axes.
    """
    figure = Figure(figsize=(2.9 * len(panels), 3.2), layout="constrained")
    for axes, (unit, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for i, (label, (x, y, error)) in enumerate(series.items()):
            y, spread = np.asarray(y, float), np.nan_to_num(np.asarray(error, float))
            axes.plot(x, y, ("-", "--")[i % 2], marker="o", markersize=3, color=f"C{i}", label=label)
            axes.fill_between(x, y - spread, y + spread, color=f"C{i}", alpha=0.2, linewidth=0)
        axes.set(xscale="log", yscale="log" if log_y else "linear")
        axes.set_xlabel(x_label, fontsize=9)
        axes.set_ylabel(unit, fontsize=8)
        axes.set_xticks(x, [f"{value:g}" for value in x], fontsize=7)
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure
