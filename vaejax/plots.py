"""Figures of data, mixtures, images and curves, as `matplotlib.figure.Figure`s without pyplot's global state."""

from typing import TYPE_CHECKING, Any

import numpy as np

from vaejax.distributions import TrilNormal
from vaejax.models import GMM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

__all__ = ["bars", "curves", "ellipses", "image_grid", "lines", "overlay", "panels", "scatter"]

_STYLES = ("-", "--", "-.", ":")


def _figure(width: float, height: float, *counts: int, **how: Any) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(*counts, **how)


def _canvas(images: Any, columns: int) -> np.ndarray:
    """Images in rows of so many, a line of nan between them."""
    images = np.asarray(images, np.float64)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3) or not len(images):
        raise ValueError(f"images: expected shape (N, H, W) or (N, H, W, 1 or 3), got {images.shape}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1:3]
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *images.shape[3:]), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        canvas[top : top + height, left : left + width] = image
    return canvas


def image_grid(
    images: Any,
    *,
    columns: int = 10,
    title: str = "",
    symmetric: bool = False,
    limits: tuple[float, float] | None = None,
) -> "Figure":
    """Images side by side, on one grey scale with a colour bar.

    Args:
      images: shape (N, H, W) or (N, H, W, C), C = 1 or 3; colours are clipped to [0, 1].
      columns: images in a row.
      title: what stands above.
      symmetric: centre the scale at zero, for weights and differences; else it spans the values.
      limits: least and greatest value of the scale; values beyond them are shown as these.
    """
    canvas = _canvas(images, columns)
    columns = min(columns, len(images))
    figure, axes = _figure(0.75 * columns + 1.0, 0.75 * columns * canvas.shape[0] / canvas.shape[1] + 0.5)
    if canvas.ndim == 3:
        axes.imshow(np.nan_to_num(np.clip(canvas, 0, 1), nan=1.0), interpolation="nearest")
    else:
        low, high = limits or (float(np.nanmin(canvas)), float(np.nanmax(canvas)))
        if symmetric:
            high = max(abs(low), abs(high))
            low = -high
        shown = axes.imshow(
            canvas, cmap="cividis" if symmetric else "gray", vmin=low, vmax=high, interpolation="nearest"
        )
        figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.02)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure


