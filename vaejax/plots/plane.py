"""Points, densities and mixtures in the plane."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vaejax.distributions import TrilNormal
from vaejax.models import GMM
from vaejax.plots.axes import COLOURS, STYLES, dot_size, label, new_figure, plane_points
from vaejax.types import ArrayLike, Params

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ellipses", "planes", "scatter"]

Layer = ArrayLike | Callable[[np.ndarray], ArrayLike]
Limits = tuple[tuple[float, float], tuple[float, float]]


def planes(
    panels: Mapping[str, Layer | list[Layer]],
    *,
    columns: int = 5,
    limits: Limits | np.ndarray | None = None,
    names: tuple[str, str] = ("$x_1$", "$x_2$"),
    title: str = "",
) -> "Figure":
    """Points and densities in the plane, in panels side by side with the same axes.

    Args:
      panels: a name and the layers of each panel, one or a list: points (N, 2), drawn as dots, or functions of
        points (N, 2) to log-densities (N,), drawn as two lines where the density is exp(-1/2) and exp(-2)
        of its maximum: one and two standard deviations of a Gaussian.
      columns: panels in a row.
      limits: `((least, greatest), (least, greatest))` of the axes; default: those of all points.
      names: of the axes.
      title: of the figure.
    """
    layers = {
        name: [layer if callable(layer) else plane_points("panels", layer) for layer in _listed(panel)]
        for name, panel in panels.items()
    }
    if limits is None:
        points = [layer for panel in layers.values() for layer in panel if not callable(layer)]
        if not points:
            raise ValueError("panels: expected points in the plane, (N, 2), or limits=, got densities alone")
        low, high = np.nanquantile(np.concatenate(points), [0.001, 0.999], axis=0)
        limits = np.stack([low - 0.08 * (high - low), high + 0.08 * (high - low)], 1)
    (left, right), (bottom, top) = limits
    columns = min(columns, len(layers))
    rows = -(-len(layers) // columns)
    size = 2.1 * columns + 0.5, 2.2 * rows + 0.4
    figure, every = new_figure(*size, rows, columns, sharex=True, sharey=True, squeeze=False)
    across, up = np.meshgrid(np.linspace(left, right, 121), np.linspace(bottom, top, 121))
    grid = np.stack([across.ravel(), up.ravel()], 1).astype(np.float32)
    for axes in every.flat[len(layers) :]:
        axes.set_axis_off()
    for axes, (name, panel) in zip(every.flat, layers.items(), strict=False):
        for i, layer in enumerate(panel):
            colour, style = COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)]
            if callable(layer):
                z = np.asarray(layer(grid), np.float64).reshape(across.shape)
                at = z.max() - np.array([2.0, 0.5])
                axes.contour(across, up, z, at, colors=colour, linestyles=style, linewidths=(0.9, 1.6))
            else:
                dots = {"s": dot_size(layer) / 2, "alpha": 0.35, "linewidths": 0, "c": colour, "rasterized": True}
                axes.scatter(layer[:, 0], layer[:, 1], **dots)
        axes.set_title(name, fontsize=9)
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.tick_params(labelsize=7)
    for axes in every[-1]:
        axes.set_xlabel(names[0], fontsize=8)
    for axes in every[:, 0]:
        axes.set_ylabel(names[1], fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def _listed(panel: Layer | list[Layer]) -> list[Layer]:
    return panel if isinstance(panel, list) else [panel]


def scatter(
    x: ArrayLike | Mapping[str, ArrayLike],
    labels: ArrayLike | None = None,
    *,
    title: str = "",
    names: tuple[str, str] = ("$x_1$", "$x_2$"),
) -> "Figure":
    """Points in the plane, coloured by label, or several sets of them in one picture, with a legend.

    Args:
      x: shape (N, 2), or a name and the points of each set: these differ by marker as well as by colour, and the axes
        have scales of their own.
      labels: integers (N,), or `None` for one colour.
      title: of the figure.
      names: of the axes.
    """
    figure, axes = new_figure(4.2, 4.0)
    dots = {"alpha": 0.6, "linewidths": 0}
    if isinstance(x, Mapping):
        for i, (name, points) in enumerate(x.items()):
            points, kind = plane_points(name, points), {"c": COLOURS[i % 3], "marker": "o^s"[i % 3]}
            axes.scatter(points[:, 0], points[:, 1], s=dot_size(points), label=name, **dots, **kind)
        axes.legend(fontsize=8)
    else:
        x = plane_points("x", x)
        colours = {} if labels is None else {"c": np.asarray(labels), "cmap": "viridis"}
        shown = axes.scatter(x[:, 0], x[:, 1], s=dot_size(x), **dots, **colours)
        if labels is not None:
            figure.colorbar(shown, ax=axes, fraction=0.05, label="label")
        axes.set_aspect("equal", adjustable="datalim")
    label(axes, names, title)
    return figure


def ellipses(x: ArrayLike, model: GMM, params: Params, *, title: str = "") -> "Figure":
    """Points in the plane and the components of a mixture: ellipses at one and two standard deviations.

    Args:
      x: shape (N, 2).
      model: a `GMM` with `dim=2`.
      params: its parameters.
      title: of the figure.
    """
    figure = scatter(x, title=title)
    axes = figure.axes[0]
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    components = model.components(params)
    for k in range(model.num_components):
        mean = np.asarray(components.loc[k])
        spread = components.scale_tril[k] if isinstance(components, TrilNormal) else np.diag(components.stddev[k])
        for radius in (1.0, 2.0):
            axes.plot(*(mean[:, None] + radius * np.asarray(spread) @ circle), color="black", linewidth=1.8 / radius)
        axes.plot(*mean, "k+")
    return figure
