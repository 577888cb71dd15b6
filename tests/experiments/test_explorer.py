"""What the page's explorer decodes, and where."""

import base64

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.explorer import latents


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


def test_weights_of_two_bytes():
    model = vj.zoo.sigma_vae((8, 8, 1), 8, hidden=(16, 12))
    decoder = model.init(jax.random.key(0))["decoder"]
    layers, meant = latents.quantised(decoder)
    assert [len(base64.b64decode(layer["weights"])) for layer in layers] == [2 * 8 * 12, 2 * 12 * 16, 2 * 16 * 64]
    for name, layer in decoder.items():
        step = np.abs(layer["kernel"]).max(0) / 32767
        assert np.all(np.abs(meant[name]["kernel"] - layer["kernel"]) <= 0.51 * step)
        np.testing.assert_array_equal(meant[name]["bias"], layer["bias"])
    assert latents.off_prior(np.random.default_rng(0).standard_normal((100_000, 3))) < 1e-3
    assert latents.off_prior(np.random.default_rng(0).standard_normal((100_000, 1)) + 2) == pytest.approx(2, abs=0.02)
