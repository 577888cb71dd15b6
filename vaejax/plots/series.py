"""Lines and bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaejax.plots.axes import COLOURS, STYLES, label, new_figure
from vaejax.types import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bars", "curves", "lines"]


def lines(
    series: Mapping[str, Sequence[ArrayLike]],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> "Figure":
    """Lines that differ by style as well as by colour, with bands of one standard error where there is one.

    Args:
      series: a name and `(x, y)` or `(x, y, standard error)` of each line.
      x_label: with its unit.
      y_label: with its unit.
      title: of the figure.
      log_x: logarithmic horizontal axis.
      log_y: logarithmic vertical axis.
    """
    figure, axes = new_figure(5.0, 3.2)
    for i, (name, (x, y, *error)) in enumerate(series.items()):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        marker = "o" if len(x) <= 20 else ""
        (line,) = axes.plot(x, y, STYLES[i % len(STYLES)], marker=marker, markersize=3, label=name, linewidth=1.6)
        if error:
            spread = np.nan_to_num(np.asarray(error[0], np.float64))
            axes.fill_between(x, y - spread, y + spread, color=line.get_color(), alpha=0.2, linewidth=0)
    if log_x:
        axes.set_xscale("log")
        marks = np.unique(np.concatenate([np.asarray(x, np.float64) for x, *_ in series.values()]))
        if len(marks) <= 8:  # powers of ten would miss them
            axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
            axes.set_xticks([], minor=True)
    if log_y:
        axes.set_yscale("log")
    label(axes, (x_label, y_label), title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def curves(series: Mapping[str, ArrayLike], *, log_x: bool = False, **labels: Any) -> "Figure":
    """`lines` over their index, which starts at 1 where `log_x`.

    Args:
      series: a name and the values of each line.
      log_x: logarithmic horizontal axis.
      **labels: as for `lines`.
    """
    over = {name: (np.arange(len(np.asarray(y))) + log_x, y) for name, y in series.items()}
    return lines(over, log_x=log_x, **labels)


def bars(values: ArrayLike, kind: str) -> "Figure":
    """Divergences as bars, largest first.

    Args:
      values: nats.
      kind: of their owners, `"latent"` say.
    """
    values = np.sort(np.asarray(values))[::-1]
    figure, axes = new_figure(5.0, 2.6)
    axes.bar(np.arange(1, len(values) + 1), values, color=COLOURS[0])
    label(axes, (f"{kind}, by its divergence", "KL, nats"))
    axes.grid(axis="y", alpha=0.3)
    return figure
