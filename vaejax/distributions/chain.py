"""Hierarchies: a chain of conditional distributions that share one top-down path.

`Chain` is the prior of a hierarchy. Its posterior is a `Guide`, told relative to the prior it walks
with, so that the top-down path is computed once and shared by p, q and the likelihood. `After` adds a
bottom-up stochastic path. `bind` makes either of the two a distribution of its own.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions.distribution import Distribution
from vaejax.recipes import pytree

__all__ = ["After", "Chain", "Guide"]


@pytree
class Chain(Distribution):
    r"""$p(z_1,\dots,z_L) = \prod_i p(z_i\,|\,h_i)$, top first, with a state h handed down.

    Attributes:
      start: the first state, any pytree.
      links: pytrees called as `link(h) -> (p(z_i | h), advance)`, where `advance(z_i)` is the next
        state; `jax.tree_util.Partial` of a function and its parameters is the usual form.

    >>> import jax, jax.numpy as jnp
    >>> from vaejax.distributions import Normal
    >>> top = jax.tree_util.Partial(lambda h: (Normal(jnp.zeros(2), jnp.ones(2)), lambda z: z))
    >>> below = jax.tree_util.Partial(lambda h: (Normal(h, jnp.ones(2)), lambda z: h + z))
    >>> (z1, z2), h = Chain(None, (top, below)).run(jax.random.key(0))
    >>> bool(jnp.allclose(h, z1 + z2))
    True
    """

    start: Any
    links: tuple[Callable[[Any], tuple[Distribution, Callable[[Any], Any]]], ...]

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

    def _require(self, z):
        if len(z) != len(self.links):
            raise ValueError(f"expected a tuple of {len(self.links)} latents, got {len(z)}")

    def run(self, key, temperature=1.0):
        """Draw `(z, h)`; `temperature` is a scalar or one number per link."""
        keys = jax.random.split(key, len(self.links))
        heat = jnp.broadcast_to(temperature, (len(self.links),))
        values, _, h = self.walk(lambda i, p, h: (p.sample(keys[i], heat[i]), None))
        return values, h

    def sample(self, key, temperature=1.0):
        """Draw the tuple of latents."""
        return self.run(key, temperature)[0]

    def log_terms(self, z) -> tuple[jax.Array, Any]:
        """Log-density of each latent given those above, shape `(L,)`, and the last state."""
        self._require(z)
        _, terms, h = self.walk(lambda i, p, h: (z[i], _log_prob(i, p, z[i])))
        return jnp.stack(terms), h

    def score(self, value):
        """Joint log-density of the latents, and the last state."""
        terms, h = self.log_terms(value)
        return jnp.sum(terms), h

    def log_prob(self, value):
        """Joint log-density of the latents."""
        return self.score(value)[0]

    def sample_and_log_terms(self, key) -> tuple[tuple, jax.Array, Any]:
        """Draw the latents with the log-density of each, shape `(L,)`, and the last state."""
        keys = jax.random.split(key, len(self.links))
        values, terms, h = self.walk(lambda i, p, h: p.sample_and_log_prob(keys[i]))
        return values, jnp.stack(terms), h

    def sample_and_log_prob(self, key):
        """Draw the latents with their joint log-density."""
        values, terms, _ = self.sample_and_log_terms(key)
        return values, jnp.sum(terms)

    @property
    def mean(self):
        """The walk that takes each link's mean (a `Categorical` its likeliest class)."""
        return self.sample(jax.random.key(0), 0.0)


def _log_prob(i: int, p: Distribution, z: Any) -> jax.Array:
    wanted = jnp.shape(getattr(p, "loc", z))
    if jnp.shape(z) != wanted:
        raise ValueError(f"z[{i}]: expected shape {wanted}, got {jnp.shape(z)}; batch with jax.vmap")
    return p.log_prob(z)


@pytree
class Guide:
    """q(z|x) relative to the prior chain it walks with: `link_i(p_i, h) -> q_i`. It owns no top-down path.

    A ladder's precision-weighted merge and a residual posterior are one line each.
    """

    links: tuple[Callable[[Distribution, Any], Distribution], ...]


@pytree
class After:
    """q(a|x) q(rest|a, x): `a` is drawn first, bottom-up, then it makes the guide of the walk.

    Attributes:
      first: the chain of the bottom-up latents.
      then: `then(a, log_q_terms, h) -> Guide`, which holds `Drawn(a_i, log_q_i)` in the places of a; h is
        the last state of `first`, so that features on the way up are computed once.
      select: `select(z) -> a`, the bottom-up latents among all.
    """

    first: Chain
    then: Callable[[tuple, jax.Array, Any], Guide]
    select: Callable[[tuple], tuple]
