"""Distributions of values in [0, 1]: Bernoulli, continuous Bernoulli, discretised logistic."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from vaejax import kernels
from vaejax.distributions.distribution import Distribution, Heat
from vaejax.recipes import pytree
from vaejax.types import Array, Event, Key, Scalar, Term

__all__ = ["Bernoulli", "ContinuousBernoulli", "DiscretizedLogistic"]


def _sharpen(logits: Array, temperature: Heat) -> Array:
    """Logits of p^(1/T); at T = 0 they are finite and as good as infinite."""
    return logits / jnp.maximum(temperature, 1e-20)


@pytree
class Bernoulli(Distribution):
    """Independent binary entries with log-odds `logits`, an event of any shape; draws are from p^(1/temperature)."""

    logits: Event
    has_stddev = True

    def sample(self, key: Key, temperature: Heat = 1.0) -> Event:
        p = jax.nn.sigmoid(_sharpen(jnp.ravel(self.logits), temperature))
        return jax.random.bernoulli(key, p).astype(p.dtype).reshape(self.logits.shape)

    def log_prob(self, value: Event) -> Scalar:
        return kernels.bernoulli_log_prob(value, self.logits)

    @property
    def mean(self) -> Event:
        return jax.nn.sigmoid(self.logits)

    @property
    def stddev(self) -> Event:
        return jnp.sqrt(jax.nn.sigmoid(self.logits) * jax.nn.sigmoid(-self.logits))


@pytree
class ContinuousBernoulli(Distribution):
    r"""Entries in [0, 1] with density proportional to $e^{\ell x}$, an event of any shape.

    >>> import jax.numpy as jnp
    >>> [round(float(m), 4) for m in ContinuousBernoulli(jnp.array([0.0, 4.0])).mean]
    [0.5, 0.7687]
    """

    logits: Event
    has_stddev = True

    def sample(self, key: Key, temperature: Heat = 1.0) -> Event:
        logits = _sharpen(self.logits, temperature)
        uniform = jax.random.uniform(key, logits.shape, logits.dtype)
        size = jnp.maximum(jnp.abs(logits), 1e-6)
        falling = -jnp.log1p(uniform * jnp.expm1(-size)) / size
        return jnp.clip(jnp.where(logits > 0, 1.0 - falling, falling), 0.0, 1.0)

    def log_prob(self, value: Event) -> Scalar:
        return kernels.continuous_bernoulli_log_prob(value, self.logits)

    @property
    def mean(self) -> Event:
        r"""$1/(1 - e^{-\ell}) - 1/\ell$."""
        near = jnp.abs(self.logits) < 0.1
        small, large = jnp.where(near, self.logits, 0.0), jnp.where(near, 1.0, self.logits)
        series = 0.5 + small * (1 / 12 - small**2 * (1 / 720 - small**2 / 30240))
        # 1/(1 - e^-l) without overflow: e^-|l| only.
        decay = jnp.exp(-jnp.abs(large))
        closed = jnp.where(large > 0, 1.0, -decay) / (1.0 - decay) - 1.0 / large
        return jnp.where(near, series, closed)

    @property
    def stddev(self) -> Event:
        r"""Square root of $1/\ell^2 - 1/(4\sinh^2(\ell/2))$."""
        near = jnp.abs(self.logits) < 0.5
        small, large = jnp.where(near, self.logits, 0.0), jnp.where(near, 1.0, self.logits)
        series = 1 / 12 - small**2 * (1 / 240 - small**2 * (1 / 6048 - small**2 / 172800))
        decay = jnp.exp(-jnp.abs(large))
        closed = 1.0 / large**2 - decay / (1.0 - decay) ** 2
        return jnp.sqrt(jnp.where(near, series, closed))


@pytree
class DiscretizedLogistic(Distribution):
    """Grey values on a grid of `levels` steps over [0, 1]; `scale` is a standard deviation.

    `mean` and `stddev` are exact, over the grid: the clipped tails move the mean away from `loc`.
    """

    loc: Event
    scale: Term
    levels: int = dataclasses.field(default=256, metadata={"static": True})
    has_stddev = True

    def sample(self, key: Key, temperature: Heat = 1.0) -> Event:
        noise = jax.random.logistic(key, self.loc.shape, self.loc.dtype) * (math.sqrt(3.0) / math.pi)
        steps = self.levels - 1
        return jnp.clip(jnp.round((self.loc + temperature * self.scale * noise) * steps), 0, steps) / steps

    def log_prob(self, value: Event) -> Scalar:
        return kernels.discretized_logistic_log_prob(value, self.loc, self.scale, self.levels)

    def _moments(self) -> tuple[Event, Event]:
        # E k = sum_j P(k >= j) and E k^2 = sum_j (2 j - 1) P(k >= j), a threshold at a time.
        steps, s = self.levels - 1, self.scale * (math.sqrt(3.0) / math.pi)

        def add(sums: tuple[Event, Event], j: Scalar) -> tuple[tuple[Event, Event], None]:
            above = jax.nn.sigmoid((self.loc - (j - 0.5) / steps) / s)
            return (sums[0] + above, sums[1] + (2.0 * j - 1.0) * above), None

        start = jnp.zeros_like(self.loc), jnp.zeros_like(self.loc)
        (first, second), _ = jax.lax.scan(add, start, jnp.arange(1.0, self.levels, dtype=self.loc.dtype))
        return first / steps, jnp.sqrt(jnp.maximum(second - first**2, 0.0)) / steps

    @property
    def mean(self) -> Event:
        return self._moments()[0]

    @property
    def stddev(self) -> Event:
        return self._moments()[1]
