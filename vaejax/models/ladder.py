"""The ladder variational autoencoder."""

import dataclasses
from typing import Any

import jax
from jax.tree_util import Partial

from vaejax.distributions import Chain, Distribution, Guide, Normal
from vaejax.heads import Head
from vaejax.kernels import precision_product
from vaejax.models.hierarchy import Hierarchy, conditional, gaussian, give, standard, top
from vaejax.models.model import Params
from vaejax.networks import Network
from vaejax.recipes import static

__all__ = ["Ladder"]


def _merge(evidence: Any, p: Any, h: Any) -> Normal:
    """A guide's link: the product of what was seen on the way up with what is expected on the way down."""
    return Normal(*precision_product(p.loc, p.scale, evidence.loc, evidence.scale))


@static
class Ladder(Hierarchy):
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
      likelihood: a head, `heads.bernoulli()` unless told otherwise.
      context_dim: length of the context; where there is one it is the second input of `ups[0]`, of `downs` and of
        the decoder.
      objective: what `vaejax.fit` maximises unless told otherwise.
      remat: compute the networks again on the way back instead of keeping what they computed (`jax.checkpoint`).

    Parameters: a dict for each argument that holds networks, and `likelihood` where the head has any.

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
    latent_shapes: tuple[tuple[int, ...], ...]
    likelihood_head: Head = dataclasses.field(metadata={"argument": "likelihood"})
    context_dim: int
    objective: Any
    remat: bool = False

    def __init__(
        self,
        ups: tuple[Network, ...],
        evidence: tuple[Network, ...],
        downs: tuple[Network, ...],
        decoder: Network,
        latent_shapes: tuple[int | tuple[int, ...], ...],
        likelihood: Head | None = None,
        context_dim: int = 0,
        objective: Any = None,
        remat: bool = False,
    ):
        count = len(latent_shapes)
        networks = {"ups": (ups, count), "evidence": (evidence, count), "downs": (downs, count - 1)}
        self._set(decoder, latent_shapes, likelihood, context_dim, objective, remat, networks)

    @property
    def networks(self) -> dict[str, tuple[Network, ...]]:
        """The tuples of networks."""
        return {"ups": self.ups, "evidence": self.evidence, "downs": self.downs}

    def prior(self, params: Params, context: Any = None) -> Distribution:
        """p(z | context), from the top down."""
        extra, first = self.extra(context), Partial(top, standard(self.latent_shapes[0]))
        rest = (
            Partial(conditional, self.layer("downs", i, shape), params["downs"][f"layer{i}"], extra)
            for i, shape in enumerate(self.latent_shapes[1:])
        )
        return Chain(None, (first, *rest))

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Guide:
        """q(z | x, context), relative to the prior."""
        d, inputs, seen = self.event(x), self.extra(context, x.dtype), []
        for i, shape in enumerate(reversed(self.latent_shapes)):
            d = self.layer("ups", i)(params["ups"][f"layer{i}"], d, *inputs)
            seen.append(gaussian(self.layer("evidence", i, shape), params["evidence"][f"layer{i}"], d))
            inputs = ()
        first, *rest = reversed(seen)
        return Guide((Partial(give, first), *(Partial(_merge, evidence) for evidence in rest)))
