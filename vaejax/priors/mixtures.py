"""Learned mixtures: of Gaussians, and of the posteriors of learned inputs."""

import jax
import jax.numpy as jnp

from vaejax.distributions import Mixture, Normal
from vaejax.priors.prior import Prior, require_count
from vaejax.recipes import static

__all__ = ["mixture", "vamp"]


@static
class _Mixture(Prior):
    num_components: int

    def init(self, key, latent_dim, event_shape):
        loc = jax.random.normal(key, (self.num_components, latent_dim))
        return {"logits": jnp.zeros(self.num_components), "loc": loc, "log_scale": jnp.zeros_like(loc)}

    def apply(self, params, latent_dim, posterior):
        return Mixture(params["logits"], Normal(params["loc"], jnp.exp(params["log_scale"])))


@static
class _Vamp(Prior):
    num_inputs: int
    support: tuple[float, float] | None

    def init(self, key, latent_dim, event_shape):
        shape = self.num_inputs, *event_shape
        return {"logits": jnp.zeros(self.num_inputs), "inputs": jax.random.normal(key, shape)}

    def apply(self, params, latent_dim, posterior):
        inputs = params["inputs"]
        if self.support is not None:
            low, high = self.support
            inputs = low + (high - low) * jax.nn.sigmoid(inputs)
        return Mixture(params["logits"], jax.vmap(posterior)(inputs))


def mixture(num_components: int) -> Prior:
    r"""A learned mixture of diagonal Gaussians, $p(z) = \sum_k \pi_k N(z; \mu_k, \mathrm{diag}\,\sigma_k^2)$.

    Args:
      num_components: K.
    """
    require_count("num_components", num_components)
    return _Mixture(num_components)


def vamp(num_inputs: int, *, support: tuple[float, float] | None = (0.0, 1.0)) -> Prior:
    r"""The VampPrior: the mixture of the posteriors of learned inputs, $p(z) = \sum_k \pi_k\,q(z|u_k)$.

    Args:
      num_inputs: K, the number of inputs $u_k$.
      support: range that a sigmoid keeps the inputs in, that of the data; `None` for the real line.

    Reference: Tomczak and Welling, 2018, equation 9 (the weights are learned here, equal at the start).
    """
    require_count("num_inputs", num_inputs)
    return _Vamp(num_inputs, support)
