"""A class among k."""

import jax
import jax.numpy as jnp

from vaejax.distributions.distribution import Distribution
from vaejax.kernels import categorical_log_prob
from vaejax.recipes import pytree

__all__ = ["Categorical"]


@pytree
class Categorical(Distribution):
    """An integer in 0..k-1 with unnormalised log-probabilities `logits`, shape `(k,)`.

    >>> import jax.numpy as jnp
    >>> Categorical(jnp.zeros(4)).mean.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    logits: jax.Array

    def sample(self, key, temperature=1.0):
        """Draw a class from p^(1/temperature); the likeliest one at temperature 0."""
        logits = self.logits - jnp.max(self.logits)
        return jax.random.categorical(key, logits / jnp.maximum(temperature, 1e-20))

    def log_prob(self, value):
        """Log-probability of a class."""
        return categorical_log_prob(value, self.logits)

    @property
    def mean(self):
        """Probabilities of the classes, the mean of the one-hot event, shape `(k,)`."""
        return jax.nn.softmax(self.logits)
