import gzip
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

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
    from sklearn.datasets import load_digits

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


def fake_tfds(monkeypatch, records):
    calls = []

    def data_source(name, split, download):
        calls.append((name, split, download))
        if isinstance(records, Exception):
            raise records
        return records[split]

    monkeypatch.setitem(sys.modules, "tensorflow_datasets", types.SimpleNamespace(data_source=data_source))
    return calls


def test_mnist_through_tfds(monkeypatch):
    monkeypatch.delenv("VAEJAX_DATA", raising=False)
    make = lambda n: [{"image": np.full((28, 28, 1), i, np.uint8), "label": i % 10} for i in range(n)]
    calls = fake_tfds(monkeypatch, {"train": make(12), "test": make(4)})
    found = data.mnist()
    assert calls == [("mnist", "train", False), ("mnist", "test", False)]
    assert found.train.x.shape == (12, 28, 28, 1) and found.test.y.tolist() == [0, 1, 2, 3]
    assert found.train.x[5, 0, 0, 0] == 5
    fake_tfds(monkeypatch, RuntimeError("not prepared"))
    with pytest.raises(FileNotFoundError, match="download_and_prepare"):
        data.mnist()


@pytest.mark.parametrize(
    "blob, words",
    [
        (b"", "expected an IDX file"),
        (b"\x00\x00\x0d\x01" + b"\x00" * 8, "expected an IDX file of unsigned bytes"),
        (b"\x00\x00\x08\x03\x00\x00", "expected 3 sizes"),
        (b"\x00\x00\x08\x01" + struct.pack(">I", 9) + b"12345", "expected 9 bytes for shape .* got 5"),
        (b"\x00\x00\x08\x01" + struct.pack(">I", 2) + b"12345", "got more"),
        (b"\x00\x00\x08\x02" + struct.pack(">II", 2**31, 2**31), "at most"),
        (gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 2) + b"12", mtime=0)[:-6], "damaged"),
    ],
)
def test_damaged_idx(tmp_path, blob, words):
    (tmp_path / "bad").write_bytes(blob)
    with pytest.raises(ValueError, match=words):
        data.read_idx(tmp_path / "bad")


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
    for text, words in (
        ("", "file is empty"),
        ("a,b\n", "expected rows below the header|expected a number"),
        ("1,2\n3\n", "expected 2 columns, got 1 in line 2"),
        ("1,2\n3,x\n", "expected a number, got 'x' in line 2, column 2"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            data.from_file(path)
    path.write_bytes(b"1,2\n\xff\xfe,3\n")
    with pytest.raises(ValueError, match="UTF-8"):
        data.from_file(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"labels: expected one of the columns \['a', 'b'\], got 'c'"):
        data.from_file(path, labels="c")
    assert data.from_file(path, labels="1").train.y.tolist() == [2]
    path.write_text("a,b\n1,2\n3,\n")
    with pytest.raises(ValueError, match="empty one in line 3"):
        data.from_file(path, labels="b")
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
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(flat / "c.png")
    with pytest.raises(ValueError, match=r"c.png: expected the size of a.png"):
        data.from_file(flat)
    (flat / "c.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="not an image that can be read"):
        data.from_file(flat)


def test_deep_images_and_damaged_streams(tmp_path):
    Image.fromarray((np.arange(16, dtype=np.uint16) * 1000).reshape(4, 4)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="8 bits a channel"):
        data.from_file(tmp_path)
    good = gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 5000) + np.arange(5000).astype(np.uint8).tobytes())
    (tmp_path / "bad.gz").write_bytes(good[:20] + b"\xff\xff\xff" + good[23:])
    with pytest.raises(ValueError, match="damaged"):
        data.read_idx(tmp_path / "bad.gz")
    before = data.digits().test.x.copy()
    data.digits().test.x[:] = 0
    np.testing.assert_array_equal(data.digits().test.x, before)


def test_hostile_files(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        data.from_file(tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", x=np.array([[None]], dtype=object))
    with pytest.raises(ValueError, match="Python objects"):
        data.from_file(tmp_path / "o.npz")
    np.save(tmp_path / "t.npy", np.ones((100, 3)))
    (tmp_path / "t.npy").write_bytes((tmp_path / "t.npy").read_bytes()[:-50])
    with pytest.raises(ValueError, match="expected 2400 bytes of data, got 2350"):
        data.from_file(tmp_path / "t.npy")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\x00")
        info = archive.infolist()[0]
        info.file_size = 2**40
    with pytest.raises(ValueError, match="unpacks to"):
        data.from_file(tmp_path / "bomb.npz")
    (tmp_path / "z.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="expected an .npz archive"):
        data.from_file(tmp_path / "z.npz")
    (tmp_path / "n.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="expected an array in .npy format"):
        data.from_file(tmp_path / "n.npy")


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


def test_unusable_paths_and_labels(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        data.from_file(tmp_path / "no.npy")
    (tmp_path / "a.txt").write_text("1")
    with pytest.raises(ValueError, match="expected .npy, .npz, .csv or a folder of images, got '.txt'"):
        data.from_file(tmp_path / "a.txt")
    np.savez(tmp_path / "a.npz", x=np.ones((2, 2)), y=np.array([0, 2**40]))
    with pytest.raises(ValueError, match="integer labels within 32 bits"):
        data.from_file(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="found none"):
        (tmp_path / "empty").mkdir()
        data.from_file(tmp_path / "empty")
    with pytest.raises(ValueError, match="labels: expected a .csv"):
        data.from_file(tmp_path / "a.npz", labels="y")
