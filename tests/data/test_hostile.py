"""Files that want to do harm, or that a bad disk has changed: a ValueError that names the file, and nothing else."""

import struct
import zipfile

import jax
import numpy as np
import pytest

import vaejax as vj
from tests.data.crafted import ROWS, npy, packed, refused, saved
from vaejax import data


@pytest.mark.parametrize(
    "blob, words",
    [
        # Sizes that cannot be.
        (npy(shape="(-1, 8)"), r"claims \(-1, 8\) of float64"),
        (npy(shape="(-2, -4)"), "no array has the shape"),
        (npy(shape="(99999999999999999999, 2)"), "the file holds at most"),
        (npy(shape="(4294967296, 4294967296)"), "the file holds at most"),  # 2^64 elements: zero for whoever wraps
        (npy(shape="(0, 99999999999999999999)", body=b""), "no array has the shape|no empty axis"),
        (npy(shape=f"({'9' * 4000}, {'9' * 4000})"), "the file holds at most"),  # too long to be written in a message
        (npy(shape=f"({'9' * 5000},)"), "expected an array in .npy format"),  # too long for Python to read
        (npy(shape="(True, 8)"), "no array has the shape"),
        (npy("'|u1'", str((1,) * 100), b"0"), "no array has the shape"),
        (npy(shape="8"), "shape is not valid"),
        (npy("'|V0'", "(9999999999, 9999999999)", b""), "no array has the shape"),
        # Types that are no numbers.
        (npy("[('a', '<f8'), ('b', '<f8')]", "(2, 2)"), "expected numbers"),
        (npy("[('a', 'O')]", "(2, 2)"), "Python objects"),
        (npy("'|O'", "(2, 2)"), "Python objects"),
        (npy("'<c16'", "(2, 2)"), "expected numbers, got complex128"),
        (npy("'<M8[s]'"), "expected numbers, got datetime64"),
        (npy("'<m8[s]'"), "expected numbers, got timedelta64"),
        (npy("'<U4'", "(2, 2)"), "expected numbers, got <U4"),
        (npy("'zz'"), "not a valid dtype"),
        (npy("('<f8', (2147483647, 2147483647))"), "expected an array in .npy format"),
        # Headers that are no headers: NumPy's parser raises TokenError, MemoryError, TypeError, SyntaxError for them.
        (npy(header="(" * 9000), "expected an array in .npy format"),
        (npy(header="-" * 9000 + "1"), "expected an array in .npy format"),
        (npy(header="{'descr': '''<f8"), "expected an array in .npy format"),
        (npy(header="{[]: 1}"), "expected an array in .npy format"),
        (npy(header="{'descr': '<f8', \0 }"), "expected an array in .npy format"),
        (npy(header="{'descr': '<f8', 'shape': (2, 4)}"), "expected an array in .npy format"),
        (npy(header="{'a': " * 1500 + "1" + "}" * 1500), "expected an array in .npy format"),
        (npy(header=" " * 60_000), "Header info length"),
        (npy(version=(2, 0), header=" " * 200_000), "Header info length"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "expected 4294967295 bytes got 2"),
        (npy(body=bytes(50)), "the header claims .* the file holds at most|expected 64 bytes of data, got 50"),
        (b"", "expected an array in .npy format"),
        (b"\x93NUMPY", "expected an array in .npy format"),
    ],
)
def test_npy(tmp_path, blob, words):
    refused(tmp_path / "a.npy", words, blob)
    refused(tmp_path / "a.npz", words, packed(("x.npy", blob)))


@pytest.mark.parametrize("method", [np.savez, np.savez_compressed])
def test_npz_cut_anywhere(tmp_path, method):
    path = tmp_path / "a.npz"
    method(path, x=ROWS, y=np.arange(20))
    whole = path.read_bytes()
    for cut in [*range(0, len(whole), 31), len(whole) - 1]:
        refused(path, "expected an .npz archive", whole[:cut])


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_no_row_is_lost_to_a_flipped_bit_of_the_header(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    (np.save if ending == "npy" else lambda path, x: np.savez(path, x=x))(path, x := np.ones((30, 4)))
    whole = path.read_bytes()
    for place in range(whole.index(b"30, 4"), whole.index(b"30, 4") + 5):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                np.testing.assert_array_equal(data.from_file(path).train.x, x)
            except ValueError as problem:
                assert path.name in str(problem)
    refused(tmp_path / "b.npy", "expected 64 bytes of data, got more", npy() + b"\0")


def test_npz_bombs(tmp_path):
    path = tmp_path / "a.npz"
    zeros = npy("'|u1'", "(20000000, 1)", bytes(20_000_000))  # in 20 kB: as far as deflate goes
    assert len(packed(("x.npy", zeros))) < 20_000
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):  # these go further, and NumPy writes neither
        refused(path, "'x.npy' is packed as NumPy packs nothing|unpacks to", packed(("x.npy", zeros), method=method))
    refused(path, "is packed as NumPy packs nothing", packed(("x.npy", npy()), method=zipfile.ZIP_LZMA))
    blob = bytearray(packed(("x.npy", npy())))
    entry = blob.index(b"PK\x01\x02")
    blob[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)  # the size that the directory claims
    refused(path, "'x.npy' unpacks to 4294967294 bytes; refused", bytes(blob))


def test_npz_that_is_large_in_many_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("vaejax.data.readers._MOST", 5000)
    parts = [(f"x{i}.npy", npy("'|u1'", "(1000, 1)", bytes(1000))) for i in range(8)]
    refused(tmp_path / "a.npz", "'x4.npy' unpacks to .* refused", packed(*parts))


