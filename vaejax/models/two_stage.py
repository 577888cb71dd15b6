"""The two-stage variational autoencoder."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial

from vaejax.checks import require_kind
from vaejax.distributions import After, Chain, Distribution, Guide, Known, fixed, given, same
from vaejax.models.model import LatentModel
from vaejax.models.vae import VAE
from vaejax.recipes import static
from vaejax.types import Array, Context, Key, Params, Scale

__all__ = ["TwoStage"]


def _codes(second: VAE, params: Params, context: Context, u: Array) -> tuple[Distribution, Any]:
    """A chain's link: p(z | u)."""
    return second.likelihood(params, u, context), same


def _then(second: VAE, params: Params, context: Context, first: tuple[Array], log_q: Array, h: Array) -> Guide:
    """The guide once z is drawn: q(u | z), then z."""
    (z,) = first
    return Guide((given(second.posterior(params, z, context)), given(Known(z, log_q[0]))))


def _select(latents: tuple) -> tuple:
    return latents[1:]


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
      objective: default of `vaejax.fit`; `None` is `objectives.two_stage()`.

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
    objective: Callable[..., Any] | None = None

    def __post_init__(self):
        for name, stage in (("first", self.first), ("second", self.second)):
            if require_kind(name, stage, VAE).scale == "optimal":
                raise ValueError(f'{name}: expected heads.normal("shared") or another head, got "optimal"')
        codes, support = self.second.event_shape, self.second.support
        if codes != (self.first.latent_dim,) or support is not None:
            expected = f"a VAE of vectors with {self.first.latent_dim} real entries, the latents of the first stage"
            raise ValueError(f"second: expected {expected}, got one of shape {codes} with support {support}")
        sizes = {self.first.context_dim, self.second.context_dim} - {0}
        if len(sizes) > 1:
            dims = f"expected context_dim 0 or {self.first.context_dim}, got {self.second.context_dim}"
            raise ValueError(f"second: {dims}")

    @property
    def stages(self) -> tuple[VAE, VAE]:
        return self.first, self.second

    @property
    def context_dim(self) -> int:  # type: ignore[override]
        return max(self.first.context_dim, self.second.context_dim)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.first.event_shape

    @property
    def support(self) -> tuple[float, float] | None:
        return self.first.support

    @property
    def levels(self) -> int | None:
        return self.first.levels

    @property
    def binary(self) -> bool:
        return self.first.binary

    @property
    def scale(self) -> float | Scale | None:
        return self.first.scale

    @property
    def scale_floor(self) -> float:
        return self.first.scale_floor

    def init(self, key: Key) -> Params:
        key_first, key_second = jax.random.split(key)
        return {"first": self.first.init(key_first), "second": self.second.init(key_second)}

    def from_data(self, params: Params, mean: Array, deviation: Array) -> Params:
        return params | {"first": self.first.from_data(params["first"], mean, deviation)}

    def prior(self, params: Params, context: Context = None) -> Chain:
        _, below = self.stage_contexts(context)
        top = fixed(self.second.prior(params["second"], below))
        return Chain(None, (top, Partial(_codes, self.second, params["second"], below)))

    def likelihood(self, params: Params, h: Array, context: Context = None) -> Distribution:
        return self.first.likelihood(params["first"], h, self.stage_contexts(context)[0])

    def posterior(self, params: Params, x: Array, context: Context = None) -> After:
        above, below = self.stage_contexts(context)
        first = Chain(None, (fixed(self.first.posterior(params["first"], x, above)),))
        return After(first, Partial(_then, self.second, params["second"], below), Partial(_select))
