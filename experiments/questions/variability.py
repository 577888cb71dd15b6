"""Noise of z against noise of x: images that either makes, of the same mean square."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Study
from experiments.shared.decoders import sigma
from experiments.shared.noise import both

__all__ = ["lines", "moved", "pictures", "said"]


@jax.jit
def _moved(model: Any, params: Any, z: jax.Array, noise: jax.Array, spread: Any) -> jax.Array:
    return jax.vmap(lambda z, e: vj.decode(model, params, z + spread * e))(z, noise)


def moved(model: Any, params: Any, z: np.ndarray, variance: float, seed: int = 0) -> np.ndarray:
    """Decoded z with noise on it, of the spread that moves the images by this mean square (found by bisection)."""
    noise = np.random.default_rng(seed).normal(size=z.shape).astype(np.float32)
    at, low, high = _moved(model, params, z, noise, 0.0), 0.0, 32.0
    for _ in range(25 if variance else 0):
        middle = (low + high) / 2
        far = float(jnp.square(_moved(model, params, z, noise, middle) - at).sum(1).mean()) > variance
        low, high = (low, middle) if far else (middle, high)
    return np.asarray(_moved(model, params, z, noise, low))


def pictures(model: vj.VAE, params: Any, x: np.ndarray, kind: str, share: float, seed: int) -> np.ndarray:
    """As many images as there are rows of x, made by noise.

    Args:
      model: a VAE with one learned sigma.
      params: its parameters.
      x: rows that are encoded and decoded.
      kind: `"noise of z"` or `"noise of x"`, on codes or on what they are decoded to; or `"samples"`.
      share: variance of the noise over D sigma^2; of samples 0: means, 1: draws, 2: means of z that is so wide that
        they are as far from mu(0) as draws are.
      seed: of the noise.
    """
    z = vj.evaluate.encode_rows(model, params, jax.random.key(6), x, temperature=0.0)
    if kind == "samples":
        means, drawn = both(model, params, seed + 1, len(x))
        far = np.square(drawn - moved(model, params, 0 * z, 0.0)).sum(1).mean()
        return (means, drawn, moved(model, params, 0 * z, far, seed))[int(share)]
    if kind == "noise of z":
        return moved(model, params, z, share * x.shape[1] * sigma(params) ** 2, seed)
    noise = np.random.default_rng(seed).normal(size=x.shape).astype(np.float32)
    return moved(model, params, z, 0.0) + sigma(params) * np.sqrt(share, dtype=np.float32) * noise


def lines(study: Study, gains: Grid, latents: Mapping[str, Any], changes: Grid, shares: Mapping[str, Any]) -> None:
    """Two pictures: likelihoods by `{label: {variant: latents}}`, and digits kept by `{label: {variant: share}}`."""
    series = {f"VAE, {label}": gains.line(variants, "iwae") for label, variants in latents.items()}
    series["pPCA, exact"] = gains.line(next(iter(latents.values())), "ppca")
    caption = "Test log-likelihood of a network and of a linear model with as many latents and one σ."
    study.lines("gain", series, x_label="latents, M", y_label="nats an image", caption=caption)
    series = {label: changes.line(variants, "same") for label, variants in shares.items()}
    caption = "Test images encoded and decoded with noise: share that the classifier takes for their digit."
    how = {"x_label": "variance of the noise over Dσ²", "y_label": "same digit, %", "log_x": True}
    study.lines("digit", series, caption=caption, **how)


def said(gains: Grid, models: Iterable[str], number: str) -> str:
    """A number of each model, as it stands in a sentence."""
    return ", ".join(f"{gains.say(name, number, 1)} ({name})" for name in models)
