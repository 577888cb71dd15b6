"""What the EM steps of all models share: their result and their settings."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["RESTARTS", "Hyper", "Step", "any_restart", "regress"]

RESTARTS = "restarts"  # the axis over which every step is vectorised, if only once


def any_restart(flag: jax.Array) -> jax.Array:
    """Whether `flag` holds in any restart: a branch on it stays a branch under `vmap`."""
    return jax.lax.pmax(flag.astype(jnp.int32), RESTARTS) > 0


class Hyper(NamedTuple):
    """Settings of a step, in the frame of the data that it sees.

    Attributes:
      floor: least eigenvalue of a covariance, least noise variance.
      prior_count: pseudo-observations behind each covariance or noise variance; 0 for maximum likelihood.
      prior_variance: variance of each column that they show, shape (D,).
      may_reseed: whether an empty component may start again in this step.
      expand: whether linear models take parameter-expanded steps.
    """

    floor: jax.Array
    prior_count: jax.Array
    prior_variance: jax.Array
    may_reseed: jax.Array
    expand: jax.Array


class Step(NamedTuple):
    """Result of one EM step.

    Attributes:
      params: the new parameters.
      objective: mean log-likelihood of a row plus the log-prior per row, at the parameters before the step.
      log_likelihood: mean log-likelihood of a row, nats, at the parameters before the step.
      reseeds: number of components that started again.
    """

    params: dict[str, Any]
    objective: jax.Array
    log_likelihood: jax.Array
    reseeds: jax.Array


def regress(cross: jax.Array, second: jax.Array, hyper: Hyper) -> tuple[jax.Array, jax.Array]:
    r"""The M step of W, $E[xz^\top]E[zz^\top]^{-1}$, and the W of the parameter-expanded step.

    The latter is W times the Cholesky factor of $E[zz^\top]$: EM in the model with $z \sim N(0, R)$,
    mapped back. It costs nothing, never lowers the likelihood, and cures EM's slow growth of W where
    the noise is small.

    Args:
      cross: mean of x z^T, shape (D, M).
      second: mean of z z^T, shape (M, M).
      hyper: `expand` chooses the second result; without it both are the plain step.

    Reference: Liu, Rubin and Wu, 1998 (parameter-expanded EM).
    """
    root = jnp.linalg.cholesky(second)
    weight = jax.scipy.linalg.cho_solve((root, True), cross.T).T
    return weight, jnp.where(hyper.expand, weight @ root, weight)
