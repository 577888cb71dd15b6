"""What is measured of every fitted model of images: the same numbers in all experiments."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj

__all__ = ["samples", "scores"]


def samples(model: Any, params: Any, seed: int, count: int, **how: Any) -> np.ndarray:
    """Draws from the prior, `mode="mean"` or `"ancestral"`, in the shape of one datum."""
    return vj.evaluate.draws(vj.evaluate.from_prior(model, params, **how), jax.random.key(seed), count)


@jax.jit
def _sigma(model: Any, params: Any, x: jax.Array) -> jax.Array:
    """Least and greatest standard deviation of p(x|z) at the centres of q, over rows and pixels."""

    def one(row: jax.Array) -> tuple[jax.Array, jax.Array]:
        scale = model.likelihood(params, model.posterior(params, row).mean).stddev
        return jnp.min(scale), jnp.max(scale)

    low, high = jax.vmap(one)(x)
    return jnp.stack([low.min(), high.max()])


def scores(model: Any, params: Any, test: np.ndarray, *, k: int, seed: int = 0, judge: Any = None) -> dict[str, Any]:
    """Likelihood, its parts, latents, sigma, and samples in the features of the classifier `judge`.

    Args:
      model: a VAE.
      params: its parameters.
      test: held-out rows as the likelihood scores them.
      k: draws an image of the importance-weighted bound.
      seed: of all draws.
      judge: a classifier of `vj.evaluate.train_classifier`; without it samples are not looked at.

    Returns:
      Numbers by name; nats an image; `mean_frechet` and the like are of means of samples, `draw_frechet` of draws.
    """
    key = jax.random.key(seed)
    run = vj.evaluate.run(model, params, key, test, k=k)
    found = {name: score.value for name, score in run.items()}
    found["active"] = int(np.sum(jax.tree.leaves(vj.active_units(model, params, test).count)))
    if hasattr(model.likelihood(params, model.posterior(params, jnp.asarray(test[0])).mean), "stddev"):
        low, high = _sigma(model, params, jnp.asarray(test))
        found |= {"least_sigma": float(low), "greatest_sigma": float(high)}
    for name, mode in (("mean", "mean"), ("draw", "ancestral")) if judge is not None else ():
        drawn = samples(model, params, seed + 1, len(test), mode=mode)
        quality = vj.evaluate.sample_quality(drawn, test, judge)
        kept = (
            "frechet_distance",
            "precision",
            "recall",
            "entropy",
            "class_entropy",
            "out_of_range",
            "lag1_correlation",
        )
        found |= {f"{name}_{part.removesuffix('_distance')}": float(quality[part]) for part in kept if part in quality}
    return found
