"""The numbers and the pictures of latent spaces, with models that have learned nothing."""

import types

import jax
import numpy as np
import pytest

from experiments.harness.grid import Grid
from experiments.images import spaces
from experiments.images.mnist_latents import Config
from tests.untrained import Untrained


@pytest.fixture(scope="module")
def made():
    study = Untrained()
    config = Config.small(
        data="digits", conv_train=300, epochs=7, conv_epochs=3, k=2, hidden=(4,), channels=(2,), pairs=1
    )
    judged = types.SimpleNamespace(features=lambda x: x.reshape(len(x), -1)[:, :3])
    keep, spaces.judge = spaces.judge, lambda *_: judged
    yield study, spaces.Spaces(study, config)
    spaces.judge = keep


def test_each_model_has_its_own_data(made):
    study, found = made
    study.asked.clear()
    sizes = [found.fitted(3)[0].latent_dim, found.convolutional()[0].latent_dim, found.plane()[0].latent_dim]
    assert sizes == [3, 8, 2]
    assert [(len(data.train), how["epochs"], "transform" in how) for data, how in study.asked] == [
        (1200, 7, True),
        (300, 3, True),
        (1200, 7, False),
    ]


def test_what_is_lost_and_what_is_carried_are_the_bound(made, monkeypatch):
    quality = {"frechet_distance": 5.0, "entropy": 1.0}
    monkeypatch.setattr("vaejax.evaluate.sample_quality", lambda *_: quality)
    found = made[1].numbers(2, 0)
    assert found["distortion"] + found["kl"] == pytest.approx(-found["elbo"], abs=1e-3)
    assert (found["mean_frechet"], found["mean_entropy"]) == (5.0, 1.0) and len(found["kl_per_dimension"]) == 2
    assert np.sum(found["kl_per_dimension"]) == pytest.approx(found["kl"], rel=1e-2)


def test_probabilities_of_a_half_miss_by_a_half(made):
    model, params = made[1].convolutional()
    flat = jax.tree.map(np.zeros_like, params)
    other = types.SimpleNamespace(test=made[1].test, convolutional=lambda: (model, flat))
    assert spaces.Spaces.error(other)["rmse"] == pytest.approx(0.5)


def test_what_was_not_measured_is_a_dash():
    plane = {"mutual_information": 3.456, "aggregate_kl": 0.5, "largest_correlation": 0.125, "kl_per_dimension": [1.0]}
    shown, found = [], types.SimpleNamespace(error=lambda: {"rmse": 0.1234}, aggregate=lambda: plane)
    measure = lambda cells: {name: compute() for name, compute in cells.items()}  # noqa: E731
    study = types.SimpleNamespace(measure=measure, table=lambda title, columns, rows: shown.extend([columns, *rows]))
    assert spaces.others(study, found)["sigma-VAE"] == plane
    assert [row[1:] for row in shown[1:]] == [("0.123", "-", "-", "-"), ("-", "3.46", "0.50", "0.12")]
    assert {len(row) for row in shown} == {5}


def test_pictures_are_of_the_numbers(made):
    study, found = made
    over, draws = {"n = 2": 2, "n = 4": 4}, {"L = 1": 1}
    numbers = {"distortion": 7.0, "kl": 2.0, "mean_frechet": 3.0}
    cells = {f"n = {n}, seed 0": numbers | {"kl_per_dimension": list(range(n, 0, -1))} for n in (2, 4)}
    noise = Grid({"L = 1, seed 0": {number: i for i, number in enumerate(spaces.VARIANCES.values())}}, 1)
    spaces.draw_lines(study, Grid(cells, 1), noise, over, draws)
    assert [axes.get_ylabel() for axes in study.drawn["latents"].axes] == list(spaces.LOSSES)
    assert [list(axes.lines[0].get_ydata()) for axes in study.drawn["latents"].axes] == [[7, 7], [2, 2], [3, 3]]
    assert study.drawn["kl"]["n = 4"][1] == [4, 3, 2, 1] and list(study.drawn["kl"]["n = 4"][0]) == [1, 2, 3, 4]
    lines = [line for axes in study.drawn["draws"].axes for line in axes.lines]
    assert {line.get_label(): line.get_ydata()[0] for line in lines} == dict(
        zip(spaces.VARIANCES, range(4), strict=True)
    )
    spaces.draw_images(study, found)
    shown = study.drawn["reconstructions"].axes[0].images[0].get_array()
    assert shown.shape == (6 * 9 - 1, 10 * 9 - 1)  # three rows of digits and three of reconstructions, lines between
    np.testing.assert_array_equal(shown[:8, :8], found.test[0, ..., 0])
    assert study.drawn["plane"].axes[0].images[0].get_array().shape == (11 * 9 - 1,) * 2


def test_all_numbers_of_latents_are_named_with_the_best():
    over, likelihoods = {"n = 2": 2, "n = 8": 8, "n = 32": 32}, (-140.0, -108.0, -112.0)
    same = {"reconstruction_rmse": 0.2, "iwae": -1.0, "aggregate_kl": 1.0, "largest_correlation": 0.1}
    grid = {
        f"{name}, seed 0": same
        | {"log_likelihood": score, "mean_frechet": -score, "active": min(n, 16), "kl_per_dimension": [2.0, 0.2, 0.05]}
        for (name, n), score in zip(over.items(), likelihoods, strict=True)
    }
    said = spaces.spaces_found(Grid(grid, 1), over)
    assert "E log p(x|z), nats: -140.0, -108.0, -112.0 (best: n = 8);" in said
    assert "do not improve up to the most latents (not as predicted)" in said
    assert "(above 0.01): 2.0, 8.0, 16.0 (as predicted); by their KL" in said
    assert said.endswith("(above 0.1 nats): 2.0, 2.0, 2.0 (not as predicted).")


def test_what_draws_do_to_the_noise():
    runs = {"L = 1": (1.0, 100.0, 40.0, 100.0), "L = 4": (0.25, 99.0, 10.0, 80.0)}
    noise = {f"{run}, seed 0": dict(zip(spaces.VARIANCES.values(), each, strict=True)) for run, each in runs.items()}
    said = spaces.noise_found(Grid(noise, 1), {"L = 1": 1, "L = 4": 4})
    assert "falls 4.0 times for the ELBO and 4.0 times for its gradient (predicted: 4)" in said
    assert "1.25 times" in said and "40% of it (predicted: less than half, as predicted), and 1% of the ELBO's" in said
