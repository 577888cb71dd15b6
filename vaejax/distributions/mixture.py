"""A finite mixture of distributions of one kind."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.distributions.distribution import Distribution, Heat
from vaejax.recipes import pytree
from vaejax.types import Array, Event, Key, Scalar

__all__ = ["Mixture"]


@pytree
class Mixture(Distribution):
    r"""$p(x) = \sum_k \pi_k\,p_k(x)$, in log space.

    Attributes:
      logits: unnormalised log-weights.
      components: a distribution whose arrays carry a leading axis of length K.

    >>> import jax.numpy as jnp
    >>> from vaejax.distributions import Normal
    >>> pair = Mixture(jnp.zeros(2), Normal(jnp.array([[0.0], [0.0]]), jnp.ones((2, 1))))
    >>> round(float(pair.log_prob(jnp.zeros(1))), 4)
    -0.9189
    """

    logits: Float[Array, " K"]
    components: Distribution
    has_stddev = True

    def sample(self, key: Key, temperature: Heat = 1.0) -> Event:
        key_component, key_event = jax.random.split(key)
        index = jax.random.categorical(key_component, self.logits)
        return jax.tree.map(lambda leaf: leaf[index], self.components).sample(key_event, temperature)

    def component_log_probs(self, value: Event) -> Float[Array, " K"]:
        """Joint log-density of each component and the event."""
        log_prob = jax.vmap(lambda component: component.log_prob(value))(self.components)
        return jax.nn.log_softmax(self.logits) + log_prob

    def log_prob(self, value: Event) -> Scalar:
        return jax.nn.logsumexp(self.component_log_probs(value))

    def _average(self, values: Array) -> Array:
        return jnp.tensordot(jax.nn.softmax(self.logits), values, 1)

    @property
    def mean(self) -> Event:
        return self._average(jax.vmap(lambda component: component.mean)(self.components))

    @property
    def stddev(self) -> Event:
        """Square root of the variance within plus the variance between components."""
        means = jax.vmap(lambda component: component.mean)(self.components)
        scales = jax.vmap(lambda component: component.stddev)(self.components)
        return jnp.sqrt(self._average(scales**2 + (means - self.mean[None]) ** 2))
