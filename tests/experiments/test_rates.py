"""Rate and distortion: against a decoder of one point, and numbers that are made up."""

import types

import jax
import numpy as np
import pytest
from scipy import stats

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Base, Study
from experiments.questions import rates

BETA, VARIANCE, ZERO = 4.0, 0.5, 0.1


@pytest.fixture(scope="module")
def fitted():
    """A model with noise of variance 0.5 whose mean is zero and whose q(z|x) does not look at x."""
    model = vj.zoo.vae(3, 1, hidden=(2,), likelihood=vj.heads.normal(float(np.sqrt(VARIANCE))))
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    return model, types.SimpleNamespace(best=params, history={"validation_value": np.array([-20.0, -16.0])})


@pytest.fixture
def study(tmp_path):
    return Study("a.b", Base(out=tmp_path, work=tmp_path), "?")


def test_distortion_is_the_loss_with_another_noise(fitted):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    found = rates.measured(*fitted, x, BETA, VARIANCE, zero=ZERO, k=2000)
    log = lambda variance: stats.norm(0.0, np.sqrt(variance)).logpdf(x).sum(1).mean()  # noqa: E731
    assert found["distortion"] == pytest.approx(-log(ZERO), rel=1e-4)
    assert found["error"] == pytest.approx(np.square(x).mean(), rel=1e-4)
    assert found["own"] == pytest.approx(log(VARIANCE) - found["kl"], rel=1e-4)
    assert found["iwae"] == pytest.approx(log(BETA * VARIANCE), abs=0.05)
    total = x.var(0).sum()
    assert [found["low"], found["high"]] == pytest.approx([1.5 / total, 6.0 / total], rel=1e-4)


def test_training_is_told_as_the_bound_with_the_other_noise(fitted):
    x = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    squares, kl = 6.0, 0.7  # of some reconstructions
    loss = lambda variance: 0.5 * squares / variance + 1.5 * np.log(2 * np.pi * variance)  # noqa: E731
    values = np.array([-loss(VARIANCE) - BETA * kl, 0.0])  # the first is what a beta-VAE with this noise has
    fit = types.SimpleNamespace(best=fitted[1].best, history={"validation_value": values})
    found = rates.measured(fitted[0], fit, x, BETA, VARIANCE, zero=ZERO, k=2000)["epochs"]
    assert len(found) == 2 and found[0] == pytest.approx(-loss(BETA * VARIANCE) - kl)


def test_draws_have_one_noise_and_then_the_other(fitted):
    means, low, high = rates.drawn(*fitted, BETA, VARIANCE)
    np.testing.assert_array_equal(means, np.zeros((10, 3)))
    assert low.shape == high.shape == (10, 3) and 1.5 < high.std() / low.std() < 2.6


def test_slopes_are_over_the_predicted_ones():
    rate = {"a": 10.0, "b": 8.0, "c": 7.95, "d": 4.0}
    betas, far = dict(zip(rate, (1.0, 4.0, 5.0, 20.0), strict=True)), {"a": 0.0, "b": 4.0, "c": 9.0, "d": 48.5}
    grid = Grid({f"{name}, seed 0": {"kl": rate[name], "distortion": far[name]} for name in rate}, 1)
    assert rates.slopes(grid, betas) == pytest.approx([1.0, 1.0])  # 4 in 2 nats at beta 2; 39.5 in 3.95 at 10
    assert rates.slopes(grid, {"b": 4.0, "c": 5.0}) == [np.inf]


def test_ends_of_training_are_told_apart(study):
    ends = {"a": (5.0, 7.0), "b": (6.0, 6.5)}
    cells = {f"{name}, seed {i}": {"epochs": [0.0, end]} for name in ends for i, end in enumerate(ends[name])}
    assert rates.one_noise(study, Grid(cells, 2), ends, 0.25) == (0.25, 2.0)
    assert study.figures[0]["series"] == {"a": [[1, 2], [0.0, 5.0]], "b": [[1, 2], [0.0, 6.0]]}


def test_pictures_have_rates_and_betas_below(study):
    cells = {
        "a, seed 0": {"kl": 3.0, "distortion": 5.0, "low": 0.5, "high": 0.9},
        "b, seed 0": {"kl": 2.0, "distortion": 6.0},
    }
    grid = Grid(cells, 1)
    rates.curves(study, grid, ["a"], ["b"], 0.1)
    rates.variances(study, grid, {"a": 4.0}, 0.1)
    first, second = (figure["series"] for figure in study.figures)
    assert [line[:2] for line in first.values()] == [[[3.0], [5.0]], [[2.0], [6.0]]]
    assert [line[:2] for line in second.values()] == [[[4.0], [0.5]], [[4.0], [0.9]]]


def test_twins_differ_by_the_most_of_their_pairs():
    values = {"a": 1.0, "b": 1.5, "c": 4.0, "d": 3.0}
    grid = Grid({f"{name}, seed 0": {"iwae": value} for name, value in values.items()}, 1)
    assert rates.twins(grid, [("a", "b"), ("c", "d")]) == 1.0
