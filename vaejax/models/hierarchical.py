"""The plain hierarchy, whose posterior climbs from latent to latent."""

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

from vaejax.distributions import After, Chain, Guide, Normal, fixed, given
from vaejax.heads import Head
from vaejax.models.headed import Headed, as_likelihood
from vaejax.models.hierarchy import Layer, as_shapes, conditional, known, layers, require_layers
from vaejax.networks import Network
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Params

__all__ = ["HierarchicalVAE"]


def _then(top: Layer, extra: tuple[Array, ...], a: tuple[Array, ...], log_q: Array, h: Array) -> Guide:
    """The top latent from the one below it; the others were drawn."""
    drawn = (known(z, log_q[i]) for i, z in reversed(list(enumerate(a))))
    return Guide((given(top.gaussian(h, *extra)), *drawn))


def _below(z: tuple) -> tuple:
    """All latents but the top one, bottom first."""
    return tuple(reversed(z[1:]))


@static
class HierarchicalVAE(Headed):
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
      likelihood: a head (default: `heads.bernoulli()`).
      context_dim: length of the context, the second input of every network; 0 for none.
      objective: default of `vaejax.fit`.
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
    latent_shapes: tuple[tuple[int, ...], ...] = field(converter=as_shapes)
    likelihood_head: Head = field(alias="likelihood", default=None, converter=as_likelihood)
    context_dim: int = 0
    objective: Callable[..., Any] | None = None
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_layers(self, len(self.latent_shapes), below_top=("downs",))

    def prior(self, params: Params, context: Context = None) -> Chain:
        top, *below = self.latent_shapes
        extra = self.extra(context)
        rest = (conditional(layer, extra) for layer in layers(self, params, "downs", below))
        return Chain(None, (fixed(Normal.standard(top)), *rest))

    def posterior(self, params: Params, x: Array, context: Context = None) -> Guide | After:
        extra = self.extra(context, x)
        *below, top = layers(self, params, "ups", reversed(self.latent_shapes))
        if not below:
            return Guide((given(top.gaussian(x, *extra)),))
        links = tuple(conditional(layer, extra) for layer in below)
        return After(Chain(x, links), Partial(_then, top, extra), Partial(_below))
