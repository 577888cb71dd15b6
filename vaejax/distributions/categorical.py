"""A class among k."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from vaejax.distributions.distribution import Distribution, Heat
from vaejax.kernels import categorical_log_prob
from vaejax.recipes import pytree
from vaejax.types import Array, Key, Scalar

__all__ = ["Categorical"]


@pytree
class Categorical(Distribution):
    """An integer in 0..k-1 with unnormalised log-probabilities `logits`, shape `(k,)`.

    `mean` is that of the one-hot event, the probabilities of the classes; the likeliest class is the sample at
    temperature 0.

    >>> import jax.numpy as jnp
    >>> Categorical(jnp.zeros(4)).mean.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    logits: Float[Array, " K"]

    def sample(self, key: Key, temperature: Heat = 1.0) -> Int[Array, ""]:
        logits = self.logits - jnp.max(self.logits)
        return jax.random.categorical(key, logits / jnp.maximum(temperature, 1e-20))

    def log_prob(self, value: Int[Array, ""]) -> Scalar:
        return categorical_log_prob(value, self.logits)

    @property
    def mean(self) -> Float[Array, " K"]:
        return jax.nn.softmax(self.logits)
