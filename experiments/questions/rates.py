"""The β-VAE as the VAE with noise βσ²: rate, distortion and variance of its draws, by either noise."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Study
from experiments.shared import pixels
from experiments.shared.noise import both, renoised
from experiments.shared.scores import quality, samples, scores

__all__ = ["curves", "drawn", "measured", "one_noise", "pictures", "slopes", "twins", "variances"]


def measured(
    model: vj.VAE, fit: Any, test: np.ndarray, beta: float, variance: float, *, zero: float, k: int, judge: Any = None
) -> dict[str, Any]:
    """What is measured of a β-VAE with noise σ² = `variance`: `scores` with noise βσ², and the same with other noise.

    `distortion` is with noise s₀ = `zero`, `own` the ELBO with σ², `error` the mean squared error; `low` and `high` are
    the total variance of draws with σ² and with βσ² over that of the data, `codes` is the variance of draws of q, and
    `epochs` the bound with noise βσ² of validation rows. `own_frechet` and the like are of draws with σ².
    """
    dim, other = test.shape[1], renoised(model, fit.best, np.sqrt(beta * variance))
    found = scores(*other, test, k=k, judge=judge)
    if judge is not None:
        found |= quality("own", samples(model, fit.best, 1, len(test), mode="ancestral"), test, judge)
    normal, own, noise = 0.5 * dim * np.log(2 * np.pi * np.array([zero, variance, beta * variance]))
    half = -(found["log_likelihood"] + noise) * beta * variance  # of the squared error
    total, spread = (float(rows.var(0).sum()) for rows in (test, samples(*other, 1, 2000, mode="mean")))
    values = np.asarray(fit.history["validation_value"])  # beta times the bound at beta sigma^2, and a constant
    return found | {
        "distortion": half / zero + normal,
        "error": 2 * half / dim,
        "own": -half / variance - own - found["kl"],
        "low": (spread + dim * variance) / total,
        "high": (spread + dim * beta * variance) / total,
        "epochs": (values + own) / beta - noise,
        "codes": float(vj.evaluate.encode_rows(*other, jax.random.key(2), test).var(0).mean()),
    }


def drawn(model: vj.VAE, fit: vj.Fit, beta: float, variance: float) -> list[np.ndarray]:
    """Ten means of samples, draws with noise σ² = `variance`, and draws with noise βσ²."""
    noisier = samples(*renoised(model, fit.best, np.sqrt(beta * variance)), 1, 10)
    return [*both(model, fit.best), noisier]


def pictures(study: Study, data: vj.data.Dataset, fits: Mapping[str, tuple]) -> None:
    """A picture of what is `drawn` from each of `{variant: (model, fit, beta, variance)}`."""
    rows = [each for how in fits.values() for each in drawn(*how)]
    names = [f"{name}: {kind}" for name in fits for kind in ("means", "draws, σ²", "draws, βσ²")]
    caption = "Means of samples, and draws from the same z with noise σ² and with βσ²."
    claim = "Beaulac, figures 9 to 11: with small β samples from the prior fail, with large β they are all alike."
    study.figure("samples", pixels.grid(data, rows, names), caption=caption, claim=claim)


def slopes(grid: Grid, betas: Mapping[str, float]) -> list[float]:
    """By how much distortion falls for a nat of rate from each variant to the next, over their mean β.

    Steps of less than 0.1 nats of rate say nothing; without any other the slope is infinite.
    """
    rate, far = ({name: grid.mean(name, number) for name in betas} for number in ("kl", "distortion"))
    steps = [(a, b) for a, b in zip(betas, list(betas)[1:], strict=False) if abs(rate[a] - rate[b]) > 0.1]
    falls = [(far[b] - far[a]) / (rate[a] - rate[b]) for a, b in steps]
    return [fall / np.sqrt(betas[a] * betas[b]) for fall, (a, b) in zip(falls, steps, strict=True)] or [np.inf]


def twins(grid: Grid, pairs: Iterable[tuple[str, str]]) -> float:
    """The most that IWAE differs by between variants that should be one model, nats."""
    return max(abs(grid.mean(a, "iwae") - grid.mean(b, "iwae")) for a, b in pairs)


def curves(study: Study, grid: Grid, curve: Iterable[str], plain: Iterable[str], zero: float) -> None:
    """A picture: rate against distortion, of β-VAEs and of plain VAEs."""
    sets = {"β-VAE with σ² = s₀": curve, "VAE with noise βs₀": plain}
    rates = {label: {name: grid.mean(name, "kl") for name in names} for label, names in sets.items()}
    rates = {label: dict(sorted(found.items(), key=lambda item: item[1])) for label, found in rates.items()}
    lines = {label: grid.line(rate, "distortion") for label, rate in rates.items()}
    caption = f"Rate against distortion with the noise s₀ = {zero:g}: β-VAEs and VAEs with the noise βs₀. "
    caption += f"From left to right: {'; '.join(next(iter(rates.values())))}."
    how = {"x_label": "rate: KL of q from the prior, nats", "y_label": "distortion with noise s₀, nats"}
    study.lines("rate_distortion", lines, caption=caption, **how)


def one_noise(study: Study, grid: Grid, names: Iterable[str], noise: float) -> tuple[float, float]:
    """A picture: training curves of fits of one βσ²; how far their ends are apart, and the most over seeds of one."""
    epochs = {name: np.array(grid.values(name, "epochs")) for name in names}
    lines = {name: (np.arange(1, values.shape[1] + 1), values[0]) for name, values in epochs.items()}
    caption = f"Pairs of one βσ² = {noise:g}, from one seed: the curves should lie on each other."
    how = {"x_label": "epoch", "y_label": f"validation ELBO, noise {noise:g}, nats"}
    study.lines("one_noise", lines, caption=caption, **how)
    last = [values[:, -1] for values in epochs.values()]
    return float(np.ptp([values.mean() for values in last])), float(max(map(np.ptp, last)))


def variances(study: Study, grid: Grid, betas: Mapping[str, float], variance: float) -> None:
    """A picture: variance of draws by β."""
    lines = {f"draws with {name}": grid.line(betas, key) for name, key in (("σ²", "low"), ("βσ²", "high"))}
    caption = f"Total variance of draws from the prior over that of test images, σ² = {variance:g}; 1 is right."
    study.lines("variance", lines, x_label="β", y_label="variance over the data's", log_x=True, caption=caption)
