"""The interface of a distribution of one event."""

import abc
from typing import Any

from jaxtyping import Float

from vaejax.types import Array, ArrayLike, Key, Scalar

__all__ = ["Distribution", "Heat"]

Heat = Float[ArrayLike, "*#layers"]
"""A temperature: one number, or one for each latent of a chain."""


class Distribution(abc.ABC):
    """A distribution of one event: batch it with `jax.vmap`, never by its own shapes.

    Subclasses are frozen pytrees. They give `sample`, `log_prob`, `mean` and `stddev`; the rest is
    derived here. `run` and `score` also return h, the state that a likelihood reads: the value itself for a
    leaf, the last state of the walk for a `Chain`.

    Attributes:
      has_stddev: whether `stddev` has a closed form.
    """

    has_stddev: bool = False

    @property
    def has_density(self) -> bool:
        """Whether `log_prob` takes any value; if not, only `sample_and_log_prob` knows the density of its own draws."""
        return True

    @property
    def event_shape(self) -> tuple[int, ...] | None:
        """Shape of the event, or `None` where it depends on the distribution's own networks or is no array."""
        return None

    @property
    def noise_variance(self) -> Scalar | None:
        """Mean variance of the entries of a Gaussian with independent ones, else `None`."""
        return None

    @abc.abstractmethod
    def sample(self, key: Key, temperature: Heat = 1.0) -> Any:
        """Draw one event. `temperature` scales the spread: 1 is the distribution itself, 0 its centre."""

    @abc.abstractmethod
    def log_prob(self, value: Any) -> Scalar:
        """Log-density or log-probability of one event, summed over it: a scalar in nats."""

    @property
    @abc.abstractmethod
    def mean(self) -> Any:
        """Mean of the event."""

    @property
    def stddev(self) -> Array:
        """Standard deviation of each entry of the event."""
        raise TypeError(f"{type(self).__name__} has no standard deviation in closed form")

    def sample_and_log_prob(self, key: Key) -> tuple[Any, Scalar]:
        """Draw one event together with its log-density."""
        value = self.sample(key)
        return value, self.log_prob(value)

    def run(self, key: Key, temperature: Heat = 1.0) -> tuple[Any, Any]:
        """Draw one event; return `(value, h)`."""
        value = self.sample(key, temperature)
        return value, value

    def score(self, value: Any) -> tuple[Scalar, Any]:
        """Return `(log_prob(value), h)`."""
        return self.log_prob(value), value
