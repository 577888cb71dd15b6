"""A user's arrays, tables and named columns: what they become, and what is said of it."""

import jax
import numpy as np
import pytest
from PIL import Image

import vaejax as vj
from vaejax import data


def saved(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    return data.from_file(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "shape, dtype, becomes, told",
    [
        ((9, 4), np.float32, (9, 4), ()),
        ((9, 4), np.float64, (9, 4), ()),
        ((9, 4), np.uint8, (9, 4), ("uint8 became float64",)),
        ((9, 5, 4), np.uint8, (9, 5, 4, 1), ("images of one channel",)),
        ((9, 5, 4, 3), np.uint8, (9, 5, 4, 3), ()),
        ((9, 3, 5, 4), np.uint8, (9, 5, 4, 3), ("channels moved to the end",)),
        ((9, 1, 5, 4), np.float64, (9, 5, 4, 1), ("channels moved to the end", "became float32")),
    ],
)
def test_every_conversion_is_stated(tmp_path, shape, dtype, becomes, told):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = saved(tmp_path, array)
    assert found.train.x.shape == becomes and len(found.notes) == len(told)
    assert all(words in note for words, note in zip(told, found.notes, strict=True))
    table = np.float32 if dtype == np.float32 else np.float64
    assert found.train.x.dtype == (table if len(shape) == 2 else np.uint8 if dtype == np.uint8 else np.float32)
    same = array if becomes == shape else np.moveaxis(array, 1, -1) if array.ndim == 4 else array[..., None]
    np.testing.assert_array_equal(found.train.x, same)


def test_standardised_rows_and_their_jacobian():
    rng = np.random.default_rng(0)
    x = rng.normal([5.0, -1e4, 2.0], [1e-3, 1e3, 1.0], (400, 3))
    x[:, 2] = 7.0
    x[3, 0] = np.nan
    split = data.Split(x[:300].astype(np.float64), np.arange(300, dtype=np.int32))
    found = data.standardize(data.Dataset(split, None, data.Split(x[300:])))
    assert "columns [2] are constant" in found.notes[-1] and found.train.y is split.y
    np.testing.assert_allclose(np.nanmean(found.train.x, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(found.train.x, 0), [1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(found.scaling.undo(found.test.x), x[300:], rtol=1e-5)
    assert found.scaling.log_jacobian == pytest.approx(-np.log(np.nanstd(x[:300, 0])) - np.log(x[:300, 1].std()))
    with pytest.raises(ValueError, match="in standard units already"):
        data.standardize(found)
    with pytest.raises(ValueError, match="expected a table"):
        data.standardize(data.digits())
    with pytest.raises(ValueError, match="column 1 has no finite mean"):
        data.standardize(np.array([[1.0, np.nan], [2.0, np.nan]]))


class HuggingFace:
    """What `datasets.Dataset` looks like from outside: named columns, images of PIL in lists."""

    def __init__(self, **columns):
        self._columns = columns
        self.column_names = list(columns)

    def __getitem__(self, name):
        return self._columns[name]


def images(count):
    return [Image.fromarray(np.full((6, 5), i, np.uint8)) for i in range(count)]


def test_data_sets_of_hugging_face():
    parts = {
        "train": HuggingFace(image=images(8), label=list(range(8))),
        "test": HuggingFace(image=images(2), label=[0, 1]),
    }
    found = data.from_columns(parts, validation=3)
    assert found.train.x.shape == (5, 6, 5, 1) and found.validation.y.dtype == np.int32 and len(found.test) == 2
    assert found.train.x[:, 0, 0, 0].tolist() == found.train.y.tolist()
    assert any("images of one channel" in note for note in found.notes)
    one = data.from_columns(HuggingFace(img=images(4), fine_label=[1, 2, 3, 4], other=[0] * 4))
    assert one.train.x.shape == (4, 6, 5, 1) and one.test is None
    named = data.from_columns({"a": np.ones((3, 2)), "b": np.ones((3, 4))}, x="b")
    assert named.train.x.shape == (3, 4) and named.train.y is None


@pytest.mark.parametrize(
    "columns, options, told",
    [
        ({"a": np.ones((3, 2))}, {}, "expected one of the columns x, image"),
        ({"a": np.ones((3, 2))}, {"x": "c"}, "expected the column 'c', got \\['a'\\]"),
        ({"x": [np.ones((2, 2), np.uint8), np.ones((3, 2), np.uint8)]}, {}, "shape \\(3, 2\\) in row 1"),
        ({"x": np.ones((3, 2)), "y": np.array(["u", "v", "w"])}, {}, "integer labels"),
        ({"x": np.ones((3, 2)), "y": np.arange(4)}, {}, "expected \\(3,\\) labels"),
        (np.ones((3, 2)), {}, "expected named columns"),
    ],
)
def test_columns_that_cannot_be_used(columns, options, told):
    with pytest.raises(ValueError, match=told):
        data.from_columns(columns, **options)


def test_float_images_are_trained_on(tmp_path):
    found = saved(tmp_path, np.random.default_rng(0).random((30, 6, 5)))
    model = vj.zoo.sigma_vae(found.train.x.shape[1:], 2, hidden=(8,))
    assert np.isfinite(vj.fit(model, jax.random.key(0), found, epochs=1).history["value"]).all()


def test_shares_are_parts_of_train_alone():
    whole = data.digits()
    parts = [data.share(whole, i, 3) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate([part.train.x for part in parts]), whole.train.x)
    assert all(part.validation is whole.validation for part in parts)
    with pytest.raises(ValueError, match="index: expected 0 to 2, got 3"):
        data.share(whole, 3, 3)


def test_dequantize():
    images = data.digits().train.x[:20]
    grey = data.dequantize(images, levels=17, seed=1)
    np.testing.assert_array_equal(np.floor(grey * 17), images / 15)
    assert grey.dtype == np.float32 and grey.max() < 1 and np.any(grey != data.dequantize(images, levels=17, seed=2))
    for x, levels, words in (
        (images / 255.0, 17, "expected uint8"),
        (images + np.uint8(1), 17, "multiples of 15"),
        (images, 1, "levels: expected an integer from 2 to 256"),
    ):
        with pytest.raises(ValueError, match=words):
            data.dequantize(x, levels=levels)
