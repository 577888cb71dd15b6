"""Numbers of a grid as they stand in the sentences of an answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.harness.grid import Grid, mean_and_error, plus_minus

__all__ = ["best_of", "beyond_noise", "change", "counted_above", "failing", "listed", "row_with_best", "verdict"]


def change(grid: Grid, ends: Sequence[str], number: str, digits: int = 2, by: str = " to ") -> str:
    """`mean ± error to mean ± error`: a number of the first and of the last of these variants."""
    return by.join(grid.say(variant, number, digits) for variant in (ends[0], ends[-1]))


def listed(grid: Grid, variants: Iterable[str], number: str, digits: int = 2) -> str:
    """`name mean ± error, ...`: a number of each variant, or of `{name: variant}`."""
    named = variants if isinstance(variants, Mapping) else {name: name for name in variants}
    return ", ".join(f"{name} {grid.say(variant, number, digits)}" for name, variant in named.items())


def beyond_noise(differences: Any) -> bool:
    """Whether differences, paired by seed, have a mean of more than two standard errors; not of one seed."""
    mean, error = mean_and_error(differences)
    return abs(mean) > 2 * error


def failing(held: bool) -> str:
    """What stands after a prediction."""
    return "" if held else ", which fails"


def best_of(grid: Grid, variants: Mapping[str, str], number: str, highest: bool = False) -> str:
    """The label of `{label: variant}` whose mean is the least, or the highest."""
    return (max if highest else min)(variants, key=lambda label: grid.mean(variants[label], number))


def row_with_best(
    grid: Grid, variants: Mapping[str, str], number: str, digits: int = 2, *, highest: bool = False
) -> str:
    """`mean ± error, ... (best: label)`: a number of each of `{label: variant}`, the best of which is the least."""
    each = ", ".join(grid.say(variant, number, digits) for variant in variants.values())
    return f"{each} (best: {best_of(grid, variants, number, highest)})"


def counted_above(grid: Grid, variant: str, number: str, least: float, digits: int = 1) -> str:
    """`mean ± error` of how many entries of a list are above `least`."""
    return plus_minus([sum(entry > least for entry in each) for each in grid.values(variant, number)], digits)


def verdict(held: bool) -> str:
    """What is said of a prediction."""
    return "as predicted" if held else "not as predicted"
