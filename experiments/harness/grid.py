"""Numbers of variants by seeds, and how they stand in tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Grid", "mean_and_error", "plus_minus"]


def mean_and_error(values: Any) -> tuple[float, float]:
    """The mean of some runs and its standard error; the error of one run is not known (nan)."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def plus_minus(values: Any, digits: int = 2) -> str:
    """`mean ± standard error` over runs, as it stands in tables."""
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")


class Grid:
    """Numbers of variants by seeds, `{"variant, seed 0": {...}, ...}`, of which the first seeds are used."""

    def __init__(self, cells: Mapping[str, Mapping[str, Any]], seeds: int):
        self.cells, self.seeds = cells, seeds

    def values(self, variant: str, number: str) -> list[float]:
        """One number of all runs; nan where it was not finite or does not exist."""
        runs = [f"{variant}, seed {seed}" for seed in range(self.seeds)]
        found = [self.cells[run].get(number) for run in runs if run in self.cells or run == runs[0]]
        return [np.nan if value is None else value for value in found]

    def mean(self, variant: str, number: str) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.values(variant, number)))

    def say(self, variant: str, number: str, digits: int = 2) -> str:
        """`mean ± standard error`, a dash for what does not exist."""
        values = self.values(variant, number)
        return "-" if np.isnan(values).all() else plus_minus(values, digits)

    def rows(self, variants: Mapping[str, str], numbers: Mapping[str, int]) -> list[tuple[str, ...]]:
        """Rows of a table: `{label: variant}` down, `{number: digits}` across."""
        return [(label, *(self.say(variant, n, d) for n, d in numbers.items())) for label, variant in variants.items()]

    def line(self, x: Mapping[str, float], number: str) -> tuple[list[float], list[float], list[float]]:
        """A line for `Study.lines`, `{variant: x}`: x, means, standard errors."""
        each = [mean_and_error(self.values(variant, number)) for variant in x]
        return list(x.values()), [mean for mean, _ in each], [error for _, error in each]
