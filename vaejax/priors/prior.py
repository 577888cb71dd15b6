"""Priors: recipes of a distribution over z. The standard normal, and mixtures."""

import abc
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from vaejax.checks import require_integer
from vaejax.distributions import Distribution, Mixture, Normal
from vaejax.recipes import static
from vaejax.types import Array, Key, Params

__all__ = ["Posterior", "Prior", "mixture", "standard", "standard_normal", "vamp"]

Posterior: TypeAlias = Callable[[Array], Distribution]
"""q(z | x) of the model, a function of x."""


class Prior(abc.ABC):
    """The recipe of a distribution over vectors z."""

    def init(self, key: Key, latent_dim: int, event_shape: tuple[int, ...]) -> Params:
        """Parameters of the prior."""
        return {}

    @abc.abstractmethod
    def apply(self, params: Params, latent_dim: int, posterior: Posterior) -> Distribution:
        """The prior; `posterior(x)` is the model's q(z | x), for priors that mix it."""


def standard(dim: int) -> Normal:
    """N(0, I) over vectors."""
    return Normal(jnp.zeros(dim), jnp.ones(dim))


@static
class _StandardNormal(Prior):
    def apply(self, params: Params, latent_dim: int, posterior: Posterior) -> Normal:
        return standard(latent_dim)


@static
class _Mixture(Prior):
    num_components: int

    def init(self, key: Key, latent_dim: int, event_shape: tuple[int, ...]) -> Params:
        loc = jax.random.normal(key, (self.num_components, latent_dim))
        return {"logits": jnp.zeros(self.num_components), "loc": loc, "log_scale": jnp.zeros_like(loc)}

    def apply(self, params: Params, latent_dim: int, posterior: Posterior) -> Mixture:
        return Mixture(params["logits"], Normal(params["loc"], jnp.exp(params["log_scale"])))


@static
class _Vamp(Prior):
    num_inputs: int
    support: tuple[float, float] | None

    def init(self, key: Key, latent_dim: int, event_shape: tuple[int, ...]) -> Params:
        shape = self.num_inputs, *event_shape
        return {"logits": jnp.zeros(self.num_inputs), "inputs": jax.random.normal(key, shape)}

    def apply(self, params: Params, latent_dim: int, posterior: Posterior) -> Mixture:
        inputs = params["inputs"]
        if self.support is not None:
            low, high = self.support
            inputs = low + (high - low) * jax.nn.sigmoid(inputs)
        return Mixture(params["logits"], jax.vmap(posterior)(inputs))


def standard_normal() -> Prior:
    """p(z) = N(0, I)."""
    return _StandardNormal()


def mixture(num_components: int) -> Prior:
    r"""A learned mixture of diagonal Gaussians, $p(z) = \sum_k \pi_k N(z; \mu_k, \mathrm{diag}\,\sigma_k^2)$.

    Args:
      num_components: K.
    """
    return _Mixture(require_integer("num_components", num_components))


def vamp(num_inputs: int, *, support: tuple[float, float] | None = (0.0, 1.0)) -> Prior:
    r"""The VampPrior: the mixture of the posteriors of learned inputs, $p(z) = \sum_k \pi_k\,q(z|u_k)$.

    Args:
      num_inputs: K, the number of inputs $u_k$.
      support: range that a sigmoid keeps the inputs in, that of the data; `None` for the real line.

    Reference: Tomczak and Welling, 2018, equation 9 (the weights are learned here, equal at the start).
    """
    return _Vamp(require_integer("num_inputs", num_inputs), support)
