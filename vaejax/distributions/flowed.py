"""Flows, whose density may be known along their own draws alone; known values; the measure of density one."""

from typing import Any

import jax.numpy as jnp

from vaejax.distributions.distribution import Distribution, Heat
from vaejax.distributions.steps import Step
from vaejax.recipes import pytree
from vaejax.types import Array, Key, Scalar

__all__ = ["Flat", "Flowed", "Known"]


@pytree
class Flowed(Distribution):
    r"""A base distribution pushed through invertible steps.

    $$z_t = f_t(z_{t-1}), \qquad \log q(z_T) = \log q(z_0) - \sum_t \ln|\det \partial f_t|$$

    Any point has a density where all steps have an inverse in closed form; otherwise the draws alone do. `mean` is
    the base's mean pushed through the steps: the centre of the flow, not its exact mean.

    Attributes:
      base: the distribution of $z_0$.
      steps: a `Step` each.

    Reference: Rezende and Mohamed, 2015, equation 13.

    >>> import jax, jax.numpy as jnp
    >>> from vaejax.distributions import Normal, Reverse
    >>> q = Flowed(Normal(jnp.arange(3.0), jnp.ones(3)), (Reverse(),))
    >>> q.mean.tolist()
    [2.0, 1.0, 0.0]
    """

    base: Distribution
    steps: tuple[Step, ...]

    @property
    def has_density(self) -> bool:
        return all(step.invertible for step in self.steps)

    def _push(self, z: Array) -> tuple[Array, Scalar]:
        total = jnp.zeros((), z.dtype)
        for step in self.steps:
            z, log_det = step(z)
            total = total + log_det
        return z, total

    def sample(self, key: Key, temperature: Heat = 1.0) -> Array:
        return self._push(self.base.sample(key, temperature))[0]

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Scalar]:
        z, log_q = self.base.sample_and_log_prob(key)
        z, total = self._push(z)
        return z, log_q - total

    def log_prob(self, value: Array) -> Scalar:
        total = jnp.zeros((), value.dtype)
        for step in reversed(self.steps):
            value, log_det = step.inverse(value)
            total = total + log_det
        return self.base.log_prob(value) + total

    @property
    def mean(self) -> Array:
        return self._push(self.base.mean)[0]


@pytree
class Known(Distribution):
    """A value that was drawn earlier, with the log-density it was drawn at.

    It lets a walk pass over a latent that a bottom-up path has sampled already: key and temperature had their effect
    then, and `log_prob` is that of this value, whatever it is given.
    """

    value: Any
    log_q: Scalar

    @property
    def has_density(self) -> bool:
        return False

    def sample(self, key: Key, temperature: Heat = 1.0) -> Any:
        return self.value

    def log_prob(self, value: Any) -> Scalar:
        return self.log_q

    @property
    def mean(self) -> Any:
        return self.value


@pytree
class Flat(Distribution):
    """Density one everywhere, in the place of a prior where there is none: nothing to sample from, and no mean."""

    def sample(self, key: Key, temperature: Heat = 1.0) -> Any:
        raise TypeError("the model has no distribution over z to sample from: fit one to the codes (vaejax.encode)")

    def log_prob(self, value: Any) -> Scalar:
        return jnp.zeros(())

    @property
    def mean(self) -> Any:
        raise TypeError("the model has no distribution over z and no mean of it")
