import gzip
import struct
import sys
import types
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from vaejax import data


def write_idx(path, array, zipped=True):
    blob = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(blob) if zipped else blob)


@pytest.fixture
def mnist_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count, np.uint8), zipped=False)
    return tmp_path


def test_digits():
    found = data.digits()
    assert len(found.train) == 1200 and len(found.validation) == 200 and len(found.test) == 397
    x, y = found.train.x, found.train.y
    assert x.dtype == np.uint8 and x.shape[1:] == (8, 8, 1) and y.dtype == np.int32 and set(np.unique(x % 15)) == {0}
    twin = load_digits()
    np.testing.assert_array_equal(found.test.x[..., 0], twin.images[1400:] * 15)
    np.testing.assert_array_equal(found.test.y, twin.target[1400:])
    assert data.digits(validation=0, test=0).train.x.shape[0] == 1797 and data.digits(test=0).test is None
    assert len(data.digits(validation=0.1).validation) == 140
    with pytest.raises(ValueError, match="validation: expected 0 to 1399 rows"):
        data.digits(validation=1400)
    with pytest.raises(ValueError, match="test: expected"):
        data.digits(test=1797)


def test_hold_out_keeps_every_row_once():
    split = data.Split(np.arange(50.0)[:, None], np.arange(50, dtype=np.int32))
    rest, held = data.hold_out(split, 7, seed=3)
    assert sorted([*rest.y, *held.y]) == list(range(50))
    np.testing.assert_array_equal(rest.x[:, 0], rest.y)
    with pytest.raises(ValueError, match=r"y: expected \(3,\) labels"):
        data.Split(np.ones((3, 1)), np.ones(2, np.int32))


def test_mnist_from_a_folder_and_the_variable(mnist_folder, monkeypatch):
    found = data.mnist(mnist_folder, validation=5)
    assert found.train.x.shape == (25, 28, 28, 1) and found.validation.x.shape == (5, 28, 28, 1)
    assert found.test.x.dtype == np.uint8 and found.test.y.dtype == np.int32
    monkeypatch.setenv("VAEJAX_DATA", str(mnist_folder))
    np.testing.assert_array_equal(data.mnist().test.x, found.test.x)


