"""Beside VAEs: probabilistic PCA by EM, eigenvalues above a fixed variance, and what one hidden layer can do."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

import vaejax as vj

__all__ = ["UNITS", "above", "approximate", "climb", "components"]

UNITS = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0), "x²": np.square}


def approximate(width: int, unit: str, seed: int) -> dict[str, float]:
    """Greatest error on [-1, 1] of one hidden layer with random units and the best output weights."""
    rng, x = np.random.default_rng(seed), np.linspace(-1, 1, 2001)
    hidden = UNITS[unit](np.outer(x, rng.normal(scale=8.0, size=width)) + rng.uniform(-8, 8, width))
    hidden, wanted = np.column_stack([hidden, np.ones_like(x)]), np.sin(6 * x) + np.abs(x)
    return {"error": np.abs(hidden @ np.linalg.lstsq(hidden, wanted, rcond=1e-12)[0] - wanted).max()}


def climb(x: np.ndarray, test: np.ndarray, latents: int, steps: int, faster: bool, seed: int) -> dict[str, Any]:
    """How far EM is below the closed form after each step, nats a row, and what both score on the test rows."""
    model, key = vj.PPCA(x.shape[1], latents), jax.random.key(seed)
    best = vj.em.ppca_exact(model, x)
    params, trace = vj.em.fit(model, key, x, num_steps=steps, accelerate=faster, progress=False)
    score = lambda params, rows: np.mean(np.asarray(vj.log_evidences(model, params, rows), float))  # noqa: E731
    gap = score(best, x) - trace.log_likelihood
    return {"gap": gap[1:], "last": gap[-1], "exact": score(best, test), "iwae": score(params, test)}


def components(x: np.ndarray, axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the covariance, largest first, and the rows by the first of its axes, around their mean."""
    x = x - x.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return values[::-1], x @ vectors[:, ::-1][:, :axes]


def above(values: np.ndarray, shares: Iterable[float]) -> tuple[dict[float, int], dict[float, float]]:
    """How many eigenvalues are above each share of the largest, and by how much together."""
    over = {share: values[values > share * values[0]] - share * values[0] for share in shares}
    return {s: len(each) for s, each in over.items()}, {s: float(each.sum()) for s, each in over.items()}
