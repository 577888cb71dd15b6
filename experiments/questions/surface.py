"""The distribution of the mean of p(x|z), which lies on a surface: what the surface is like, and noise put back."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Study
from experiments.shared.noise import renoised, residuals
from experiments.shared.scores import stretches

__all__ = ["NOISE", "WIDTHS", "curves", "kernels", "means", "slopes", "variance", "with_noise"]

WIDTHS = np.geomspace(0.1, 1.0, 10)  # of the kernels that stand for noise
# Columns of the table of `with_noise` and `kernels`.
NOISE = {"IWAE, noise 1": ("one", 1), "of a sum of squares": ("half", 1), "of a mean of squares": ("wide", 1)}
NOISE |= {"σ_ML": ("sigma", 3), "IWAE, noise σ_ML": ("ml", 1)}
NOISE |= {"kernels on means": ("kde", 1), "their width": ("width", 2)}


def means(model: Any, params: Any, seed: int, count: int, coded: np.ndarray | None = None) -> np.ndarray:
    """Means of p(x|z), with z from the prior, or from a mixture of Gaussians fitted to the codes of some rows."""
    sampler = vj.evaluate.from_prior(model, params, mode="mean")
    if coded is not None:
        sampler = vj.evaluate.ex_post(model, params, jax.random.key(3), coded, num_restarts=1)
    return vj.evaluate.draw_rows(sampler, jax.random.key(seed + 1), count)


def variance(model: Any, params: Any, drawn: np.ndarray, train: np.ndarray) -> float:
    """Total variance of means over that of data, in per cent; of pPCA exactly."""
    total = (params["weight"] ** 2).sum() if isinstance(model, vj.PPCA) else drawn.var(0).sum()
    return 100 * float(total / train.var(0).sum())


def slopes(model: Any, params: Any, seed: int = 4, count: int = 200) -> dict[str, Any]:
    """How far the mean moves with z, at some draws: `stretch`, the mean singular values, and their number, `rank`."""
    each = stretches(model, params, jax.random.key(seed), count)
    return {"stretch": each.mean(0), "rank": float((each > 1e-3 * each[:, :1]).sum(1).mean())}


def with_noise(model: vj.VAE, params: Any, data: vj.data.Dataset, *, k: int) -> dict[str, float]:
    """IWAE of the test rows with noise of 1, `one`, and with the best of the validation rows, `ml`, of this `sigma`.

    Losses without a sigma imply one: a sum of squared errors beside the divergence a variance of 1/2, `half`, their
    mean over the pixels one of D/2, `wide`.
    """
    assert data.validation is not None and data.test is not None
    found = {"sigma": float(np.sqrt((residuals(model, params, data.validation.x) ** 2).mean()))}
    implied = {"one": 1.0, "half": 0.5**0.5, "wide": (data.test.x.shape[1] / 2) ** 0.5}
    for label, sigma in (implied | {"ml": found["sigma"]}).items():
        fit = renoised(model, params, sigma)
        estimate = vj.evaluate.log_evidence_estimate(*fit, jax.random.key(5), data.test.x, k=k, progress=False)
        found[label] = float(np.mean(estimate.log_evidence))
    return found


def kernels(drawn: np.ndarray, data: vj.data.Dataset) -> dict[str, Any]:
    """Kernels on means: log-likelihood of the test rows by width, `kde_curve`, and with the best by validation."""
    assert data.validation is not None and data.test is not None
    kdes = [vj.kde.fit(drawn, bandwidth=width) for width in WIDTHS]
    score = lambda rows: [float(np.mean(vj.kde.log_density(kde, rows))) for kde in kdes]  # noqa: E731
    curve, best = score(data.test.x), int(np.argmax(score(data.validation.x)))
    return {"kde_curve": curve, "kde": curve[best], "width": WIDTHS[best]}


def curves(study: Study, grid: Grid, heads: Iterable[str], linear: str) -> None:
    """Two pictures: `slopes` by direction, with those of a linear model; likelihood by the noise that is put back."""
    heads = list(heads)
    each = {name: np.mean(grid.values(name, "stretch"), 0) for name in (*heads, linear)}
    lines = {name: (np.arange(1, len(values) + 1), values) for name, values in each.items()}
    caption = "How far μ moves with z: singular values of its Jacobian, mean over 200 draws of z."
    study.lines("stretch", lines, x_label="direction", y_label="singular value of dμ/dz", caption=caption)
    lines = {f"kernels, {name}": (WIDTHS, np.mean(grid.values(name, "kde_curve"), 0)) for name in heads}
    lines |= {f"IWAE, {name}": ([grid.mean(name, "sigma")], [grid.mean(name, "ml")]) for name in heads}
    caption = "Test likelihood of the output of means with noise: kernels on drawn means, and IWAE with σ_ML (dots)."
    study.lines("noise", lines, x_label="noise or width of the kernels, σ", y_label="nats an image", caption=caption)