def test_real_mnist(mnist):
    assert mnist.train.x.shape == (60_000, 28, 28, 1) and mnist.test.x.shape == (10_000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(mnist.test.y), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    np.testing.assert_allclose(mnist.train.x.mean() / 255, 0.1306605, atol=1e-6)


def test_mnist_says_how_to_find_it(monkeypatch, tmp_path):
    monkeypatch.delenv("VAEJAX_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(FileNotFoundError, match=r"(?s)VAEJAX_DATA.*vaejax\[data\]"):
        data.mnist()
    with pytest.raises(FileNotFoundError, match="holds no train-images-idx3-ubyte"):
        data.mnist(tmp_path)


def test_mnist_through_tfds(monkeypatch):
    monkeypatch.delenv("VAEJAX_DATA", raising=False)
    rows = [{"image": np.full((28, 28, 1), i, np.uint8), "label": i % 10} for i in range(12)]
    source = mock.Mock(side_effect=[rows, rows[:4], RuntimeError("not prepared")])
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", types.SimpleNamespace(data_source=source))
    found = data.mnist()
    assert source.mock_calls == [mock.call("mnist", split=part, download=False) for part in ("train", "test")]
    assert found.train.x.shape == (12, 28, 28, 1) and found.test.y.tolist() == [0, 1, 2, 3]
    assert found.train.x[5, 0, 0, 0] == 5
    with pytest.raises(FileNotFoundError, match="download_and_prepare"):
        data.mnist()


def test_npy_and_npz(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(10, 3)), np.arange(10)
    np.save(tmp_path / "a.npy", x)
    found = data.from_file(tmp_path / "a.npy", validation=2)
    assert found.train.x.dtype == np.float64 and len(found.train) == 8 and found.test is None
    np.savez(tmp_path / "b.npz", x=x, y=y, x_test=x[:4], y_test=y[:4])
    found = data.from_file(tmp_path / "b.npz")
    np.testing.assert_allclose(found.train.x, x.astype(np.float32))
    assert found.train.y.dtype == np.int32 and found.test.x.shape == (4, 3)
    np.savez_compressed(tmp_path / "c.npz", pixels=np.zeros((4, 8, 8), np.uint8))
    assert data.from_file(tmp_path / "c.npz").train.x.shape == (4, 8, 8, 1)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    np.testing.assert_allclose(data.from_file(tmp_path / "f.npy").train.x, x.astype(np.float32))


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,kind\n1,2.5,cat\n3,,dog\n5,?,cat\n")
    found = data.from_file(path, labels="kind").train
    np.testing.assert_array_equal(found.x, np.array([[1, 2.5], [3, np.nan], [5, np.nan]], np.float32))
    assert found.y.tolist() == [0, 1, 0]
    path.write_text("1,2\n3,4\n")
    np.testing.assert_array_equal(data.from_file(path).train.x, [[1, 2], [3, 4]])
    assert data.from_file(path, labels="1").train.y.tolist() == [2, 4]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"labels: expected one of the columns \['a', 'b'\], got 'c'"):
        data.from_file(path, labels="c")
    assert data.from_file(path, labels="1").train.y.tolist() == [2]
    path.write_text("a,b\n1,2\n3,inf\n")
    assert data.from_file(path, labels="b").train.y.tolist() == [0, 1]


def test_folder_of_images(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((6, 5, 3), 10 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    found = data.from_file(tmp_path).train
    assert found.x.shape == (6, 6, 5, 3) and found.y.tolist() == [0, 0, 0, 1, 1, 1] and found.x[1].max() == 10
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(flat / "a.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(flat / "b.png")
    found = data.from_file(flat).train
    assert found.x.shape == (2, 4, 4, 1) and found.y is None


def test_rows_of_the_embedded_digits_cannot_be_spoilt():
    before = data.digits().test.x.copy()
    data.digits().test.x[:] = 0
    np.testing.assert_array_equal(data.digits().test.x, before)


@pytest.mark.parametrize(
    "array, words",
    [
        (np.ones(3), "expected rows"),
        (np.ones((0, 3)), "no empty axis"),
        (np.ones((3, 2), bool), "expected numbers, got bool"),
        (np.ones((3, 2), complex), "expected numbers, got complex128"),
        (np.ones((3, 4, 4), int), "expected images as uint8 or floats"),
    ],
)
def test_unusable_arrays(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words):
        data.from_file(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("a.txt", {}, "expected .npy, .npz, .csv or a folder of images, got '.txt'"),
        ("a.txt", {"labels": "y"}, "labels: expected a .csv"),
        ("a.npy", {"side": 8}, "side, most: expected a folder of images"),
        ("empty", {}, "found none"),
    ],
)
def test_unusable_paths_and_labels(tmp_path, name, options, words):
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(ValueError, match=words):
        data.from_file(tmp_path / name, **options)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        data.from_file(tmp_path / "no.npy")


@pytest.fixture
def folder(tmp_path):
    """Fifty images of many sizes, three modes and two formats; the middle of image i is the brighter the larger i."""
    path = tmp_path / "photos"
    (path / "more").mkdir(parents=True)
    for i in range(50):
        width, height = 20 + 4 * (i % 5), 44 - 3 * (i % 4)
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, width // 2 - 8 : width // 2 + 8] = 5 * i
        image = Image.fromarray(pixels).convert(("RGB", "L", "RGBA")[i % 3])
        image.save((path / "more" if i > 24 else path) / f"{i:02}.{('png', 'bmp')[i % 2]}")
    return path


def test_images_of_any_size_become_squares(folder):
    found = data.from_file(folder, side=12)
    assert found.train.x.shape == (50, 12, 12, 3) and found.train.x.dtype == np.uint8 and found.train.y is None
    middle = found.train.x[:, 5:7, 5:7].reshape(50, -1).mean(1)
    np.testing.assert_allclose(middle, 5 * np.arange(50), atol=6)  # the order of the names, and the middle of each
    assert any("became 12 x 12" in note for note in found.notes)
    few = data.from_file(folder, side=12, most=10)
    np.testing.assert_array_equal(few.train.x, found.train.x[::5])
    assert any("10 of 50 images" in note for note in few.notes)
    with pytest.raises(ValueError, match="expected the size of"):
        data.from_file(folder)


@pytest.mark.parametrize("options", [{"side": 0}, {"side": 2.5}, {"most": 0}, {"side": True}])
def test_sizes_that_cannot_be(folder, options):
    with pytest.raises(ValueError, match="expected an integer of at least 1"):
        data.from_file(folder, **options)
