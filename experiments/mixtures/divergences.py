"""Gaussians beside a mixture of three: both Kullback-Leibler divergences, and the fits that make each least."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax as vj

__all__ = ["descend", "distinct", "drawn", "log_prob", "mixture", "moments", "numbers", "reverse_fits", "reverse_kl"]

Mixture, TrilNormal = vj.distributions.Mixture, vj.distributions.TrilNormal

log_prob = jax.jit(jax.vmap(lambda q, x: q.log_prob(x), (None, 0)))
_samples = jax.jit(jax.vmap(lambda p, key: p.sample(key), (None, 0)))


def mixture(apart: float = 1.0, *, form: str = "corrected", equilateral: bool = False) -> Mixture:
    """The three Gaussians of section 4.5 in the forms of `vj.data.gaussian_mixture`, so much as far apart."""
    wide = np.sqrt(0.75) if equilateral else 1.0
    right = -wide if form == "literal" else wide
    offsets = apart * np.sqrt(27.0) * np.array([[0.0, 1.0], [-wide, -0.5], [right, -0.5]])
    turns = np.array([0.0, 2.0 * np.pi / 3.0, np.pi / 3.0])
    rotations = np.stack([[[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]] for t in turns])
    tril = np.linalg.cholesky(rotations @ np.diag([3.0, 1.0 / 3.0]) @ rotations.swapaxes(1, 2))
    return Mixture(jnp.zeros(3), TrilNormal(jnp.asarray(offsets, jnp.float32), jnp.asarray(tril, jnp.float32)))


def moments(p: Mixture) -> TrilNormal:
    """The Gaussian of least KL(p || q): the one with the mean and the covariance of p."""
    means, tril = np.asarray(p.components.loc), np.asarray(p.components.scale_tril)
    off = means - means.mean(0)[None]
    cov = (tril @ tril.swapaxes(1, 2) + off[:, :, None] * off[:, None]).mean(0)
    return TrilNormal(jnp.asarray(means.mean(0)), jnp.asarray(np.linalg.cholesky(cov), jnp.float32))


@functools.partial(jax.jit, static_argnames="nodes")
def reverse_kl(q: TrilNormal, p: Mixture, nodes: int = 32) -> jax.Array:
    """KL(q || p) in the plane, by Gauss-Hermite quadrature."""
    t, w = np.polynomial.hermite_e.hermegauss(nodes)
    noise = jnp.asarray(np.stack(np.meshgrid(t, t), -1).reshape(-1, 2), jnp.float32)
    weights = jnp.asarray(np.outer(w, w).ravel() / (2.0 * np.pi), jnp.float32)
    z = q.loc[None] + noise @ q.scale_tril.T
    tril = p.components.scale_tril
    first = (z[:, None, 0] - p.components.loc[None, :, 0]) / tril[None, :, 0, 0]  # by hand: a solve a point is slow
    second = (z[:, None, 1] - p.components.loc[None, :, 1] - tril[None, :, 1, 0] * first) / tril[None, :, 1, 1]
    constant = jax.nn.log_softmax(p.logits) - jnp.log(2.0 * jnp.pi * tril[:, 0, 0] * tril[:, 1, 1])
    log_p = jax.nn.logsumexp(constant[None] - 0.5 * (first**2 + second**2), 1)
    entropy = 1.0 + math.log(2.0 * math.pi) + jnp.sum(jnp.log(jnp.diagonal(q.scale_tril)))
    return -entropy - jnp.sum(weights * log_p)


@functools.partial(jax.jit, static_argnames="steps")
def descend(p: Mixture, locs: jax.Array, steps: int) -> TrilNormal:
    """Gaussians of locally least KL(q || p), by Adam from unit Gaussians at these places."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps))

    def gaussian(raw: tuple[jax.Array, jax.Array]) -> TrilNormal:
        return TrilNormal(raw[0], jnp.tril(raw[1], -1) + jnp.diag(jnp.exp(jnp.diagonal(raw[1]))))

    def one(loc: jax.Array) -> TrilNormal:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            raw, state = carry
            change, state = optimizer.update(jax.grad(lambda raw: reverse_kl(gaussian(raw), p))(raw), state)
            return (optax.apply_updates(raw, change), state), None

        raw = (loc, jnp.zeros((2, 2)))
        return gaussian(jax.lax.scan(step, (raw, optimizer.init(raw)), None, steps)[0][0])

    return jax.vmap(one)(locs)


def drawn(p: Mixture, seed: int, count: int) -> jax.Array:
    """Points of p."""
    return _samples(p, jax.random.split(jax.random.key(seed), count))


def reverse_fits(apart: float, count: int, steps: int, seed: int) -> list[tuple[float, TrilNormal]]:
    """Gaussians of locally least KL(q || p) to the mixture, from random starts, with it; the best one first."""
    p, starts = mixture(apart), 5.0 * apart * np.random.default_rng(seed).normal(size=(count, 2))
    found = descend(p, jnp.asarray(starts, jnp.float32), steps)
    every = [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(count)]
    return sorted(((float(reverse_kl(q, p, nodes=64)), q) for q in every), key=lambda pair: pair[0])


def distinct(fits: list[tuple[float, TrilNormal]]) -> list[tuple[float, TrilNormal]]:
    """Those whose means are more than one unit from those of all before them."""
    kept: list = []
    for value, q in fits:
        if all(np.linalg.norm(q.loc - other.loc) > 1.0 for _, other in kept):
            kept.append((value, q))
    return kept


def numbers(p: Mixture, fits: list[tuple[float, TrilNormal]], seed: int, draws: int = 20_000) -> dict[str, Any]:
    """Of the forward and of the best reverse fit: divergences, -E log q, the mass of p within two deviations of q."""
    x = drawn(p, seed, draws)
    fitted, _ = vj.em.fit(vj.GMM(1, 2), jax.random.key(0), x, num_steps=2, progress=False)
    likelihood = vj.evaluate.exact_log_evidence(vj.GMM(1, 2), fitted, x).mean()
    found = {"maximum likelihood": -likelihood, "optima": len(distinct(fits))}
    for name, q in (("forward", moments(p)), ("reverse", fits[0][1])):
        score, square = log_prob(q, x), np.linalg.solve(q.scale_tril, (x - q.loc[None]).T) ** 2
        found |= {f"{name} KL(p|q)": (log_prob(p, x) - score).mean(), f"{name} nll": -score.mean()}
        found |= {f"{name} KL(q|p)": reverse_kl(q, p, nodes=64), f"{name} mass": (square.sum(0) < 4.0).mean()}
    return found