def lines(
    series: "Mapping[str, Any]",
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> "Figure":
    """Lines told apart by style as well as by colour, with bands of one standard error where there is one.

    Args:
      series: a name and `(x, y)` or `(x, y, standard error)` of each line.
      x_label: with its unit.
      y_label: with its unit.
      title: what stands above.
      log_x: logarithmic horizontal axis.
      log_y: logarithmic vertical axis.
    """
    figure, axes = _figure(5.0, 3.2)
    for i, (name, (x, y, *error)) in enumerate(series.items()):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        marker = "o" if len(x) <= 20 else ""
        axes.plot(x, y, _STYLES[i % len(_STYLES)], marker=marker, markersize=3, label=name, linewidth=1.6)
        if error:
            spread = np.nan_to_num(np.asarray(error[0], np.float64))
            axes.fill_between(x, y - spread, y + spread, alpha=0.2, linewidth=0)
    if log_x:
        axes.set_xscale("log")
        marks = np.unique(np.concatenate([np.asarray(x, np.float64) for x, *_ in series.values()]))
        if len(marks) <= 8:  # powers of ten would miss them
            axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
            axes.set_xticks([], minor=True)
    if log_y:
        axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def curves(series: "Mapping[str, Any]", *, log_x: bool = False, **labels: Any) -> "Figure":
    """`lines` over their index, which starts at 1 where `log_x`.

    Args:
      series: a name and the values of each line.
      log_x: logarithmic horizontal axis.
      **labels: as for `lines`.
    """
    over = {name: (np.arange(len(np.asarray(y))) + log_x, y) for name, y in series.items()}
    return lines(over, log_x=log_x, **labels)


def bars(values: Any, kind: str) -> "Figure":
    """Divergences as bars, largest first.

    Args:
      values: nats.
      kind: what each belongs to, `"latent"` say.
    """
    values = np.sort(np.asarray(values))[::-1]
    figure, axes = _figure(5.0, 2.6)
    axes.bar(np.arange(1, len(values) + 1), values, color="#1b6ca8")
    axes.set_xlabel(f"{kind}, by its divergence")
    axes.set_ylabel("KL, nats")
    axes.grid(axis="y", alpha=0.3)
    return figure


def _dot(x: np.ndarray) -> float:
    """Size of a dot: few points are large."""
    return float(np.clip(6000 / max(len(x), 1), 4, 36))


def overlay(series: dict[str, Any], *, names: tuple[str, str] = ("$x_1$", "$x_2$"), title: str = "") -> "Figure":
    """Sets of points in one plane, told apart by marker as well as by colour.

    Args:
      series: a name and the points, shape (N, 2), of each of at most three sets.
      names: of the axes.
      title: what stands above.
    """
    figure, axes = _figure(4.2, 4.0)
    for (name, x), marker, colour in zip(series.items(), "o^s", ("#1b6ca8", "#e07b00", "#555555"), strict=False):
        x = np.asarray(x)
        axes.scatter(x[:, 0], x[:, 1], s=_dot(x), alpha=0.5, marker=marker, c=colour, linewidths=0, label=name)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
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
    figure, axes = _figure(4.2, 4.0)
    colours = {} if labels is None else {"c": np.asarray(labels), "cmap": "viridis"}
    dots = axes.scatter(x[:, 0], x[:, 1], s=_dot(x), alpha=0.6, linewidths=0, **colours)
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


def panels(
    parts: "Mapping[str, Any]",
    *,
    columns: int = 3,
    across: int = 10,
    limits: tuple[float, float] = (0.0, 1.0),
) -> "Figure":
    """Pictures side by side: grids of images on one grey scale, and points in the plane drawn as their labels.

    Args:
      parts: a title and, of each panel, grey images (N, H, W) or (N, H, W, 1), or `(points, labels)` with shapes
        (N, 2) and (N,); labels of `None` for dots.
      columns: panels in a row.
      across: images in a row of a panel.
      limits: least and greatest value of the grey scale; values beyond them are shown as these.
    """
    rows = -(-len(parts) // (columns := min(columns, len(parts))))
    canvases = {name: None if isinstance(part, tuple) else _canvas(part, across) for name, part in parts.items()}
    aspects = [1.0 if image is None else image.shape[0] / image.shape[1] for image in canvases.values()]
    width = 2.9 if columns > 1 else 7.0
    heights = [width * max(aspects[i * columns : (i + 1) * columns]) + 0.3 for i in range(rows)]
    figure, grid = _figure(width * columns + 0.8, sum(heights), rows, columns, squeeze=False, height_ratios=heights)
    figure.get_layout_engine().set(w_pad=0.08)  # type: ignore[union-attr]
    for axes in (grid := grid.ravel())[len(parts) :]:
        axes.set_axis_off()
    shown = None
    for axes, (name, part) in zip(grid, parts.items(), strict=False):
        axes.set_title(name, fontsize=10)
        if canvases[name] is not None:
            shown = axes.imshow(canvases[name], cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
            axes.set_axis_off()
            continue
        x, labels = np.asarray(part[0]), part[1]
        for i, label in enumerate([None] if labels is None else np.unique(labels)):
            own = x if label is None else x[np.asarray(labels) == label]
            marker, size = (".", _dot(x)) if label is None else (f"${label}$", 16)
            axes.scatter(own[:, 0], own[:, 1], s=size, marker=marker, color=f"C{i}", linewidths=0.2, alpha=0.7)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel("$z_1$")
        axes.set_ylabel("$z_2$")
    if shown:
        figure.colorbar(shown, ax=list(grid), fraction=0.03, pad=0.01, label="pixel")
    return figure
