"""Hierarchies: models with several layers of latents. All that belongs to the latents comes top first."""

import math
from typing import Any

from vaejax import heads
from vaejax.heads import Head
from vaejax.models import BIVA, NVAE, HierarchicalVAE, Ladder
from vaejax.networks import MLP, Cell, ConvDecoder, ConvEncoder, ConvLayer, Network, Sequential, Skip
from vaejax.types import Activation
from vaejax.zoo.shapes import sizes_of

__all__ = ["biva", "hierarchical_vae", "ladder", "nvae"]

_QUIET = 0.1  # the groups of a fresh `nvae` are then near N(0, I), under p and under q


def _units(hidden: tuple[int, ...] | None, latent_dims: tuple[int, ...]) -> tuple[int, ...]:
    """Units of each layer's networks, bottom first."""
    if hidden is None:
        return tuple(max(512 >> i, 64) for i in range(len(latent_dims)))
    if len(hidden) != len(latent_dims):
        raise ValueError(f"hidden: expected {len(latent_dims)} numbers, one for each of latent_dims, got {hidden}")
    return tuple(hidden)[::-1]


def _decoder(
    shape: tuple[int, ...], in_size: int, units: int, head: Head, channels: tuple[int, ...], activation: Activation
) -> Network:
    out = head.output_shape(shape)
    if channels:
        return ConvDecoder(in_size, tuple(channels)[::-1], out)  # type: ignore[arg-type]
    return MLP((in_size, units, units, math.prod(out)), activation, out_shape=out)


