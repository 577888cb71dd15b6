import numpy as np
import pytest
from scipy.linalg import sqrtm

from tests.refusals import refused
from vaejax.evaluate.rows import nearest
from vaejax.evaluate.samples import (
    frechet_distance,
    lag1_correlation,
    memorisation,
    mmd,
    precision_recall,
    sample_quality,
)

RNG = np.random.default_rng(0)


def with_moments(mean, covariance, count, seed=0):
    """Points with exactly these moments."""
    x = np.random.default_rng(seed).normal(size=(count, len(mean)))
    q, _ = np.linalg.qr(x - x.mean(0))
    return mean + np.sqrt(count - 1) * q @ np.linalg.cholesky(covariance).T


def closed_form(m1, s1, m2, s2):
    return ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2.0 * np.real(sqrtm(s1 @ s2)))


def test_frechet_distance_is_the_closed_form():
    a, b = RNG.normal(size=(2, 6, 6))
    m1, m2, s1, s2 = RNG.normal(size=6), RNG.normal(size=6), a @ a.T + 0.1 * np.eye(6), b @ b.T + 0.1 * np.eye(6)
    x, y = with_moments(m1, s1, 50), with_moments(m2, s2, 80, seed=1)
    assert frechet_distance(x, y) == pytest.approx(closed_form(m1, s1, m2, s2), rel=1e-9)
    # where the covariances commute: |m1 - m2|^2 + sum (sigma_1 - sigma_2)^2
    diag = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 20), with_moments(np.ones(3), np.eye(3), 30)
    assert frechet_distance(*diag) == pytest.approx(3 + 0 + 1 + 4)


def test_frechet_distance_is_a_distance_and_moves_with_nothing():
    x, y = RNG.normal(size=(40, 5)), 2.0 * RNG.normal(size=(30, 5)) + 1.0
    d = frechet_distance(x, y)
    rotation, _ = np.linalg.qr(RNG.normal(size=(5, 5)))
    assert frechet_distance(y, x) == pytest.approx(d)
    assert frechet_distance(RNG.permutation(x), y) == pytest.approx(d)
    assert frechet_distance(x @ rotation + 3.0, y @ rotation + 3.0) == pytest.approx(d)
    assert frechet_distance(10 * x, 10 * y) == pytest.approx(100 * d)
    assert frechet_distance(x, x) < 1e-12


def test_frechet_distance_of_sets_without_full_rank():
    x = np.repeat(RNG.normal(size=(30, 1)), 8, 1)  # a line in 8 dimensions
    assert frechet_distance(x, x) < 1e-12
    assert frechet_distance(x, x + 1.0) == pytest.approx(8.0)
    assert frechet_distance(x, np.zeros((2, 8))) == pytest.approx((x.mean(0) ** 2).sum() + x.var(0, ddof=1).sum())
    few = RNG.normal(size=(4, 50))
    assert frechet_distance(few, few[::-1]) < 1e-12


def test_precision_and_recall_on_sets_made_by_hand():
    data = RNG.normal(size=(200, 3))
    data[100:] += 50.0
    assert precision_recall(data, data) == (1.0, 1.0)
    assert precision_recall(data[:, ::-1] + 1e3, data) == (0.0, 0.0)
    fresh = RNG.normal(size=(100, 3))  # one of the two modes
    precision, recall = precision_recall(fresh, data)
    assert precision > 0.8 and 0.3 < recall <= 0.5
    noise = 25.0 + 60.0 * RNG.normal(size=(200, 3))
    assert precision_recall(noise, data)[0] < 0.1
    assert precision_recall(data, noise)[1] < 0.1


def test_precision_and_recall_against_a_loop_and_with_repeated_points():
    x, y = RNG.normal(size=(30, 2)), RNG.normal(size=(40, 2)) + 0.5
    radius = [np.sort(np.linalg.norm(y - p, axis=1))[3] for p in y]
    share = np.mean([any(np.linalg.norm(p - q) <= r for q, r in zip(y, radius, strict=True)) for p in x])
    assert precision_recall(x, y)[0] == share
    repeated = np.repeat(1e3 + RNG.normal(size=(10, 7)), 5, 0)  # every radius is zero
    assert precision_recall(repeated, repeated) == (1.0, 1.0)


