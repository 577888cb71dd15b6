"""Principal components, eigenvalues above a fixed variance, and one hidden layer."""

import numpy as np
import pytest

from experiments.linear import pca


def test_wider_layers_err_less_but_not_with_squares():
    errors = {unit: [pca.approximate(width, unit, 0)["error"] for width in (4, 64)] for unit in pca.UNITS}
    assert errors["tanh"][1] < 0.5 * errors["tanh"][0] and errors["relu"][1] < 0.5 * errors["relu"][0]
    assert errors["x²"][1] == pytest.approx(errors["x²"][0])  # any number of them is one parabola


def test_components_are_uncorrelated_and_have_the_eigenvalues_as_variances():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 5)) @ np.diag([3.0, 2.0, 1.0, 0.5, 0.5]) + 1.0).astype(np.float32)
    values, x = pca.components(rows, 3)
    assert x.shape == (300, 3) and values.sum() == pytest.approx(rows.var(0).sum(), rel=1e-5)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.T @ x / len(x), np.diag(values[:3]), atol=1e-4)


def test_what_is_above_a_share_of_the_largest_eigenvalue():
    count, length = pca.above(np.array([4.0, 3.0, 1.0]), (1.2, 0.5, 0.1))
    assert count == {1.2: 0, 0.5: 2, 0.1: 3}
    assert length == pytest.approx({1.2: 0.0, 0.5: 3.0, 0.1: 6.8})
