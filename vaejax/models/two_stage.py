"""The two-stage variational autoencoder."""

from typing import Any

import jax
from jax.tree_util import Partial

from vaejax.distributions import After, Chain, Distribution, Drawn, Guide
from vaejax.models.coder import require_kind
from vaejax.models.model import LatentModel, Params
from vaejax.models.vae import VAE
from vaejax.recipes import static

__all__ = ["TwoStage"]


@static
class TwoStage(LatentModel):
    r"""A VAE of x with latents z, and a second VAE of those z with latents u, which takes the place of their prior.

    $$p(u, z, x) = p_2(u)\,p_2(z|u)\,p_1(x|z), \qquad q(u, z\,|\,x) = q_1(z|x)\,q_2(u|z)$$

    Where the data lie on a manifold the first stage learns a $\gamma = \sigma^2$ close to zero and
    reconstructs them, but its aggregate posterior $q_1(z) = E_x q_1(z|x)$ is not $N(0, I)$. It has no manifold
    any more: the second stage, with a $\gamma$ of its own, matches it. Gaussian likelihoods with
    `heads.normal("shared")` learn the $\gamma$ of either stage, with the term $-\tfrac{D}{2}\ln 2\pi\gamma$.

    Training (`vaejax.fit`, by `objectives.two_stage`) is that of two separate models: the ELBO of the first
    stage **with its own prior** plus the ELBO of the second on draws of $q_1(z|x)$ that pass no gradient on.
    `elbo`, `importance_bound`, `log_joint` and `sample` are those of the joint model above: they bound the
    $\log p(x)$ of the process that `sample` draws from, in which the prior of the first stage has no part.
    Their `kl` has two entries: $KL[q_2(u|z)\,\|\,p_2(u)]$, then $\log q_1(z|x) - \log p_2(z|u)$ on the draw.

    Attributes:
      first: a `VAE` of x.
      second: a `VAE` of vectors as long as the first's z, with a likelihood on the real line.
      objective: what `vaejax.fit` maximises unless told otherwise; `None` is `objectives.two_stage()`.

    A context goes to the stages that have one. Parameters: `first`, `second`. Latents are pairs (u, z).

    Reference: Dai and Wipf, 2019, section 4.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.two_stage((8, 8, 1), latent_dim=3, hidden=(16,))
    >>> params = model.init(jax.random.key(0))
    >>> vj.elbo(model, params, jax.random.key(1), jax.numpy.zeros((8, 8, 1))).kl.shape
    (2,)
    """

    first: VAE
    second: VAE
    objective: Any = None

    def __post_init__(self):
        """Check that the stages fit together."""
        for name in ("first", "second"):
            stage = require_kind(name, getattr(self, name), VAE)
            if getattr(stage.likelihood_head, "scale", None) == "optimal":
                raise ValueError(f'{name}: expected heads.normal("shared") or another head, got "optimal"')
        codes, support = self.second.event_shape, self.second.support
        if codes != (self.first.latent_dim,) or support is not None:
            wanted = f"a VAE of vectors with {self.first.latent_dim} real entries, the latents of the first stage"
            raise ValueError(f"second: expected {wanted}, got one of shape {codes} with support {support}")
        sizes = {self.first.context_dim, self.second.context_dim} - {0}
        if len(sizes) > 1:
            raise ValueError(
                f"second: expected context_dim 0 or {self.first.context_dim}, got {self.second.context_dim}"
            )

    @property
    def context_dim(self) -> int:
        """Length of the context of the stages that have one."""
        return max(self.first.context_dim, self.second.context_dim)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a datum."""
        return self.first.event_shape

    @property
    def support(self) -> Any:
        """Range of the data that the likelihood allows."""
        return self.first.support

    @property
    def levels(self) -> Any:
        """Number of grey values that the likelihood counts, or `None`."""
        return self.first.levels

    @property
    def binary(self) -> Any:
        """Whether the likelihood is one of zeros and ones only."""
        return self.first.binary

    def contexts(self, context: Any) -> tuple[Any, Any]:
        """The context that each stage is given."""
        stages = self.first, self.second
        if context is None or not self.context_dim:
            return context, context  # the stages say what is wrong with it
        return tuple(context if stage.context_dim else None for stage in stages)  # type: ignore[return-value]

    def init(self, key: jax.Array) -> Params:
        """Draw the weights of both stages."""
        key_first, key_second = jax.random.split(key)
        return {"first": self.first.init(key_first), "second": self.second.init(key_second)}

    def prior(self, params: Params, context: Any = None) -> Chain:
        """p(u), then p(z | u); the state handed down to the likelihood is z."""
        _, below = self.contexts(context)
        top = self.second.prior(params["second"], below)
        return Chain(None, (Partial(_top, top), Partial(_codes, self, params["second"], below)))

    def likelihood(self, params: Params, h: jax.Array, context: Any = None) -> Distribution:
        """p(x | z) of the first stage."""
        return self.first.likelihood(params["first"], h, self.contexts(context)[0])

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> After:
        """q(z | x) of the first stage, drawn first, then q(u | z) of the second."""
        own, below = self.contexts(context)
        codes = Chain(None, (Partial(_top, self.first.posterior(params["first"], x, own)),))
        return After(codes, Partial(_then, self, params["second"], below), Partial(_select))

    def event(self, x: jax.Array) -> jax.Array:
        """The datum as floating point in the model's shape."""
        return self.first.event(x)


def _same(z: Any) -> Any:
    return z


def _top(p: Distribution, h: Any) -> tuple[Distribution, Any]:
    return p, _same


def _codes(model: TwoStage, params: Params, context: Any, u: jax.Array) -> tuple[Distribution, Any]:
    return model.second.likelihood(params, u, context), _same


def _given(q: Distribution, p: Distribution, h: Any) -> Distribution:
    return q


def _then(model: TwoStage, params: Params, context: Any, first: tuple, log_q: jax.Array, h: Any) -> Guide:
    (z,) = first
    top = model.second.posterior(params, z, context)
    return Guide((Partial(_given, top), Partial(_given, Drawn(z, log_q[0]))))


def _select(latents: tuple) -> tuple:
    return latents[1:]
