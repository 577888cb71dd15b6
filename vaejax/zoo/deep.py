"""Hierarchies: models with several layers of latents. All that belongs to the latents comes top first."""

from typing import Any

from vaejax import heads, objectives
from vaejax.heads import Head
from vaejax.models import BIVA, NVAE, HierarchicalVAE, Ladder
from vaejax.networks import MLP, Cell, ConvLayer, Network, Sequential, Skip
from vaejax.types import Activation
from vaejax.zoo.parts import Coders, DataShape, image_sizes, warmed

__all__ = ["biva", "hierarchical_vae", "ladder", "nvae"]

_WARM_UP = 0.3  # more than one layer needs more time to be in use
_FREE = 0.45  # of the divergence of all latents
_QUIET = 0.1  # the groups of a fresh `nvae` are then near N(0, I), under p and under q


def _trained(head: Head, latents: int, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a hierarchy with an objective that loses no layer, where they have none."""
    return {"objective": objectives.free_share(_FREE / latents, warmed(head, _WARM_UP), fade=0.5)} | options


def _or_balanced(head: Head, options: dict[str, Any]) -> dict[str, Any]:
    return {"objective": objectives.kl_balance(_WARM_UP, warmed(head, _WARM_UP))} | options


def _units(hidden: tuple[int, ...] | None, latent_dims: tuple[int, ...]) -> tuple[int, ...]:
    """Units of each layer's networks, bottom first."""
    if hidden is None:
        return tuple(max(512 >> i, 64) for i in range(len(latent_dims)))
    if len(hidden) != len(latent_dims):
        raise ValueError(f"hidden: expected {len(latent_dims)} numbers, one for each of latent_dims, got {hidden}")
    return tuple(hidden)[::-1]


def _rest(coders: Coders, latent_dims: tuple[int, ...], units: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of `Ladder` and `HierarchicalVAE` beside the networks on the way up."""
    dims, c = tuple(latent_dims)[::-1], coders.context_dim
    pairs = zip(dims[1:], units[:-1], dims[:-1], strict=True)
    downs = tuple(MLP((above + c, b, b, 2 * m), coders.activation) for above, b, m in pairs)[::-1]
    rest = {"downs": downs, "decoder": coders.decoder(dims[0]), "latent_shapes": tuple(latent_dims)}
    return rest | {"likelihood": coders.head, "context_dim": c}


def ladder(
    data_shape: DataShape,
    latent_dims: tuple[int, ...],
    *,
    hidden: tuple[int, ...] | None = None,
    channels: tuple[int, ...] = (),
    activation: Activation = "leaky_relu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> Ladder:
    """A ladder VAE with vectors of latents, by default with a Bernoulli likelihood.

    Args:
      data_shape: shape of a datum, (H, W, C) or (D,), or D.
      latent_dims: latents of each layer, top first: the paper's is (4, 8, 16, 32, 64).
      hidden: units of the two hidden layers of each layer's networks, top first as well (default: 512 at the bottom
        and half as many in each layer above, at least 64).
      channels: of convolutional stages between the data and the bottom layer, as in `conv_vae` (default: none).
      activation: as in `networks.MLP`.
      likelihood: a head of `vaejax.heads`.
      context_dim: length of the context; 0 for none.
      **options: further arguments of `Ladder`, for instance `remat=True`. The objective is by default
        `objectives.free_share(0.45 / L, objectives.warm_up(0.3), fade=0.5)` for L layers: without it the upper
        ones of a ladder of MNIST are empty, however slow the warm-up is.

    >>> ladder((28, 28, 1), (4, 8, 16, 32, 64)).latent_shapes
    ((4,), (8,), (16,), (32,), (64,))
    """
    units, head = _units(hidden, latent_dims), likelihood or heads.bernoulli()
    coders = Coders(data_shape, head, context_dim, units[:1] * 2, activation, channels)
    wide = coders.in_size, *units
    ups: list[Network] = [MLP((a, b, b), activation, activate_output=True) for a, b in zip(wide, units, strict=False)]
    if channels:
        ups[0] = coders.encoder(units[0])
    evidence = tuple(MLP((b, 2 * m)) for b, m in zip(units, reversed(latent_dims), strict=True))
    return Ladder(tuple(ups), evidence, **_rest(coders, latent_dims, units), **_trained(head, len(units), options))


def hierarchical_vae(
    data_shape: DataShape,
    latent_dims: tuple[int, ...],
    *,
    hidden: tuple[int, ...] | None = None,
    channels: tuple[int, ...] = (),
    activation: Activation = "leaky_relu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> HierarchicalVAE:
    """The plain hierarchy, the baseline of the ladder; arguments as in `ladder`, and its objective.

    >>> hierarchical_vae((28, 28, 1), (8, 32)).latent_shapes
    ((8,), (32,))
    """
    units, head, dims = _units(hidden, latent_dims), likelihood or heads.bernoulli(), tuple(latent_dims)[::-1]
    coders = Coders(data_shape, head, context_dim, units[:1] * 2, activation, channels)
    sizes = zip(dims[:-1], units[1:], dims[1:], strict=True)
    ups = coders.encoder(2 * dims[0]), *(MLP((a + context_dim, b, b, 2 * m), activation) for a, b, m in sizes)
    return HierarchicalVAE(ups, **_rest(coders, latent_dims, units), **_trained(head, len(units), options))


def biva(
    data_shape: DataShape,
    latent_dims: tuple[int, ...],
    *,
    width: int = 512,
    activation: Activation = "leaky_relu",
    likelihood: Head | None = None,
    context_dim: int = 0,
    **options: Any,
) -> BIVA:
    """A fully connected BIVA with skip connections, by default with a Bernoulli likelihood.

    Args:
      latent_dims: latents of the top, and of both paths of each layer below, top first; at least two.
      width: units of the states that go up and down, and of all hidden layers.
      **options: further arguments of `BIVA`. The objective is by default that of `ladder`.

    >>> biva((28, 28, 1), (8, 16, 32)).latent_shapes
    ((8,), (16,), (32,))
    """
    head, w, (first, *rest) = likelihood or heads.bernoulli(), width, latent_dims
    coders = Coders(data_shape, head, context_dim, (w, w), activation)
    mlp = lambda *sizes: MLP(sizes, activation)  # noqa: E731
    ups = (mlp(coders.in_size, w, w), *(Skip(mlp(w + m, w, w)) for m in reversed(rest)))
    rises = tuple(mlp(w, w, 2 * m) for m in reversed(latent_dims))
    priors = tuple(mlp(w, w, 4 * m) for m in rest)
    merges = tuple(mlp(2 * w, w, 2 * m) for m in rest)
    downs = (mlp(first + context_dim, w, w), *(Skip(mlp(w + 2 * m + context_dim, w, w)) for m in rest))
    decoder = coders.decoder(w)
    return BIVA(
        ups,
        rises,
        priors,
        merges,
        downs,
        decoder,
        tuple(latent_dims),
        head,
        context_dim,
        **_trained(head, 2 * len(latent_dims) - 1, options),
    )


def nvae(
    data_shape: DataShape,
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
    """A deep hierarchy of images after NVAE, by default with a Bernoulli likelihood.

    Latents live at `scales` sizes, the largest half that of the data: 7 and 14 for 28 x 28 and two scales.

    Args:
      data_shape: (H, W, C).
      scales: sizes of latents, each half of the next one, rounded up.
      groups: of latents at each size, or a tuple, the smallest size first.
      channels: at half size; twice as many at each smaller one.
      latent_channels: of each group.
      cells: residual cells of each group, on the way up and on the way down.
      expand: as in `networks.Cell`.
      **options: further arguments of `NVAE`. The objective is by default
        `objectives.kl_balance(0.3, objectives.warm_up(0.3))`.

    >>> nvae((28, 28, 1), groups=(2, 1)).latent_shapes
    ((7, 7, 8), (7, 7, 8), (14, 14, 8))
    """
    shape, head = image_sizes(data_shape), likelihood or heads.bernoulli()
    counts = (groups,) * scales if isinstance(groups, int) else tuple(groups)
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
        **_or_balanced(head, options),
    )
