"""Likelihoods of values in [0, 1] from logits."""

import jax

from vaejax.distributions import Bernoulli, ContinuousBernoulli, Distribution
from vaejax.heads.head import Head
from vaejax.recipes import static

__all__ = ["bernoulli", "continuous_bernoulli"]


@static
class _Logits(Head):
    continuous: bool
    support = (0.0, 1.0)

    @property
    def binary(self) -> bool:
        return not self.continuous

    def apply(self, params: dict[str, jax.Array], output: jax.Array) -> Distribution:
        return ContinuousBernoulli(output) if self.continuous else Bernoulli(output)


def bernoulli() -> Head:
    """Binary data, from logits."""
    return _Logits(False)


def continuous_bernoulli() -> Head:
    """A density on [0, 1], from logits: the normalised form of what a Bernoulli score of grey pixels means."""
    return _Logits(True)
