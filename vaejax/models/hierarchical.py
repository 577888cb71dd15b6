"""The plain hierarchy, whose posterior climbs from latent to latent."""

import dataclasses
from typing import Any

import jax
from jax.tree_util import Partial

from vaejax.distributions import After, Chain, Distribution, Guide
from vaejax.heads import Head
from vaejax.models.hierarchy import Hierarchy, Layer, conditional, drawn, gaussian, give, standard, top
from vaejax.models.model import Params
from vaejax.networks import Network
from vaejax.recipes import static

__all__ = ["HierarchicalVAE"]


def _then(layer: Layer, weights: Params, extra: tuple, a: tuple, log_q: jax.Array, h: Any) -> Guide:
    """The top latent from the one below it; the others were drawn."""
    rest = (drawn(z, log_q[i]) for i, z in reversed(list(enumerate(a))))
    return Guide((Partial(give, gaussian(layer, weights, h, *extra)), *rest))


def _below(z: tuple) -> tuple:
    """All latents but the top one, bottom first."""
    return tuple(reversed(z[1:]))


@static
class HierarchicalVAE(Hierarchy):
    r"""The plain hierarchical VAE of L layers: the posterior is bottom-up, the prior top-down.

    $$q(z|x) = q(z_1|x)\prod_{i<L} q(z_{i+1}|z_i), \qquad
      p(x, z) = p(x|z_1)\,N(z_L; 0, I)\prod_{i<L} p(z_i|z_{i+1})$$

    The baseline of the `Ladder`: upper layers are seldom used. The top layer's divergence is in closed form,
    that of the others $\log q(z_i|z_{i-1}) - \log p(z_i|z_{i+1})$ on the draw, for $z_{i+1}$ depends on $z_i$.

    Args:
      ups: L networks, bottom first: x, then $z_i$, to $2 M_{i+1}$ numbers, the parameters of $q(z_{i+1}|z_i)$.
      downs: as in `Ladder`.
      decoder: as in `Ladder`.
      latent_shapes: as in `Ladder`, top first.
      likelihood: a head, `heads.bernoulli()` unless told otherwise.
      context_dim: length of the context, the second input of every network; 0 for none.
      objective: what `vaejax.fit` maximises unless told otherwise.
      remat: as in `Ladder`.

    Reference: Burda, Grosse and Salakhutdinov, 2016, equations 1 and 6; Sønderby et al., 2016, figure 1a.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.hierarchical_vae((8, 8, 1), latent_dims=(2, 4), hidden=(16, 16))
    >>> params = model.init(jax.random.key(0))
    >>> [z.shape for z in vj.encode(model, params, jax.numpy.zeros((8, 8, 1)))]
    [(2,), (4,)]
    """

    ups: tuple[Network, ...]
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
        downs: tuple[Network, ...],
        decoder: Network,
        latent_shapes: tuple[int | tuple[int, ...], ...],
        likelihood: Head | None = None,
        context_dim: int = 0,
        objective: Any = None,
        remat: bool = False,
    ):
        networks = {"ups": (ups, len(latent_shapes)), "downs": (downs, len(latent_shapes) - 1)}
        self._set(decoder, latent_shapes, likelihood, context_dim, objective, remat, networks)

    @property
    def networks(self) -> dict[str, tuple[Network, ...]]:
        """The tuples of networks."""
        return {"ups": self.ups, "downs": self.downs}

    def _links(self, name: str, params: Params, extra: tuple, shapes: tuple) -> list[Partial]:
        layers = (self.layer(name, i, shape) for i, shape in enumerate(shapes))
        return [Partial(conditional, layer, params[name][f"layer{i}"], extra) for i, layer in enumerate(layers)]

    def prior(self, params: Params, context: Any = None) -> Distribution:
        """p(z | context), from the top down."""
        rest = self._links("downs", params, self.extra(context), self.latent_shapes[1:])
        return Chain(None, (Partial(top, standard(self.latent_shapes[0])), *rest))

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Guide | After:
        """q(z | x, context), from the bottom up."""
        x, extra = self.event(x), self.extra(context, x.dtype)
        last = len(self.ups) - 1
        layer, weights = self.layer("ups", last, self.latent_shapes[0]), params["ups"][f"layer{last}"]
        if last == 0:
            return Guide((Partial(give, gaussian(layer, weights, x, *extra)),))
        links = self._links("ups", params, extra, self.latent_shapes[:0:-1])
        return After(Chain(x, tuple(links)), Partial(_then, layer, weights, extra), Partial(_below))
