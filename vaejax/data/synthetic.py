r"""The synthetic sets of the sources, with what they print corrected and `form="literal"` beside it.

All of them are functions of a seed and return float32 rows; noise is given by its variance, as the
sources give it. The generators of Guo, Liao and Zhou, *Variational Autoencoders*, section 4, are
`gaussian_axis`, `gaussian_rotated`, `figure_eight`, `three_blobs` and `gaussian_mixture`. Each returns a
`Dataset` of rows (N, 2) and takes

- `count`: rows to train on;
- `test`: rows to test on, half of `count` by default;
- `validation`: rows (or share of them) cut from train, 0 for none;
- `seed`: of the draws and of the choice;
- `noise_variance`: variance of each entry of the noise.
"""

import math

import numpy as np

from vaejax.data.dataset import Dataset, Split, hold_out

__all__ = [
    "draw_dataset",
    "figure_eight",
    "gaussian_axis",
    "gaussian_mixture",
    "gaussian_noise",
    "gaussian_rotated",
    "three_blobs",
]


def draw_dataset(make, count: int, test: int | None, validation: int | float, seed: int) -> Dataset:
    """Draw train and test from independent streams of one seed."""
    test = count // 2 if test is None else test
    for name, value in (("count", count), ("test", test)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < (name == "count"):
            raise ValueError(
                f"{name}: expected a {'positive' if name == 'count' else 'non-negative'} integer, got {value!r}"
            )
    streams = np.random.SeedSequence(seed).spawn(2)
    splits = []
    for stream, size in zip(streams, (count, test), strict=True):
        x, y = make(np.random.default_rng(stream), int(size))
        splits.append(Split(x.astype(np.float32), None if y is None else y.astype(np.int32)))
    train, held = hold_out(splits[0], validation, seed)
    return Dataset(train, held, splits[1] if test else None)


def _form(form: str) -> bool:
    if form not in ("corrected", "literal"):
        raise ValueError(f"form: expected corrected or literal, got {form!r}")
    return form == "literal"


def gaussian_noise(rng: np.random.Generator, shape: tuple[int, ...], variance: float) -> np.ndarray:
    """Centred Gaussian noise of a given variance."""
    if not variance >= 0:
        raise ValueError(f"noise_variance: expected a non-negative number, got {variance!r}")
    return math.sqrt(variance) * rng.normal(size=shape)


def gaussian_axis(
    count: int = 20_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    noise_variance: float = 0.2,
) -> Dataset:
    r"""$x = \mathrm{diag}(3, \tfrac13)\,z + \epsilon$, $z \sim N(0, I_2)$ (section 4.1). Entropy 3.36368 nats."""
    return _linear(np.eye(2), count, test, validation, seed, noise_variance)


def gaussian_rotated(
    count: int = 20_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    noise_variance: float = 0.2,
) -> Dataset:
    r"""$x = R(\pi/3)\,\mathrm{diag}(3, \tfrac13)\,z + \epsilon$ (section 4.2). Entropy 3.36368 nats at 0.2."""
    c, s = math.cos(math.pi / 3), math.sin(math.pi / 3)
    return _linear(np.array([[c, -s], [s, c]]), count, test, validation, seed, noise_variance)


def _linear(rotation, count, test, validation, seed, noise_variance) -> Dataset:
    def make(rng, n):
        z = rng.normal(size=(n, 2))
        return z @ (rotation @ np.diag([3.0, 1.0 / 3.0])).T + gaussian_noise(rng, (n, 2), noise_variance), None

    return draw_dataset(make, count, test, validation, seed)


def _curve(curve, form, count, test, validation, seed, noise_variance) -> Dataset:
    literal = _form(form)

    def make(rng, n):
        z = rng.normal(size=(n, 2)) if literal else rng.normal(size=(n, 1))
        x = np.stack([axis(z[:, i % z.shape[1]]) for i, axis in enumerate(curve)], 1)
        return (x * z if literal else x) + gaussian_noise(rng, (n, 2), noise_variance), None

    return draw_dataset(make, count, test, validation, seed)


def figure_eight(
    count: int = 40_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    noise_variance: float = 0.04,
    form: str = "corrected",
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

    turn = 1.0 if _form(form) else math.pi
    angle = lambda z: (0.6 + 1.8 * ndtr(z)) * turn  # noqa: E731
    first = lambda z: math.sqrt(2) / 2 * np.cos(angle(z)) / (np.sin(angle(z)) ** 2 + 1)  # noqa: E731
    second = lambda z: math.sqrt(2) * np.cos(angle(z)) * np.sin(angle(z)) / (np.sin(angle(z)) ** 2 + 1)  # noqa: E731
    return _curve((first, second), form, count, test, validation, seed, noise_variance)


def three_blobs(
    count: int = 40_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    noise_variance: float = 0.2,
    form: str = "corrected",
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

    def angle(z):
        u = 2.0 * math.pi * expit(0.5 * math.pi * z)
        floor = np.floor(u / 2.0)
        return 2.0 * np.tanh(10.0 * u - 20.0 * floor - 10.0) + 4.0 * floor + 2.0

    curve = (lambda z: np.cos(angle(z)), lambda z: np.sin(angle(z)))
    return _curve(curve, form, count, test, validation, seed, noise_variance)


def gaussian_mixture(
    count: int = 40_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    form: str = "corrected",
    equilateral: bool = False,
) -> Dataset:
    r"""Three Gaussians of covariance diag(3, 1/3), turned by 0, $2\pi/3$, $\pi/3$ (section 4.5); y is the component.

    The component is $\lfloor 3z\rfloor$ with $z \sim U[0, 1]$. The third offset lost a sign in the source:
    it is $(+3\sqrt3, -3\sqrt3/2)$. Entropy 3.9365 nats, 3.6581 as printed.

    `form="literal"` keeps the third offset as printed, on top of the second; `equilateral` puts the lower
    offsets at $\pm4.5$, which makes the triangle equilateral.
    """
    if _form(form) and equilateral:
        raise ValueError('equilateral: expected False with form="literal", got True')
    wide, low = 4.5 if equilateral else 3.0 * math.sqrt(3.0), -1.5 * math.sqrt(3.0)
    right = -wide if _form(form) else wide
    offsets = np.array([[0.0, 3.0 * math.sqrt(3.0)], [-wide, low], [right, low]])
    turns = np.array([0.0, 2.0 * math.pi / 3.0, math.pi / 3.0])
    rotations = np.stack([[[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]] for t in turns])

    def make(rng, n):
        component = np.floor(3.0 * rng.random(n)).astype(int)
        y = rng.normal(size=(n, 2)) * np.sqrt([3.0, 1.0 / 3.0])
        return np.einsum("nij,nj->ni", rotations[component], y) + offsets[component], component

    return draw_dataset(make, count, test, validation, seed)
