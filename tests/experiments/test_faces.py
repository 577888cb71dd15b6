"""Folders of images of any size, and CelebA through TFDS, as experiments read them."""

import dataclasses
import sys
import types

import numpy as np
import pytest
from PIL import Image

from experiments.images import faces, portraits
from experiments.shared import pixels
from vaejax import data


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


def test_sizes_are_for_folders(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(ValueError, match="side, most: expected a folder of images"):
        data.from_file(tmp_path / "a.npy", side=8)


def test_what_is_no_image_is_refused_by_name(folder):
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(ValueError, match="bad.png: not an image that can be read"):
        pixels.photographs(folder, 12, 100)


def test_parts_of_a_folder(folder):
    found = pixels.photographs(folder, 12, 100)
    assert [len(part) for part in found.parts] == [41, 4, 5]
    assert len(np.unique(np.concatenate([part.x for part in found.parts]).reshape(50, -1), axis=0)) == 50


def test_celeba_through_tfds(monkeypatch):
    records = [{"image": np.full((22, 18, 3), i, np.uint8), "attributes": {}} for i in range(30)]
    calls = []
    source = lambda name, split, download: calls.append((name, split)) or records
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", types.SimpleNamespace(data_source=source))
    found = pixels.photographs(None, 16, 20)
    assert calls == [("celeb_a", "train"), ("celeb_a", "test")] and "CelebA" in found.notes[0]
    assert [part.x.shape for part in found.parts] == [(18, 16, 16, 3), (2, 16, 16, 3), (20, 16, 16, 3)]
    assert found.train.y is None and found.test.x[7].max() == 7


def test_without_faces_others_stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    config = dataclasses.replace(faces.Config.smoke(), celeba=True)
    assert list(portraits.sources(config)) == ["sprites", "digits"]


@pytest.mark.slow
def test_a_folder_from_end_to_end(folder, tmp_path):
    config = dataclasses.replace(faces.Config.smoke(), folder=folder, out=tmp_path / "out", work=tmp_path / "work")
    found = faces.main(dataclasses.replace(config, latents=(2, 4), betas=(1.0,)))
    assert "stand in" not in found["answer"] and all(name.startswith("faces") for name in found["numbers"])
    assert (tmp_path / "out" / "faces" / "faces_traversals.png").exists()
