"""Measures of every fitted model of images: the same numbers in all experiments."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj

__all__ = [
    "estimator_spread",
    "latent_scores",
    "quality",
    "samples",
    "scores",
    "shrunk",
    "stretches",
]

QUALITY = ("frechet_distance", "precision", "recall", "entropy", "class_entropy", "out_of_range", "lag1_correlation")


def samples(model: Any, params: Any, seed: int, count: int, **how: Any) -> np.ndarray:
    """Draws from the prior, `mode="mean"` or `"ancestral"`, in the shape of one datum."""
    return vj.evaluate.draw_rows(vj.evaluate.from_prior(model, params, **how), jax.random.key(seed), count)


def quality(name: str, drawn: np.ndarray, test: np.ndarray, judge: Any) -> dict[str, float]:
    """How good samples are in the features of the classifier `judge`: numbers `name_frechet` and the like."""
    found = vj.evaluate.sample_quality(drawn, test, judge)
    return {f"{name}_{part.removesuffix('_distance')}": float(found[part]) for part in QUALITY if part in found}


@jax.jit
def _sigma(model: Any, params: Any, x: jax.Array) -> jax.Array:
    """Least and greatest standard deviation of p(x|z) at the centres of q, over rows and pixels."""

    def one(row: jax.Array) -> tuple[jax.Array, jax.Array]:
        scale = model.likelihood(params, model.posterior(params, model.event(row)).mean).stddev
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
      judge: a classifier of `vj.evaluate.classifier.train`; without it samples are not looked at.

    Returns:
      Numbers by name; nats an image; `mean_frechet` and the like are of means of samples, `draw_frechet` of draws.
    """
    key = jax.random.key(seed)
    run = vj.evaluate.run(model, params, key, test, k=k, quick=True)
    found = {name: score.value for name, score in run.items()}
    found["active"] = int(np.sum(jax.tree.leaves(vj.evaluate.active_units(model, params, test).count)))
    if model.likelihood(params, model.posterior(params, model.event(test[0])).mean).has_stddev:
        low, high = _sigma(model, params, jnp.asarray(test))
        found |= {"least_sigma": float(low), "greatest_sigma": float(high)}
    for name, mode in (("mean", "mean"), ("draw", "ancestral")) if judge is not None else ():
        found |= quality(name, samples(model, params, seed + 1, len(test), mode=mode), test, judge)
    return found


@functools.partial(jax.jit, static_argnames=("count",))
def _stretches(model: Any, params: Any, key: jax.Array, count: int) -> jax.Array:
    z = jax.vmap(lambda key: model.prior(params).sample(key))(jax.random.split(key, count))
    slope = jax.jacfwd(lambda z: model.likelihood(params, z).mean.ravel())
    return jax.lax.map(lambda z: jnp.linalg.svd(slope(z), compute_uv=False), z)


def stretches(model: Any, params: Any, key: jax.Array, count: int) -> np.ndarray:
    """Singular values of the Jacobian of the mean of p(x|z), largest first, at `count` draws of z from the prior."""
    return np.asarray(_stretches(model, params, key, count))


@jax.jit
def _kl_per_dimension(model: Any, params: Any, x: jax.Array) -> jax.Array:
    divergence = vj.distributions.kl_per_dimension
    each = jax.vmap(lambda row: divergence(model.posterior(params, model.event(row)), model.prior(params)))(x)
    return jnp.mean(each, 0)


def latent_scores(model: Any, params: Any, test: np.ndarray, *, seed: int = 0, count: int = 1000) -> dict[str, Any]:
    """The divergence of each latent, largest first, and what the aggregate posterior of some rows is like."""
    found = vj.evaluate.aggregate_posterior(model, params, jax.random.key(seed + 2), test[:count])
    off = np.abs(found.correlations[~np.eye(len(found.correlations), dtype=bool)])
    return {
        "kl_per_dimension": np.sort(_kl_per_dimension(model, params, jnp.asarray(test[:count])))[::-1],
        "largest_correlation": off.max(initial=0.0),
        "aggregate_kl": found.kl_to_prior,
        "mutual_information": found.mutual_information,
        "total_correlation": found.total_correlation,
    }


def shrunk(x: Any, most: int = 16) -> np.ndarray:
    """Images as rows of at most so many pixels a side: means over squares. Distances of them need no labels."""
    x = np.asarray(x, np.float64)
    step = -(-x.shape[1] // most)
    x = x[:, : x.shape[1] // step * step, : x.shape[2] // step * step]
    return x.reshape(len(x), x.shape[1] // step, step, x.shape[2] // step, step, -1).mean((2, 4)).reshape(len(x), -1)


def estimator_spread(
    model: Any, params: Any, x: np.ndarray, *, draws: int, rows: int, pairs: int, seed: int
) -> dict[str, float]:
    """Variance of the ELBO estimate of a batch and of its gradient (trace), from differences of pairs.

    Args:
      model: the model.
      params: where.
      x: rows in the form that the likelihood scores.
      draws: L, of z for each row.
      rows: of a batch.
      pairs: of estimates; `draw_...` have one batch and other draws, `batch_...` another batch, too.
      seed: of all of it.
    """
    objective, rng = vj.objectives.elbo(num_samples=draws), np.random.default_rng(seed)
    both = jax.jit(jax.value_and_grad(lambda p, key, x: objective(model, p, key, x, None, 0, {})[0]))
    batch = lambda: jnp.asarray(x[rng.choice(len(x), rows, replace=False)])  # noqa: E731
    found = {f"{kind}_{what}": 0.0 for kind in ("draw", "batch") for what in ("value", "gradient")}
    for i in range(pairs):
        keys, one = jax.random.split(jax.random.key(1000 * (seed + 1) + i), 3), batch()
        first = both(params, keys[0], one)
        for kind, key, other in (("draw", keys[1], one), ("batch", keys[2], batch())):
            squares = jax.tree.map(
                lambda a, b: float(jnp.sum((a - b) ** 2)) / 2 / pairs, first, both(params, key, other)
            )
            found[f"{kind}_value"] += squares[0]
            found[f"{kind}_gradient"] += sum(jax.tree.leaves(squares[1]))
    return found
