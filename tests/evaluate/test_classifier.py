import json

import jax
import numpy as np
import pytest

import vaejax as vj
from tests.refusals import refused
from vaejax.evaluate.classifier import load, save, train


def test_it_is_right_on_most_digits_of_other_writers_and_says_so(data, classifier):
    assert classifier.accuracy > 0.9
    assert classifier.accuracy == np.mean(classifier.labels(data.test.x) == data.test.y)
    words = str(classifier)
    assert words.startswith(f"vaejax-mlp-v1-400-steps, sha256 {classifier.sha256[:16]}")
    assert "397 held-out rows" in words


def test_it_is_a_categorical_distribution_of_the_label(data, classifier):
    x, y = data.test.x[:50], data.test.y[:50]
    scores = jax.jit(jax.vmap(lambda x, y: classifier.distribution(x).log_prob(y)))(x, y)
    every, features = classifier.log_probabilities(x), classifier.features(x)
    np.testing.assert_allclose(scores, every[np.arange(50), y], atol=2e-5)
    np.testing.assert_allclose(np.exp(every).sum(1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(classifier.features(x / np.float32(255)), features)
    assert features.shape == (50, 64) and features.min() >= 0.0


def test_the_seed_decides_the_weights(data):
    first, again, other = (train(data.train, seed=seed, num_steps=3) for seed in (0, 0, 1))
    assert again.sha256 == first.sha256 != other.sha256
    assert again.accuracy is None and "held-out" not in str(again)


def test_it_comes_back_from_disk_with_its_checksum(data, classifier, tmp_path):
    save(tmp_path / "c", classifier)
    back = load(tmp_path / "c")
    assert back.sha256 == classifier.sha256 and str(back) == str(classifier) and back.network == classifier.network
    np.testing.assert_array_equal(back.features(data.test.x[:50]), classifier.features(data.test.x[:50]))
    refused("save to a new folder", save, tmp_path / "c", classifier, error=FileExistsError)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_other_weights_and_damaged_folders_are_refused(classifier, tmp_path):
    path = tmp_path / "c"
    save(path, classifier)
    about = json.loads((path / "classifier.json").read_text())
    weights = dict(np.load(path / "weights.npz"))
    np.savez(path / "weights.npz", **(weights | {"0": weights["0"] + np.float32(1e-6)}))
    refused(f"expected weights with sha256 {classifier.sha256}", load, path)
    del weights["0"]
    np.savez(path / "weights.npz", **weights)
    refused("the classifier cannot be read", load, path)
    (path / "weights.npz").write_bytes(b"PK\x03\x04 not a zip")
    refused("the classifier cannot be read", load, path)
    for text, words in (("{", "something else"), (json.dumps(about | {"format": 2}), "a newer vaejax")):
        (path / "classifier.json").write_text(text)
        refused(words, load, path)
    refused("holds no classifier", load, tmp_path, error=FileNotFoundError)


def test_classifications_that_cannot_be_meant_are_refused(classifier):
    x = np.zeros((4, 8, 8, 1), np.float32)
    refused("with labels", train, vj.data.Split(x))
    refused("at least two classes, got the label 3 alone", train, vj.data.Split(x, np.full(4, 3, np.int32)))
    x[2, 0, 0, 0] = np.nan
    refused("got nan in row 2", classifier.features, x)
    refused("got nan in row 2", train, vj.data.Split(x, np.arange(4, dtype=np.int32)))
    refused("expected rows of shape (8, 8, 1)", classifier.labels, np.zeros((3, 7)))
    refused("expected floating-point values, uint8 pixels or bool, got int64", classifier.labels, np.arange(64)[None])


@pytest.mark.slow
@pytest.mark.parametrize("rows, accuracy", [("data", 0.93), ("mnist", 0.975)])
def test_the_whole_protocol(rows, accuracy, request):
    whole = train(request.getfixturevalue(rows))
    assert whole.name == "vaejax-mlp-v1" and whole.accuracy > accuracy
