"""Stories of images: what is known of models that have learned nothing, or whose law is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.images import codes, recognition, strangeness


def test_a_share_of_the_pixels_is_a_fair_coin():
    """Of black pixels half the share turns white, of white ones half the share black."""
    key = jax.random.key(0)
    for value, mean in ((0.0, strangeness.SHARE / 2), (1.0, 1 - strangeness.SHARE / 2)):
        found = strangeness.mutate(key, jnp.full((200, 200, 1), value))
        assert np.isin(found, (0.0, 1.0)).all() and float(found.mean()) == pytest.approx(mean, abs=0.01)


def test_scores_of_models_that_have_learned_nothing():
    """Means of a half, or of zero: a VAE finds all images as strange, and a background of the same weights nothing."""
    zero = lambda model: jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    vae, plain = (zoo((2, 2, 1), 1, hidden=(3,)) for zoo in (vj.zoo.vae, vj.zoo.autoencoder))
    test = np.array([np.zeros((2, 2, 1)), np.ones((2, 2, 1))], np.float32)
    found = strangeness.scored(vae, zero(vae), zero(vae), (plain, zero(plain)), test, 2)
    assert list(found) == list(strangeness.NAMES)
    np.testing.assert_allclose(found["elbo"], [4 * np.log(2)] * 2, atol=1e-5)
    np.testing.assert_allclose(found["elbo"], found["iwae"], atol=1e-5)
    np.testing.assert_allclose(found["ratio"], 0, atol=1e-5)
    assert np.diff(found["autoencoder"])[0] == pytest.approx(4 / 2)  # half the squared error of zeros


def test_bits_and_errors_of_codes_that_hold_the_labels_and_lose_half_the_image():
    labels = np.arange(200) % 10
    each, x = np.eye(10, dtype=np.float32)[labels], np.random.default_rng(0).random((200, 4)).astype(np.float32)
    found = codes.probes(codes.Coded(each, each, x + 0.5, 7.0, kl=np.log(8)), labels, vj.data.Split(x, labels))
    assert found["linear"] == found["knn"] == 1.0 and found["bits"] == 7.0
    assert found["rmse"] == pytest.approx(0.5, rel=1e-5) and found["kl_bits"] == pytest.approx(3.0)


def test_random_minibatches_have_the_gradient_of_all_rows_on_average():
    model = vj.zoo.vae(64, 2, hidden=(4,))
    params = model.init(jax.random.key(0))
    x = np.round(vj.data.digits().test.x.reshape(-1, 64)[:256] / np.float32(255))
    noise = recognition.gradients(model, params, x[:2], draws=200)
    assert noise["agreement"] < 2 and noise["score"] > noise["pathwise"]  # two estimators of one gradient
    found = recognition.by_batches(model, params, jax.random.key(0), x, batch=64)
    assert found["value"] < 4 and found["gradient"] < 2 and found["spread"] > 0.05


def test_naive_monte_carlo_rises_to_a_log_p_that_is_known():
    found = [recognition.exact_case(draws, 0) for draws in (1, 1000)]
    (few, many), exact = [each["naive"] for each in found], found[0]["exact"]
    assert few < many < exact and exact - many < 1 and exact - few > 30
