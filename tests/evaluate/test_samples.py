import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj

rng = np.random.default_rng(0)


def test_mmd_is_the_written_estimator():
    x, y, h = rng.normal(size=(13, 3)), rng.normal(size=(9, 3)) + 0.5, 0.7
    kernel = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * h**2))
    within = lambda a: (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))
    np.testing.assert_allclose(vj.evaluate.mmd(x, y, h), within(x) + within(y) - 2 * kernel(x, y).mean(), atol=1e-6)
    assert abs(vj.evaluate.mmd(x, y, h) - vj.evaluate.mmd(y + 1e3, x + 1e3, h)) < 1e-4  # it sees differences only
    both = np.concatenate([x, y])
    distances = np.sqrt(((both[:, None] - both[None]) ** 2).sum(-1))[np.triu_indices(22, 1)]
    np.testing.assert_allclose(vj.evaluate.mmd(x, y), vj.evaluate.mmd(x, y, float(np.median(distances))), rtol=1e-4)


def test_mmd_has_mean_zero_for_equal_and_a_closed_form_for_two_gaussians():
    estimates = [vj.evaluate.mmd(rng.normal(size=(40, 2)), rng.normal(size=(60, 2)), 1.0) for _ in range(60)]
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(60) and min(estimates) < 0
    # E k for N(a, I) and N(b, I) in two dimensions at h = 1: exp(-|a - b|^2 / 6) / 3.
    exact = 2 / 3 * (1 - np.exp(-4 / 6))
    draws = [vj.evaluate.mmd(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + [2.0, 0.0], 1.0) for _ in range(10)]
    assert abs(np.mean(draws) - exact) < 4 * np.std(draws) / np.sqrt(10)


def test_mmd_of_images_and_of_many_rows():
    x = rng.integers(0, 255, (2100, 2, 2, 1)).astype(np.uint8)
    as_float = (x / 255.0).astype(np.float32)
    np.testing.assert_allclose(vj.evaluate.mmd(x, x[:50]), vj.evaluate.mmd(as_float, as_float[:50]), atol=1e-6)
    assert vj.evaluate.mmd(np.zeros((5, 2)), np.zeros((4, 2))) == 0.0
    for bad, message in (
        ((np.zeros((1, 2)), np.zeros((4, 2))), "x: expected at least 2 rows \\(N, ...\\), got shape \\(1, 2\\)"),
        ((np.zeros((4, 2)), np.zeros((4, 3))), "y: expected rows of 2 values, got 3"),
        ((np.zeros((4, 2)), np.full((4, 2), np.nan)), "y: expected finite values, got nan in row 0"),
        (
            (np.zeros((4, 2)), np.zeros((4, 2), int)),
            "y: expected floating-point values, uint8 pixels or bool, got int64",
        ),
        ((np.zeros((4, 2)), np.zeros((4, 2)), -1.0), 'bandwidth: expected "median" or a positive number, got -1.0'),
        ((np.zeros((4, 2)), np.zeros((4, 2)), "mean"), "bandwidth: .* got 'mean'"),
    ):
        with pytest.raises(ValueError, match=message):
            vj.evaluate.mmd(*bad)


def test_active_units_count_the_means_that_move():
    model = vj.PPCA(3, 2)
    weight = jnp.array([[2.0, 0.0], [0.0, 0.03], [0.0, 0.0]])
    params = model.init(jax.random.key(0)) | {"weight": weight, "mean": jnp.zeros(3), "log_scale": jnp.zeros(())}
    x = rng.normal(size=(3000, 3)).astype(np.float32)
    count, variance = vj.evaluate.active_units(model, params, x)
    exact = [(2 / 5) ** 2 * x[:, 0].var(), (0.03 / 1.0009) ** 2 * x[:, 1].var()]
    assert count == 1
    np.testing.assert_allclose(variance, exact, rtol=1e-3)
    assert vj.evaluate.active_units(model, params, x, threshold=1e-5).count == 2
    conditional = vj.zoo.conditional_vae(3, 2, 2, hidden=(4,))
    grey = np.clip(x[:20], 0, 1)
    assert vj.evaluate.active_units(
        conditional, conditional.init(jax.random.key(0)), grey, np.arange(20) % 2
    ).variance.shape == (2,)
    with pytest.raises(ValueError, match="threshold: expected a finite number of at least 0, got -1"):
        vj.evaluate.active_units(model, params, x, threshold=-1)
    with pytest.raises(ValueError, match="x: expected rows of shape \\(3,\\)"):
        vj.evaluate.active_units(model, params, x[:, :2])


def test_active_units_of_a_hierarchy_are_told_for_each_layer():
    model = vj.zoo.two_stage(4, 3, second_dim=2, hidden=(4,))
    params = model.init(jax.random.key(0))
    upper = params["second"]["encoder"]["layer1"]["kernel"]
    params["second"]["encoder"]["layer1"]["kernel"] = upper.at[:, 0].set(0.0)  # the mean of u_0 stands still
    count, variance = vj.evaluate.active_units(model, params, rng.normal(size=(100, 4)), threshold=0.0)
    assert count == (1, 3) and [leaf.shape for leaf in variance] == [(2,), (3,)]
