"""Hierarchies: a chain of conditional distributions that share one top-down path.

`Chain` is the prior of a hierarchy. Its posterior is a `Guide`, relative to the prior it walks with, so that the
top-down path is computed once and shared by p, q and the likelihood. `After` adds a bottom-up stochastic path.
`bind` makes either of the two a distribution by itself.
"""

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Float

from vaejax.distributions.distribution import Distribution, Heat
from vaejax.recipes import pytree
from vaejax.types import Array, Key, Scalar

__all__ = ["After", "Chain", "Guide", "Walk", "fixed", "given", "same"]

Link: TypeAlias = Callable[[Any], tuple[Distribution, Callable[[Any], Any]]]
GuideLink: TypeAlias = Callable[[Distribution, Any], Distribution]
Terms: TypeAlias = Float[Array, " L"]


class Walk(Distribution):
    """A distribution of a tuple of latents, which `run` and `score` walk from the top down.

    A temperature is a scalar, or one number a latent; `mean` is the walk that takes the mean of each (of a
    `Categorical` its likeliest class).
    """

    @abc.abstractmethod
    def run(self, key: Key, temperature: Heat = 1.0) -> tuple[tuple, Any]: ...

    @abc.abstractmethod
    def score(self, value: tuple) -> tuple[Scalar, Any]: ...

    def sample(self, key: Key, temperature: Heat = 1.0) -> tuple:
        return self.run(key, temperature)[0]

    def log_prob(self, value: tuple) -> Scalar:
        return self.score(value)[0]

    @property
    def mean(self) -> tuple:
        return self.sample(jax.random.key(0), 0.0)


@pytree
class Chain(Walk):
    r"""$p(z_1,\dots,z_L) = \prod_i p(z_i\,|\,h_i)$, top first, with a state h handed down.

    Attributes:
      start: the first state, any pytree.
      links: pytrees called as `link(h) -> (p(z_i | h), advance)`, where `advance(z_i)` is the next
        state; `jax.tree_util.Partial` of a function and its parameters is the usual form.

    >>> import jax, jax.numpy as jnp
    >>> from vaejax.distributions import Normal
    >>> top = fixed(Normal.standard(2))
    >>> below = jax.tree_util.Partial(lambda h: (Normal(h, jnp.ones(2)), lambda z: h + z))
    >>> (z1, z2), h = Chain(None, (top, below)).run(jax.random.key(0))
    >>> bool(jnp.allclose(h, z1 + z2))
    True
    """

    start: Any
    links: tuple[Link, ...]

    def walk(self, choose: Callable[[int, Distribution, Any], tuple[Any, Any]]) -> tuple[tuple, tuple, Any]:
        """Go down the chain with `choose(i, p_i, h) -> (z_i, term_i)`; return `(z, terms, last h)`."""
        h, values, terms = self.start, [], []
        for i, link in enumerate(self.links):
            p, advance = link(h)
            z, term = choose(i, p, h)
            values.append(z)
            terms.append(term)
            h = advance(z)
        return tuple(values), tuple(terms), h

    def run(self, key: Key, temperature: Heat = 1.0) -> tuple[tuple, Any]:
        keys = jax.random.split(key, len(self.links))
        heat = jnp.broadcast_to(temperature, (len(self.links),))
        values, _, h = self.walk(lambda i, p, h: (p.sample(keys[i], heat[i]), None))
        return values, h

    def log_terms(self, z: tuple) -> tuple[Terms, Any]:
        """Log-density of each latent given those above, and the last state."""
        if len(z) != len(self.links):
            raise ValueError(f"expected a tuple of {len(self.links)} latents, got {len(z)}")
        _, terms, h = self.walk(lambda i, p, h: (z[i], _log_prob(i, p, z[i])))
        return jnp.stack(terms), h

    def score(self, value: tuple) -> tuple[Scalar, Any]:
        terms, h = self.log_terms(value)
        return jnp.sum(terms), h

    def sample_and_log_terms(self, key: Key) -> tuple[tuple, Terms, Any]:
        """Draw the latents with the log-density of each, and the last state."""
        keys = jax.random.split(key, len(self.links))
        values, terms, h = self.walk(lambda i, p, h: p.sample_and_log_prob(keys[i]))
        return values, jnp.stack(terms), h

    def sample_and_log_prob(self, key: Key) -> tuple[tuple, Scalar]:
        values, terms, _ = self.sample_and_log_terms(key)
        return values, jnp.sum(terms)


def _log_prob(i: int, p: Distribution, z: Any) -> Scalar:
    if p.event_shape is not None and jnp.shape(z) != p.event_shape:
        raise ValueError(f"z[{i}]: expected shape {p.event_shape}, got {jnp.shape(z)}; batch with jax.vmap")
    return p.log_prob(z)


@pytree
class Guide:
    """q(z|x) relative to the prior chain it walks with: `link_i(p_i, h) -> q_i`. It has no top-down path itself.

    A ladder's precision-weighted merge and a residual posterior are one line each.
    """

    links: tuple[GuideLink, ...]


@pytree
class After:
    """q(a|x) q(rest|a, x): `a` is drawn first, bottom-up, then it makes the guide of the walk.

    Attributes:
      first: the chain of the bottom-up latents.
      then: `then(a, log_q_terms, h) -> Guide`, which holds `Known(a_i, log_q_i)` in the places of a; h is
        the last state of `first`, so that features on the way up are computed once.
      select: `select(z) -> a`, the bottom-up latents among all.
    """

    first: Chain
    then: Callable[[tuple, Terms, Any], Guide]
    select: Callable[[tuple], tuple]


def same(z: Any) -> Any:
    """The latent itself as the next state."""
    return z


def _fixed(p: Distribution, h: Any) -> tuple[Distribution, Callable[[Any], Any]]:
    return p, same


def fixed(p: Distribution) -> Link:
    """A chain's link of a latent that depends on none above it and is the next state."""
    return Partial(_fixed, p)


def _given(q: Distribution, p: Distribution, h: Any) -> Distribution:
    return q


def given(q: Distribution) -> GuideLink:
    """A guide's link that is q, whatever the prior and the state."""
    return Partial(_given, q)
