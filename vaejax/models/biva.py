"""The bidirectional-inference variational autoencoder."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.checks import require_integer
from vaejax.distributions import After, Chain, Distribution, Guide, Normal, given
from vaejax.heads import Head
from vaejax.models.headed import Headed, as_likelihood
from vaejax.models.hierarchy import GAUSSIAN, Layer, as_shapes, known, layers, require_layers
from vaejax.networks import Network
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Params

__all__ = ["BIVA"]


def _top(p: Normal, down: Layer, extra: tuple[Array, ...], h: None) -> tuple[Distribution, Any]:
    return p, lambda z: down(z, *extra)


def _pair(layer: Layer, h: Array) -> tuple[Distribution, Any]:
    """p(b_i | h), and the numbers of p(t_i | h), which the same network gives."""
    for_b, for_t = jnp.split(layer.parameters(h), 2, -1)
    return GAUSSIAN.apply({}, for_b), lambda b: (h, b, for_t)


def _second(down: Layer, extra: tuple[Array, ...], state: tuple[Array, Array, Array]) -> tuple[Distribution, Any]:
    """p(t_i | h); b_i and t_i then make the next h."""
    h, b, for_t = state
    return GAUSSIAN.apply({}, for_t), lambda t: down(h, b, t, *extra)


def _rise(layer: Layer, up: Layer, features: tuple[Array, ...]) -> tuple[Distribution, Any]:
    """q(b_i | d_i); b_i and d_i then make d_{i+1}, which joins the features."""
    d = features[-1]
    return layer.gaussian(d), lambda b: (*features, up(d, b))


def _sink(merge: Layer, d: Array, p: Distribution, state: tuple[Array, Array, Array]) -> Distribution:
    """q(t_i | h, d_i)."""
    return merge.gaussian(state[0], d)


def _then(top: Layer, merges: list[Layer], a: tuple[Array, ...], log_q: Array, features: tuple[Array, ...]) -> Guide:
    """The guide once the bottom-up latents are drawn."""
    links = [given(top.gaussian(features[-1]))]
    for i, merge in zip(reversed(range(len(a))), merges, strict=True):
        links += [known(a[i], log_q[i]), Partial(_sink, merge, features[i])]
    return Guide(tuple(links))


def _risen(z: tuple) -> tuple:
    """The bottom-up latents among all, bottom first."""
    return tuple(reversed(z[1::2]))


@static
class BIVA(Headed):
    r"""A hierarchy whose layers below the top have two latents: $b_i$ of the way up and $t_i$ of the way down.

    $$p(x, z) = p(x|h_0)\,N(z_L; 0, I)\prod_{i<L} p(b_i|h_i)\,p(t_i|h_i), \qquad
      h_{L-1} = g_L(z_L),\quad h_{i-1} = g_i(h_i, b_i, t_i)$$
    $$q(z|x) = \Big[\prod_{i<L} q(b_i|d_i)\Big]\,q(z_L|d_L)\prod_{i<L} q(t_i|h_i, d_i), \qquad
      d_1 = f_1(x),\quad d_{i+1} = f_{i+1}(d_i, b_i)$$

    The states $h_i$ and $d_i$ carry everything above and below: with networks that add to their first
    input (`networks.Skip`, which `zoo.biva` takes) they are the skip connections. The divergences of
    $z_L$ and $t_i$ are in closed form, those of $b_i$ are log q - log p on the draw, for $h_i$ depends on it.

    Latents are the tuple $(z_L, b_{L-1}, t_{L-1}, \dots, b_1, t_1)$, and so are divergences and temperatures.

    Args:
      ups: L networks, bottom first: $f_1, \dots, f_L$.
      rises: L networks, bottom first: $d_i$ to $2 M_i$ numbers, the parameters of $q(b_i|d_i)$, at last $q(z_L|d_L)$.
      priors: L - 1 networks, top first: $h_i$ to $4 M_i$ numbers, the parameters of $p(b_i|h_i)$, then of $p(t_i|h_i)$.
      merges: L - 1 networks, top first: $(h_i, d_i)$ to $2 M_i$ numbers, the parameters of $q(t_i|h_i, d_i)$.
      downs: L networks, top first: $g_L, \dots, g_1$.
      decoder: network $h_0$ -> parameters of the likelihood; its output says the shape of a datum.
      latent_shapes: of $z_L$, and of both latents of each layer below, top first: at least two.
      likelihood: a head (default: `heads.bernoulli()`).
      context_dim: length of the context; where there is one it is the last input of `ups[0]`, of `downs` and of the
        decoder.
      objective: default of `vaejax.fit`.
      remat: as in `Ladder`.

    Reference: Maaløe, Fraccaro, Liévin and Winther, 2019, equations 3-6.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.biva((8, 8, 1), latent_dims=(2, 3, 4), width=16)
    >>> params = model.init(jax.random.key(0))
    >>> [z.shape[0] for z in vj.encode(model, params, jax.numpy.zeros((8, 8, 1)))]
    [2, 3, 3, 4, 4]
    """

    ups: tuple[Network, ...]
    rises: tuple[Network, ...]
    priors: tuple[Network, ...]
    merges: tuple[Network, ...]
    downs: tuple[Network, ...]
    decoder: Network
    latent_shapes: tuple[tuple[int, ...], ...] = field(converter=as_shapes)
    likelihood_head: Head = field(alias="likelihood", default=None, converter=as_likelihood)
    context_dim: int = 0
    objective: Callable[..., Any] | None = None
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_integer("number of latent_shapes", len(self.latent_shapes), 2)
        require_layers(self, len(self.latent_shapes), below_top=("priors", "merges"))

    def prior(self, params: Params, context: Context = None) -> Chain:
        extra, (top, *below) = self.extra(context), self.latent_shapes
        pairs = layers(self, params, "priors", ((*shape[:-1], 2 * shape[-1]) for shape in below))
        first, *downs = layers(self, params, "downs")
        links = [Partial(_top, Normal.standard(top), first, extra)]
        for pair, down in zip(pairs, downs, strict=True):
            links += [Partial(_pair, pair), Partial(_second, down, extra)]
        return Chain(None, tuple(links))

    def posterior(self, params: Params, x: Array, context: Context = None) -> After:
        first, *ups = layers(self, params, "ups")
        *rises, top = layers(self, params, "rises", reversed(self.latent_shapes))
        links = tuple(Partial(_rise, rise, up) for rise, up in zip(rises, ups, strict=True))
        merges = layers(self, params, "merges", self.latent_shapes[1:])
        way_up = Chain((first(x, *self.extra(context, x)),), links)
        return After(way_up, Partial(_then, top, merges), Partial(_risen))
