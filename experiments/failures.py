"""Runs on the mixture of section 4.5 that fail: how many by when, and what the worst of them draw."""

from collections.abc import Iterable, Sequence

import numpy as np

from experiments import plane
from experiments.grid import Grid
from experiments.study import Study

__all__ = ["counts", "way", "worst"]

NAME = "4.5 mixture"


def counts(grid: Grid, kinds: Sequence[str], ends: Iterable[int]) -> dict[int, int]:
    """Failures after so many epochs, over all seeds of the variants `"kind, epochs"`."""
    return {n: round(sum(sum(grid.values(f"{kind}, {n}", "fails")) for kind in kinds)) for n in ends}


def way(grid: Grid, names: Iterable[str], kind: str) -> str:
    """How far each set's runs go from a Gaussian to the truth, where there is far to go."""
    found = {name: grid.mean(f"{name}, {kind}", "closed") for name in names}
    return ", ".join(f"{value:.0%} ({name})" for name, value in found.items() if not np.isnan(value))


def worst(study: Study, grid: Grid, kind: str, ends: Iterable[int]) -> dict[str, np.ndarray]:
    """Test points, and draws of the run that has the greatest negative log-likelihood after so many epochs."""
    panels = {"data": plane.dataset(study.config, NAME).test.x[:1500]}
    for n in ends:
        run = int(np.argmax(grid.values(f"{kind}, {n}", "nll")))
        panels[f"run {run} after {n} epochs"] = plane.drawn(study, NAME, kind, run, n)
    return panels
