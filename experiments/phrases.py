"""Numbers of a grid as they stand in the sentences of an answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.grid import Grid, mean_and_error

__all__ = ["beyond_noise", "change", "failing", "listed"]


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
