"""Models with one layer of latents."""

import math
from typing import Any

from vaejax import heads, objectives
from vaejax.heads import Head
from vaejax.models import VAE, Autoencoder, TwoStage
from vaejax.models.vae import as_posterior
from vaejax.networks import MLP, Constant, ConvDecoder, ConvEncoder, Linear, Parallel
from vaejax.types import Activation
from vaejax.zoo.shapes import sizes_of as _shape

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


def _decoder(shape: tuple[int, ...], in_size: int, hidden: tuple[int, ...], head: Head, activation: Activation) -> MLP:
    out = head.output_shape(shape)
    return MLP((in_size, *hidden, math.prod(out)), activation, out_shape=out)


def vae(
    data_shape: int | tuple[int, ...],
    latent_dim: int,
    *,
    hidden: tuple[int, ...] = (512, 512),
    activation: Activation = "relu",
    posterior: str | Head = "diag",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> VAE:
    """A fully connected VAE, with a Bernoulli likelihood unless told otherwise.

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
    shape, head = _shape(data_shape), likelihood or heads.bernoulli()
    encoder = MLP((math.prod(shape) + context_dim, *hidden, _codes(posterior, latent_dim)), activation)
    decoder = _decoder(shape, latent_dim + context_dim, hidden[::-1], head, activation)
    return VAE(encoder, decoder, latent_dim, posterior, head, context_dim=context_dim, **options)


def beta_vae(data_shape: int | tuple[int, ...], latent_dim: int, *, beta: float = 4.0, **options: Any) -> VAE:
    r"""The $\beta$-VAE: a `vae` whose objective weights the divergence by `beta` (Higgins et al., 2017)."""
    options = {"objective": objectives.beta(beta)} | options
    return vae(data_shape, latent_dim, **options)


def sigma_vae(data_shape: int | tuple[int, ...], latent_dim: int, **options: Any) -> VAE:
    r"""The $\sigma$-VAE: a Gaussian likelihood with the optimal shared $\sigma$ (Rybkin et al., 2021)."""
    options = {"likelihood": heads.normal("optimal"), "objective": objectives.optimal_sigma()} | options
    return vae(data_shape, latent_dim, **options)


def full_covariance_vae(data_shape: int | tuple[int, ...], latent_dim: int, **options: Any) -> VAE:
    """A VAE with a full-covariance posterior and a Gaussian likelihood with one learned scale."""
    return vae(data_shape, latent_dim, **({"posterior": "full", "likelihood": heads.normal("shared")} | options))


def planar_vae(data_shape: int | tuple[int, ...], latent_dim: int, *, depth: int = 8, **options: Any) -> VAE:
    """A `vae` whose posterior is a chain of planar flow steps (Rezende and Mohamed, 2015)."""
    options = {"posterior": heads.Planar(depth)} | options
    return vae(data_shape, latent_dim, **options)


def linear_iaf_vae(data_shape: int | tuple[int, ...], latent_dim: int, **options: Any) -> VAE:
    """A `vae` whose posterior is one linear autoregressive step, a correlated Gaussian (Kingma et al., 2016)."""
    options = {"posterior": heads.LinearIAF()} | options
    return vae(data_shape, latent_dim, **options)


def iaf_vae(
    data_shape: int | tuple[int, ...],
    latent_dim: int,
    *,
    depth: int = 4,
    flow_hidden: int | tuple[int, ...] = 256,
    **options: Any,
) -> VAE:
    """A `vae` whose posterior is an inverse autoregressive flow (Kingma et al., 2016).

    Args:
      data_shape: as in `vae`.
      latent_dim: as in `vae`.
      depth: number of steps of the flow.
      flow_hidden: units of the hidden layers of each step's MADE.
      **options: further arguments of `vae`.
    """
    options = {"posterior": heads.IAF(depth, flow_hidden)} | options
    return vae(data_shape, latent_dim, **options)


def two_stage(
    data_shape: int | tuple[int, ...],
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
    is a place to stay in: the weight of its divergence is raised over the first 1000 steps.

    Args:
      data_shape: as in `vae`.
      latent_dim: latents of the first stage.
      second_dim: latents of the second stage; as many unless told otherwise.
      hidden: units of the first encoder's hidden layers; the decoder has them reversed.
      second_hidden: the same of the second stage; those of the first unless told otherwise.
      activation: of both stages, as in `networks.MLP`.
      context_dim: length of the context, which both stages are given; 0 for none.
      objective: `objectives.two_stage(second=objectives.warm_up(1000))` unless told otherwise.
      **options: further arguments of the first stage's `vae`.

    >>> two_stage((28, 28, 1), latent_dim=20).second.event_shape
    (20,)
    """
    shared: dict[str, Any] = {
        "likelihood": heads.normal("shared"),
        "context_dim": context_dim,
        "activation": activation,
    }
    first = vae(data_shape, latent_dim, hidden=hidden, **(shared | options))
    second = vae(latent_dim, second_dim or latent_dim, hidden=second_hidden or hidden, **shared)
    return TwoStage(first, second, objective or objectives.two_stage(second=objectives.warm_up(1000)))


def conditional_vae(data_shape: int | tuple[int, ...], latent_dim: int, context_dim: int, **options: Any) -> VAE:
    """The supervised VAE, q(z | x, y) and p(x | z, y) with p(z) = N(0, I): fit it with `context="labels"`."""
    return vae(data_shape, latent_dim, context_dim=context_dim, **options)


def linear_vae(data_shape: int | tuple[int, ...], latent_dim: int, **options: Any) -> VAE:
    r"""The linear VAE, a probabilistic PCA by gradient: linear maps, one learned $\sigma$, q's scales constant.

    Reference: Lucas, Tucker, Grosse and Norouzi, 2019.
    """
    shape, head = _shape(data_shape), options.pop("likelihood", None) or heads.normal("shared")
    context_dim, posterior = options.get("context_dim", 0), options.get("posterior", "diag")
    scales = Constant(_codes(posterior, latent_dim) - latent_dim)
    encoder = Parallel((Linear(math.prod(shape) + context_dim, latent_dim), scales))
    decoder = _decoder(shape, latent_dim + context_dim, (), head, "relu")
    return VAE(encoder, decoder, latent_dim, likelihood=head, **options)


def conv_vae(
    data_shape: tuple[int, int, int],
    latent_dim: int,
    *,
    channels: tuple[int, ...] = (32, 64, 128),
    blocks: int = 0,
    posterior: str | Head = "diag",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> VAE:
    """A convolutional VAE, with a Bernoulli likelihood unless told otherwise.

    Args:
      data_shape: (H, W, C).
      latent_dim: number of latents.
      channels: of the encoder's stages, each of which halves the image; the decoder has them reversed.
      blocks: residual blocks of each stage.
      posterior: as in `vae`.
      likelihood: as in `vae`.
      context_dim: as in `vae`.
      **options: further arguments of `VAE`.
    """
    shape, head = _shape(data_shape), likelihood or heads.bernoulli()
    encoder = ConvEncoder(shape, channels, _codes(posterior, latent_dim), context_dim, blocks)  # type: ignore[arg-type]
    decoder = ConvDecoder(latent_dim + context_dim, channels[::-1], head.output_shape(shape), blocks)  # type: ignore[arg-type]
    return VAE(encoder, decoder, latent_dim, posterior, head, context_dim=context_dim, **options)


def autoencoder(
    data_shape: int | tuple[int, ...],
    latent_dim: int,
    *,
    hidden: tuple[int, ...] = (512, 512),
    activation: Activation = "relu",
    likelihood: Head | None = None,
    **options: Any,
) -> Autoencoder:
    """A fully connected deterministic autoencoder, trained on the squared error unless told otherwise."""
    shape, head = _shape(data_shape), likelihood or heads.normal(1.0)
    context_dim = options.get("context_dim", 0)
    encoder = MLP((math.prod(shape) + context_dim, *hidden, latent_dim), activation)
    decoder = _decoder(shape, latent_dim + context_dim, hidden[::-1], head, activation)
    return Autoencoder(encoder, decoder, latent_dim, head, **options)
