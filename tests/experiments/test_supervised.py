import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.images.supervised import Supervised, asked_and_seen


@pytest.fixture(scope="module")
def family():
    """Fits that are not fitted: a decoder that gives the digit's number in every pixel, with sigma 0.5, for all z."""
    family = Supervised(None, None, vj.data.digits())
    model = vj.zoo.conditional_vae((8, 8, 1), 2, 10, hidden=(), likelihood=vj.heads.normal("shared"))
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    kernel = params["decoder"]["layer0"]["kernel"]
    params["decoder"]["layer0"]["kernel"] = kernel.at[-10:].set(jnp.arange(10.0)[:, None])
    params["likelihood"]["log_scale"] = jnp.log(jnp.full_like(params["likelihood"]["log_scale"], 0.5))
    family.fitted = lambda name, seed=0: (model, params)
    return family


def test_fours_are_asked_for(family):
    np.testing.assert_allclose(family.fours("any", 7, mode="mean"), np.full((7, 8, 8, 1), 4.0), rtol=1e-6)
    np.testing.assert_allclose(family.fours("any", 50, mode="ancestral").std(), 0.5, rtol=0.1)


def test_offsets_go_by_sigma_along_a_row_of_each_four(family):
    found = family.offsets("any")
    assert found.shape == (10, 8, 8, 1)
    np.testing.assert_allclose(found[:, 0, 0, 0], 2 * [3.0, 3.5, 4.0, 4.5, 5.0], rtol=1e-2)


def test_planes_are_known_among_panels(family):
    family.config = types.SimpleNamespace(side=3)
    plane = family.plane("any", 7)
    np.testing.assert_allclose(plane, np.full((9, 8, 8, 1), 7.0), rtol=1e-6)
    parts = {"plane": plane, "draws": plane[:6], "codes": (np.zeros((4, 2)), np.zeros(4))}
    assert family.extents(parts) == {"plane": (-2, 2, -2, 2)}


def test_codes_come_with_their_labels(family):
    z, labels = family.labelled_codes("any", 30)
    assert z.shape == (30, 2)
    np.testing.assert_array_equal(labels, family.data.test.y[:30])


def test_what_is_said_of_samples_is_in_the_numbers():
    cells = {
        "small": (0.5, 0.9, 0.8),
        "medium": (0.1, 0.95, 0.9),
        "σ = 0.1": (0.3, 0.9, 0.89),
        "σ = 1": (0.2, 0.9, 0.5),
    }
    names = ("mmd", "mean_right", "ancestral_right", "active")
    grid = Grid({f"{n}, seed 0": dict(zip(names, (*each, 2), strict=True)) for n, each in cells.items()}, 1)
    said = asked_and_seen(grid, tuple(cells), {"small": "β = 0.01", "medium": "β = 5"}, ("σ = 0.1", "σ = 1"))
    assert "β = 0.01 0.5000, 2.0; β = 5 0.1000, 2.0." in said and "small 0.900, 0.800; medium 0.950, 0.900" in said
    assert "best draws are those with medium" in said and "fewer means right (as predicted);" in said
    assert "leaves 2.0 active latents (not as predicted)." in said
    assert said.endswith("by 0.010 with σ = 0.1, 0.400 with σ = 1: the more so the larger σ is (as predicted).")
    assert asked_and_seen(grid, ("medium",), {"medium": "β = 5"}, ()).endswith("worse than means with every decoder.")
