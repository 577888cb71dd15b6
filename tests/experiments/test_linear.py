"""The linear model as a yardstick: against the Gaussian that it is."""

import numpy as np
from scipy import stats

from experiments import linear


def test_evidence_is_that_of_the_gaussian_with_the_largest_directions_kept():
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(400, 3)) @ np.diag([3.0, 1.0, 0.5])).astype(np.float32)
    test = train[:50] + np.float32(0.1)
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    kept = np.array([values[:2].mean(), values[:2].mean(), values[2]])
    p = stats.multivariate_normal(train.mean(0), vectors @ np.diag(kept) @ vectors.T)
    np.testing.assert_allclose(linear.evidence(train, test, 1), p.logpdf(test).mean(), rtol=1e-4)
    model, params = linear.ppca(train, 1)
    assert model.latent_dim == 1
    np.testing.assert_allclose(np.exp(2 * params["log_scale"]), values[:2].mean(), rtol=1e-4)
