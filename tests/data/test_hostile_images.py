"""Images, IDX files and any file with changed bytes: loaded whole, or a ValueError that names the file."""

import gzip
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as hs
from PIL import Image

from tests.data.crafted import ROWS, png, saved
from vaejax import data

GREY = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4))

IDX = b"\x00\x00\x08\x02" + struct.pack(">II", 5, 4) + bytes(range(20))

VALID = {
    "a.npy": saved(np.save, ROWS),
    "b.npz": saved(np.savez, x=ROWS, y=np.arange(20), x_test=ROWS[:3]),
    "c.npz": saved(np.savez_compressed, x=ROWS, y=np.arange(20)),
    "d.csv": b'a,"b",c\n1,2.5,3\n4,,6\n7,nan,-9\n',
    "e.idx": IDX,
    "f.idx.gz": gzip.compress(IDX),
    "g.png": saved(GREY.save, "png"),
    "h.bmp": saved(GREY.save, "bmp"),
    "i.tiff": saved(GREY.save, "tiff"),
    "j.jpeg": saved(GREY.save, "jpeg"),
    "k.gif": saved(GREY.save, "gif"),
}
# Where (as a share of the file, so that both ends are met), what is put there, and how many bytes it replaces.

EDITS = hs.lists(hs.tuples(hs.floats(0, 1), hs.binary(max_size=3), hs.integers(0, 4)), min_size=1, max_size=5)


def test_read_idx(tmp_path):
    path = tmp_path / "a.idx"
    good = gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 5000) + np.arange(5000).astype(np.uint8).tobytes())
    idx = lambda *shape: b"\x00\x00\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    for blob, words in (
        (b"", "expected an IDX file"),
        (b"\x00\x00\x0d\x01" + bytes(8), "expected an IDX file of unsigned bytes"),
        (b"\x00\x00\x08\x03\x00\x00", "expected 3 sizes"),
        (idx(9) + b"12345", "expected 9 bytes for shape .* got 5"),
        (idx(2) + b"12345", "got more"),
        (idx(2**31, 2**31), "at most"),
        (gzip.compress(idx(2) + b"12", mtime=0)[:-6], "damaged"),
        (idx(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), "expected at most"),
        (idx(2**30), "expected 1073741824 bytes .* got 0"),
        (gzip.compress(idx(2) + bytes(10_000_000)), "expected 2 bytes .* got more"),  # it is not unpacked to its end
        (gzip.compress(idx(2) + b"12") + b"more", "damaged"),
        (good[:20] + b"\xff\xff\xff" + good[23:], "damaged|got more"),
        (b"\x1f\x8b", "damaged"),
        (b"\x1f\x8b\x08\xff" + bytes(40), "damaged"),
    ):
        path.write_bytes(blob)
        with pytest.raises(ValueError, match=f"{path}: .*{words}"):
            data.read_idx(path)
    with pytest.raises(FileNotFoundError, match="none.idx"):
        data.read_idx(tmp_path / "none.idx")


@pytest.mark.parametrize(
    "blob, words",
    [
        (png(100_000, 100_000), "not an image that can be read .*bomb"),
        (png(10_000, 10_000), "not an image that can be read .*bomb"),  # where Pillow itself would only warn
        (png(2**31 - 1, 2**31 - 1), "not an image that can be read"),
        (png(0, 5), "not an image that can be read"),
        (png(64, 64, bytes(100)), "not an image that can be read .*truncated"),
        (saved(GREY.save, "png")[:45], "not an image that can be read"),
        (saved(GREY.save, "tiff")[:20], "not an image that can be read"),
        # Text of 70 MB in 70 kB, for which Pillow has an error of its own.
        (
            (whole := png(4, 4, bytes(20)))[:33]
            + struct.pack(">I", len(text := b"k\0\0" + zlib.compress(bytes(70_000_000))))
            + b"zTXt"
            + text
            + struct.pack(">I", zlib.crc32(b"zTXt" + text))
            + whole[33:],
            "not an image that can be read .*too large",
        ),
        # What a file is, its contents say: Pillow would hand this one to Ghostscript.
        (b"not an image", "not an image that can be read"),
        (saved(Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)).save, "png"), "8 bits a channel"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "cannot identify image"),
    ],
)
def test_images(tmp_path, blob, words):
    (tmp_path / "a.png").write_bytes(saved(GREY.save, "png"))
    (tmp_path / "b.png").write_bytes(blob)
    with pytest.raises(ValueError, match=f"(?s){tmp_path / 'b.png'}: .*{words}"):
        data.from_file(tmp_path)


def test_images_of_mixed_size_in_classes(tmp_path):
    for name, size in (("a", (4, 4)), ("b", (4, 5))):
        (tmp_path / name).mkdir()
        GREY.resize(size).save(tmp_path / name / "i.png")
    with pytest.raises(ValueError, match=r"b/i.png: expected the size of i.png, \(4, 4, 1\), got \(5, 4, 1\)"):
        data.from_file(tmp_path)


def test_links_in_a_folder_of_images(tmp_path):
    """A link to an image is followed (data sets are kept so), one to a folder is not, and loops end."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "one", outside):
        folder.mkdir(parents=True)
        GREY.save(folder / "i.png")
    os.symlink(inside, inside / "one" / "loop")
    os.symlink(outside, inside / "two")
    os.symlink("self.png", inside / "self.png")
    os.symlink("nowhere.png", inside / "dangling.png")
    os.mkfifo(inside / "pipe.png")  # whoever opens it waits for ever
    assert data.from_file(inside).train.x.shape == (1, 4, 4, 1)
    os.symlink(outside / "i.png", inside / "one" / "link.png")
    found = data.from_file(inside).train
    assert found.x.shape == (2, 4, 4, 1) and found.y.tolist() == [0, 0]
    os.symlink("loop.npy", tmp_path / "loop.npy")
    with pytest.raises((FileNotFoundError, OSError), match="loop.npy"):
        data.from_file(tmp_path / "loop.npy")


@pytest.mark.parametrize("name", VALID)
@given(edits=EDITS, end=hs.none() | hs.floats(0, 1))
@example(edits=[(0.0, b"", 0)], end=None)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_loads_or_is_refused(name, tmp_path, edits, end):
    blob = VALID[name]
    for where, new, old in edits:
        place = round(where * len(blob))
        blob = blob[:place] + new + blob[place + old :]
    path = tmp_path / name
    path.write_bytes(blob if end is None else blob[: round(end * len(blob))])
    try:
        with np.errstate(all="ignore"):  # a flipped exponent makes numbers that float32 does not hold
            if ".idx" in name:
                assert data.read_idx(path).dtype == np.uint8
            else:
                images = path.suffix in (".png", ".bmp", ".tiff", ".jpeg", ".gif")
                assert len(data.from_file(tmp_path if images else path).train)
    except ValueError as problem:
        assert name in str(problem)


@pytest.mark.parametrize("name", ["b.npz", "c.npz"])
@given(place=hs.floats(0, 1), bit=hs.integers(0, 7))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_bit_of_an_archive_never_changes_a_number(name, tmp_path, place, bit):
    """The checksums of the archive see it, or it lies where no number is."""
    blob = bytearray(VALID[name])
    blob[round(place * (len(blob) - 1))] ^= 1 << bit
    (tmp_path / name).write_bytes(blob)
    try:
        found = data.from_file(tmp_path / name).train
    except ValueError as problem:
        assert name in str(problem)
    else:
        np.testing.assert_array_equal(found.x, ROWS)
        assert found.y is None or found.y.tolist() == list(range(20))
