"""The ladder variational autoencoder."""

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

from vaejax.distributions import Chain, Guide, Normal, fixed, given
from vaejax.heads import Head
from vaejax.kernels import precision_product
from vaejax.models.headed import Headed, as_likelihood
from vaejax.models.hierarchy import as_shapes, climb, conditional, layers, require_layers
from vaejax.networks import Network
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Params

__all__ = ["Ladder"]


def _merge(evidence: Normal, p: Normal, h: Array) -> Normal:
    """A guide's link: evidence from the way up times expectation from the way down."""
    return Normal(*precision_product(p.loc, p.scale, evidence.loc, evidence.scale))


@static
class Ladder(Headed):
    r"""A ladder of L layers of latents: deterministic upwards, stochastic downwards.

    $$p(x, z) = p(x|z_1)\,N(z_L; 0, I)\prod_{i<L} N(z_i; \mu_i(z_{i+1}), \sigma_i^2(z_{i+1}))$$
    $$d_i = f_i(d_{i-1}),\quad d_0 = x,\qquad q(z_i|z_{i+1},x) \propto
      N(z_i; \hat\mu_i(d_i), \hat\sigma_i^2(d_i))\;p(z_i|z_{i+1}),\qquad
      q(z_L|x) = N(\hat\mu_L, \hat\sigma_L^2)$$

    Scales are softplus. Raise the weight of the divergence slowly (`objectives.warm_up`), or the upper
    layers are lost at the start. Latents are a tuple, $(z_L, \dots, z_1)$, and so is all that belongs
    to them: `latent_shapes`, the divergence of each layer, temperatures. Networks stand in the order in which they are
    computed. An `MLP` flattens its inputs; a latent of shape (H, W, C) is for convolutional networks.

    Args:
      ups: L networks, bottom first: $d_i = f_i(d_{i-1})$.
      evidence: L networks, bottom first: $d_i$ to $2 M_i$ numbers, $\hat\mu_i$ and the raw $\hat\sigma_i$.
      downs: L - 1 networks, top first: $z_{i+1}$ to $2 M_i$ numbers, the parameters of $p(z_i|z_{i+1})$.
      decoder: network $z_1$ -> parameters of the likelihood; its output says the shape of a datum.
      latent_shapes: of the latents, top first; a number stands for a vector of that length.
      likelihood: a head (default: `heads.bernoulli()`).
      context_dim: length of the context; where there is one it is the second input of `ups[0]`, of `downs` and of
        the decoder.
      objective: default of `vaejax.fit`.
      remat: compute the networks again on the way back instead of keeping their outputs (`jax.checkpoint`).

    Parameters: a dict for each argument that holds networks, and `likelihood`.

    Reference: Sønderby, Raiko, Maaløe, Sønderby and Winther, 2016.

    Differs from the print in Mittas: $\sigma_q^2 = 1/(\hat\sigma^{-2} + \sigma_p^{-2})$ is a variance, and q sees x.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.ladder((8, 8, 1), latent_dims=(2, 4), hidden=(16, 16))
    >>> params = model.init(jax.random.key(0))
    >>> vj.elbo(model, params, jax.random.key(1), jax.numpy.zeros((8, 8, 1))).kl.shape
    (2,)
    """

    ups: tuple[Network, ...]
    evidence: tuple[Network, ...]
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

    def posterior(self, params: Params, x: Array, context: Context = None) -> Guide:
        features = climb(layers(self, params, "ups"), x, self.extra(context, x))
        evidence = layers(self, params, "evidence", reversed(self.latent_shapes))
        *below, top = (layer.gaussian(d) for layer, d in zip(evidence, features, strict=True))
        return Guide((given(top), *(Partial(_merge, q) for q in reversed(below))))
