"""Deep hierarchies with residual posteriors, after the Nouveau VAE."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.distributions import Chain, Guide, Normal
from vaejax.heads import Head
from vaejax.models.headed import Headed, as_likelihood
from vaejax.models.hierarchy import Layer, as_shapes, climb, layers, require_layers
from vaejax.networks import Network
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Key, Params

__all__ = ["NVAE", "residual_normal"]

_BOUND = 5.0


def residual_normal(p: Normal, shift: Array, ratio: Array) -> Normal:
    r"""The posterior q relative to p, $N(\mu_p + \Delta\mu, (\sigma_p\Delta\sigma)^2)$.

    Its divergence is $\frac12(\Delta\mu^2/\sigma_p^2 + \Delta\sigma^2 - \ln\Delta\sigma^2 - 1)$.

    Reference: Vahdat and Kautz, 2020, equation 2.

    >>> residual_normal(Normal(jnp.ones(1), jnp.full(1, 0.5)), jnp.ones(1), jnp.full(1, 0.5)).mean
    Array([2.], dtype=float32)
    """
    return Normal(p.loc + shift, p.scale * ratio)


def _loc_and_scale(layer: Layer, *inputs: Array) -> tuple[Array, Array]:
    """A location, and a scale whose logarithm is bounded softly, so that no step can end in overflow."""
    loc, raw = jnp.split(layer.parameters(*inputs), 2, -1)
    return loc, jnp.exp(_BOUND * jnp.tanh(raw / _BOUND))


def _first(p: Normal, down: Layer, extra: tuple[Array, ...], h: Array) -> tuple[Normal, Any]:
    return p, lambda z: down(h, z, *extra)


def _group(prior: Layer, down: Layer, extra: tuple[Array, ...], h: Array) -> tuple[Normal, Any]:
    """p(z_i | h); z_i and h then make the next h."""
    return Normal(*_loc_and_scale(prior, h)), lambda z: down(h, z, *extra)


def _residual(layer: Layer, d: Array, p: Normal, h: Array) -> Normal:
    """A guide's link: q(z_i | x, h) relative to p(z_i | h)."""
    return residual_normal(p, *_loc_and_scale(layer, d, h))


@static
class NVAE(Headed):
    r"""A deep hierarchy of L groups of latents that share one deterministic path, with residual posteriors.

    $$p(x, z) = p(x|h_0)\,N(z_L; 0, I)\prod_{i<L} N(z_i; \mu_i(h_i), \sigma_i^2(h_i)), \qquad
      h_{i-1} = g_i(h_i, z_i),\quad h_L \text{ learned}$$
    $$q(z_i|z_{>i}, x) = N(\mu_i + \Delta\mu_i,\,(\sigma_i\Delta\sigma_i)^2), \qquad
      \Delta\mu_i, \Delta\sigma_i = r_i(d_i, h_i),\quad d_i = f_i(d_{i-1}),\quad d_0 = x$$

    The networks decide: with the cells of `zoo.nvae`, groups at several scales, the finest first on the
    way up, doubled in height and width on the way down. Logarithms of scales are bounded by 5 in p, by 5 more in q.
    Where groups collapse: `objectives.warm_up`, or `objectives.free_bits(nats, per="layer")`, nats a group.

    Latents are a tuple, top first, $(z_L, \dots, z_1)$, and so is all that belongs to them.

    Args:
      ups: L networks, bottom first: $f_1, \dots, f_L$.
      residuals: L networks, top first: $(d_i, h_i)$ to $2 M_i$ numbers, $\Delta\mu_i$ and the raw $\ln\Delta\sigma_i$.
      priors: L - 1 networks, top first, below the top: $h_i$ to $2 M_i$ numbers.
      downs: L networks, top first: $g_L, \dots, g_1$.
      decoder: network $h_0$ -> parameters of the likelihood; its output says the shape of a datum.
      start_shape: of $h_L$, a learned constant.
      latent_shapes: of the latents, top first.
      likelihood: a head (default: `heads.bernoulli()`).
      context_dim: length of the context; where there is one it is the last input of `ups[0]`, of `downs` and of the
        decoder.
      objective: default of `vaejax.fit`.
      remat: as in `Ladder`.

    Reference: Vahdat and Kautz, 2020. Differs: no flows in q, no spectral
    regularisation (see `networks.Cell`).

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.nvae((8, 8, 1), scales=2, groups=1, channels=4, latent_channels=2)
    >>> [shape for shape in model.latent_shapes]
    [(2, 2, 2), (4, 4, 2)]
    """

    ups: tuple[Network, ...]
    residuals: tuple[Network, ...]
    priors: tuple[Network, ...]
    downs: tuple[Network, ...]
    decoder: Network
    start_shape: tuple[int, ...]
    latent_shapes: tuple[tuple[int, ...], ...] = field(converter=as_shapes)
    likelihood_head: Head = field(alias="likelihood", default=None, converter=as_likelihood)
    context_dim: int = 0
    objective: Callable[..., Any] | None = None
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_layers(self, len(self.latent_shapes), below_top=("priors",))

    def weights(self, key: Key) -> Params:
        return super().weights(key) | {"start": jnp.zeros(self.start_shape)}

    def prior(self, params: Params, context: Context = None) -> Chain:
        extra, (top, *below) = self.extra(context), self.latent_shapes
        first, *downs = layers(self, params, "downs")
        priors = layers(self, params, "priors", below)
        groups = (Partial(_group, prior, down, extra) for prior, down in zip(priors, downs, strict=True))
        return Chain(params["start"], (Partial(_first, Normal.standard(top), first, extra), *groups))

    def posterior(self, params: Params, x: Array, context: Context = None) -> Guide:
        features = climb(layers(self, params, "ups"), x, self.extra(context, x))
        residuals = layers(self, params, "residuals", self.latent_shapes)
        pairs = zip(residuals, reversed(features), strict=True)
        return Guide(tuple(Partial(_residual, layer, d) for layer, d in pairs))