def ladder(
    data_shape: int | tuple[int, ...],
    latent_dims: tuple[int, ...],
    *,
    hidden: tuple[int, ...] | None = None,
    channels: tuple[int, ...] = (),
    activation: Activation = "leaky_relu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> Ladder:
    """A ladder VAE with vectors of latents, with a Bernoulli likelihood unless told otherwise.

    Args:
      data_shape: shape of a datum, (H, W, C) or (D,), or D.
      latent_dims: latents of each layer, top first: the paper's is (4, 8, 16, 32, 64).
      hidden: units of the two hidden layers of each layer's networks, top first as well; unless told otherwise 512 at
        the bottom and half as many in each layer above, at least 64.
      channels: of convolutional stages between the data and the bottom layer, as in `conv_vae`; none unless
        told otherwise.
      activation: as in `networks.MLP`.
      likelihood: a head of `vaejax.heads`.
      context_dim: length of the context; 0 for none.
      **options: further arguments of `Ladder`: `objective=objectives.warm_up(num_steps)`, `remat=True`.

    >>> ladder((28, 28, 1), (4, 8, 16, 32, 64)).latent_shapes
    ((4,), (8,), (16,), (32,), (64,))
    """
    shape, head, units = sizes_of(data_shape), likelihood or heads.bernoulli(), _units(hidden, latent_dims)
    dims, wide = tuple(latent_dims)[::-1], (math.prod(shape) + context_dim, *units)
    ups: list[Network] = [MLP((a, b, b), activation, activate_output=True) for a, b in zip(wide, units, strict=False)]
    if channels:
        ups[0] = ConvEncoder(shape, tuple(channels), units[0], context_dim)  # type: ignore[arg-type]
    evidence = tuple(MLP((b, 2 * m)) for b, m in zip(units, dims, strict=True))
    decoder = _decoder(shape, dims[0] + context_dim, units[0], head, channels, activation)
    downs = _downs(dims, units, context_dim, activation)
    return Ladder(tuple(ups), evidence, downs, decoder, tuple(latent_dims), head, context_dim, **options)


def _downs(
    dims: tuple[int, ...], units: tuple[int, ...], context_dim: int, activation: Activation
) -> tuple[Network, ...]:
    """From each latent but the lowest to the parameters of the one below, top first."""
    pairs = zip(dims[1:], units[:-1], dims[:-1], strict=True)
    return tuple(MLP((above + context_dim, b, b, 2 * m), activation) for above, b, m in pairs)[::-1]


def hierarchical_vae(
    data_shape: int | tuple[int, ...],
    latent_dims: tuple[int, ...],
    *,
    hidden: tuple[int, ...] | None = None,
    channels: tuple[int, ...] = (),
    activation: Activation = "leaky_relu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> HierarchicalVAE:
    """The plain hierarchy, the baseline of the ladder; arguments as in `ladder`.

    >>> hierarchical_vae((28, 28, 1), (8, 32)).latent_shapes
    ((8,), (32,))
    """
    shape, head, units = sizes_of(data_shape), likelihood or heads.bernoulli(), _units(hidden, latent_dims)
    dims = tuple(latent_dims)[::-1]
    sizes = zip((math.prod(shape), *dims), units, dims, strict=False)
    ups: list[Network] = [MLP((a + context_dim, b, b, 2 * m), activation) for a, b, m in sizes]
    if channels:
        ups[0] = ConvEncoder(shape, tuple(channels), 2 * dims[0], context_dim)  # type: ignore[arg-type]
    decoder = _decoder(shape, dims[0] + context_dim, units[0], head, channels, activation)
    downs = _downs(dims, units, context_dim, activation)
    return HierarchicalVAE(tuple(ups), downs, decoder, tuple(latent_dims), head, context_dim, **options)


def biva(
    data_shape: int | tuple[int, ...],
    latent_dims: tuple[int, ...],
    *,
    width: int = 512,
    activation: Activation = "leaky_relu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> BIVA:
    """A fully connected BIVA with skip connections, with a Bernoulli likelihood unless told otherwise.

    Args:
      data_shape: as in `ladder`.
      latent_dims: latents of the top, and of both paths of each layer below, top first; at least two.
      width: units of the states that go up and down, and of all hidden layers.
      activation: as in `networks.MLP`.
      likelihood: a head of `vaejax.heads`.
      context_dim: length of the context; 0 for none.
      **options: further arguments of `BIVA`.

    >>> biva((28, 28, 1), (8, 16, 32)).latent_shapes
    ((8,), (16,), (32,))
    """
    shape, head, w = sizes_of(data_shape), likelihood or heads.bernoulli(), width
    first, *rest = latent_dims
    mlp = lambda *sizes: MLP(sizes, activation)  # noqa: E731
    ups = (mlp(math.prod(shape) + context_dim, w, w), *(Skip(mlp(w + m, w, w)) for m in reversed(rest)))
    rises = tuple(mlp(w, w, 2 * m) for m in reversed(latent_dims))
    priors = tuple(mlp(w, w, 4 * m) for m in rest)
    merges = tuple(mlp(2 * w, w, 2 * m) for m in rest)
    downs = (mlp(first + context_dim, w, w), *(Skip(mlp(w + 2 * m + context_dim, w, w)) for m in rest))
    decoder = _decoder(shape, w + context_dim, w, head, (), activation)
    return BIVA(ups, rises, priors, merges, downs, decoder, tuple(latent_dims), head, context_dim, **options)


def nvae(
    data_shape: tuple[int, int, int],
    *,
    scales: int = 2,
    groups: int | tuple[int, ...] = 2,
    channels: int = 32,
    latent_channels: int = 8,
    cells: int = 1,
    expand: int = 3,
    activation: Activation = "silu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> NVAE:
    """A deep hierarchy of images after NVAE, with a Bernoulli likelihood unless told otherwise.

    Latents live at `scales` sizes, the largest half that of the data: 7 and 14 for 28 x 28 and two scales.

    Args:
      data_shape: (H, W, C).
      scales: sizes of latents, each half of the next one, rounded up.
      groups: of latents at each size, or a tuple, the smallest size first.
      channels: at half size; twice as many at each smaller one.
      latent_channels: of each group.
      cells: residual cells of each group, on the way up and on the way down.
      expand: as in `networks.Cell`.
      activation: as in `networks.MLP`.
      likelihood: a head of `vaejax.heads`.
      context_dim: length of the context; 0 for none.
      **options: further arguments of `NVAE`.

    >>> nvae((28, 28, 1), groups=(2, 1)).latent_shapes
    ((7, 7, 8), (7, 7, 8), (14, 14, 8))
    """
    shape, head = sizes_of(data_shape), likelihood or heads.bernoulli()
    counts = (groups,) * scales if isinstance(groups, int) else tuple(groups)
    if len(shape) != 3:
        raise ValueError(f"data_shape: expected (height, width, channels), got {shape}")
    if cells < 1:
        raise ValueError(f"cells: expected at least 1, got {cells}")
    if scales < 1 or len(counts) != scales or min(counts) < 1:
        raise ValueError(f"groups: expected {scales} positive numbers, one for each scale, got {groups}")
    sizes = [tuple(-(-n // 2**k) for n in shape[:2]) for k in range(scales + 1)]
    widths = [max(channels // 2, 1), *(channels << k for k in range(scales))]
    up_cells = lambda c: (Cell(c, "full", activation=activation),) * cells  # noqa: E731
    down_cells = lambda c: (Cell(c, "depthwise", expand, activation),) * cells  # noqa: E731
    ups, residuals, priors, downs, latents = [], [], [], [], []
    for k in range(1, scales + 1):  # the largest size first
        c, finer, count = widths[k], widths[k - 1], counts[scales - k]
        enter = ConvLayer(shape[2] + context_dim, c, 3, 2) if k == 1 else ConvLayer(finer, c, 3, 2, None, activation)
        grow = (ConvLayer(c, finer, 3, 1, sizes[k - 1], activation),) if k > 1 else ()
        mix = ConvLayer(c + latent_channels + context_dim, c, 1)
        for i in range(count):
            ups.append(Sequential((*((enter,) if i == 0 else ()), *up_cells(c))))
            merge = ConvLayer(2 * c, c, 1), ConvLayer(c, 2 * latent_channels, 3, activation="elu", gain=_QUIET)
            residuals.append(Sequential(merge))
            priors.append(ConvLayer(c, 2 * latent_channels, 1, activation="elu", gain=_QUIET))
            downs.append(Sequential((mix, *down_cells(c), *(grow if i == 0 else ()))))
            latents.append((*sizes[k], latent_channels))
    out = head.output_shape(shape)[-1]
    leave = ConvLayer(channels + context_dim, widths[0], 3, 1, sizes[0], activation)
    decoder = Sequential((leave, *down_cells(widths[0]), ConvLayer(widths[0], out, 3, activation="elu")))
    below = priors[:-1]  # the top group has N(0, I)
    return NVAE(
        tuple(ups),
        tuple(reversed(residuals)),
        tuple(reversed(below)),
        tuple(reversed(downs)),
        decoder,
        (*sizes[scales], widths[scales]),
        tuple(reversed(latents)),
        head,
        context_dim,
        **options,
    )
