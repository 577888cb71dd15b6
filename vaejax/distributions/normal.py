"""Gaussians of one event: diagonal, full covariance, and low rank plus diagonal."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax import kernels
from vaejax.distributions.distribution import Distribution, Heat
from vaejax.recipes import pytree
from vaejax.types import Array, Event, Key, Scalar, Term

__all__ = ["LowRankNormal", "Normal", "TrilNormal"]


class _Gaussian(Distribution):
    loc: Event
    has_stddev = True

    @property
    def event_shape(self) -> tuple[int, ...]:
        return jnp.shape(self.loc)

    @property
    def mean(self) -> Event:
        return self.loc


@pytree
class Normal(_Gaussian):
    """Diagonal Gaussian over an event of any shape; `scale` is a standard deviation.

    >>> import jax.numpy as jnp
    >>> round(float(Normal(jnp.zeros(2), jnp.ones(2)).log_prob(jnp.zeros(2))), 4)
    -1.8379
    """

    loc: Event
    scale: Term

    @classmethod
    def standard(cls, shape: int | tuple[int, ...], like: Array | None = None) -> "Normal":
        """N(0, I) of this shape, in the precision of the array `like`."""
        zeros = jnp.zeros(shape, None if like is None else like.dtype)
        return cls(zeros, jnp.ones_like(zeros))

    def sample(self, key: Key, temperature: Heat = 1.0) -> Event:
        return kernels.reparameterize_diag(key, self.loc, temperature * self.scale)

    def log_prob(self, value: Event) -> Scalar:
        return kernels.normal_log_prob(value, self.loc, self.scale)

    @property
    def stddev(self) -> Event:
        return jnp.broadcast_to(self.scale, jnp.shape(self.loc))

    @property
    def noise_variance(self) -> Scalar:
        return jnp.mean(self.scale**2)


@pytree
class TrilNormal(_Gaussian):
    """Gaussian with covariance `scale_tril @ scale_tril.T`."""

    loc: Float[Array, " D"]
    scale_tril: Float[Array, "D D"]

    def sample(self, key: Key, temperature: Heat = 1.0) -> Float[Array, " D"]:
        return kernels.reparameterize_tril(key, self.loc, temperature * self.scale_tril)

    def log_prob(self, value: Float[Array, " D"]) -> Scalar:
        return kernels.tril_normal_log_prob(value, self.loc, self.scale_tril)

    @property
    def stddev(self) -> Float[Array, " D"]:
        return jnp.sqrt(jnp.sum(jnp.tril(self.scale_tril) ** 2, -1))


@pytree
class LowRankNormal(_Gaussian):
    """Gaussian with covariance `factor @ factor.T + diag(scale**2)`: the marginal of a linear Gaussian model.

    The event has any shape; `factor` has one more axis, the columns.
    """

    loc: Event
    factor: Float[Array, "*event R"]
    scale: Event

    def sample(self, key: Key, temperature: Heat = 1.0) -> Event:
        key_factor, key_residual = jax.random.split(key)
        factors = jax.random.normal(key_factor, self.factor.shape[-1:], self.factor.dtype)
        centre = self.loc + temperature * (self.factor @ factors)
        return kernels.reparameterize_diag(key_residual, centre, temperature * self.scale)

    def log_prob(self, value: Event) -> Scalar:
        factor = self.factor.reshape(self.loc.size, self.factor.shape[-1])
        return kernels.low_rank_normal_log_prob(jnp.ravel(value), jnp.ravel(self.loc), factor, jnp.ravel(self.scale))

    @property
    def stddev(self) -> Event:
        return jnp.sqrt(jnp.sum(self.factor**2, -1) + self.scale**2)
