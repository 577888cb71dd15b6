"""Images side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np

from vaejax.plots.axes import dot_size, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

__all__ = ["image_grid", "panels"]


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


def _centres(first: float, last: float, count: int, size: int) -> tuple[np.ndarray, list[str]]:
    """Where at most seven round values between those of the first and the last image are, and what stands there."""
    from matplotlib.ticker import MaxNLocator

    low, high = sorted((first, last))
    values = (
        [value for value in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= value <= high]
        if low < high
        else [low]
    )
    share = (np.array(values) - first) / ((last - first) or 1.0)
    return (size - 1) / 2 + share * (count - 1) * (size + 1), [f"{value:g}" for value in values]


def _mark(
    axes: Any,
    sizes: tuple[int, int],
    counts: tuple[int, int],
    row_labels: "Sequence[str]",
    extent: tuple[float, float, float, float] | None,
    names: tuple[str, str],
) -> None:
    """Text left of each row, and values below and left of a plane of images; no frame."""
    if len(row_labels) not in (0, counts[0]):
        raise ValueError(f"row_labels: expected {counts[0]}, one for each row, got {len(row_labels)}")
    axes.set_frame_on(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if extent is not None:
        left, right, bottom, top = extent
        axes.set_xticks(*_centres(left, right, counts[1], sizes[1]), fontsize=8)
        axes.set_xlabel(names[0])
        if not row_labels:
            axes.set_yticks(*_centres(top, bottom, counts[0], sizes[0]), fontsize=8)
            axes.set_ylabel(names[1])
    if row_labels:
        axes.set_yticks((sizes[0] - 1) / 2 + np.arange(counts[0]) * (sizes[0] + 1), row_labels, fontsize=8)
        axes.tick_params(axis="y", length=0)


def image_grid(
    images: Any,
    *,
    columns: int = 10,
    title: str = "",
    symmetric: bool = False,
    limits: tuple[float, float] | None = None,
    row_labels: "Sequence[str]" = (),
    extent: tuple[float, float, float, float] | None = None,
    names: tuple[str, str] = ("$z_1$", "$z_2$"),
    scale: str = "pixel",
) -> "Figure":
    """Images side by side, on one grey scale with a colour bar.

    Args:
      images: shape (N, H, W) or (N, H, W, C), C = 1 or 3; colours are clipped to [0, 1].
      columns: images in a row.
      title: what stands above.
      symmetric: centre the scale at zero, for weights and differences; else it spans the values.
      limits: least and greatest value of the scale; values beyond them are shown as these.
      row_labels: what each row is, left of it.
      extent: left, right, bottom and top of a plane whose points the images belong to, from the centres of the first
        images to those of the last: its values stand at the sides. With `row_labels` only left and right are used.
      names: of the two axes of `extent`.
      scale: what the grey values are.

    >>> axes = image_grid([[[0.0]], [[1.0]]], columns=1, row_labels=["above", "below"]).axes[0]
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['above', 'below']
    """
    canvas = _canvas(images, columns)
    columns = min(columns, len(images))
    room = 0.07 * max(map(len, row_labels), default=0) + (0.4 if extent else 0.0)
    height = 0.75 * columns * canvas.shape[0] / canvas.shape[1] + 0.5 + (0.3 if extent else 0.0)
    figure, axes = new_figure(0.75 * columns + 1.0 + room, height)
    figure.set_layout_engine("compressed")  # the plain one cuts off what stands left of a picture of fixed shape
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
        figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.02, label=scale)
    _mark(axes, np.shape(images)[1:3], (-(-len(images) // columns), columns), row_labels, extent, names)
    axes.set_title(title, fontsize=10)
    return figure


def panels(
    parts: "Mapping[str, Any]",
    *,
    columns: int = 3,
    across: int = 10,
    limits: tuple[float, float] = (0.0, 1.0),
    extents: "Mapping[str, tuple[float, float, float, float]] | None" = None,
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
    from matplotlib.patches import Circle

    extents = extents or {}
    points = [np.asarray(part[0]) for part in parts.values() if isinstance(part, tuple)]
    reach = 1.05 * max([2.0, *(float(np.abs(x).max()) for x in points if x.size)])
    rows = -(-len(parts) // (columns := min(columns, len(parts))))
    canvases = {name: None if isinstance(part, tuple) else _canvas(part, across) for name, part in parts.items()}
    aspects = [1.0 if image is None else image.shape[0] / image.shape[1] for image in canvases.values()]
    width = 2.9 if columns > 1 else 7.0
    heights = [width * max(aspects[i * columns : (i + 1) * columns]) + (0.6 if extents else 0.3) for i in range(rows)]
    figure, grid = new_figure(width * columns + 0.8, sum(heights), rows, columns, squeeze=False, height_ratios=heights)
    figure.get_layout_engine().set(w_pad=0.08)  # type: ignore[union-attr]
    for axes in (grid := grid.ravel())[len(parts) :]:
        axes.set_axis_off()
    shown = None
    for axes, (name, part) in zip(grid, parts.items(), strict=False):
        axes.set_title(name, fontsize=10)
        if canvases[name] is not None:
            shown = axes.imshow(canvases[name], cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
            wide = min(across, len(part))
            counts = -(-len(part) // wide), wide
            _mark(axes, np.shape(part)[1:3], counts, (), extents.get(name), ("$z_1$", "$z_2$"))
            continue
        x, labels = np.asarray(part[0]), part[1]
        for i, label in enumerate([None] if labels is None else np.unique(labels)):
            own = x if label is None else x[np.asarray(labels) == label]
            marker, size = (".", dot_size(x)) if label is None else (f"${label}$", 16)
            axes.scatter(own[:, 0], own[:, 1], s=size, marker=marker, color=f"C{i}", linewidths=0.2, alpha=0.7)
        axes.set_aspect("equal", adjustable="box" if prior else "datalim")
        for radius, style in ((1.0, "-"), (2.0, "--")) if prior else ():
            axes.add_patch(Circle((0.0, 0.0), radius, fill=False, linestyle=style, linewidth=0.8, color="#333333"))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_xlabel("$z_1$")
        axes.set_ylabel("$z_2$")
    if shown:
        figure.colorbar(shown, ax=list(grid), fraction=0.03, pad=0.01, label="pixel")
    return figure
