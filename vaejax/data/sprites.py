"""Images of one shape on a dark ground, drawn from five known factors: the data of disentanglement scores."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.checks import require_each_row, require_integer
from vaejax.data.dataset import Dataset, Split
from vaejax.types import Array, ArrayLike, Key

__all__ = ["Sprites", "sprites"]

NAMES = ("shape", "scale", "orientation", "x", "y")
SIZES = (3, 6, 40, 32, 32)
_AREA = 0.1  # of every shape at scale 1, the image being 1
_HEART_AREA, _HEART_CENTRE = 3.661972, 0.293480  # of the curve below, by quadrature
_AT_ONCE = 256  # images a program: one shape of program gives the same bits for one image and for many


def _turns() -> np.ndarray:
    """Cosine and sine of 40 angles, the same digits in every quadrant, so that symmetries hold to the bit."""
    angle = np.arange(10) * (2.0 * math.pi / 40)
    cos, sin = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    return np.concatenate([np.stack(pair, 1) for pair in ((cos, sin), (-sin, cos), (-cos, -sin), (sin, -cos))])


def _image(factors: Array, size: int) -> Array:
    """One image, (S, S, 1) uint8, of one row of factors."""
    shape, scale, orientation, x, y = factors
    cos, sin = jnp.asarray(_turns())[orientation]
    pixel = (jnp.arange(size) + 0.5) / size
    right = (pixel - (x + 16.5) / 64.0)[None, :]
    up = ((y + 16.5) / 64.0 - pixel)[:, None]
    r = (0.5 + scale / 10.0) * math.sqrt(_AREA)
    u, v = (cos * right + sin * up) / r, (cos * up - sin * right) / r
    square = jnp.maximum(jnp.abs(u), jnp.abs(v)) - 0.5
    ellipse = u**2 / 1.5 + v**2 * 1.5 - 1.0 / math.pi
    u, v = u * math.sqrt(_HEART_AREA), v * math.sqrt(_HEART_AREA) + _HEART_CENTRE
    heart = (u**2 + v**2 - 1.0) ** 3 - u**2 * v**3
    inside = jnp.where(shape == 0, square, jnp.where(shape == 1, ellipse, heart)) <= 0.0
    return jnp.where(inside, 255, 0).astype(jnp.uint8)[:, :, None]


@functools.partial(jax.jit, static_argnames=("size",))
def _images(factors: Array, *, size: int) -> Array:
    return jax.vmap(functools.partial(_image, size=size))(factors)


@dataclasses.dataclass(frozen=True, eq=False)
class Sprites:
    """Images with the factors that they were drawn from, and the way back from factors to images.

    Attributes:
      data: a `Dataset` to fit on: images (N, S, S, 1) uint8, 0 or 255; its labels are the shapes.
      factors: int32 (N, 5) of `data.train`, each the number of a value, from 0.
      validation_factors: of `data.validation`, or `None`.
      test_factors: of `data.test`, or `None`.
      fixed: the factors that do not vary, and their values.
      size: S.
      names: of the factors, in their order.
      sizes: how many values each factor has.
      categorical: columns whose values are names and no numbers: the shape.
    """

    data: Dataset
    factors: np.ndarray
    validation_factors: np.ndarray | None
    test_factors: np.ndarray | None
    fixed: Mapping[str, int]
    size: int
    names: ClassVar[tuple[str, ...]] = NAMES
    sizes: ClassVar[tuple[int, ...]] = SIZES
    categorical: ClassVar[tuple[int, ...]] = (0,)

    @property
    def varying(self) -> tuple[int, ...]:
        """Columns of the factors that vary."""
        return tuple(i for i, name in enumerate(self.names) if name not in self.fixed)

    def render(self, factors: ArrayLike) -> Array:
        """Draw the images of given factors, whether or not they are among those that vary.

        Args:
          factors: integers (B, 5).

        Returns:
          uint8 (B, S, S, 1) on the device, 0 or 255; equal rows give equal bits on one kind of device.

        >>> one = sprites(1, size=16, seed=0)
        >>> int((one.render([[0, 5, 0, 15, 15]]) > 0).sum())  # a square of 5 x 5 pixels
        25
        """
        factors = np.asarray(factors)
        if factors.ndim != 2 or factors.shape[1] != 5 or factors.dtype.kind not in "iu" or not len(factors):
            raise ValueError(f"factors: expected integers (B, 5), got {factors.dtype} of shape {factors.shape}")
        for i, (name, count) in enumerate(zip(self.names, self.sizes, strict=True)):
            value = factors[:, i]
            require_each_row("factors", value, (value >= 0) & (value < count), f"{name} from 0 to {count - 1}")
        return jnp.concatenate(list(_blocks(factors, self.size)))

    def draw(self, key: Key, count: int) -> np.ndarray:
        """Draw factors, independent and uniform where they vary: int32 (count, 5)."""
        drawn = jax.random.randint(key, (count, len(self.sizes)), 0, np.array(self.sizes, np.int32)[None])
        return _hold(np.array(drawn), self.fixed)


def _hold(factors: np.ndarray, fixed: Mapping[str, int]) -> np.ndarray:
    for name, value in fixed.items():
        factors[:, NAMES.index(name)] = value
    return factors


def _blocks(factors: np.ndarray, size: int) -> Iterator[Array]:
    for start in range(0, len(factors), _AT_ONCE):
        block = factors[start : start + _AT_ONCE].astype(np.int32)
        padded = np.pad(block, ((0, _AT_ONCE - len(block)), (0, 0)))
        yield _images(padded, size=size)[: len(block)]


def sprites(
    count: int = 10_000,
    *,
    test: int = 0,
    validation: int | float = 0,
    seed: int = 0,
    fixed: Mapping[str, int] | None = None,
    size: int = 64,
) -> Sprites:
    r"""White sprites on black, from the grid of five independent factors that dSprites has.

    | column | factor | values |
    |---|---|---|
    | 0 | shape | square, ellipse (axes 3 : 2), heart $(u^2+v^2-1)^3 \le u^2v^3$ |
    | 1 | scale | .5, .6, ..., 1 |
    | 2 | orientation | $2\pi k/40$, counter-clockwise |
    | 3 | x | 32 steps of 1/64 of the image's width, to the right |
    | 4 | y | 32 steps of 1/64 of its height, downwards |

    A pixel is on where its centre is inside the turned, scaled and moved shape. All shapes have a tenth of
    the image's area at scale 1 and their centroid at (x, y), and none is cut off at the border. Rows are drawn
    without repetition, so that no row of factors is in two parts of the data.

    A square looks the same after 10 steps of orientation and an ellipse after 20, as in dSprites: the images
    cannot tell their orientation, and no code of them has it.

    Args:
      count: images to train on, at most those of the grid (737 280 if nothing is fixed).
      test: images to test on.
      validation: images (or their share) cut from train; 0 for none.
      seed: of the draw and of the choice.
      fixed: factors that do not vary and their values, such as `{"shape": 2, "orientation": 0}`.
      size: S, pixels a side, at least 8.

    Returns:
      A `Sprites`.

    Differs from dSprites: drawn here and not downloaded; orientation 0 and 39 are not the same angle; the sizes
    of the shapes are its own.

    Reference: Matthey, Higgins, Hassabis and Lerchner, *dSprites*, 2017.

    >>> hearts = sprites(100, seed=0, size=32, fixed={"shape": 2})
    >>> hearts.data.train.x.shape, hearts.factors[0].tolist()
    ((100, 32, 32, 1), [2, 1, 23, 10, 28])
    """
    fixed = dict(fixed or {})
    require_integer("size", size, 8)
    whole = require_integer("count", count) + require_integer("test", test, 0)
    for name, value in fixed.items():
        if name not in NAMES:
            raise ValueError(f"fixed: expected names out of {', '.join(NAMES)}, got {name!r}")
        require_integer(f"fixed[{name!r}]", value, 0, SIZES[NAMES.index(name)] - 1)
    grid = tuple(1 if name in fixed else values for name, values in zip(NAMES, SIZES, strict=True))
    if whole > math.prod(grid):
        raise ValueError(f"count, test: expected at most {math.prod(grid)} images together, got {whole}")
    cells = np.random.default_rng(seed).choice(math.prod(grid), whole, replace=False)
    factors = _hold(np.stack(np.unravel_index(cells, grid), 1).astype(np.int32), fixed)
    images = np.concatenate([np.asarray(block) for block in _blocks(factors, size)])
    shapes, seen, unseen = factors[:, 0], slice(count), slice(count, whole)
    data, known = (
        Dataset(Split(x[seen], shapes[seen]), test=Split(x[unseen], shapes[unseen]) if test else None)
        for x in (images, factors)
    )
    data, known = data.cut(validation, seed), known.cut(validation, seed)  # the same seed chooses the same rows
    held, out = (None if part is None else part.x for part in known.parts[1:])
    return Sprites(data, known.train.x, held, out, fixed, int(size))
