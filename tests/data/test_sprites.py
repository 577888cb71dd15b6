"""Sprites: what is drawn is what the factors say."""

import jax
import numpy as np
import pytest

from vaejax import data

NAMES = ("shape", "scale", "orientation", "x", "y")


@pytest.fixture(scope="module")
def some():
    return data.sprites(600, test=40, validation=50, seed=3)


def on(images):
    return np.asarray(images)[..., 0] > 0


def centres(images):
    """Centre of mass in units of the image, (N, 2) as x and y."""
    mask, pixel = on(images), (np.arange(images.shape[1]) + 0.5) / images.shape[1]
    count = mask.sum((1, 2))
    return np.stack([mask.sum(1) @ pixel / count, mask.sum(2) @ pixel / count], 1)


def test_sizes_types_and_parts(some):
    train, validation, test = some.data.parts
    assert train.x.shape == (550, 64, 64, 1) and validation.x.shape == (50, 64, 64, 1) and test.x.shape[0] == 40
    assert train.x.dtype == np.uint8 and set(np.unique(train.x)) == {0, 255}
    assert some.factors.shape == (550, 5) and some.factors.dtype == np.int32
    assert some.names == NAMES and some.sizes == (3, 6, 40, 32, 32) and some.varying == (0, 1, 2, 3, 4)
    for part, factors in zip(some.data.parts, (some.factors, some.validation_factors, some.test_factors), strict=True):
        np.testing.assert_array_equal(np.asarray(some.render(factors)), part.x)
        np.testing.assert_array_equal(part.y, factors[:, 0])
    rows = np.concatenate([some.factors, some.validation_factors, some.test_factors])
    assert len(np.unique(rows, axis=0)) == 640
    alone = data.sprites(3, size=16)
    assert alone.data.test is None and alone.test_factors is None and alone.validation_factors is None


def test_the_seed_decides(some):
    again = data.sprites(600, test=40, validation=50, seed=3)
    np.testing.assert_array_equal(again.data.train.x, some.data.train.x)
    np.testing.assert_array_equal(again.factors, some.factors)
    assert np.any(data.sprites(600, seed=4).factors[:550] != some.factors)


def test_the_centre_of_mass_is_x_and_y(some):
    wanted = (some.factors[:, 3:] + 16.5) / 64
    np.testing.assert_allclose(centres(some.data.train.x), wanted, atol=0.3 / 64)


def test_a_step_is_a_pixel_and_nothing_is_cut_off(some):
    mask = on(some.data.train.x)
    assert not (mask[:, 0].any() or mask[:, -1].any() or mask[:, :, 0].any() or mask[:, :, -1].any())
    base, right, down = on(some.render([[2, 4, 7, 10, 20], [2, 4, 7, 11, 20], [2, 4, 7, 10, 21]]))
    np.testing.assert_array_equal(np.roll(base, 1, 1), right)
    np.testing.assert_array_equal(np.roll(base, 1, 0), down)


def test_the_area_grows_with_scale(some):
    area = on(some.data.train.x).mean((1, 2)) / (0.5 + some.factors[:, 1] / 10) ** 2
    for shape in range(3):
        np.testing.assert_allclose(area[some.factors[:, 0] == shape].mean(), 0.1, rtol=0.03)
    areas = on(some.render([[0, scale, 0, 15, 15] for scale in range(6)])).sum((1, 2))
    assert np.all(np.diff(areas) > 0)


@pytest.mark.parametrize("shape, period", [(0, 10), (1, 20), (2, 40)])
def test_orientation_has_the_period_of_the_shape(shape, period):
    turned = on(data.sprites(1, size=64).render([[shape, 5, k, 15, 15] for k in range(40)]))
    same = [k for k in range(40) if np.array_equal(turned[k], turned[0])]
    assert same == list(range(0, 40, period))
    # A quarter turn of the factor is one of the picture, counter-clockwise, about a pixel beside the picture's middle.
    np.testing.assert_array_equal(np.rot90(turned[3], 1)[1:, :], np.roll(turned[13], 1, 0)[1:, :])


def test_the_shapes_are_what_they_are_called():
    square, ellipse, heart = on(data.sprites(1).render([[shape, 5, 0, 15, 15] for shape in range(3)]))
    spans = [(mask.any(0).sum(), mask.any(1).sum()) for mask in (square, ellipse, heart)]
    assert spans[0] == (21, 21) and square.sum() == 21 * 21
    assert abs(spans[1][0] / spans[1][1] - 1.5) < 0.1
    rows = heart.sum(1)[heart.any(1)]
    assert rows[-1] <= 2 and rows[0] > 5 and heart[heart.any(1)][0].sum() < np.ptp(np.flatnonzero(heart.any(0)))
    np.testing.assert_array_equal(heart[:, :63], heart[:, :63][:, ::-1])


@pytest.mark.parametrize("size", [8, 31, 128])
def test_other_sizes_show_the_same(size):
    factors = [[shape, 5, 5, 4, 25] for shape in range(3)]
    images = data.sprites(1, size=size).render(factors)
    assert images.shape == (3, size, size, 1)
    np.testing.assert_allclose(centres(images), [[20.5 / 64, 41.5 / 64]] * 3, atol=0.5 / size)
    np.testing.assert_allclose(on(images).mean((1, 2)), 0.1, rtol=0.25 if size == 8 else 0.08)


def test_fixed_factors_do_not_vary():
    some = data.sprites(1000, size=8, fixed={"shape": 2, "orientation": 0})
    assert some.varying == (1, 3, 4)
    assert np.all(some.factors[:, [0, 2]] == [[2, 0]])
    drawn = some.draw(jax.random.key(0), 2000)
    assert drawn.dtype == np.int32 and np.all(drawn[:, [0, 2]] == [[2, 0]])
    for factors in (some.factors, drawn):
        for i in some.varying:
            count = np.bincount(factors[:, i], minlength=some.sizes[i])
            assert count.shape == (some.sizes[i],) and count.min() > 0.4 * len(factors) / some.sizes[i]
    assert np.abs(np.corrcoef(drawn[:, some.varying].T) - np.eye(3)).max() < 0.1
    whole = data.sprites(6, size=8, fixed={"shape": 0, "orientation": 0, "x": 3, "y": 4})
    assert sorted(whole.factors[:, 1]) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"count": 0}, "count: expected an integer of at least 1, got 0"),
        ({"count": 2.5}, "count: expected an integer"),
        ({"test": -1}, "test: expected an integer of at least 0"),
        ({"size": 7}, "size: expected an integer of at least 8, got 7"),
        ({"fixed": {"colour": 0}}, "fixed: expected names out of shape, scale, orientation, x, y, got 'colour'"),
        ({"fixed": {"shape": 3}}, "expected an integer from 0 to 2, got 3"),
        ({"count": 7, "fixed": {"shape": 0, "orientation": 0, "x": 3, "y": 4}}, "at most 6 images together, got 7"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.sprites(**({"count": 2, "size": 8} | options))


def test_bad_factors_are_refused():
    some = data.sprites(1, size=8)
    with pytest.raises(ValueError, match="expected y from 0 to 31, got 32 in row 1"):
        some.render([[0, 0, 0, 0, 0], [0, 0, 0, 0, 32]])
    for bad in ([0, 0, 0, 0, 0], [[0.0] * 5], np.zeros((0, 5), int), [[0, 0]]):
        with pytest.raises(ValueError, match=r"factors: expected integers \(B, 5\)"):
            some.render(bad)
