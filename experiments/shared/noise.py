"""Noise of decoders: what it is like beside what means leave of data, what it does to images, and to samples' looks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from experiments.harness.study import Grid, Study
from experiments.shared import pixels
from experiments.shared.decoders import sigma
from experiments.shared.linear_model import ppca
from experiments.shared.scores import quality, samples

__all__ = [
    "LAGS",
    "both",
    "draw_ranks",
    "distances",
    "looks",
    "no_latents",
    "noise_grid",
    "noise_scores",
    "noised",
    "pixel_gaussian",
    "renoised",
    "residuals",
]

LAGS = {"lag 1, data": ("data_lag1", 2), "lag 1, noise": ("noise_lag1", 2)}  # columns of tables of `noise_scores`
FLOORS = {1e-3: 645.5, 1e-4: 841.4, 1e-6: 1080.4}  # of `pixel_gaussian`, and its value on MNIST's 60 000 images
LOOKS = {"mean": "means", "draw": "draws", "clip": "clipped"}


def residuals(model: Any, params: Any, x: np.ndarray, seed: int = 0) -> np.ndarray:
    """What the mean of p(x|z) leaves of each row, with z drawn from q: the optimal sigma is its root mean square."""
    keys = jax.random.split(jax.random.key(seed + 7), len(x))
    return x - np.asarray(_again(model, params, keys, jnp.asarray(x)))


@jax.jit
def _again(model: Any, params: Any, keys: jax.Array, x: jax.Array) -> jax.Array:
    one = lambda row: vj.reconstruct(model, params, *row)  # noqa: E731
    return jax.lax.map(one, (keys, x), batch_size=min(len(x), 256))


def renoised(model: vj.VAE, params: Any, sigma: float) -> tuple[vj.VAE, Any]:
    """The same networks with Gaussian noise of this standard deviation."""
    head = vj.heads.normal("shared", floor=0.0)
    other = vj.VAE(model.encoder, model.decoder, model.latent_dim, model.posterior_head, head)
    return other, params | {"likelihood": {"log_scale": jnp.log(sigma)}}


def noised(rows: np.ndarray, model: vj.VAE, params: Any, seed: int) -> np.ndarray:
    """Rows with the noise that a model of one learned sigma draws."""
    return rows + sigma(params) * np.random.default_rng(seed).normal(size=rows.shape).astype(np.float32)


def both(model: Any, params: Any, seed: int = 1, count: int = 10) -> list[np.ndarray]:
    """Means of samples, and draws from the same z."""
    return [samples(model, params, seed, count, mode=mode) for mode in ("mean", "ancestral")]


def noise_scores(means: np.ndarray, drawn: np.ndarray, left: Any, grey: np.ndarray, judge: Any) -> dict[str, float]:
    """What stands between draws and their means, and how means, draws and clipped draws look.

    Args:
      means: of samples, rows.
      drawn: draws from the same z.
      left: what the means of reconstructions leave of data (`residuals`), or `None`.
      grey: test images, rows.
      judge: a classifier of `vj.evaluate.classifier.train`.
    """
    lag1 = lambda rows: vj.evaluate.samples.lag1_correlation(rows.reshape(-1, *judge.shape))  # noqa: E731
    found = {} if left is None else {"data_lag1": lag1(left)}
    for name, rows in (("mean", means), ("draw", drawn), ("clip", np.clip(drawn, 0, 1))):
        found |= quality(name, rows, grey, judge)
    found |= {"noise_lag1": lag1(drawn - means), "outside": 100 * found["draw_out_of_range"]}
    return found | {"distance": float(np.linalg.norm(drawn - means, axis=1).mean())}


def looks(study: Study, title: str, grid: Grid, names: Iterable[str], *, kinds: Sequence[str] = tuple(LOOKS)) -> None:
    """The table of `noise_scores`: Fréchet distances, then precisions, of means, draws and clipped draws."""
    numbers = {f"{kind}_{part}": digits for part, digits in (("frechet", 1), ("precision", 2)) for kind in kinds}
    columns = ("Fréchet and precision of", *(LOOKS[kind] for kind in kinds), *(LOOKS[kind] for kind in kinds))
    study.table(title, columns, grid.rows({name: name for name in names}, numbers))


def noise_grid(
    study: Study,
    name: str,
    data: vj.data.Dataset,
    left: np.ndarray,
    pairs: Mapping[str, Sequence[np.ndarray]],
    caption: str,
) -> None:
    """A picture: what means leave of ten images, and below it the noise of each pair of means and draws of `both`.

    One value in a hundred may be beyond the scale, or a few pixels of the widest noise would leave no colour to the
    rest.
    """
    rows = np.stack([left, *(draws - means for means, draws in pairs.values())])
    most = max(float(np.quantile(np.abs(rows), 0.99)), 1e-3)
    how = {"row_labels": ["x - μ(z), images", *pairs], "limits": (-most, most), "scale": "grey value, difference"}
    picture = vj.plots.image_grid(rows.reshape(-1, *data.train.x.shape[1:]), symmetric=True, **how)
    study.figure(name, picture, caption=caption)


def draw_ranks(
    study: Study, data: vj.data.Dataset, left: np.ndarray, drawn: Mapping[int, Sequence[np.ndarray]]
) -> None:
    """Two pictures: means and draws of `both` by the rank of their noise's covariance, and the noise of these draws."""
    names = [f"r = {r}: {rows}" for r in drawn for rows in ("means", "draws")]
    caption = "Means of samples, and draws from the same z, by the rank r of F."
    claim = "Beaulac, figure 3: draws are horrible, perhaps as pixels are drawn independently."
    study.figure("draws", pixels.grid(data, sum(map(list, drawn.values()), []), names), caption=caption, claim=claim)
    caption = f"Above what μ(z) leaves of test images (r = {max(drawn)}); below what is drawn in its place."
    noise_grid(study, "noise", data, left, {f"noise, r = {r}": pair for r, pair in drawn.items()}, caption)


def distances(study: Study, grid: Grid, latents: Mapping[str, int], train: np.ndarray) -> dict[int, float]:
    """A picture: how far draws are from their means by `{variant: latents}`; with the same of pPCA, which is found."""
    scales = {m: np.exp(ppca(train, m)[1]["log_scale"]) for m in latents.values()}
    found = {m: float(np.sqrt(train.shape[1]) * scale) for m, scale in scales.items()}
    lines = {"VAE, one learned σ": grid.line(latents, "distance")}
    lines |= {"pPCA, σ√D": (list(found), list(found.values()))}
    caption = "Mean distance of a draw from its mean, by the number of latents."
    study.lines("distance", lines, x_label="latents, M", y_label="|x - μ(z)|, grey values", caption=caption)
    return found


def pixel_gaussian(x: np.ndarray, floor: float) -> float:
    """Mean log-likelihood of rows under a Gaussian fitted to each column, of variance `floor` at least: no latents."""
    variance = np.var(x, 0, dtype=np.float64)
    held = np.maximum(variance, floor)
    return -0.5 * float(np.sum(np.log(2 * np.pi * held) + variance / held))


def no_latents(study: Study, x: np.ndarray) -> float:
    """A table of `pixel_gaussian` by its floor; the value at a floor of 0.0001."""
    found = {floor: pixel_gaussian(x, floor) for floor in FLOORS}
    rows = [(f"{floor:g}", f"{found[floor]:.1f}", f"{known} (MNIST)") for floor, known in FLOORS.items()]
    study.table("No latents: a Gaussian a pixel, training images", ("floor of its variance", "nats", "known"), rows)
    return found[1e-4]
