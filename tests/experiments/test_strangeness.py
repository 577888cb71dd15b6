"""Digits that are left out, and what finds them strange."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.images import strangeness
from tests.untrained import Untrained


@pytest.fixture(scope="module")
def data():
    """Six, four and two images of three classes to train on, half as many to validate on; the images are numbered."""
    classes = np.repeat([0, 1, 2], [6, 4, 2])
    x = np.arange(12, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return vj.data.Dataset(vj.data.Split(x, classes), vj.data.Split(x[::2], classes[::2]), vj.data.Split(x, classes))


def test_as_many_images_whichever_digit_is_left_out(data):
    assert strangeness.counts(data, 0) == (6, 3) and strangeness.counts(data, 4) == (4, 3)
    assert strangeness.counts(data, 100) == (6, 3)
    for digit in range(3):
        rest = strangeness.without(data, digit, (6, 3))
        for part, size in ((rest.train, 6), (rest.validation, 3)):
            assert len(part) == size and not (part.y == digit).any()
    assert strangeness.without(data, 1, (6, 3)).train.x.ravel().tolist() == [0, 1, 2, 3, 4, 5]


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


def test_mistakes_are_at_the_wrong_ends():
    """Of images 0 to 19 the even ones are strange; scores grow with the number, or fall."""
    shades, numbers = np.arange(20) / 20, np.arange(20)
    split = types.SimpleNamespace(x=np.repeat(255 * (numbers % 2), 4).reshape(-1, 2, 2, 1), y=numbers % 2)
    study = Untrained()
    strangeness.draw_mistakes(study, {"up": shades, "down": -shades}, split, 0)
    shown = study.drawn["mistakes"].axes[0].images[0].get_array()
    assert shown.shape == (2 * 3 - 1, 10 * 3 - 1)
    corners = np.asarray(shown[0::3, 0::3])  # zeros, which are strange, to the left; ones to the right
    np.testing.assert_array_equal(corners, [[0] * 5 + [1] * 5] * 2)
    figure = strangeness._mistakes({"up": shades}, shades.reshape(-1, 1, 1, 1), numbers % 2 == 0, "")
    found = figure.axes[0].images[0].get_array()[0, ::2]
    np.testing.assert_allclose(found, [0, 0.1, 0.2, 0.3, 0.4, 0.55, 0.65, 0.75, 0.85, 0.95])


@pytest.fixture
def scores():
    """Two digits and two seeds; the ratio is always 0.2 above the ELBO, the autoencoder is not clearly anything."""
    elbo = {("without 1", 0): 0.1, ("without 1", 1): 0.2, ("without 4", 0): 0.5, ("without 4", 1): 0.6}
    rest = lambda value, seed: {"elbo": value, "iwae": value, "ratio": value + 0.2, "autoencoder": value + 0.35 * seed}  # noqa: E731
    return Grid({f"{name}, seed {seed}": rest(value, seed) for (name, seed), value in elbo.items()}, 2)


def test_scores_stand_at_the_digits_that_were_left_out(scores):
    figure, series = strangeness.by_digit(scores, {"without 1": 1, "without 4": 4})
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "4"]
    assert [line.get_label() for line in axes.lines] == [*series, "chance"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.15, 0.55])
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), 0.5)


def test_the_highest_score_is_compared_by_seeds(scores):
    said = strangeness.compared(scores, ("without 1", "without 4"))
    assert "ELBO 0.350 ± 0.050" in said and "by seed: ELBO 0.200 ± 0.000, IWAE 0.200 ± 0.000, autoencoder" in said
    assert said.endswith("no difference is shown from autoencoder, squared error")
    assert strangeness.of_ratio(scores, "without 1") == ("higher", "below")
    assert strangeness.of_ratio(scores, "without 4") == ("higher", "above")
