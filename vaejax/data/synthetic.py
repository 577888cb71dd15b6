r"""The synthetic sets of the sources: corrected, and as printed with `form="literal"`.

Each is a function of a seed that returns a `Dataset` of float32 rows. The generators of Guo, Liao and Zhou,
*Variational Autoencoders*, section 4, are `gaussian_axis`, `gaussian_rotated`, `figure_eight`, `three_blobs` and
`gaussian_mixture`, with rows (N, 2); `ring` is Doersch's and `manifold` that of Dai and Wipf.

Arguments that all of them share:
  count: rows to train on.
  test: rows to test on; default: half of `count`.
  validation: rows (or share of them) cut from train; 0 for none.
  seed: of the draws and of the choice.
  noise_variance: variance of each entry of the noise, as the sources give it.
"""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, TypedDict, Unpack

import numpy as np

from vaejax.checks import require_choice, require_integer, require_number
from vaejax.data.dataset import Dataset, Split

__all__ = [
    "Parts",
    "figure_eight",
    "gaussian_axis",
    "gaussian_mixture",
    "gaussian_rotated",
    "manifold",
    "ring",
    "three_blobs",
]

Form: TypeAlias = Literal["corrected", "literal"]
_STRETCH = np.diag([3.0, 1.0 / 3.0])


class Parts(TypedDict, total=False):
    """Keywords that all generators share."""

    test: int | None
    validation: int | float
    seed: int


def _draw_dataset(
    draw: Callable[[np.random.Generator, int], np.ndarray | tuple[np.ndarray, np.ndarray]],
    count: int,
    noise_variance: float = 0.0,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
) -> Dataset:
    """Train and test from independent streams of one seed; `draw` gives rows, or rows and labels. 0 draws no noise."""
    count = require_integer("count", count)
    test = require_integer("test", count // 2 if test is None else test, 0)
    noise = math.sqrt(require_number("noise_variance", noise_variance, least=0))
    splits = []
    for stream, size in zip(np.random.SeedSequence(seed).spawn(2), (count, test), strict=True):
        rng = np.random.default_rng(stream)
        drawn = draw(rng, size)
        x, y = drawn if isinstance(drawn, tuple) else (drawn, None)
        x = x + noise * rng.normal(size=x.shape) if noise else x
        splits.append(Split(x.astype(np.float32), None if y is None else y.astype(np.int32)))
    return Dataset(splits[0], test=splits[1] if test else None).cut(validation, seed)


def gaussian_axis(count: int = 20_000, *, noise_variance: float = 0.2, **parts: Unpack[Parts]) -> Dataset:
    r"""$x = \mathrm{diag}(3, \tfrac13)\,z + \epsilon$, $z \sim N(0, I_2)$ (section 4.1). Entropy 3.36368 nats."""
    return _draw_dataset(
        lambda rng, n: rng.normal(size=(n, 2)) @ np.diag([3.0, 1.0 / 3.0]), count, noise_variance, **parts
    )


def gaussian_rotated(count: int = 20_000, *, noise_variance: float = 0.2, **parts: Unpack[Parts]) -> Dataset:
    r"""$x = R(\pi/3)\,\mathrm{diag}(3, \tfrac13)\,z + \epsilon$ (section 4.2). Entropy 3.36368 nats at 0.2."""
    across = (_rotation(math.pi / 3) @ _STRETCH).T
    return _draw_dataset(lambda rng, n: rng.normal(size=(n, 2)) @ across, count, noise_variance, **parts)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _is_literal(form: Form) -> bool:
    return require_choice("form", form, ("corrected", "literal")) == "literal"


def _curve(
    curve: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], form: Form
) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draws of points on a curve of a scalar; in the literal form of two, one an axis, and times them."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.normal(size=(n, 2 if _is_literal(form) else 1))
        first, second = curve(z)
        x = np.stack([first[:, 0], second[:, -1]], 1)
        return x * z if _is_literal(form) else x

    return draw


