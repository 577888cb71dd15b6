"""Deep hierarchies with residual posteriors, after the Nouveau VAE."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.distributions import Chain, Distribution, Guide, Normal
from vaejax.heads import Head
from vaejax.models.hierarchy import Hierarchy, Layer, parameters, standard
from vaejax.models.model import Params
from vaejax.networks import Network
from vaejax.recipes import static

__all__ = ["NVAE", "residual_normal"]

_BOUND = 5.0


def residual_normal(p: Normal, shift: jax.Array, ratio: jax.Array) -> Normal:
    r"""The posterior q told relative to p, $N(\mu_p + \Delta\mu, (\sigma_p\Delta\sigma)^2)$.

    Its divergence is $\frac12(\Delta\mu^2/\sigma_p^2 + \Delta\sigma^2 - \ln\Delta\sigma^2 - 1)$.

    Reference: Vahdat and Kautz, 2020, equation 2.

    >>> residual_normal(Normal(jnp.ones(1), jnp.full(1, 0.5)), jnp.ones(1), jnp.full(1, 0.5)).mean
    Array([2.], dtype=float32)
    """
    return Normal(p.loc + shift, p.scale * ratio)


def _loc_and_scale(layer: Layer, weights: Params, *inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A location, and a scale whose logarithm is bounded softly, so that no step can end in overflow."""
    loc, raw = jnp.split(parameters(layer, weights, *inputs), 2, -1)
    return loc, jnp.exp(_BOUND * jnp.tanh(raw / _BOUND))


def _first(down: Layer, weights: Params, extra: tuple, h: jax.Array) -> tuple[Normal, Any]:
    return standard(down.shape), lambda z: down(weights, h, z, *extra)


def _group(layer: Layer, weights: Params, down: Layer, down_weights: Params, extra: tuple, h: jax.Array):
    """p(z_i | h); z_i and h then make the next h."""
    return Normal(*_loc_and_scale(layer, weights, h)), lambda z: down(down_weights, h, z, *extra)


def _residual(layer: Layer, weights: Params, features: jax.Array, p: Normal, h: jax.Array) -> Normal:
    """A guide's link: q(z_i | x, h) relative to p(z_i | h)."""
    return residual_normal(p, *_loc_and_scale(layer, weights, features, h))


@static
class NVAE(Hierarchy):
    r"""A deep hierarchy of L groups of latents that share one deterministic path, with residual posteriors.

    $$p(x, z) = p(x|h_0)\,N(z_L; 0, I)\prod_{i<L} N(z_i; \mu_i(h_i), \sigma_i^2(h_i)), \qquad
      h_{i-1} = g_i(h_i, z_i),\quad h_L \text{ learned}$$
    $$q(z_i|z_{>i}, x) = N(\mu_i + \Delta\mu_i,\,(\sigma_i\Delta\sigma_i)^2), \qquad
      \Delta\mu_i, \Delta\sigma_i = r_i(d_i, h_i),\quad d_i = f_i(d_{i-1}),\quad d_0 = x$$

    The networks say what it is: with the cells of `zoo.nvae`, groups at several scales, the finest first on the
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
      likelihood: a head, `heads.bernoulli()` unless told otherwise.
      context_dim: length of the context; where there is one it is the last input of `ups[0]`, of `downs` and of the
        decoder.
      objective: what `vaejax.fit` maximises unless told otherwise.
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
    latent_shapes: tuple[tuple[int, ...], ...]
    likelihood_head: Head = dataclasses.field(metadata={"argument": "likelihood"})
    context_dim: int
    objective: Any
    remat: bool = False

    def __init__(
        self,
        ups: tuple[Network, ...],
        residuals: tuple[Network, ...],
        priors: tuple[Network, ...],
        downs: tuple[Network, ...],
        decoder: Network,
        start_shape: tuple[int, ...],
        latent_shapes: tuple[int | tuple[int, ...], ...],
        likelihood: Head | None = None,
        context_dim: int = 0,
        objective: Any = None,
        remat: bool = False,
    ):
        count = len(latent_shapes)
        networks = {"ups": (ups, count), "residuals": (residuals, count)}
        networks |= {"priors": (priors, count - 1), "downs": (downs, count)}
        self._set(decoder, latent_shapes, likelihood, context_dim, objective, remat, networks)
        object.__setattr__(self, "start_shape", tuple(start_shape))

    @property
    def networks(self) -> dict[str, tuple[Network, ...]]:
        """The tuples of networks."""
        return {name: getattr(self, name) for name in ("ups", "residuals", "priors", "downs")}

    def weights(self, key: jax.Array) -> Params:
        """Draw the weights of all networks; the constant at the top starts at zero."""
        return super().weights(key) | {"start": jnp.zeros(self.start_shape)}

    def prior(self, params: Params, context: Any = None) -> Distribution:
        """p(z | context), from the top down."""
        extra, links = self.extra(context), []
        for j, shape in enumerate(self.latent_shapes):
            down = self.layer("downs", j, shape), params["downs"][f"layer{j}"]
            if j == 0:
                links.append(Partial(_first, *down, extra))
            else:
                group = self.layer("priors", j - 1, shape), params["priors"][f"layer{j - 1}"]
                links.append(Partial(_group, *group, *down, extra))
        return Chain(params["start"], tuple(links))

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Guide:
        """q(z | x, context), relative to the prior."""
        d, inputs, features = self.event(x), self.extra(context, x.dtype), []
        for i in range(len(self.ups)):
            d = self.layer("ups", i)(params["ups"][f"layer{i}"], d, *inputs)
            features.append(d)
            inputs = ()
        each = zip(reversed(features), self.latent_shapes, strict=True)
        return Guide(
            tuple(
                Partial(_residual, self.layer("residuals", j, shape), params["residuals"][f"layer{j}"], d)
                for j, (d, shape) in enumerate(each)
            )
        )
