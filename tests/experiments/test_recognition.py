from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.study import Grid
from experiments.images import recognition


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
    found.fitted = lambda seed, decoder="Bernoulli": (model, params)
    return found


def test_the_evidence_of_a_decoder_that_ignores_z_is_exact_by_any_draws(digits):
    for proposal in ("prior", "q"):
        found = digits.evidence("Bernoulli", proposal, 3, 0)
        np.testing.assert_allclose(found["log p"], -64 * np.log(2), rtol=1e-5)
        np.testing.assert_allclose((found["error"], found["ess"]), (0.0, 3.0), atol=1e-3)


def test_random_minibatches_have_the_gradient_of_all_rows_on_average(digits):
    model, _ = digits.fitted(0)
    digits.fitted = lambda seed: (model, model.init(jax.random.key(seed)))
    found = digits.gradients(0)
    assert found.keys() == {"score", "pathwise", "agreement", "batch_value", "batch_gradient", "batch_spread"}
    assert found["batch_value"] < 4 and found["batch_gradient"] < 2 and found["batch_spread"] > 0.05


def test_a_minibatch_of_all_rows_has_no_noise(digits):
    model, params = digits.fitted(0)
    found = recognition.by_batches(model, params, jax.random.key(0), digits.x, batch=len(digits.x), count=3)
    assert found["spread"] < 1e-4


def test_naive_monte_carlo_rises_to_a_log_p_that_is_known():
    found = [recognition.exact_case(draws, 0) for draws in (1, 10, 1000)]
    naive, exact = [each["naive"] for each in found], found[0]["exact"]
    assert naive[0] < naive[1] < naive[2] < exact and exact - naive[2] < 1 and exact - naive[0] > 30


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


@pytest.fixture
def estimates():
    numbers = {"prior, 1": -9.0, "prior, 10": -6.0, "q, 1": -4.0, "q, 10": -3.5}
    both = {f"{of}, {name}": value for of in ("Bernoulli", "normal") for name, value in numbers.items()}
    return Grid({f"{name}, seed 0": {"log p": value, "ess": 2.0} for name, value in both.items()}, 1)


def test_nats_below_the_best_estimate(estimates):
    wanted = {"prior": {1: 5.5, 10: 2.5}, "q": {1: 0.5, 10: 0.0}}
    assert recognition.below(estimates, (1, 10), "Bernoulli") == wanted


def test_what_is_said_of_the_gaps(estimates):
    said = recognition.of_gaps(estimates, (1, 10))
    assert said.startswith("2.5 nats (Bernoulli decoder; 2.0 and 2.0 of these draws count), 2.5 nats (normal")
    gaps = {"a": {"q": {1: 5.0, 10: 0.9, 100: 0.0}}, "b": {"q": {1: 6.0, 10: 1.2, 100: 0.0}}}
    assert recognition.draws_that_do(gaps, 1.0) == "10 (a), 100 (b)"


def test_estimates_of_both_decoders_are_shown(estimates):
    tables, drawn = [], {}
    study = SimpleNamespace(
        lines=lambda name, series, **how: drawn.update({name: series}),
        table=lambda title, columns, rows: tables.append((columns, rows)),
        grid=lambda compute, variants: Grid({f"{n}, seed 0": {"naive": -20.0, "exact": -9.0} for n in variants}, 1),
    )
    recognition.show_estimates(study, estimates, (1, 10), 8)
    assert drawn["estimates_normal"]["q"][1] == [-4.0, -3.5] and len(drawn) == 2
    assert tables[0][1] == [("1", "5.5", "0.5", "5.5", "0.5"), ("10", "2.5", "0.0", "2.5", "0.0")]
    assert recognition.show_exact(study).mean("1", "exact") == -9.0
    assert tables[1][1][0] == ("1", "-20.00", "-221") and tables[1][1][-1] == ("log p(x)", "-9.00", "-10.358")