def test_names_of_members_lead_nowhere(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    path = tmp_path / "deep" / "er" / "a.npz"
    names = ["../../evil.npy", str(tmp_path / "evil.npy"), "..\\..\\evil.npy"]
    before = sorted(tmp_path.rglob("*"))
    for name in names:
        path.write_bytes(packed((name, npy())))
        assert data.from_file(path).train.x.shape == (2, 4)  # a name like any other: the only array is taken
        refused(path, "expected an array named x", packed((name, npy()), ("y.npy", npy())))
    path.unlink()
    assert sorted(tmp_path.rglob("*")) == before and not (tmp_path.parent / "evil.npy").exists()


def test_npz_of_strange_members(tmp_path):
    path = tmp_path / "a.npz"
    refused(path, "two named 'x'", packed(("x.npy", npy()), ("x.npy", npy("'|u1'"))))
    refused(path, "two named 'x'", packed(("x.npy", npy()), ("x", npy())))
    refused(path, "README.*expected an array in .npy format", packed(("README", b"hello"), ("x.npy", npy())))
    refused(path, "'x/'.*expected an array in .npy format", packed(("x/", b"")))
    refused(path, r"expected an array named x, got \[\]", packed())
    blob = bytearray(packed(("\N{LATIN SMALL LETTER E WITH ACUTE}.npy", npy())))
    for place in (blob.index(b"\xc3\xa9"), blob.rindex(b"\xc3\xa9")):
        blob[place + 1] = 0x20  # a name that says it is UTF-8
    refused(path, "expected an .npz archive", bytes(blob))
    blob = bytearray(packed(("x.npy", npy())))
    for place in (blob.index(b"PK\x03\x04") + 6, blob.index(b"PK\x01\x02") + 8):
        blob[place] |= 1
    refused(path, "encrypted", bytes(blob))


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.array([0, 1, 2**31]), "within 32 bits"),
        (np.array([0, 1, -(2**31) - 1]), "within 32 bits"),
        (np.array([0, 1, 2**64 - 1], np.uint64), "within 32 bits"),
        (np.array([0, 1, np.nan]), "integer labels"),
        (np.array([0, 1, np.inf]), "integer labels"),
        (np.array([0, 1, 1e300]), "integer labels"),
        (np.array([0, 1, 0.5]), "integer labels"),
        (np.array(["a", "b", "c"]), "integer labels"),
        (np.zeros((3, 1), int), "one axis of integer labels"),
        (np.array([0, 1]), r"expected \(3,\) labels, got shape \(2,\)"),
        (np.zeros(0, int), r"expected \(3,\) labels, got shape \(0,\)"),
    ],
)
def test_labels(tmp_path, labels, words):
    refused(tmp_path / "a.npz", words, saved(np.savez_compressed, x=np.ones((3, 2)), y=labels))


def test_labels_may_be_negative(tmp_path):
    (tmp_path / "a.npz").write_bytes(
        saved(np.savez_compressed, x=np.ones((3, 2)), y=np.array([-(2**31), -1, 2**31 - 1]))
    )
    assert data.from_file(tmp_path / "a.npz").train.y.tolist() == [-(2**31), -1, 2**31 - 1]


@pytest.mark.parametrize(
    "text, words",
    [
        ("1,2\n3,4\n".encode("utf-16"), "expected text in UTF-8"),
        (b"1,2\n\x00,3\n", "expected a number, got '.x00' in line 2, column 1"),
        (bytes(100), "expected .*rows"),
        (b"1,2\n3,4,5\n", "expected 2 columns, got 3 in line 2"),
        (b"a,b\n1,2\n3\n", "expected 2 columns, got 1 in line 3"),
        (b"1," + b"9" * 200_000 + b"\n", "expected comma-separated text .field larger"),
        (b'1,"' + b"9\n" * 100_000, "expected comma-separated text .field larger"),  # a quote that does not end
        (b"a,b\n", "expected rows below the header"),
        (b"\xef\xbb\xbfa,b\r\n", "expected rows below the header"),
        (b"\n\n\n", "the file is empty"),
        (b"", "the file is empty"),
        (b"1,2\n\xff\xfe,3\n", "expected text in UTF-8"),
        (b"1,2\n3,x\n", "expected a number, got 'x' in line 2, column 2"),
        (b"1,2\n3,0x10\n", "expected a number, got '0x10'"),
        (b"1,2\n3,1+2j\n", "expected a number"),
        (b"1,2\n3,__import__('os')\n", "expected a number"),
    ],
)
def test_csv(tmp_path, text, words):
    refused(tmp_path / "a.csv", words, text)


def test_csv_with_infinities_loads_and_does_not_train(tmp_path):
    (tmp_path / "a.csv").write_text("1,inf\n2,-Infinity\n3,1e400\n")
    x = data.from_file(tmp_path / "a.csv").train.x
    np.testing.assert_array_equal(x, np.array([[1, np.inf], [2, -np.inf], [3, np.inf]], np.float32))
    with pytest.raises(ValueError, match="inf"):
        vj.em.fit(vj.PPCA(2, 1), jax.random.key(0), x, num_steps=1)


@pytest.mark.parametrize(
    "column, words",
    [
        (["1", "3000000000"], "within 32 bits"),
        (["1", "1e300"], "within 32 bits"),
        (["1", "nan"], "expected a label in every row, got 'nan' in line 3"),
        (["?", "1"], r"expected a label in every row, got '\?' in line 2"),
        (["1", ""], "expected a label in every row, got an empty one in line 3"),
    ],
)
def test_csv_labels(tmp_path, column, words):
    text = "a,b\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(column))
    refused(tmp_path / "a.csv", words, text.encode(), labels="b")


def test_csv_labels_that_are_words_may_be_called_none(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,none\n2,some\n")
    assert data.from_file(tmp_path / "a.csv", labels="b").train.y.tolist() == [0, 1]
