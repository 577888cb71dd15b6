"""Where the latents are decoded that the pictures of a page show."""

import numpy as np
import pytest

import vaejax as vj
from experiments import latents


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