@pytest.mark.parametrize("k", [1, 4, 12])
def test_nearest_neighbours_against_a_loop(k):
    x, y = RNG.normal(size=(20, 6)) + 100.0, RNG.normal(size=(30, 6)) + 100.0
    table = np.linalg.norm(x[:, None] - y[None], axis=2)
    index, distance = nearest(x, y, k)
    np.testing.assert_array_equal(index, np.argsort(table, 1)[:, :k])
    np.testing.assert_allclose(distance, np.sort(table, 1)[:, :k], rtol=1e-12)
    assert not np.any(nearest(y, y, k, itself=False)[0] == np.arange(30)[:, None])


def test_lag_one_correlation():
    noise = RNG.normal(size=(200, 8, 8, 1))
    assert abs(lag1_correlation(noise)) < 0.03
    smooth = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2) + np.roll(noise, (1, 1), (1, 2))
    assert lag1_correlation(smooth[:, 1:, 1:]) == pytest.approx(0.5, abs=0.03)
    first = np.concatenate([smooth[:, :, :-1].ravel(), smooth[:, :-1].ravel()])
    second = np.concatenate([smooth[:, :, 1:].ravel(), smooth[:, 1:].ravel()])
    assert lag1_correlation(smooth) == pytest.approx(np.corrcoef(first, second)[0, 1], rel=1e-5)
    assert lag1_correlation(5.0 * smooth - 2.0) == pytest.approx(lag1_correlation(smooth), rel=1e-5)


def test_copies_of_training_rows_are_flagged():
    train, fresh, others = (RNG.normal(size=(300, 4, 4, 1)).astype(np.float32) + 7.0 for _ in range(3))
    ratio, copies, index = memorisation(train[:100], fresh, train)
    assert ratio == 0.0 and copies == 1.0
    np.testing.assert_array_equal(index, np.arange(100))
    ratio, copies, _ = memorisation(np.concatenate([train[:150], others[:150]]), fresh, train)
    assert 0.4 < ratio < 0.6 and 0.5 <= copies < 0.55
    ratio, copies, _ = memorisation(others, fresh, train)
    assert ratio == pytest.approx(1.0, abs=0.05) and copies < 0.04
    refused("held_out: expected rows that are not in train", memorisation, others, train, train)


def test_one_call_scores_samples_and_says_how(data, classifier):
    images, labels = data.validation.x / np.float32(255), data.validation.y
    fresh = sample_quality(images, data.test.x, classifier, train=data.train.x, labels=labels)
    noisy = images + RNG.normal(0.0, 0.4, images.shape)
    worse = sample_quality(noisy.reshape(200, 64), data.test.x, classifier, train=data.train.x, labels=labels)
    few = sample_quality(np.repeat(images[:20], 10, 0), data.test.x, classifier, labels=np.repeat(labels[:20], 10))
    assert fresh["frechet_distance"] < 0.5 * min(worse["frechet_distance"], few["frechet_distance"])
    assert fresh["frechet_distance"] < 2.0 * fresh["train_frechet_distance"]
    assert worse["precision"] < fresh["precision"] > 0.7 and few["recall"] < 0.3 < fresh["recall"]
    assert fresh["accuracy"] > 0.95 > worse["accuracy"]
    assert fresh["entropy"] < worse["entropy"] and fresh["class_entropy"] == pytest.approx(np.log(10), abs=0.05)
    assert fresh["out_of_range"] == 0.0 < 0.2 < worse["out_of_range"]
    assert worse["lag1_correlation"] < 0.7 * worse["reference_lag1_correlation"] < fresh["lag1_correlation"]
    assert fresh["copies"] < 0.15 and "copies" not in few
    assert all(isinstance(value, float) for value in fresh.values())
    assert str(classifier) in fresh.protocol and "200 samples, 397 reference rows, k=3" in fresh.protocol
    assert "1200 training rows" in fresh.protocol and "training" not in few.protocol
    copied = sample_quality(data.train.x[:200], data.test.x, classifier, train=data.train.x)
    assert copied["memorisation_ratio"] == 0.0 and copied["copies"] == 1.0