def figure_eight(
    count: int = 40_000, *, noise_variance: float = 0.04, form: Form = "corrected", **parts: Unpack[Parts]
) -> Dataset:
    r"""A lemniscate with noise (section 4.3), $u = (0.6 + 1.8\,\Phi(z))\,\pi$ with a scalar $z \sim N(0, 1)$.

    $$x = \Big(\tfrac{\sqrt2}{2}\,\frac{\cos u}{1 + \sin^2 u},\;
    \sqrt2\,\frac{\cos u \sin u}{1 + \sin^2 u}\Big) + \epsilon$$

    The source lost the factor $\pi$ and trails a z; at its noise variance 0.2 the density is
    unimodal and .0046 nats from a Gaussian, so the default is 0.04. Entropy at .02, .04, .2: .8848,
    1.1337, 1.8202 nats.

    `form="literal"` draws z in two dimensions, applies u as printed (without $\pi$) elementwise and multiplies by z.
    """
    from scipy.special import ndtr  # its import changes the warning filters

    turn = 1.0 if _is_literal(form) else math.pi

    def curve(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = (0.6 + 1.8 * ndtr(z)) * turn
        below = np.sin(u) ** 2 + 1
        return math.sqrt(2) / 2 * np.cos(u) / below, math.sqrt(2) * np.cos(u) * np.sin(u) / below

    return _draw_dataset(_curve(curve, form), count, noise_variance, **parts)


def three_blobs(
    count: int = 40_000, *, noise_variance: float = 0.2, form: Form = "corrected", **parts: Unpack[Parts]
) -> Dataset:
    r"""Three blobs on the unit circle (section 4.4), with a scalar $z \sim N(0, 1)$.

    $$u = \frac{2\pi}{1 + e^{-\pi z/2}},\quad
    t = 2\tanh\big(10u - 20\lfloor u/2\rfloor - 10\big) + 4\lfloor u/2\rfloor + 2,\quad
    x = (\cos t, \sin t) + \epsilon$$

    The source trails a z. Entropy at .02, .04, .2: .6317, 1.1637, 2.2839 nats; at .2 there are exactly
    three modes, near (-.64, -.75), (-.14, .98) and (.88, -.35).

    `form="literal"` draws z in two dimensions, applies the functions elementwise and multiplies by z.
    """
    from scipy.special import expit

    def curve(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = 2.0 * math.pi * expit(0.5 * math.pi * z)
        floor = np.floor(u / 2.0)
        t = 2.0 * np.tanh(10.0 * u - 20.0 * floor - 10.0) + 4.0 * floor + 2.0
        return np.cos(t), np.sin(t)

    return _draw_dataset(_curve(curve, form), count, noise_variance, **parts)


def gaussian_mixture(
    count: int = 40_000, *, form: Form = "corrected", equilateral: bool = False, **parts: Unpack[Parts]
) -> Dataset:
    r"""Three Gaussians of covariance diag(3, 1/3), turned by 0, $2\pi/3$, $\pi/3$ (section 4.5); y is the component.

    The component is $\lfloor 3z\rfloor$ with $z \sim U[0, 1]$. The third offset lost a sign in the source:
    it is $(+3\sqrt3, -3\sqrt3/2)$. Entropy 3.9365 nats, 3.6581 as printed.

    `form="literal"` keeps the third offset as printed, on top of the second; `equilateral` puts the lower
    offsets at $\pm4.5$, which makes the triangle equilateral.
    """
    if _is_literal(form) and equilateral:
        raise ValueError('equilateral: expected False with form="literal", got True')
    wide, low = 4.5 if equilateral else 3.0 * math.sqrt(3.0), -1.5 * math.sqrt(3.0)
    offsets = np.array([[0.0, 3.0 * math.sqrt(3.0)], [-wide, low], [-wide if _is_literal(form) else wide, low]])
    rotations = np.stack([_rotation(angle) for angle in (0.0, 2.0 * math.pi / 3.0, math.pi / 3.0)])

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        component = np.floor(3.0 * rng.random(n)).astype(int)
        y = rng.normal(size=(n, 2)) * np.sqrt([3.0, 1.0 / 3.0])
        return np.einsum("nij,nj->ni", rotations[component], y) + offsets[component], component

    return _draw_dataset(draw, count, **parts)


def ring(count: int = 10_000, *, noise_variance: float = 0.0, **parts: Unpack[Parts]) -> Dataset:
    r"""A ring, the pushforward of $z \sim N(0, I_2)$ by $g(z) = z/10 + z/\|z\|$ (Doersch, 2016, figure 2).

    Rows (N, 2); the source has no noise.
    """

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.normal(size=(n, 2))
        return z / 10.0 + z / np.linalg.norm(z, axis=1, keepdims=True)

    return _draw_dataset(draw, count, noise_variance, **parts)


def manifold(
    r: int,
    d: int,
    count: int = 10_000,
    *,
    noise_variance: float = 0.0,
    curvature: float = 1.0,
    **parts: Unpack[Parts],
) -> Dataset:
    r"""Data on an r-dimensional manifold in $R^d$: $x = Az + c\,B\sin(Cz) + \epsilon$ with $z \sim N(0, I_r)$.

    A and B are orthonormal and orthogonal to each other, C is Gaussian: the map is smooth and one to
    one. It is the setting of Dai and Wipf, 2019, where the data have a density on the manifold only.

    Rows (N, d); the seed is of the map as well.

    Args:
      r: dimension of the manifold, at least 1.
      d: dimension of the space, more than r.
      curvature: c; 0 gives a linear subspace.
    """
    require_integer("d", d, require_integer("r", r) + 1)
    rng = np.random.default_rng([parts.get("seed", 0), r, d])
    bend = min(r, d - r)
    frame = np.linalg.qr(rng.normal(size=(d, r + bend)))[0]
    mix = rng.normal(size=(bend, r)) * (2.0 / math.sqrt(r))

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.normal(size=(n, r))
        return z @ frame[:, :r].T + curvature * np.sin(z @ mix.T) @ frame[:, r:].T

    return _draw_dataset(draw, count, noise_variance, **parts)
