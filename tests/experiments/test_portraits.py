"""Latents and beta, with models that have learned nothing."""

import dataclasses

import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.images import portraits
from experiments.images.faces import Config
from tests.untrained import Untrained

SMALL = dataclasses.replace(Config.smoke(), train=60, rows=40, betas=(0.5, 1.0), epochs=3, warm_up=10)


@pytest.fixture(scope="module")
def made():
    study = Untrained()
    return study, portraits.Portraits(study, SMALL)


def test_a_fit_has_one_name():
    assert portraits.label("a", 2) == portraits.label("a", 2, 1.0) == "a, n = 2"
    assert portraits.label("a", 2, 0.5) == "a, n = 2, β = 0.5" and portraits.label("", 2) == "n = 2"


def test_rate_and_distortion_are_the_bound(made):
    found = made[1].numbers("sprites", 2, 0.5, 0)
    assert found["kl"] + found["distortion"] == pytest.approx(-found["elbo"])
    assert np.sum(found["kl_per_dimension"]) == pytest.approx(float(found["kl"]), rel=1e-3)
    assert 0.0 <= found["recall"] <= 1.0 and found["active"] <= 2 and found["rmse"] > 0


def test_photographs_have_convolutions_and_grey_values(monkeypatch):
    rows = lambda count: vj.data.Split(np.full((count, 16, 16, 3), 51, np.uint8), None)
    data = vj.data.Dataset(rows(20), rows(5), rows(9), notes=("twenty",))
    monkeypatch.setattr("experiments.images.photographs", lambda *_: data)
    study = Untrained()
    found = portraits.Portraits(study, dataclasses.replace(SMALL, celeba=True, rows=4))
    assert found.about == "" and found.tests["faces"].shape == (4, 16, 16, 3)
    np.testing.assert_allclose(found.tests["faces"], 0.2)
    model, params = found.fitted("faces", 2, 0.5)
    assert study.asked == [(data, {"epochs": 3, "transform": None})]
    assert model.objective == vj.objectives.warm_up(10, vj.objectives.beta(0.5))
    q = model.posterior(params, found.tests["faces"][0])
    assert q.mean.shape == (2,) and model.likelihood(params, q.mean).stddev.ravel()[0] == pytest.approx(0.5**0.5)
    assert "faces: 20 of 16x16x3" in portraits.protocol(found)


def test_pictures_are_of_the_data(made):
    study, found = made
    numbers = {number: 1.0 for each in portraits.LINES.values() for number in each.values()}
    grid = Grid({f"sprites, n = {n}, seed 0": numbers | {"rmse": n / 10} for n in (2, 4)}, 1)
    portraits.draw_lines(study, grid, "sprites", (2, 4))
    first = study.drawn["sprites_latents"].axes[0]
    assert first.get_ylabel() == "RMSE of a pixel" and list(first.lines[0].get_ydata()) == [0.2, 0.4]
    portraits.draw_images(study, found, "sprites")
    height, width = found.tests["sprites"].shape[1:3]
    rows = {"sprites_4": 15, "sprites_traversals": 4, "sprites_interpolation": 4}
    for name, count in rows.items():
        shown = study.drawn[name].axes[0].images[0].get_array()
        assert shown.shape[:2] == (count * (height + 1) - 1, 12 * (width + 1) - 1)
    shown = study.drawn["sprites_4"].axes[0].images[0].get_array()
    below = found.tests["sprites"][0].reshape(height, width, -1).squeeze()
    np.testing.assert_array_equal(shown[height + 1 : 2 * height + 1, :width], below)


def test_binarised_images_stand_in(made):
    assert "stand in" in made[1].about and list(made[1].tests) == ["sprites", "digits"]
    for test in made[1].tests.values():
        assert len(test) == 40 and np.isin(test, (0.0, 1.0)).all()


def test_all_numbers_of_latents_are_named_with_the_best():
    same = {"kl": 7.0, "kl_per_dimension": [5.0, 1.95, 0.05], "aggregate_kl": 3.0, "active": 3}
    runs = {"n = 2": (0.15, 3.0), "n = 10": (0.09, 2.0), "n = 128": (0.12, 5.0), "n = 10, β = 4.0": (0.2, 3.0)}
    cells = {f"a, {n}, seed 0": same | {"rmse": r, "frechet": f} for n, (r, f) in runs.items()}
    cells["a, n = 10, β = 4.0, seed 0"]["aggregate_kl"] = 1.0
    said = portraits.what_latents_do(Grid(cells, 1), "a", (2, 10, 128), (1.0, 4.0))
    assert "n = 2, n = 10, n = 128: RMSE of reconstructions: 0.150, 0.090, 0.120 (best: n = 10);" in said
    assert "a KL above 0.1 nats: 2.0, 2.0, 2.0; active: 3.0" in said
    assert "best at n = 10 (better with n up to some tens of latents in use: as predicted)" in said
    assert "samples at n = 10 (no better with more: not as predicted)" in said
    assert "0.090 to 0.200 (worse: as predicted)" in said and "3.0 to 3.0 (fewer: not as predicted)" in said
    assert said.endswith("3.0 to 1.0 nats (less: as predicted).")
    assert "β" not in portraits.what_latents_do(Grid(cells, 1), "a", (2, 10), (1.0,))
