"""Points, densities and mixtures in the plane."""

from typing import TYPE_CHECKING, Any

import numpy as np

from vaejax.distributions import TrilNormal
from vaejax.models import GMM
from vaejax.plots.axes import STYLES, dot_size, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

__all__ = ["ellipses", "overlay", "planes", "scatter"]


def overlay(series: dict[str, Any], *, names: tuple[str, str] = ("$x_1$", "$x_2$"), title: str = "") -> "Figure":
    """Sets of points in one plane, told apart by marker as well as by colour.

    Args:
      series: a name and the points, shape (N, 2), of each of at most three sets.
      names: of the axes.
      title: what stands above.
    """
    figure, axes = new_figure(4.2, 4.0)
    for (name, x), marker, colour in zip(series.items(), "o^s", ("#1b6ca8", "#e07b00", "#555555"), strict=False):
        x = np.asarray(x)
        axes.scatter(x[:, 0], x[:, 1], s=dot_size(x), alpha=0.5, marker=marker, c=colour, linewidths=0, label=name)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    return figure


def planes(
    panels: "Mapping[str, Any]",
    *,
    columns: int = 5,
    limits: Any = None,
    names: tuple[str, str] = ("$x_1$", "$x_2$"),
    title: str = "",
) -> "Figure":
    """Points and densities in the plane, in panels side by side with the same axes.

    Args:
      panels: a name and the layers of each panel, one or a list: points (N, 2), drawn as dots, or functions of
        points (N, 2) to log-densities (N,), drawn as two lines where the density is exp(-1/2) and exp(-2)
        of its maximum: one and two standard deviations of a Gaussian.
      columns: panels in a row.
      limits: `((least, greatest), (least, greatest))` of the axes; those of all points unless told otherwise.
      names: of the axes.
      title: what stands above.
    """
    from matplotlib.figure import Figure

    layers = {name: each if isinstance(each, list) else [each] for name, each in panels.items()}
    points = [np.asarray(layer) for each in layers.values() for layer in each if not callable(layer)]
    if any(layer.ndim != 2 or layer.shape[1] != 2 for layer in points) or not (points or limits):
        raise ValueError(f"panels: expected points in the plane, (N, 2), got shapes {[x.shape for x in points]}")
    if limits is None:
        low, high = np.quantile(np.concatenate(points), [0.001, 0.999], axis=0)
        limits = np.stack([low - 0.08 * (high - low), high + 0.08 * (high - low)], 1)
    (left, right), (bottom, top) = limits
    columns = min(columns, len(layers))
    rows = -(-len(layers) // columns)
    figure = Figure(figsize=(2.1 * columns + 0.5, 2.2 * rows + 0.4), layout="constrained")
    every = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    across, up = np.meshgrid(np.linspace(left, right, 121), np.linspace(bottom, top, 121))
    grid = np.stack([across.ravel(), up.ravel()], 1).astype(np.float32)
    for axes in every.flat[len(layers) :]:
        axes.set_axis_off()
    for axes, (name, each) in zip(every.flat, layers.items(), strict=False):
        for i, layer in enumerate(each):
            if callable(layer):
                z = np.asarray(layer(grid), np.float64).reshape(across.shape)
                colour, style = ("#1b6ca8", "#c04000", "#222222")[i % 3], STYLES[i % len(STYLES)]
                at = z.max() - np.array([2.0, 0.5])
                axes.contour(across, up, z, at, colors=colour, linestyles=style, linewidths=(0.9, 1.6))
            else:
                x = np.asarray(layer)
                colour = ("#1b6ca8", "#c04000", "#222222")[i % 3]
                axes.scatter(x[:, 0], x[:, 1], s=dot_size(x) / 2, alpha=0.35, linewidths=0, c=colour, rasterized=True)
        axes.set_title(name, fontsize=9)
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        axes.tick_params(labelsize=7)
    for axes in every[-1]:
        axes.set_xlabel(names[0], fontsize=8)
    for axes in every[:, 0]:
        axes.set_ylabel(names[1], fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def scatter(x: Any, labels: Any = None, *, title: str = "", names: tuple[str, str] = ("$x_1$", "$x_2$")) -> "Figure":
    """Points in the plane, coloured by label.

    Args:
      x: shape (N, 2).
      labels: integers (N,), or `None` for one colour.
      title: what stands above.
      names: of the axes.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"x: expected points in the plane, (N, 2), got shape {x.shape}")
    figure, axes = new_figure(4.2, 4.0)
    colours = {} if labels is None else {"c": np.asarray(labels), "cmap": "viridis"}
    dots = axes.scatter(x[:, 0], x[:, 1], s=dot_size(x), alpha=0.6, linewidths=0, **colours)
    if labels is not None:
        figure.colorbar(dots, ax=axes, fraction=0.05, label="label")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(title, fontsize=10)
    return figure


def ellipses(x: Any, model: GMM, params: Any, *, title: str = "") -> "Figure":
    """Points in the plane and the components of a mixture: ellipses at one and two standard deviations.

    Args:
      x: shape (N, 2).
      model: a `GMM` with `dim=2`.
      params: its parameters.
      title: what stands above.
    """
    figure = scatter(x, title=title)
    axes = figure.axes[0]
    circle = np.stack([np.cos(angle := np.linspace(0, 2 * np.pi, 200)), np.sin(angle)])
    components = model.components(params)
    for k in range(model.num_components):
        mean = np.asarray(components.loc[k])
        spread = components.scale_tril[k] if isinstance(components, TrilNormal) else np.diag(components.stddev[k])
        tril = np.asarray(spread)
        for radius in (1.0, 2.0):
            axes.plot(*(mean[:, None] + radius * tril @ circle), color="black", linewidth=1.8 / radius)
        axes.plot(*mean, "k+")
    return figure
