"""The mixture of q(z|x) over images beside the prior p(z)."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid, plus_minus
from experiments.shared.phrases import verdict

__all__ = ["beside_prior", "floor_steps", "information"]


def information(model: Any, params: Any, x: np.ndarray, seed: int) -> dict[str, float]:
    """I(x; z) and KL[q(z) || p(z)], nats: the mean KL[q(z|x) || p(z)] is their sum."""
    whole = vj.evaluate.aggregate_posterior(model, params, jax.random.key(seed), x)
    return {"mutual_information": whole.mutual_information, "kl_to_prior": whole.kl_to_prior}


def beside_prior(fits: Mapping[str, tuple[Any, vj.Fit]], x: np.ndarray, labels: np.ndarray) -> dict[str, tuple]:
    """Panels of a draw from q(z|x) of each row with its label, and of as many draws from N(0, I) in the plane."""
    key = jax.random.key(1)
    found = {name: (vj.evaluate.encode_rows(model, fit.best, key, x), labels) for name, (model, fit) in fits.items()}
    return found | {"p(z)": (np.random.default_rng(0).normal(size=(len(x), 2)), None)}


def floor_steps(grid: Grid, floors: Mapping[float, str], constant: int) -> str:
    """Sentences: what each step to a lower floor gains for each tenth, beside the prediction, and the least sigma.

    Args:
      grid: numbers `iwae` and `least_sigma` of the variants.
      floors: `{floor: variant}`.
      constant: pixels that are constant in training, of which a gain of ln 10 each was predicted.
    """
    said, wanted, order = [], constant * np.log(10), sorted(floors, reverse=True)
    for high, low in itertools.pairwise(order):
        before, after = (np.asarray(grid.values(floors[floor], "iwae")) for floor in (high, low))
        gain = (after - before) / np.log10(high / low)
        sign = "+" if gain.mean() > 0 else ""
        said.append(f"{sign}{plus_minus(gain, 0)} nats from {high:g} to {low:g} ({verdict(gain.mean() >= wanted)})")
    reached = ", ".join(f"{grid.mean(floors[floor], 'least_sigma'):.4f}" for floor in order)
    return (
        f"For each tenth of its floor the IWAE of σ(z) changes by {', '.join(said)}; predicted were at least "
        f"{wanted:.0f}, ln 10 for each of the {constant} pixels that are constant in training. The least σ(z) on test "
        f"images is {reached} at the floors {', '.join(map(str, order))}."
    )
