"""The one walk and the one KL dispatch: expectations under q along the prior that q walks with."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.distributions.categorical import Categorical
from vaejax.distributions.chain import After, Chain, Guide, Walk
from vaejax.distributions.distribution import Distribution, Heat
from vaejax.distributions.normal import Normal, TrilNormal
from vaejax.kernels import kl_diag, kl_tril
from vaejax.recipes import pytree
from vaejax.types import Array, Key, Scalar

__all__ = [
    "Latents",
    "GuidedChain",
    "analytic_kl",
    "bind",
    "expect",
    "kl_per_dimension",
    "sample_and_kl",
    "sample_latents",
]

T = TypeVar("T")
Layers: TypeAlias = Float[Array, "*layers"]


class Latents(NamedTuple):
    """Latents drawn from q, with all that a bound needs of them.

    Attributes:
      z: the latent, a tuple of latents for a chain.
      h: the state that the likelihood reads.
      kl: nats: `()` for a flat model, `(L,)` for a chain; analytic where there is a closed form,
        else (and always with `analytic=False`) log q - log p on the draw.
      entropy: of q, in the shape of `kl`: in closed form where `kl` is, else -log q on the draw.
    """

    z: Any
    h: Any
    kl: Layers
    entropy: Layers


def _categorical_kl(q: Categorical, p: Categorical) -> Scalar:
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    live = log_q > -jnp.inf
    # A class that q excludes contributes nothing, also where p excludes it as well.
    log_q, log_p = jnp.where(live, log_q, 0.0), jnp.where(live, log_p, 0.0)
    return jnp.sum(jnp.where(live, jnp.exp(log_q) * (log_q - log_p), 0.0))


def analytic_kl(q: Distribution, p: Distribution) -> Scalar | None:
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


def kl_per_dimension(q: Distribution | Guide | After, p: Distribution) -> Float[Array, " M"] | None:
    """KL(q || p) of each entry of a diagonal Gaussian under another, or `None` for other pairs.

    >>> import jax.numpy as jnp
    >>> kl_per_dimension(Normal(jnp.array([1.0, 0.0]), jnp.ones(2)), Normal(jnp.zeros(2), jnp.ones(2)))
    Array([0.5, 0. ], dtype=float32)
    """
    if not (isinstance(q, Normal) and isinstance(p, Normal)):
        return None
    each = q.loc, q.stddev, jnp.broadcast_to(p.loc, q.loc.shape), jnp.broadcast_to(p.stddev, q.loc.shape)
    return jax.vmap(kl_diag)(*(jnp.ravel(leaf) for leaf in each))


def _entropy(q: Distribution) -> Scalar:
    match q:
        case Normal():
            log_scale = jnp.log(q.stddev)
        case TrilNormal():
            log_scale = jnp.log(jnp.abs(jnp.diagonal(q.scale_tril)))
        case Categorical():
            log_q = jax.nn.log_softmax(q.logits)
            return -jnp.sum(jnp.where(log_q > -jnp.inf, jnp.exp(log_q) * log_q, 0.0))
        case _:
            raise TypeError(f"{type(q).__name__} has no entropy in closed form")
    return jnp.sum(log_scale + 0.5 * math.log(2.0 * math.pi * math.e))


def sample_and_kl(key: Key, q: Distribution, p: Distribution, *, analytic: bool = True) -> Latents:
    """One draw from a pair without shared structure: Normal/Normal and Tril/Normal analytic, else on the draw."""
    kl = analytic_kl(q, p) if analytic else None
    if kl is not None:
        z = q.sample(key)
        return Latents(z, z, kl, _entropy(q))
    z, log_q = q.sample_and_log_prob(key)
    log_p, h = p.score(z)
    return Latents(z, h, log_q - log_p, -log_q)


def _require_links(q: Guide, p: Chain) -> None:
    if len(q.links) != len(p.links):
        raise ValueError(f"the posterior has {len(q.links)} links, the prior has {len(p.links)}")


def expect(
    key: Key,
    q: Distribution | Guide | After,
    p: Distribution,
    f: Callable[[Latents], T],
    *,
    analytic: bool = True,
) -> T:
    """Estimate of E_q f(latents) in one pass over the prior's path.

    Categorical latents are enumerated, which is exact; everything else is one reparameterised draw.

    Args:
      key: a PRNG key.
      q: a distribution, a `Guide` or an `After`.
      p: the prior; a `Chain` for a `Guide` or an `After`.
      f: function of `Latents`, returning any pytree of arrays.
      analytic: use closed forms and enumeration where there are any. With `False` every latent is
        drawn and `kl` is the log-ratio on the draw, as importance weights need it.

    Returns:
      The value of `f`, averaged over the enumerated latents.
    """
    match q, p:
        case After(), Chain():
            key_first, key_rest = jax.random.split(key)
            guide = q.then(*q.first.sample_and_log_terms(key_first))
            return expect(key_rest, guide, p, f, analytic=analytic)
        case Guide(), Chain():
            _require_links(q, p)
            keys = jax.random.split(key, len(p.links))

            def step(i: int, h: Any, past: tuple[Latents, ...]) -> T:
                if i == len(p.links):
                    z, _, kl, entropy = zip(*past, strict=True)
                    return f(Latents(z, h, jnp.stack(kl), jnp.stack(entropy)))
                p_i, advance = p.links[i](h)
                follow = lambda d: step(i + 1, advance(d.z), (*past, d))  # noqa: E731
                return expect(keys[i], q.links[i](p_i, h), p_i, follow, analytic=analytic)

            return step(0, p.start, ())
        case ((Guide() | After()), _):
            raise TypeError(f"a {type(q).__name__} walks with a Chain prior, got {type(p).__name__}")
        case Categorical(), Categorical() if analytic:
            mass, kl, entropy = jax.nn.softmax(q.logits), _categorical_kl(q, p), _entropy(q)
            each = jax.vmap(lambda z: f(Latents(z, z, kl, entropy)))(jnp.arange(mass.size))
            return jax.tree.map(lambda leaf: jnp.tensordot(mass, leaf, 1), each)
        case _:
            return f(sample_and_kl(key, q, p, analytic=analytic))


def sample_latents(key: Key, q: Distribution | Guide | After, p: Distribution) -> Latents:
    """Latents whose `kl` is log q - log p on the draw, as importance weights, IWAE and STL need it."""
    return expect(key, q, p, lambda d: d, analytic=False)


@pytree
class GuidedChain(Walk):
    """A guide joined with its prior: a distribution again, for users, for laws and for STL."""

    guide: Guide | After
    prior: Chain

    def run(self, key: Key, temperature: Heat = 1.0) -> tuple[tuple, Any]:
        guide, key_rest, count = self.guide, key, len(self.prior.links)
        heat = jnp.broadcast_to(temperature, (count,))
        if isinstance(guide, After):
            key_first, key_rest = jax.random.split(key)
            first, h = guide.first.run(key_first, jnp.stack(guide.select(tuple(heat))))
            guide = guide.then(first, jnp.zeros(len(first)), h)  # a run scores nothing: a flow may have no density here
        _require_links(guide, self.prior)
        keys, links = jax.random.split(key_rest, count), guide.links
        values, _, h = self.prior.walk(lambda i, p, h: (links[i](p, h).sample(keys[i], heat[i]), None))
        return values, h

    def score(self, value: tuple) -> tuple[Scalar, Any]:
        guide = self.guide
        if isinstance(guide, After):
            first = guide.select(value)
            guide = guide.then(first, *guide.first.log_terms(first))
        _require_links(guide, self.prior)
        links = guide.links
        _, terms, h = self.prior.walk(lambda i, p, h: (value[i], links[i](p, h).log_prob(value[i])))
        return jnp.sum(jnp.stack(terms)), h

    def sample_and_log_prob(self, key: Key) -> tuple[tuple, Scalar]:
        # Log q is carried along the walk: a flow is never inverted.
        drawn = sample_latents(key, self.guide, self.prior)
        return drawn.z, jnp.sum(drawn.kl) + self.prior.log_prob(drawn.z)


def bind(q: Distribution | Guide | After, p: Distribution) -> Distribution:
    """A `Guide` or an `After` joined with its prior, as a distribution; a distribution as it is."""
    if isinstance(q, Distribution):
        return q
    if not isinstance(p, Chain):
        raise TypeError(f"a {type(q).__name__} walks with a Chain prior, got {type(p).__name__}")
    return GuidedChain(q, p)
