"""Where the latents are decoded that the pictures of a page show."""

import numpy as np
import pytest

import vaejax as vj
from experiments.explorer import latents
from experiments.harness.grid import Grid


@pytest.mark.parametrize("count", [2, 3])
def test_codes_stand_where_the_picture_says(count):
    at, _, how = latents.places(count, 10)
    axes = vj.plots.image_grid(np.zeros((len(at), 4, 4)), **how).axes[0]
    values = dict(zip(axes.get_xticks(), (float(text.get_text()) for text in axes.get_xticklabels()), strict=True))
    columns = at.reshape(-1, 10, count)
    if count == 2:  # the second latent grows upwards, against the rows of the picture
        np.testing.assert_allclose(columns[:, :, 0], np.tile(np.linspace(-3, 3, 10), (10, 1)))
        np.testing.assert_allclose(columns[:, 0, 1], np.linspace(3, -3, 10), atol=1e-12)
    else:
        assert [text.get_text() for text in axes.get_yticklabels()] == ["$z_{1}$", "$z_{2}$", "$z_{3}$"]
        np.testing.assert_allclose(columns[1, :, 1], np.linspace(-3, 3, 10))
    for pixel, value in values.items():
        np.testing.assert_allclose((pixel - 1.5) / 5 * 6 / 9 - 3, value, atol=1e-9)


def test_the_frame_is_around_the_square():
    at, _, how = latents.places(2, 10)
    figure = vj.plots.image_grid(np.zeros((len(at), 4, 6)), **how)
    assert "[-1, 1]²" in latents.framed(figure, (4, 6))
    left, bottom, right, top = figure.axes[0].patches[0].get_bbox().extents
    assert (left, right, bottom, top) == (20, 48, 14, 34)  # images 3 to 6 of 10, seven by five pixels with their lines


def test_numbers_stand_beside_what_was_predicted():
    cells = {"a": (0.63, 0.6), "b": (0.96, 1.4), "c": (0.2, 0.2)}
    grid = Grid({f"{n}, seed 0": {"neighbours": k, "off_prior": off} for n, (k, off) in cells.items()}, 1)
    said = latents.beside_predictions(grid, ("a", "b", "c"))
    assert "0.63 of the test digits on the plane (fewer than the predicted 0.80)" in said
    assert "0.96 with eight latents (not fewer than 0.95)" in said and "(below 0.30, as predicted)" in said
    assert "0.60 nats from N(0, I) on the plane (below 0.5, not as predicted)" in said
