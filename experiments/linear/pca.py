"""Beside VAEs: probabilistic PCA by EM, eigenvalues above a fixed variance, and what one hidden layer can do.

Values to be reproduced are those of MNIST, pixels k/255: 60 000 images to fit, 10 000 to test, no noise added.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.study import Grid, Study

__all__ = [
    "CLIMBS",
    "UNITS",
    "above",
    "approximate",
    "climb",
    "collapsed",
    "components",
    "counts",
    "ends",
    "excess",
    "every",
    "known",
    "scored",
]

UNITS = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0), "x²": np.square}
ABOVE = {1.0: "12", 0.5: "23", 0.25: "39", 0.1: "69", 392.0: "0"}  # eigenvalues above a fixed variance
CLIMBS = {"EM": (False, False), "expanded EM": (True, False), "EM from N(0, 1)": (False, True)}  # faster, wide
BELOW = {"EM": (0.0, 0.05), "EM from N(0, 1)": (2.0, 5.0)}  # the maximum after 300 steps on MNIST, nats: least, most
KNOWN = {"test": "154.10", "train": "149.82", "variance": "0.03826"}  # M = 8, in closed form


def every(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All images to train on and all to test on, none held out: rows of grey values in [0, 1]."""
    data = vj.data.mnist() if name == "mnist" else vj.data.digits()
    train, test = ((part.x / np.float32(255)).reshape(len(part), -1) for part in (data.train, data.test))
    return train, test


def counts(study: Study, name: str) -> dict[str, int]:
    """A table of how many eigenvalues of all images are above fixed variances, beside references; the numbers.

    The last variance is half the number of pixels: what a squared error that is a mean over them stands for.
    """

    def first() -> dict[str, Any]:
        values = components(every(name)[0], 1)[0]
        return {"values": values[:200], "dim": len(values)}

    found = study.measure({"all images": first})["all images"]
    values, half = np.asarray(found["values"]), found["dim"] / 2
    fixed = {1.0: "1", 0.5: "0.5", 0.25: "0.25", 0.1: "0.1", half: f"{half:g} = D/2"}
    above = {said: int(np.sum(values > variance)) for variance, said in fixed.items()}
    known = [ABOVE[v] if name == "mnist" else "-" for v in fixed] + ["5.117" if name == "mnist" else "-"]
    measured = {said: str(count) for said, count in above.items()} | {"(the largest eigenvalue)": f"{values[0]:.3f}"}
    rows = [(*row, said) for row, said in zip(measured.items(), known, strict=True)]
    study.table("Eigenvalues of all images to train on", ("above a fixed σ² of", "measured", "reference"), rows)
    return above


def collapsed(grid: Grid, values: np.ndarray, kinds: Sequence[str], shares: Iterable[float]) -> tuple[tuple, list]:
    """Columns and rows of a table by the fixed variance: latents in use, and a linear VAE's squared columns.

    Args:
      grid: numbers `active` of variants "kind, share", and `length` of those of the linear VAE.
      values: eigenvalues, largest first, of as many axes as there are latents.
      kinds: of models.
      shares: fixed variances over the largest eigenvalue.
    """
    columns = "σ²/λ₁ (σ²)", "eigenvalues above", *(f"active, {kind}" for kind in kinds), "Σ(λ-σ²)", "squared columns"
    over, lengths = above(values, shares)
    rows = []
    for share, count in over.items():
        names = [f"{kind}, {share}" for kind in kinds]
        active = [grid.say(name, "active", 1) if f"{name}, seed 0" in grid.cells else "-" for name in names]
        length = f"{lengths[share]:.2f}", grid.say(f"linear VAE, {share}", "length", 2)
        rows.append((f"{share:.3g} ({share * values[0]:.2f})", str(count), *active, *length))
    return columns, rows


def excess(grid: Grid, kind: str, eigenvalues: Mapping[float, int]) -> str:
    """By how much the latents in use exceed `{share: eigenvalues above}`, and fall short of them, at the most."""
    apart = {share: grid.mean(f"{kind}, {share}", "active") - count for share, count in eigenvalues.items()}
    said = []
    for share, word in ((max(apart, key=apart.__getitem__), "more"), (min(apart, key=apart.__getitem__), "fewer")):
        off = apart[share] if word == "more" else -apart[share]
        numbers = f"{grid.say(f'{kind}, {share}', 'active', 1)} against {eigenvalues[share]} at {share}"
        said.append(f"at most {off:.1f} {word} ({numbers})" if off > 0 else f"never {word}")
    return " and ".join(said)


