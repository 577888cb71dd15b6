"""The bidirectional-inference variational autoencoder."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.distributions import After, Chain, Distribution, Guide
from vaejax.heads import Head
from vaejax.models.hierarchy import GAUSSIAN, Hierarchy, Layer, drawn, gaussian, give, parameters, standard
from vaejax.models.model import Params, require_at_least
from vaejax.networks import Network
from vaejax.recipes import static

__all__ = ["BIVA"]


def _top(layer: Layer, weights: Params, extra: tuple, h: Any) -> tuple[Distribution, Any]:
    return standard(layer.shape), lambda z: layer(weights, z, *extra)


def _pair(layer: Layer, weights: Params, h: jax.Array) -> tuple[Distribution, Any]:
    """p(b_i | h), and the numbers of p(t_i | h), which the same network gives."""
    for_b, for_t = jnp.split(parameters(layer, weights, h), 2, -1)
    return GAUSSIAN.apply({}, for_b), lambda b: (h, b, for_t)


def _second(layer: Layer, weights: Params, extra: tuple, state: tuple) -> tuple[Distribution, Any]:
    """p(t_i | h); b_i and t_i then make the next h."""
    h, b, for_t = state
    return GAUSSIAN.apply({}, for_t), lambda t: layer(weights, h, b, t, *extra)


def _rise(layer: Layer, weights: Params, up: Layer, up_weights: Params, features: tuple) -> tuple[Distribution, Any]:
    """q(b_i | d_i); b_i and d_i then make d_{i+1}, which joins the features."""
    d = features[-1]
    return gaussian(layer, weights, d), lambda b: (*features, up(up_weights, d, b))


def _sink(layer: Layer, weights: Params, d: jax.Array, p: Distribution, state: tuple) -> Distribution:
    """q(t_i | h, d_i)."""
    return gaussian(layer, weights, state[0], d)


def _then(model: "BIVA", params: Params, a: tuple, log_q: jax.Array, features: tuple) -> Guide:
    """The guide once the bottom-up latents are drawn."""
    last = len(a)
    first = gaussian(model.layer("rises", last, model.latent_shapes[0]), params["rises"][f"layer{last}"], features[-1])
    links = [Partial(give, first)]
    for j, shape in enumerate(model.latent_shapes[1:]):
        i = last - 1 - j
        down = Partial(_sink, model.layer("merges", j, shape), params["merges"][f"layer{j}"], features[i])
        links += [drawn(a[i], log_q[i]), down]
    return Guide(tuple(links))


def _risen(z: tuple) -> tuple:
    """The bottom-up latents among all, bottom first."""
    return tuple(reversed(z[1::2]))


@static
class BIVA(Hierarchy):
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
      likelihood: a head, `heads.bernoulli()` unless told otherwise.
      context_dim: length of the context; where there is one it is the last input of `ups[0]`, of `downs` and of the
        decoder.
      objective: what `vaejax.fit` maximises unless told otherwise.
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
    latent_shapes: tuple[tuple[int, ...], ...]
    likelihood_head: Head = dataclasses.field(metadata={"argument": "likelihood"})
    context_dim: int
    objective: Any
    remat: bool = False

    def __init__(
        self,
        ups: tuple[Network, ...],
        rises: tuple[Network, ...],
        priors: tuple[Network, ...],
        merges: tuple[Network, ...],
        downs: tuple[Network, ...],
        decoder: Network,
        latent_shapes: tuple[int | tuple[int, ...], ...],
        likelihood: Head | None = None,
        context_dim: int = 0,
        objective: Any = None,
        remat: bool = False,
    ):
        count = len(latent_shapes)
        require_at_least("number of latent_shapes", count, 2)
        networks = {"ups": (ups, count), "rises": (rises, count), "priors": (priors, count - 1)}
        networks |= {"merges": (merges, count - 1), "downs": (downs, count)}
        self._set(decoder, latent_shapes, likelihood, context_dim, objective, remat, networks)

    @property
    def networks(self) -> dict[str, tuple[Network, ...]]:
        """The tuples of networks."""
        return {name: getattr(self, name) for name in ("ups", "rises", "priors", "merges", "downs")}

    def prior(self, params: Params, context: Any = None) -> Distribution:
        """p(z | context), from the top down."""
        extra, downs = self.extra(context), params["downs"]
        links = [Partial(_top, self.layer("downs", 0, self.latent_shapes[0]), downs["layer0"], extra)]
        for j, shape in enumerate(self.latent_shapes[1:]):
            both = (*shape[:-1], 2 * shape[-1])
            links.append(Partial(_pair, self.layer("priors", j, both), params["priors"][f"layer{j}"]))
            links.append(Partial(_second, self.layer("downs", j + 1), downs[f"layer{j + 1}"], extra))
        return Chain(None, tuple(links))

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> After:
        """q(z | x, context): the way up, then the way down."""
        x, ups = self.event(x), params["ups"]
        features = (self.layer("ups", 0)(ups["layer0"], x, *self.extra(context, x.dtype)),)
        links = []
        for i, shape in enumerate(reversed(self.latent_shapes[1:])):
            up = self.layer("ups", i + 1), ups[f"layer{i + 1}"]
            links.append(Partial(_rise, self.layer("rises", i, shape), params["rises"][f"layer{i}"], *up))
        return After(Chain(features, tuple(links)), Partial(_then, self, params), Partial(_risen))
