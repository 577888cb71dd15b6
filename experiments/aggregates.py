"""The mixture of q(z|x) over images beside the prior p(z)."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import vaejax as vj

__all__ = ["beside_prior", "information"]


def information(model: Any, params: Any, x: np.ndarray, seed: int) -> dict[str, float]:
    """I(x; z) and KL[q(z) || p(z)], nats: the mean KL[q(z|x) || p(z)] is their sum."""
    whole = vj.evaluate.aggregate_posterior(model, params, jax.random.key(seed), x)
    return {"mutual_information": whole.mutual_information, "kl_to_prior": whole.kl_to_prior}


def beside_prior(fits: Mapping[str, tuple[Any, vj.Fit]], x: np.ndarray, labels: np.ndarray) -> dict[str, tuple]:
    """Panels of a draw from q(z|x) of each row with its label, and of as many draws from N(0, I) in the plane."""
    key = jax.random.key(1)
    found = {name: (vj.evaluate.codes(model, fit.best, key, x), labels) for name, (model, fit) in fits.items()}
    return found | {"p(z)": (np.random.default_rng(0).normal(size=(len(x), 2)), None)}