def scored(train: np.ndarray, test: np.ndarray, latents: int) -> dict[str, float]:
    """The closed form of these rows: mean log-likelihoods, nats, and the variance of its noise."""
    model = vj.PPCA(train.shape[1], latents)
    params = vj.em.ppca_exact(model, train)
    found = {"test": test, "train": train}
    found = {
        name: np.mean(np.asarray(vj.evaluate.exact_log_evidence(model, params, x), float)) for name, x in found.items()
    }
    return found | {"variance": float(np.exp(2 * params["log_scale"]))}


def known(exact: Mapping[str, float], em: Grid, mnist: bool) -> list[tuple[str, ...]]:
    """Rows of a table: `scored`, and how far each kind of EM ends below its maximum, beside references for MNIST."""
    digits = {"test": 2, "train": 2, "variance": 5}
    names = {"test": "closed form: ln p(x), test", "train": "ln p(x), train", "variance": "variance of the noise"}
    rows = [(names[name], f"{exact[name]:.{places}f}", KNOWN[name]) for name, places in digits.items()]
    rows += [(f"{kind}: nats below the maximum", em.say(kind, "last", 3), _span(kind)) for kind in CLIMBS]
    return [(name, measured, said if mnist else "-") for name, measured, said in rows]


def ends(em: Grid, steps: int) -> str:
    """A sentence: how far each kind of EM ends below its maximum, and whether that is where it was predicted."""
    said = []
    for kind in CLIMBS:
        least, most = BELOW.get(kind, (0.0, np.inf))
        met = "as predicted" if least - 0.001 <= em.mean(kind, "last") <= most else "not as predicted"
        about = f" ({met} for 300 steps on MNIST: {_span(kind)})" if kind in BELOW else ""
        said.append(f"{kind} {_below(em, kind)}{about}")
    return f"Nats below the maximum after {steps} steps: {', '.join(said)}."


def _below(em: Grid, kind: str) -> str:
    """How far below the maximum; a distance that rounding may put on either side of it has no sign."""
    most = max(map(abs, em.values(kind, "last")))
    return f"within {max(math.ceil(most * 1e4), 1) / 1e4:.4f}" if most < 0.0005 else em.say(kind, "last", 4)


def _span(kind: str) -> str:
    least, most = BELOW.get(kind, (0.0, 0.0))
    return f"{least:g} to {most:g}" if kind in BELOW else "-"


def approximate(width: int, unit: str, seed: int) -> dict[str, float]:
    """Greatest error on [-1, 1] of one hidden layer with random units and the best output weights."""
    rng, x = np.random.default_rng(seed), np.linspace(-1, 1, 2001)
    hidden = UNITS[unit](np.outer(x, rng.normal(scale=8.0, size=width)) + rng.uniform(-8, 8, width))
    hidden, wanted = np.column_stack([hidden, np.ones_like(x)]), np.sin(6 * x) + np.abs(x)
    return {"error": np.abs(hidden @ np.linalg.lstsq(hidden, wanted, rcond=1e-12)[0] - wanted).max()}


def climb(
    x: np.ndarray, test: np.ndarray, latents: int, steps: int, faster: bool, wide: bool, seed: int
) -> dict[str, Any]:
    """How far EM is below the closed form after each step, nats a row, and what both score on the test rows.

    It starts at small weights and the variance of the data, or `wide`: at weights N(0, 1) and a variance of 1.
    """
    model, key = vj.PPCA(x.shape[1], latents), jax.random.key(seed)
    best = vj.em.ppca_exact(model, x)
    start = model.init(key) | {"weight": jax.random.normal(key, (model.dim, latents))} if wide else None
    params, trace = vj.em.fit(model, key, x, num_steps=steps, init=start, accelerate=faster, progress=False)
    score = lambda params, rows: np.mean(np.asarray(vj.evaluate.exact_log_evidence(model, params, rows), float))  # noqa: E731
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
