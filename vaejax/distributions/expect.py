"""The one walk and the one KL dispatch: expectations under q along the prior that q walks with."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.distributions.categorical import Categorical
from vaejax.distributions.chain import After, Chain, Guide
from vaejax.distributions.distribution import Distribution
from vaejax.distributions.normal import Normal, TrilNormal
from vaejax.kernels import kl_diag, kl_tril
from vaejax.recipes import pytree

__all__ = ["Bound", "Draw", "analytic_kl", "bind", "draw", "expect", "kl_per_dimension", "sample_and_kl"]


class Draw(NamedTuple):
    """One draw from q, with what the bound needs of it.

    Attributes:
      z: the latent, a tuple of latents for a chain.
      h: what the likelihood reads.
      kl: nats: `()` for a flat model, `(L,)` for a chain; analytic where there is a closed form,
        else (and always with `analytic=False`) log q - log p on the draw.
      entropy: of q, in the shape of `kl`: in closed form where `kl` is, else -log q on the draw.
    """

    z: Any
    h: Any
    kl: jax.Array
    entropy: jax.Array


def _categorical_kl(q: Categorical, p: Categorical) -> jax.Array:
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    live = log_q > -jnp.inf
    # A class that q excludes contributes nothing, also where p excludes it as well.
    log_q, log_p = jnp.where(live, log_q, 0.0), jnp.where(live, log_p, 0.0)
    return jnp.sum(jnp.where(live, jnp.exp(log_q) * (log_q - log_p), 0.0))


def analytic_kl(q: Any, p: Any) -> jax.Array | None:
    """KL(q || p) in closed form, or `None` where there is none.

    >>> import jax.numpy as jnp
    >>> analytic_kl(Normal(jnp.ones(2), jnp.ones(2)), Normal(jnp.zeros(2), jnp.ones(2)))
    Array(1., dtype=float32)
    """
    match q, p:
        case Normal(), Normal():
            return kl_diag(q.loc, q.scale, p.loc, p.scale)
        case TrilNormal(), Normal():
            return kl_tril(q.loc, q.scale_tril, p.loc, jnp.diag(p.stddev))
        case TrilNormal(), TrilNormal():
            return kl_tril(q.loc, q.scale_tril, p.loc, p.scale_tril)
        case Categorical(), Categorical():
            return _categorical_kl(q, p)
        case _:
            return None


def kl_per_dimension(q: Any, p: Any) -> jax.Array | None:
    """KL(q || p) of each entry of a diagonal Gaussian under another, or `None` for other pairs.

    >>> import jax.numpy as jnp
    >>> kl_per_dimension(Normal(jnp.array([1.0, 0.0]), jnp.ones(2)), Normal(jnp.zeros(2), jnp.ones(2)))
    Array([0.5, 0. ], dtype=float32)
    """
    if not (isinstance(q, Normal) and isinstance(p, Normal)):
        return None
    each = q.loc, q.stddev, jnp.broadcast_to(p.loc, q.loc.shape), jnp.broadcast_to(p.stddev, q.loc.shape)
    return jax.vmap(kl_diag)(*(jnp.ravel(leaf) for leaf in each))


def _entropy(q: Any) -> jax.Array:
    match q:
        case Normal():
            log_scale = jnp.log(q.stddev)
        case TrilNormal():
            log_scale = jnp.log(jnp.abs(jnp.diagonal(q.scale_tril)))
        case _:
            log_q = jax.nn.log_softmax(q.logits)
            return -jnp.sum(jnp.where(log_q > -jnp.inf, jnp.exp(log_q) * log_q, 0.0))
    return jnp.sum(log_scale + 0.5 * math.log(2.0 * math.pi * math.e))


def sample_and_kl(key: jax.Array, q: Distribution, p: Distribution, *, analytic: bool = True) -> Draw:
    """One draw from a pair without shared structure: Normal/Normal and Tril/Normal analytic, else on the draw."""
    kl = analytic_kl(q, p) if analytic else None
    if kl is not None:
        z = q.sample(key)
        return Draw(z, z, kl, _entropy(q))
    z, log_q = q.sample_and_log_prob(key)
    log_p, h = p.score(z)
    return Draw(z, h, log_q - log_p, -log_q)


def _require_links(q: Guide, p: Chain) -> None:
    if len(q.links) != len(p.links):
        raise ValueError(f"the posterior has {len(q.links)} links, the prior has {len(p.links)}")


def expect(key: jax.Array, q: Any, p: Distribution, f: Callable[[Draw], Any], *, analytic: bool = True) -> Any:
    """Estimate E_q f(Draw) in one pass over the prior's path.

    Categorical latents are enumerated, which is exact; everything else is one reparameterised draw.

    Args:
      key: a PRNG key.
      q: a distribution, a `Guide` or an `After`.
      p: the prior; a `Chain` for a `Guide` or an `After`.
      f: function of a `Draw`, returning any pytree of arrays.
      analytic: use closed forms and enumeration where there are any. With `False` every latent is
        drawn and `kl` is the log-ratio on the draw, as importance weights need it.

    Returns:
      What `f` returns, averaged over the enumerated latents.
    """
    match q, p:
        case After(), Chain():
            key_first, key_rest = jax.random.split(key)
            guide = q.then(*q.first.sample_and_log_terms(key_first))
            return expect(key_rest, guide, p, f, analytic=analytic)
        case Guide(), Chain():
            _require_links(q, p)
            keys = jax.random.split(key, len(p.links))

            def step(i: int, h: Any, past: tuple[Draw, ...]) -> Any:
                if i == len(p.links):
                    z, _, kl, entropy = zip(*past, strict=True)
                    return f(Draw(z, h, jnp.stack(kl), jnp.stack(entropy)))
                p_i, advance = p.links[i](h)
                follow = lambda d: step(i + 1, advance(d.z), (*past, d))  # noqa: E731
                return expect(keys[i], q.links[i](p_i, h), p_i, follow, analytic=analytic)

            return step(0, p.start, ())
        case ((Guide() | After()), _):
            raise TypeError(f"a {type(q).__name__} walks with a Chain prior, got {type(p).__name__}")
        case Categorical(), Categorical() if analytic:
            mass, kl, entropy = jax.nn.softmax(q.logits), _categorical_kl(q, p), _entropy(q)
            each = jax.vmap(lambda z: f(Draw(z, z, kl, entropy)))(jnp.arange(mass.size))
            return jax.tree.map(lambda leaf: jnp.tensordot(mass, leaf, 1), each)
        case _:
            return f(sample_and_kl(key, q, p, analytic=analytic))


def draw(key: jax.Array, q: Any, p: Distribution) -> Draw:
    """One draw whose `kl` is log q - log p on it: what IWAE, STL and DReG need."""
    return expect(key, q, p, lambda d: d, analytic=False)


@pytree
class Bound(Distribution):
    """A guide joined with its prior: a distribution again, for users, for laws and for STL."""

    guide: Guide | After
    prior: Chain

    def run(self, key, temperature=1.0):
        """Draw `(z, h)` from q along the prior's path; `temperature` is a scalar or one number per link."""
        guide, key_rest = self.guide, key
        if isinstance(guide, After):
            key_first, key_rest = jax.random.split(key)
            heat = guide.select(tuple(jnp.broadcast_to(temperature, (len(self.prior.links),))))
            first, h = guide.first.run(key_first, jnp.stack(heat))
            guide = guide.then(first, jnp.zeros(len(first)), h)  # a run scores nothing: a flow may have no density here
        _require_links(guide, self.prior)
        keys = jax.random.split(key_rest, len(guide.links))
        heat = jnp.broadcast_to(temperature, (len(guide.links),))
        values, _, h = self.prior.walk(lambda i, p, h: (guide.links[i](p, h).sample(keys[i], heat[i]), None))
        return values, h

    def sample(self, key, temperature=1.0):
        """Draw the tuple of latents."""
        return self.run(key, temperature)[0]

    def score(self, value):
        """Log q of the latents, and the last state."""
        guide = self.guide
        if isinstance(guide, After):
            first = guide.select(value)
            guide = guide.then(first, *guide.first.log_terms(first))
        _require_links(guide, self.prior)
        _, terms, h = self.prior.walk(lambda i, p, h: (value[i], guide.links[i](p, h).log_prob(value[i])))
        return jnp.sum(jnp.stack(terms)), h

    def log_prob(self, value):
        """Log q of the latents."""
        return self.score(value)[0]

    def sample_and_log_prob(self, key):
        """Draw the latents with their log q, carried along the walk (a flow is never inverted)."""
        d = draw(key, self.guide, self.prior)
        return d.z, jnp.sum(d.kl) + self.prior.log_prob(d.z)

    @property
    def mean(self):
        """The walk that takes each link's mean (a `Categorical` its likeliest class)."""
        return self.sample(jax.random.key(0), 0.0)


def bind(q: Any, p: Distribution) -> Distribution:
    """Make a `Guide` or an `After` a distribution by joining it with its prior; leave a distribution alone."""
    if not isinstance(q, Guide | After):
        return q
    if not isinstance(p, Chain):
        raise TypeError(f"a {type(q).__name__} walks with a Chain prior, got {type(p).__name__}")
    return Bound(q, p)
