"""Distributions that know their density only along their own draws (flows, draws made elsewhere), and the flat one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions.distribution import Distribution
from vaejax.recipes import pytree

__all__ = ["Drawn", "Flat", "Flowed"]


@pytree
class Flowed(Distribution):
    r"""A base distribution pushed through invertible steps.

    $$z_t = f_t(z_{t-1}), \qquad \log q(z_T) = \log q(z_0) - \sum_t \ln|\det \partial f_t|$$

    Attributes:
      base: the distribution of $z_0$.
      steps: pytrees that are called as `step(z) -> (next z, log_det)`, for instance
        `jax.tree_util.Partial(kernels.planar_step, u=u, w=w, b=b)`. Where all of them also have
        `inverse(y) -> (z, log_det of the inverse)`, as those of `distributions.steps` do, any point has
        a density; otherwise the draws alone do.

    Reference: Rezende and Mohamed, 2015, equation 13.

    >>> import jax, jax.numpy as jnp
    >>> from vaejax.distributions import Normal
    >>> double = jax.tree_util.Partial(lambda z: (2.0 * z, z.size * jnp.log(2.0)))
    >>> q = Flowed(Normal(jnp.zeros(3), jnp.ones(3)), (double,))
    >>> z, log_q = q.sample_and_log_prob(jax.random.key(0))
    >>> bool(jnp.allclose(log_q, Normal(jnp.zeros(3), jnp.full(3, 2.0)).log_prob(z)))
    True
    """

    base: Distribution
    steps: tuple[Callable[[Any], tuple[Any, jax.Array]], ...]

    @property
    def has_density(self) -> bool:
        return all(hasattr(step, "inverse") for step in self.steps)

    def _push(self, z):
        total = 0.0
        for step in self.steps:
            z, log_det = step(z)
            total = total + log_det
        return z, total

    def sample(self, key, temperature=1.0):
        """Draw from the base at `temperature` and push the draw through the steps."""
        return self._push(self.base.sample(key, temperature))[0]

    def sample_and_log_prob(self, key):
        """Draw with its log-density, which is accumulated along the steps."""
        z, log_q = self.base.sample_and_log_prob(key)
        z, total = self._push(z)
        return z, log_q - total

    def log_prob(self, value):
        """Log-density of any point, by the inverses of the steps, last to first."""
        total = 0.0
        for step in reversed(self.steps):
            if not hasattr(step, "inverse"):
                raise TypeError("a Flowed distribution knows its density along its draws only: use sample_and_log_prob")
            value, log_det = step.inverse(value)  # type: ignore[attr-defined]
            total = total + log_det
        return self.base.log_prob(value) + total

    @property
    def mean(self):
        """The base's mean, pushed through the steps (the centre of the flow, not its exact mean)."""
        return self._push(self.base.mean)[0]


@pytree
class Drawn(Distribution):
    """A value that was drawn earlier, with the log-density it was drawn at.

    It lets a walk pass over a latent that a bottom-up path has sampled already.
    """

    value: Any
    log_q: jax.Array
    has_density = False

    def sample(self, key, temperature=1.0):
        """The value itself: `key` and `temperature` had their effect when it was drawn."""
        return self.value

    def log_prob(self, value):
        """The log-density carried along; it belongs to the value drawn, whatever is asked."""
        return self.log_q

    @property
    def mean(self):
        """The value itself."""
        return self.value


@pytree
class Flat(Distribution):
    """Density one everywhere: no distribution, but what stands for a prior where there is none."""

    def sample(self, key, temperature=1.0):
        """Not possible."""
        raise TypeError("the model has no distribution over z to sample from: fit one to the codes (vaejax.encode)")

    def log_prob(self, value):
        """Zero."""
        return jnp.zeros(())

    @property
    def mean(self):
        """Not defined."""
        raise TypeError("the model has no distribution over z and no mean of it")
