from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments import recognition
from experiments.study import Grid


@pytest.fixture
def digits():
    """Images that are judged by their pixels, and a VAE whose decoder looks at no latent: q is nothing but noise."""
    data = vj.data.digits()
    found = object.__new__(recognition.Digits)
    found.data, found.grey = data, data.test.x / np.float32(255)
    found.x = np.round(found.grey.reshape(len(found.grey), -1))[:20]
    found.binary = SimpleNamespace(train=SimpleNamespace(x=np.tile(found.x, (26, 1))))
    model = vj.zoo.vae(64, 2, hidden=(4,))
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    found.fitted = lambda seed: (model, params)
    return found


def test_the_evidence_of_a_decoder_that_ignores_z_is_exact_by_any_draws(digits):
    for proposal in ("prior", "q"):
        found = digits.evidence(proposal, 3, 0)
        np.testing.assert_allclose(found["log p"], -64 * np.log(2), rtol=1e-5)
        np.testing.assert_allclose((found["error"], found["ess"]), (0.0, 3.0), atol=1e-3)


def test_batches_have_the_gradient_of_all_rows(digits):
    model, _ = digits.fitted(0)
    digits.fitted = lambda seed: (model, model.init(jax.random.key(seed)))
    found = digits.gradients(0)
    assert found["batches"] < 1e-4 and found.keys() == {"score", "pathwise", "agreement", "batches"}


def test_pictures_are_of_the_first_images_and_of_the_decoder(digits):
    whole, moved, torn = np.split(digits.spoilt(4), 3)
    np.testing.assert_array_equal(whole, digits.grey[:4])
    np.testing.assert_array_equal(moved[:, :, 1:], whole[:, :, :-1])
    assert np.all(torn <= whole) and np.all(torn.sum((1, 2, 3)) < whole.sum((1, 2, 3)))
    np.testing.assert_allclose(digits.means(3), np.full((3, 8, 8, 1), 0.5))


def test_likeness_and_its_table(digits):
    flat = lambda x: x.reshape(len(x), -1)
    digits.judge = SimpleNamespace(features=lambda x: 2 * flat(x), labels=lambda x: np.zeros(len(x)))
    like = digits.likeness()
    assert like["pixels"] == like["features"] > 0.9 and like["moved"] == like["torn"] == 1.0
    rows = {row[0]: [float(number) for number in row[1:]] for row in recognition.distances(like)}
    np.testing.assert_allclose(rows["features"], 2 * np.array(rows["pixels"]), atol=0.011)


def test_nats_below_the_best_estimate():
    numbers = {"prior, 1": -9.0, "prior, 10": -6.0, "q, 1": -4.0, "q, 10": -3.5}
    grid = Grid({f"{name}, seed 0": {"log p": value} for name, value in numbers.items()}, 1)
    assert recognition.below(grid, (1, 10)) == {"prior": {1: 5.5, 10: 2.5}, "q": {1: 0.5, 10: 0.0}}