def test_wrong_samples_are_refused(data, classifier):
    x, bad, points = data.test.x, data.test.x / np.float32(255), np.zeros((5, 2))
    bad[5, 0, 0, 0] = np.nan
    quality = lambda samples, labels=None: sample_quality(samples, x, classifier, labels=labels)
    refused("samples: expected finite values, got nan in row 5", quality, bad)
    refused("labels: expected labels from 0 to 9, got 10 in row 0", quality, x, np.full(397, 10))
    refused("labels: expected 397 integer labels, got int64 of shape (3,)", quality, x, np.arange(3))
    refused("samples: expected at least 4 rows", quality, x[:3])
    for score in (frechet_distance, precision_recall):
        refused("x: expected finite values, got inf in row 0", score, points + np.inf, points)
        refused("y: expected rows of 2 values, got 3", score, points, np.zeros((5, 3)))
    refused("images: expected pixels that vary", lag1_correlation, np.ones((2, 3, 3, 1)))
    refused("images: expected (N, H, W, C)", lag1_correlation, points)
    refused("x: expected at least 2 rows (N, ...), got shape (1, 2)", mmd, points[:1], points)
    refused("y: expected rows of 2 values, got 3", mmd, points, np.zeros((4, 3)))
    refused("y: expected finite values, got nan in row 0", mmd, points, points * np.nan)
    refused("y: expected floating-point values, uint8 pixels or bool, got int64", mmd, points, points.astype(int))
    refused('bandwidth: expected "median" or a positive number, got -1.0', mmd, points, points, -1.0)
    refused("bandwidth: ... got 'mean'", mmd, points, points, "mean")


def test_mmd_is_the_written_estimator():
    x, y, h = RNG.normal(size=(13, 3)), RNG.normal(size=(9, 3)) + 0.5, 0.7
    kernel = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * h**2))
    within = lambda a: (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))
    np.testing.assert_allclose(mmd(x, y, h), within(x) + within(y) - 2 * kernel(x, y).mean(), atol=1e-6)
    assert abs(mmd(x, y, h) - mmd(y + 1e3, x + 1e3, h)) < 1e-4  # it sees differences only
    both = np.concatenate([x, y])
    distances = np.sqrt(((both[:, None] - both[None]) ** 2).sum(-1))[np.triu_indices(22, 1)]
    np.testing.assert_allclose(mmd(x, y), mmd(x, y, float(np.median(distances))), rtol=1e-4)


def test_mmd_has_mean_zero_for_equal_and_a_closed_form_for_two_gaussians():
    estimates = [mmd(RNG.normal(size=(40, 2)), RNG.normal(size=(60, 2)), 1.0) for _ in range(60)]
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(60) and min(estimates) < 0
    # E k for N(a, I) and N(b, I) in two dimensions at h = 1: exp(-|a - b|^2 / 6) / 3.
    exact = 2 / 3 * (1 - np.exp(-4 / 6))
    draws = [mmd(RNG.normal(size=(200, 2)), RNG.normal(size=(200, 2)) + [2.0, 0.0], 1.0) for _ in range(10)]
    assert abs(np.mean(draws) - exact) < 4 * np.std(draws) / np.sqrt(10)


def test_mmd_of_images_and_of_many_rows():
    x = RNG.integers(0, 255, (2100, 2, 2, 1)).astype(np.uint8)
    as_float = (x / 255.0).astype(np.float32)
    np.testing.assert_allclose(mmd(x, x[:50]), mmd(as_float, as_float[:50]), atol=1e-6)
    assert mmd(np.zeros((5, 2)), np.zeros((4, 2))) == 0.0
