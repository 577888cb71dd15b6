"""Gaussians of one event: diagonal, full covariance, and low rank plus diagonal."""

import jax
import jax.numpy as jnp

from vaejax.distributions.distribution import Distribution
from vaejax.kernels import (
    low_rank_normal_log_prob,
    normal_log_prob,
    reparameterize_diag,
    reparameterize_tril,
    tril_normal_log_prob,
)
from vaejax.recipes import pytree

__all__ = ["LowRankNormal", "Normal", "TrilNormal"]


@pytree
class Normal(Distribution):
    """Diagonal Gaussian over an event of any shape; `scale` is a standard deviation.

    >>> import jax.numpy as jnp
    >>> round(float(Normal(jnp.zeros(2), jnp.ones(2)).log_prob(jnp.zeros(2))), 4)
    -1.8379
    """

    loc: jax.Array
    scale: jax.Array
    has_stddev = True

    def sample(self, key, temperature=1.0):
        """Draw `loc + temperature * scale * noise`."""
        return reparameterize_diag(key, self.loc, temperature * self.scale)

    def log_prob(self, value):
        """Log-density, summed over the event."""
        return normal_log_prob(value, self.loc, self.scale)

    @property
    def mean(self):
        """The mean `loc`."""
        return self.loc

    @property
    def stddev(self):
        """The standard deviation `scale`, in the shape of the event."""
        return jnp.broadcast_to(self.scale, jnp.shape(self.loc))


@pytree
class TrilNormal(Distribution):
    """Gaussian with covariance `scale_tril @ scale_tril.T` over an event of shape `(d,)`."""

    loc: jax.Array
    scale_tril: jax.Array
    has_stddev = True

    def sample(self, key, temperature=1.0):
        """Draw `loc + temperature * scale_tril @ noise`."""
        return reparameterize_tril(key, self.loc, temperature * self.scale_tril)

    def log_prob(self, value):
        """Log-density of the event."""
        return tril_normal_log_prob(value, self.loc, self.scale_tril)

    @property
    def mean(self):
        """The mean `loc`."""
        return self.loc

    @property
    def stddev(self):
        """Square root of the diagonal of the covariance."""
        return jnp.sqrt(jnp.sum(jnp.tril(self.scale_tril) ** 2, -1))


@pytree
class LowRankNormal(Distribution):
    """Gaussian with covariance `factor @ factor.T + diag(scale**2)`: the marginal of a linear Gaussian model.

    The event has any shape; `factor` has one more axis, the columns.
    """

    loc: jax.Array
    factor: jax.Array
    scale: jax.Array
    has_stddev = True

    def sample(self, key, temperature=1.0):
        """Draw the factors, then the residual."""
        key_factor, key_residual = jax.random.split(key)
        factors = jax.random.normal(key_factor, self.factor.shape[-1:], self.factor.dtype)
        centre = self.loc + temperature * (self.factor @ factors)
        return reparameterize_diag(key_residual, centre, temperature * self.scale)

    def log_prob(self, value):
        """Log-density of the event, by Woodbury."""
        factor = self.factor.reshape(self.loc.size, self.factor.shape[-1])
        return low_rank_normal_log_prob(jnp.ravel(value), jnp.ravel(self.loc), factor, jnp.ravel(self.scale))

    @property
    def mean(self):
        """The mean `loc`."""
        return self.loc

    @property
    def stddev(self):
        """Square root of the diagonal of the covariance."""
        return jnp.sqrt(jnp.sum(self.factor**2, -1) + self.scale**2)
