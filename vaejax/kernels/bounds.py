"""Monte Carlo bounds on the evidence, from arrays of log-densities of k draws."""

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Float

from vaejax.checks import require_shape
from vaejax.kernels.gaussian import LOG_2PI
from vaejax.types import Array, ArrayLike, Key, PyTree, Scalar

__all__ = ["algorithm_1", "importance_weighted_bound", "monte_carlo_elbo"]

Draws: TypeAlias = Float[Array, "*k"]
"""A log-density of each of k draws, or of one draw."""


def _require_same(log_px: Draws, log_pz: Draws, log_qz: Draws) -> None:
    require_shape("log_pz", log_pz, jnp.shape(log_px))
    require_shape("log_qz", log_qz, jnp.shape(log_px))


@jax.jit
def monte_carlo_elbo(log_px: Draws, log_pz: Draws, log_qz: Draws, beta: Float[ArrayLike, ""] = 1.0) -> Scalar:
    r"""Mean of $\log p(x|z_i) + \beta[\log p(z_i) - \log q(z_i|x)]$ over draws $z_i \sim q$.

    Args:
      log_px: log-likelihoods of the draws, shape `(k,)` (or a scalar for one draw).
      log_pz: log-prior of the draws, same shape.
      log_qz: log-posterior of the draws, same shape.
      beta: weight of the divergence; 1 gives the evidence lower bound.

    Returns:
      A scalar, nats, higher is better.

    >>> monte_carlo_elbo(jnp.array([-1.0, -3.0]), jnp.zeros(2), jnp.ones(2))
    Array(-3., dtype=float32)
    """
    _require_same(log_px, log_pz, log_qz)
    return jnp.mean(log_px + beta * (log_pz - log_qz))


@jax.jit
def importance_weighted_bound(log_px: Draws, log_pz: Draws, log_qz: Draws) -> Scalar:
    r"""Importance-weighted bound $\ln \frac1k \sum_i p(x,z_i)/q(z_i|x)$.

    Its expectation rises with k from the ELBO (k = 1) to $\log p(x)$.

    Args:
      log_px: log-likelihoods of the draws, shape `(k,)`.
      log_pz: log-prior of the draws, same shape.
      log_qz: log-posterior of the draws, same shape.

    Returns:
      A scalar, nats, higher is better.

    Reference: Burda, Grosse and Salakhutdinov, 2016, equation 8.

    >>> importance_weighted_bound(jnp.log(jnp.array([1.0, 3.0])), jnp.zeros(2), jnp.zeros(2)).round(4)
    Array(0.6931, dtype=float32)
    """
    _require_same(log_px, log_pz, log_qz)
    log_w = jnp.ravel(log_px + log_pz - log_qz)
    return jax.nn.logsumexp(log_w) - jnp.log(jnp.asarray(log_w.size, log_w.dtype))


def algorithm_1(
    key: Key,
    loc: Float[Array, " d"],
    scale_tril: Float[Array, "d d"],
    decode: Callable[[Array], PyTree],
    log_likelihood: Callable[[PyTree], Scalar],
    num_samples: int = 1,
) -> Scalar:
    r"""Sample, decode and score one datum in one kernel: the single-datum ELBO estimate of the sources.

    For each of `num_samples` draws $\epsilon \sim N(0,I)$: $z = \mu + L\epsilon$,
    $\log q = -\sum_i \tfrac12(\epsilon_i^2 + \ln 2\pi) - \sum_i\ln |L_{ii}|$,
    $\log p(z) = -\sum_i\tfrac12(z_i^2 + \ln 2\pi)$, and $\log p(x|z)$ from the decoder.

    Args:
      loc: posterior mean, shape `(d,)`.
      scale_tril: factor of the posterior covariance, shape `(d, d)`.
      decode: `z -> decoded`, a function or a `jax.tree_util.Partial` that carries its parameters.
      log_likelihood: `decoded -> scalar`, the log-likelihood of the datum; likewise. Bind
        values that change between calls with `Partial`, and a call with new numbers does not recompile.
      num_samples: number of draws.

    Returns:
      The Monte Carlo ELBO, a scalar in nats.

    Reference: Guo, Liao and Zhou, *Variational Autoencoders*, algorithm 1, with both terms in $\epsilon$.

    >>> from vaejax.kernels import normal_log_prob
    >>> exact = algorithm_1(jax.random.key(0), jnp.zeros(2), jnp.eye(2), lambda z: z,
    ...                     lambda z: jnp.zeros(()), 3)  # q equals the prior: the bound is log p(x|z) = 0
    >>> float(exact.round(5))
    0.0
    """
    wrap = lambda f: f if isinstance(f, Partial) else Partial(f)  # noqa: E731
    return _algorithm_1(key, loc, scale_tril, wrap(decode), wrap(log_likelihood), num_samples=num_samples)


@functools.partial(jax.jit, static_argnames=("num_samples",))
def _algorithm_1(
    key: Key, loc: Array, scale_tril: Array, decode: Partial, log_likelihood: Partial, *, num_samples: int
) -> Scalar:
    (dim,) = jnp.shape(loc)
    require_shape("scale_tril", scale_tril, (dim, dim))
    noise = jax.random.normal(key, (num_samples, dim), jnp.result_type(loc, scale_tril, jnp.float32))
    z = loc[None, :] + noise @ jnp.tril(scale_tril).T
    log_det = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(scale_tril))))
    log_qz = -0.5 * jnp.sum(noise**2 + LOG_2PI, -1) - log_det
    log_pz = -0.5 * jnp.sum(z**2 + LOG_2PI, -1)
    log_px = jax.vmap(lambda z: log_likelihood(decode(z)))(z)
    return monte_carlo_elbo(log_px, log_pz, log_qz)
