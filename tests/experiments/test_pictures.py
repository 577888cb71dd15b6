"""Rows of images that a model makes of others, where all of it is known: pPCA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.images import pictures

CODES = np.array([[0.0, 1.0], [2.0, -1.0], [4.0, 1.0], [6.0, 1.0], [8.0, 0.0]], np.float32)


@pytest.fixture(scope="module")
def fitted():
    """x = W z + mean, nearly without noise: the centres of q give the projection on the plane of W."""
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
    return vj.PPCA(4, 2), {"mean": jnp.arange(4.0), "weight": weight, "log_scale": jnp.asarray(-5.0)}


def test_reconstructions_are_projections(fitted):
    x = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    axes = np.linalg.qr(np.asarray(fitted[1]["weight"]))[0]
    mean = np.arange(4.0)[None]
    np.testing.assert_allclose(pictures.rebuilt(*fitted, x), (x - mean) @ axes @ axes.T + mean, atol=2e-3)


def test_each_row_has_its_own_below():
    x = np.arange(8)[:, None]
    np.testing.assert_array_equal(pictures.paired(x, x + 10, 2, 3)[:, 0], [0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15])


def test_the_latent_that_moves_most_is_above(fitted):
    weight = np.asarray(fitted[1]["weight"])
    found = pictures.traversals(*fitted, CODES, steps=3)
    first = np.arange(4.0)[None] + np.array([[-3.0], [0.0], [3.0]]) * weight[:, 0] + weight[:, 1]
    second = np.arange(4.0)[None] + np.array([[-3.0], [0.0], [3.0]]) * weight[:, 1]
    np.testing.assert_allclose(found, np.concatenate([first, second]), atol=1e-5)
    np.testing.assert_allclose(pictures.traversals(*fitted, CODES, steps=3, most=1), first, atol=1e-5)


def test_pairs_of_codes_are_joined(fitted):
    """The fifth code has no partner."""
    found = pictures.interpolations(*fitted, CODES, steps=2)
    np.testing.assert_allclose(found, jax.vmap(lambda z: vj.decode(*fitted, z))(CODES[:4]), atol=1e-5)
    assert len(pictures.interpolations(*fitted, CODES, steps=5, most=1)) == 5


def test_rows_become_images():
    figure = pictures.sheet(np.linspace(0, 1, 12).reshape(3, 4), (2, 2, 1), columns=3)
    shown = figure.axes[0].images[0]
    assert shown.get_array().shape == (2, 8) and shown.get_clim() == (0, 1)


def test_each_unit_has_its_own_axis():
    nats = {"a": ([2, 8], [1.0, 3.0], [0.5, 0.5]), "b": ([2, 8], [2.0, 2.0], [np.nan, np.nan])}
    left, right = pictures.line_panels({"nats": nats, "pixels": {"c": ([2, 8], [0.1, 0.2], [0, 0])}}, "n").axes
    assert (left.get_ylabel(), right.get_ylabel(), right.get_xlabel()) == ("nats", "pixels", "n")
    assert [line.get_label() for line in left.lines] == ["a", "b"] and list(right.lines[0].get_ydata()) == [0.1, 0.2]
    assert [text.get_text() for text in right.get_xticklabels()] == ["2", "8"] and right.get_yscale() == "linear"
    assert left.collections[0].get_datalim(left.transData).height == 3.0  # one error more on both sides
