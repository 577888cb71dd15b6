"""What a prior is, and the standard normal."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.distributions import Distribution, Normal
from vaejax.recipes import static

__all__ = ["Prior", "require_count", "standard", "standard_normal"]


class Prior(abc.ABC):
    """The recipe of a distribution over vectors z."""

    def init(self, key: jax.Array, latent_dim: int, event_shape: tuple[int, ...]) -> dict[str, Any]:
        """Parameters of the prior."""
        return {}

    @abc.abstractmethod
    def apply(self, params: dict[str, Any], latent_dim: int, posterior: Callable[[jax.Array], Any]) -> Distribution:
        """The prior; `posterior(x)` is the model's q(z | x), for priors made of it."""


@static
class _StandardNormal(Prior):
    def apply(self, params, latent_dim, posterior):
        return standard(latent_dim)


def require_count(name: str, value: int) -> None:
    """Raise `ValueError` unless `value` is a positive integer."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")


def standard_normal() -> Prior:
    """p(z) = N(0, I)."""
    return _StandardNormal()


def standard(dim: int) -> Normal:
    """N(0, I) over vectors."""
    return Normal(jnp.zeros(dim), jnp.ones(dim))
