"""Images side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vaejax.plots.axes import dot_size, label, new_figure
from vaejax.types import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["image_grid", "panels"]

Extent = tuple[float, float, float, float]
LATENTS = ("$z_1$", "$z_2$")


def _canvas(images: ArrayLike, columns: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Images in rows of so many, a line of nan between them; and the numbers of rows and columns."""
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
    return canvas, (rows, columns)


def _centres(first: float, last: float, count: int, length: int) -> tuple[np.ndarray, list[str]]:
    """Places and texts of at most seven round values between those of the first and the last image of a side."""
    from matplotlib.ticker import MaxNLocator

    low, high = sorted((first, last))
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high) if low < high else [low]
    values = np.array([value for value in ticks if low <= value <= high])
    share, size = (values - first) / ((last - first) or 1.0), (length + 1) // count - 1
    return (size - 1) / 2 + share * (count - 1) * (size + 1), [f"{value:g}" for value in values]


def _mark(
    axes: "Axes",
    canvas: np.ndarray,
    counts: tuple[int, int],
    row_labels: Sequence[str],
    extent: Extent | None,
    names: tuple[str, str],
) -> None:
    """Text left of each row, and values below and left of a plane of images; no frame."""
    if len(row_labels) not in (0, counts[0]):
        raise ValueError(f"row_labels: expected {counts[0]}, one for each row, got {len(row_labels)}")
    axes.set_frame_on(False)
    axes.set(xticks=[], yticks=[])
    if extent is not None:
        left, right, bottom, top = extent
        axes.set_xticks(*_centres(left, right, counts[1], canvas.shape[1]), fontsize=8)
        axes.set_xlabel(names[0])
        if not row_labels:
            axes.set_yticks(*_centres(top, bottom, counts[0], canvas.shape[0]), fontsize=8)
            axes.set_ylabel(names[1])
    if row_labels:
        size = (canvas.shape[0] + 1) // counts[0] - 1
        axes.set_yticks((size - 1) / 2 + np.arange(counts[0]) * (size + 1), row_labels, fontsize=8)
        axes.tick_params(axis="y", length=0)


def image_grid(
    images: ArrayLike,
    *,
    columns: int = 10,
    title: str = "",
    symmetric: bool = False,
    limits: tuple[float, float] | None = None,
    row_labels: Sequence[str] = (),
    extent: Extent | None = None,
    names: tuple[str, str] = LATENTS,
    scale: str = "pixel",
) -> "Figure":
    """Images side by side, on one grey scale with a colour bar.

    Args:
      images: shape (N, H, W) or (N, H, W, C), C = 1 or 3; colours are clipped to [0, 1].
      columns: images in a row.
      title: of the figure.
      symmetric: centre the scale at zero, for weights and differences; else it spans the values.
      limits: least and greatest value of the scale; values beyond them are shown as these.
      row_labels: names of the rows, left of them.
      extent: left, right, bottom and top of a plane whose points the images belong to, from the centres of the first
        images to those of the last: its values stand at the sides. With `row_labels` only left and right are used.
      names: of the two axes of `extent`.
      scale: name of the grey values.

    >>> axes = image_grid([[[0.0]], [[1.0]]], columns=1, row_labels=["above", "below"]).axes[0]
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['above', 'below']
    """
    canvas, counts = _canvas(images, columns)
    room = 0.07 * max(map(len, row_labels), default=0) + (0.4 if extent else 0.0)
    height = 0.75 * counts[1] * canvas.shape[0] / canvas.shape[1] + 0.5 + (0.3 if extent else 0.0)
    figure, axes = new_figure(0.75 * counts[1] + 1.0 + room, height)
    figure.set_layout_engine("compressed")  # the plain one cuts off text left of a picture of fixed shape
    if canvas.ndim == 3:
        axes.imshow(np.nan_to_num(np.clip(canvas, 0, 1), nan=1.0), interpolation="nearest")
    else:
        low, high = limits or (float(np.nanmin(canvas)), float(np.nanmax(canvas)))
        if symmetric:
            high = max(abs(low), abs(high))
            low = -high
        colours = "cividis" if symmetric else "gray"
        shown = axes.imshow(canvas, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.02, label=scale)
    _mark(axes, canvas, counts, row_labels, extent, names)
    axes.set_title(title, fontsize=10)
    return figure


def panels(
    parts: Mapping[str, ArrayLike | tuple[ArrayLike, ArrayLike | None]],
    *,
    columns: int = 3,
    across: int = 10,
    limits: tuple[float, float] = (0.0, 1.0),
    extents: Mapping[str, Extent] | None = None,
    prior: bool = False,
) -> "Figure":
    """Pictures side by side: grids of images on one grey scale, and points in the plane drawn as their labels.

    Args:
      parts: a title and, of each panel, grey images (N, H, W) or (N, H, W, 1), or `(points, labels)` with shapes
        (N, 2) and (N,); labels of `None` for dots.
      columns: panels in a row.
      across: images in a row of a panel.
      limits: least and greatest value of the grey scale; values beyond them are shown as these.
      extents: of panels that are planes of latents, as in `image_grid`, by their titles.
      prior: give all panels of points the same sides, and mark N(0, I) by circles at one and two standard deviations.
    """
    extents = extents or {}
    points = {name: (np.asarray(part[0]), part[1]) for name, part in parts.items() if isinstance(part, tuple)}
    reach = 1.05 * max([2.0, *(float(np.abs(x).max()) for x, _ in points.values() if x.size)]) if prior else None
    grids = {name: _canvas(part, across) for name, part in parts.items() if not isinstance(part, tuple)}
    aspects = [grids[name][0].shape[0] / grids[name][0].shape[1] if name in grids else 1.0 for name in parts]
    columns = min(columns, len(parts))
    width = 2.9 if columns > 1 else 7.0
    margin = 0.6 if extents else 0.3
    heights = [width * max(aspects[i : i + columns]) + margin for i in range(0, len(parts), columns)]
    shape = len(heights), columns
    figure, grid = new_figure(width * columns + 0.8, sum(heights), *shape, squeeze=False, height_ratios=heights)
    figure.set_layout_engine("constrained", w_pad=0.08)
    for axes in grid.flat[len(parts) :]:
        axes.set_axis_off()
    shown = None
    for axes, name in zip(grid.flat, parts, strict=False):
        if name in grids:
            canvas, counts = grids[name]
            shown = axes.imshow(canvas, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
            _mark(axes, canvas, counts, (), extents.get(name), LATENTS)
            axes.set_title(name, fontsize=10)
        else:
            _points(axes, *points[name], reach)
            label(axes, LATENTS, name)
    if shown:
        figure.colorbar(shown, ax=list(grid.flat), fraction=0.03, pad=0.01, label="pixel")
    return figure


def _points(axes: "Axes", x: np.ndarray, labels: ArrayLike | None, reach: float | None) -> None:
    """Points as their labels, and to a reach the circles of N(0, I)."""
    from matplotlib.patches import Circle

    for i, name in enumerate([None] if labels is None else np.unique(labels)):
        points = x if name is None else x[np.asarray(labels) == name]
        marker, size = (".", dot_size(x)) if name is None else (f"${name}$", 16)
        axes.scatter(points[:, 0], points[:, 1], s=size, marker=marker, color=f"C{i}", linewidths=0.2, alpha=0.7)
    axes.set_aspect("equal", adjustable="datalim" if reach is None else "box")
    if reach is not None:
        for radius, style in ((1.0, "-"), (2.0, "--")):
            axes.add_patch(Circle((0.0, 0.0), radius, fill=False, linestyle=style, linewidth=0.8, color="#333333"))
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
