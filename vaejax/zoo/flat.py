"""Models with one layer of latents."""

import math
from typing import Any

from vaejax import heads, objectives
from vaejax.heads import Head
from vaejax.models import VAE, Autoencoder, TwoStage
from vaejax.models.vae import as_posterior
from vaejax.networks import Constant, Linear, Parallel
from vaejax.types import Activation
from vaejax.zoo.parts import WARM_UP, Coders, DataShape, warmed

__all__ = [
    "autoencoder",
    "beta_vae",
    "conditional_vae",
    "conv_vae",
    "full_covariance_vae",
    "iaf_vae",
    "linear_iaf_vae",
    "linear_vae",
    "planar_vae",
    "sigma_vae",
    "two_stage",
    "vae",
]


def _codes(posterior: str | Head, latent_dim: int) -> int:
    return math.prod(as_posterior(posterior).output_shape((latent_dim,)))


def _vae(coders: Coders, latent_dim: int, posterior: str | Head, options: dict[str, Any]) -> VAE:
    options = _or(options, objective=warmed(coders.head))
    networks = coders.encoder(_codes(posterior, latent_dim)), coders.decoder(latent_dim)
    return VAE(*networks, latent_dim, posterior, coders.head, context_dim=coders.context_dim, **options)


def _or(options: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return defaults | options


def vae(
    data_shape: DataShape,
    latent_dim: int,
    *,
    hidden: tuple[int, ...] = (512, 512),
    activation: Activation = "relu",
    posterior: str | Head = "diag",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> VAE:
    """A fully connected VAE, by default with a Bernoulli likelihood.

    Like all members but the linear one and the autoencoder it is trained with a weight of the divergence that rises
    over the first 15 % of the steps; `objective=None` is the plain bound.

    Args:
      data_shape: shape of a datum, (H, W, C) or (D,), or D.
      latent_dim: number of latents.
      hidden: units of the encoder's hidden layers; the decoder has them reversed.
      activation: as in `networks.MLP`.
      posterior: `"diag"`, `"full"`, or a head.
      likelihood: a head of `vaejax.heads`.
      context_dim: length of the context; 0 for none.
      **options: further arguments of `VAE`, for instance a flow as the prior.

    >>> vae((28, 28, 1), latent_dim=20).event_shape
    (28, 28, 1)
    >>> from vaejax import priors
    >>> vae(4, latent_dim=2, prior=priors.autoregressive(depth=2, hidden=32)).latent_dim
    2
    """
    coders = Coders(data_shape, likelihood or heads.bernoulli(), context_dim, hidden, activation)
    return _vae(coders, latent_dim, posterior, options)


def beta_vae(data_shape: DataShape, latent_dim: int, *, beta: float = 4.0, **options: Any) -> VAE:
    r"""The $\beta$-VAE: a `vae` whose objective weights the divergence by `beta` (Higgins et al., 2017)."""
    return vae(data_shape, latent_dim, **_or(options, objective=objectives.warm_up(WARM_UP, objectives.beta(beta))))


def sigma_vae(data_shape: DataShape, latent_dim: int, **options: Any) -> VAE:
    r"""The $\sigma$-VAE: a Gaussian likelihood with the optimal shared $\sigma$ (Rybkin et al., 2021)."""
    return vae(data_shape, latent_dim, **_or(options, likelihood=heads.normal("optimal")))


def full_covariance_vae(data_shape: DataShape, latent_dim: int, **options: Any) -> VAE:
    """A VAE with a full-covariance posterior and a Gaussian likelihood with one learned scale."""
    return vae(data_shape, latent_dim, **_or(options, posterior="full", likelihood=heads.normal("shared")))


def planar_vae(data_shape: DataShape, latent_dim: int, *, depth: int = 8, **options: Any) -> VAE:
    """A `vae` whose posterior is a chain of planar flow steps (Rezende and Mohamed, 2015)."""
    return vae(data_shape, latent_dim, **_or(options, posterior=heads.Planar(depth)))


def linear_iaf_vae(data_shape: DataShape, latent_dim: int, **options: Any) -> VAE:
    """A `vae` whose posterior is one linear autoregressive step, a correlated Gaussian (Kingma et al., 2016)."""
    return vae(data_shape, latent_dim, **_or(options, posterior=heads.LinearIAF()))


def iaf_vae(
    data_shape: DataShape,
    latent_dim: int,
    *,
    depth: int = 4,
    flow_hidden: int | tuple[int, ...] = 256,
    **options: Any,
) -> VAE:
    """A `vae` whose posterior is an inverse autoregressive flow (Kingma et al., 2016).

    Args:
      depth: number of steps of the flow.
      flow_hidden: units of the hidden layers of each step's MADE.
    """
    return vae(data_shape, latent_dim, **_or(options, posterior=heads.IAF(depth, flow_hidden)))


def two_stage(
    data_shape: DataShape,
    latent_dim: int,
    *,
    second_dim: int | None = None,
    hidden: tuple[int, ...] = (512, 512),
    second_hidden: tuple[int, ...] | None = None,
    activation: Activation = "relu",
    context_dim: int = 0,
    objective: Any = None,
    **options: Any,
) -> TwoStage:
    r"""A VAE of x and a second one of its latents, each with a learned $\sigma$ (Dai and Wipf, 2019).

    The z have about unit variance whatever their shape, so that a second stage with $\sigma = 1$ and no use of u
    is a place to stay in: the weight of its divergence is raised over the first 15 % of the steps, and so is the
    first one's.

    Args:
      latent_dim: latents of the first stage.
      second_dim: latents of the second stage (default: as many).
      second_hidden: `hidden` of the second stage (default: that of the first).
      context_dim: length of the context of both stages; 0 for none.
      objective: default: `objectives.two_stage`, with `objectives.warm_up(0.15)` of either stage.
      **options: further arguments of the first stage's `vae`.

    >>> two_stage((28, 28, 1), latent_dim=20).second.event_shape
    (20,)
    """
    shared = _or({}, likelihood=heads.normal("shared"), context_dim=context_dim, activation=activation)
    first = vae(data_shape, latent_dim, hidden=hidden, **(shared | options))
    second = vae(latent_dim, second_dim or latent_dim, hidden=second_hidden or hidden, **shared)
    warm = objectives.warm_up(WARM_UP)
    return TwoStage(first, second, objective or objectives.two_stage(warm, warm))


def conditional_vae(data_shape: DataShape, latent_dim: int, context_dim: int, **options: Any) -> VAE:
    """The supervised VAE, q(z | x, y) and p(x | z, y) with p(z) = N(0, I): fit it with `context="labels"`."""
    return vae(data_shape, latent_dim, context_dim=context_dim, **options)


def linear_vae(data_shape: DataShape, latent_dim: int, **options: Any) -> VAE:
    r"""The linear VAE, a probabilistic PCA by gradient: linear maps, one learned $\sigma$, q's scales constant.

    Reference: Lucas, Tucker, Grosse and Norouzi, 2019.
    """
    head = options.pop("likelihood", None) or heads.normal("shared")
    coders = Coders(data_shape, head, options.get("context_dim", 0))
    scales = Constant(_codes(options.get("posterior", "diag"), latent_dim) - latent_dim)
    encoder = Parallel((Linear(coders.in_size, latent_dim), scales))
    return VAE(encoder, coders.decoder(latent_dim), latent_dim, likelihood=head, **options)


def conv_vae(
    data_shape: DataShape,
    latent_dim: int,
    *,
    channels: tuple[int, ...] = (32, 64, 128),
    blocks: int = 0,
    posterior: str | Head = "diag",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> VAE:
    """A convolutional VAE of images, by default with a Bernoulli likelihood; other arguments as in `vae`.

    Args:
      channels: of the encoder's stages, each of which halves the image; the decoder has them reversed.
      blocks: residual blocks of each stage.
    """
    head = likelihood or heads.bernoulli()
    coders = Coders(data_shape, head, context_dim, channels=channels, blocks=blocks)
    return _vae(coders, latent_dim, posterior, options)


def autoencoder(
    data_shape: DataShape,
    latent_dim: int,
    *,
    hidden: tuple[int, ...] = (512, 512),
    activation: Activation = "relu",
    likelihood: Head | None = None,
    **options: Any,
) -> Autoencoder:
    """A fully connected deterministic autoencoder, by default trained on the squared error; arguments as in `vae`."""
    head = likelihood or heads.normal(1.0)
    coders = Coders(data_shape, head, options.get("context_dim", 0), hidden, activation)
    return Autoencoder(coders.encoder(latent_dim), coders.decoder(latent_dim), latent_dim, head, **options)
