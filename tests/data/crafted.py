"""Files of any contents, true or not."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest

from vaejax import data

ROWS = np.random.default_rng(0).normal(size=(20, 4))


def npy(descr="'<f8'", shape="(2, 4)", body=bytes(64), version=(1, 0), header=None):
    """A .npy file of any header, true or not."""
    header = (header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}").encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(header)) + header + body


def packed(*members, method=zipfile.ZIP_DEFLATED):
    """A zip archive of any names, twice the same ones included."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, blob in members:
            if name in archive.namelist():
                with pytest.warns(UserWarning, match="Duplicate name"):
                    archive.writestr(name, blob)
            else:
                archive.writestr(name, blob)
    return file.getvalue()


def png(width, height, pixels=b""):
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def refused(path, words, blob=None, **options):
    if blob is not None:
        path.write_bytes(blob)
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ValueError, match=f"(?s){path.name}.*{words}") as problem:
        data.from_file(path, **options)
    assert len(str(problem.value)) < 600  # a line, not the file
    assert sorted(path.parent.rglob("*")) == before


def saved(save, *args, **kwargs):
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()
