"""The interface of a distribution of one event."""

import abc
from typing import Any

import jax

__all__ = ["Distribution"]


class Distribution(abc.ABC):
    """A distribution of one event: batch it with `jax.vmap`, never by its own shapes.

    Subclasses are frozen pytrees. They give `sample`, `log_prob`, `mean` and `stddev`; the rest is
    derived here. `run` and `score` also return h, what a likelihood reads: the value itself for a
    leaf, the last state of the walk for a `Chain`.

    Attributes:
      has_density: whether `log_prob` takes any value; if not, only `sample_and_log_prob` knows the density of its
        own draws.
      has_stddev: whether `stddev` has a closed form.
    """

    has_density: Any = True
    has_stddev: Any = False

    @abc.abstractmethod
    def sample(self, key: jax.Array, temperature: jax.Array | float = 1.0) -> Any:
        """Draw one event. `temperature` scales the spread: 1 is the distribution itself, 0 its centre."""

    @abc.abstractmethod
    def log_prob(self, value: Any) -> jax.Array:
        """Log-density or log-probability of one event, summed over it: a scalar in nats."""

    @property
    @abc.abstractmethod
    def mean(self) -> Any:
        """Mean of the event."""

    @property
    def stddev(self) -> Any:
        """Standard deviation of each entry of the event."""
        raise TypeError(f"{type(self).__name__} has no standard deviation in closed form")

    def sample_and_log_prob(self, key: jax.Array) -> tuple[Any, jax.Array]:
        """Draw one event together with its log-density."""
        value = self.sample(key)
        return value, self.log_prob(value)

    def run(self, key: jax.Array, temperature: jax.Array | float = 1.0) -> tuple[Any, Any]:
        """Draw one event; return `(value, h)`."""
        value = self.sample(key, temperature)
        return value, value

    def score(self, value: Any) -> tuple[jax.Array, Any]:
        """Return `(log_prob(value), h)`."""
        return self.log_prob(value), value
