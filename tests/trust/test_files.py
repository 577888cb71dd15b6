"""Files of a user: nothing changes without a word, and no small file fills the memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import vaejax as vj
from vaejax import data
from vaejax.data.inputs import checked_rows


def grey(value, size=(4, 6)):
    return Image.fromarray(np.full(size, value, np.uint8))


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    found = data.from_file(tmp_path)
    assert found.train.x.shape == (1, 6, 4, 1) and "EXIF" in " ".join(found.notes)
    np.testing.assert_array_equal(found.train.x[0, :, :, 0], np.rot90(np.asarray(image), -1))


def test_sixteen_bits_a_channel_are_refused(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(range(24)) for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(png)
    with pytest.raises(ValueError, match="expected 8 bits a channel, got an image of mode RGB with 16"):
        data.from_file(tmp_path)


def test_an_animation_is_refused(tmp_path):
    grey(0).save(tmp_path / "a.gif", save_all=True, append_images=[grey(255)])
    with pytest.raises(ValueError, match="expected one picture, got an animation of 2"):
        data.from_file(tmp_path)


def test_notes_of_a_system_beside_images_are_no_images(tmp_path):
    grey(3).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
    assert len(data.from_file(tmp_path).train) == 1


def test_a_comma_at_the_end_of_each_line_is_no_column(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,\n1,2,\n3,4,\n")
    found = data.from_file(tmp_path / "a.csv")
    assert found.train.x.tolist() == [[1, 2], [3, 4]] and found.columns == ("a", "b")
    assert "the last column is empty: left out" in found.notes


def test_a_column_without_a_scale_is_refused():
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="no finite mean and standard deviation"):
        data.standardize(np.array([[1e200, 1.0], [-1e200, 2.0]]))


@pytest.mark.parametrize("kind", ["npz", "idx", "csv"])
def test_a_small_file_does_not_fill_the_memory(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "npz":  # half a megabyte of zeros, as float64 four gigabytes
        content = io.BytesIO()
        np.savez_compressed(content, x=np.zeros((2**26, 8), np.int8))
        path.write_bytes(content.getvalue())
        words, read = "expected at most 2147483648 bytes as float64", data.from_file
    elif kind == "idx":
        path.write_bytes(struct.pack(">IIII", 0x00000803, 2**21, 32, 32))
        words, read = "expected at most 1073741824 bytes", data.read_idx
    else:  # one long word would be the width of all of them
        path.write_text("a,y\n" + f"1,{'w' * 100_000}\n" + "1,w\n" * 20_000)
        words, read = (
            "cells of at most 1000 characters, got 100000 in line 2",
            lambda path: data.from_file(path, labels="y"),
        )
    with pytest.raises(ValueError, match=words):
        read(path)


def test_a_folder_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    for i in range(3):
        grey(i).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(data.images, "_MOST", 2 * 24)
    with pytest.raises(
        ValueError, match=r"expected at most 48 bytes of pixels: take fewer \(most=\), smaller \(side=\)"
    ):
        data.from_file(tmp_path)
    assert len(data.from_file(tmp_path, most=2).train) == 2


def test_a_file_that_is_mapped_to_be_read_is_not_copied(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((1000, 64), np.float32))
    x = np.load(tmp_path / "rows.npy", mmap_mode="r")
    rows = checked_rows(vj.GMM(2, 64), x, None)
    assert rows.x.unsafe_buffer_pointer() == x.ctypes.data
    room = np.zeros(64_000 + 16, np.float32)
    writable = room[(-room.ctypes.data // 4) % 16 :][:64_000].reshape(1000, 64)  # where a device could share it
    mine = checked_rows(vj.GMM(2, 64), writable, None).x
    writable[:] = 1.0
    assert not mine.any()
