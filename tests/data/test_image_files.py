"""Images of any size from folders, cut and scaled to squares."""

import numpy as np
import pytest
from PIL import Image

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
