"""Gaussian mixtures by plain EM: the climb of the bound, and what happens where a component owns one datum."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj

__all__ = ["alone", "any_q", "climb", "exactly", "fitted", "half_steps", "kilonats", "shrink", "singular", "spike"]


def _start(x: jax.Array, k: int, seed: int) -> tuple[vj.GMM, dict[str, Any]]:
    """Means at rows, the covariance of the data for all."""
    chosen = jax.random.choice(jax.random.key(seed), len(x), (k,), replace=False)
    tril = jnp.tile(jnp.linalg.cholesky(jnp.cov(x.T, bias=True)), (k, 1, 1))
    return vj.GMM(k, x.shape[1]), {"logits": jnp.zeros(k), "means": x[chosen], "scale_tril": tril}


def exactly(function: Callable[..., dict[str, Any]], x: np.ndarray) -> Callable[..., dict[str, Any]]:
    """This function of rows and more, of these rows, in float64."""

    def call(*arguments: Any) -> dict[str, Any]:
        with jax.enable_x64(True):
            return function(jnp.asarray(x, jnp.float64), *arguments)

    return call


def climb(x: jax.Array, k: int, steps: int, seed: int) -> dict[str, Any]:
    """The bound at every half step; at the last parameters the bound with the q of every step, and that q's KL."""
    model, first = _start(x, k, seed)
    done = jax.block_until_ready  # factorisations that run side by side can wait for each other for ever
    path, half = done(vj.em.ascent(model, first, x, num_steps=steps))
    last = jax.tree.map(lambda leaf: leaf[-1], path)
    q_of = lambda params: jax.vmap(model.posterior, (None, 0))(params, x)  # noqa: E731
    ends = done(q_of(last))
    kl = done(jax.vmap(lambda q: jnp.mean(jax.vmap(vj.distributions.analytic_kl)(q_of(q), ends)))(path))
    any_q = done(jax.vmap(lambda q: vj.em.lower_bound(model, last, q, x))(path))
    end, gap = half.log_likelihood[-1], half.log_likelihood - half.after_m
    return {
        "least_e": np.min(half.after_e - half.before),
        "least_m": np.min(half.after_m - half.after_e),
        "first_gap": gap[0],
        "last_gap": gap[-1],
        "end": end,
        "bound": np.ravel([half.after_e, half.after_m], "F"),
        "exact": np.ravel([half.after_e, half.log_likelihood], "F"),
        "any_q": any_q,
        "kl": kl,
        "error": np.abs(any_q + kl - end).max(),
    }


def half_steps(found: Mapping[str, Any], most: int = 16) -> dict[str, tuple]:
    """Lines of log-likelihood and bound after the first half steps of a `climb`, by the number of the step."""
    at = np.arange(2, most + 2) / 2
    return {"ln p(x)": (at, found["exact"][:most]), "bound": (at, found["bound"][:most])}


def any_q(found: Mapping[str, Any]) -> dict[str, tuple]:
    """Lines of the bound of a `climb` at its last parameters by the step whose q it has, with its KL, and ln p(x)."""
    bound, kl = np.asarray(found["any_q"]), np.asarray(found["kl"])
    lines = {"bound": bound, "bound + KL(q, p(z|x))": bound + kl, "ln p(x)": np.full(len(bound), found["end"])}
    return {name: (np.arange(len(bound)), line) for name, line in lines.items()}


def shrink(x: jax.Array, k: int, prior: float, floor: float, seed: int) -> dict[str, float]:
    """Log-likelihood of 50 rows after EM; of several components one starts small on the outermost row."""
    x = jnp.roll(x, -50 * seed, 0)[:50]
    model, params = _start(x, k, seed)
    if k > 1:
        far = jnp.argmax(jnp.sum((x - jnp.mean(x, 0)[None]) ** 2, 1))
        params["means"] = params["means"].at[0].set(x[far])
        params["scale_tril"] = params["scale_tril"].at[0].multiply(0.01)
    for _ in range(30):
        params = vj.em.em_step(model, params, x, variance_floor=floor**2, prior_count=prior).params
    return {"total": float(np.sum(vj.evaluate.exact_log_evidence(model, params, x)))}


def fitted(data: vj.data.Dataset, k: int, seed: int) -> dict[str, float]:
    """Negative log-likelihoods of the best of three fits; how far its first covariance is from that of all rows."""
    assert data.test is not None
    x, model = np.asarray(data.train.x), vj.GMM(k, data.train.x.shape[1])
    params, _ = vj.em.fit(model, jax.random.key(seed), x, num_steps=200, num_restarts=3, tol=1e-8, progress=False)
    nll = {
        name: -np.mean(vj.evaluate.exact_log_evidence(model, params, part.x))
        for name, part in (("train", data.train), ("test", data.test))
    }
    tril = np.asarray(params["scale_tril"][0], np.float64)
    return nll | {"off": np.abs(tril @ tril.T - np.cov(x.T, bias=True)).max()}


def spike(x: Any, sigma: float, k: int) -> float:
    """Log-likelihood of rows where one of K components is N(first row, sigma^2 I), the others N(mean, variance)."""
    x = jnp.asarray(x).reshape(len(x), -1)
    wide, dim = jnp.std(x), x.shape[1]
    means = jnp.concatenate([x[:1], jnp.tile(jnp.mean(x, 0), (k - 1, 1))])
    scales = jnp.concatenate([jnp.full(1, sigma), jnp.full(k - 1, wide)])
    params = {"logits": jnp.zeros(k), "means": means, "log_scale": jnp.log(scales)}
    return float(np.sum(np.asarray(vj.evaluate.exact_log_evidence(vj.GMM(k, dim, "spherical"), params, x), np.float64)))


def alone(x: np.ndarray, sigma: float) -> float:
    """Bound of a VAE whose decoder gives this datum whatever z is."""
    model = vj.zoo.linear_vae(len(x), 1, likelihood=vj.heads.normal("shared", floor=0.0))
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    params["decoder"]["layer0"]["bias"] = jnp.asarray(x)
    params["likelihood"]["log_scale"] = jnp.log(jnp.asarray(sigma, jnp.float32))
    return float(vj.elbo(model, params, jax.random.key(0), jnp.asarray(x)).value)


def singular(x: np.ndarray, sigmas: Sequence[float]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Cells of log-likelihoods as a component shrinks on the first row: mixtures of all rows, a VAE of that one."""
    curves: dict[str, Callable[[float], float]] = {
        f"GMM, K = {k}, {len(x)} data": functools.partial(spike, x, k=k) for k in (1, 2)
    }
    curves["VAE, one datum"] = functools.partial(alone, x[0])
    return {name: lambda curve=curve: {"y": [curve(s) for s in sigmas]} for name, curve in curves.items()}


def kilonats(found: Mapping[str, Mapping[str, Any]], sigmas: Sequence[float]) -> dict[str, tuple]:
    """Lines of these cells; what falls without end, K = 1, is cut at three times the least of the others."""
    low = 3 * min(min(cell["y"]) for name, cell in found.items() if "K = 1" not in name)
    return {name: (sigmas, np.maximum(cell["y"], low) / 1000) for name, cell in found.items()}
