import numpy as np
import pytest

from experiments import mixtures


def test_likelihoods_on_one_datum_have_the_slopes_of_the_theory():
    x, sigmas = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), (1e-2, 1e-3, 1e-4)
    found = {name: cell()["y"] for name, cell in mixtures.singular(x, sigmas).items()}
    step = 3 * np.log(10)
    for name in ("GMM, K = 2, 20 data", "VAE, one datum"):
        np.testing.assert_allclose(np.diff(found[name]), step, rtol=0.02)
    assert np.all(np.diff(found["GMM, K = 1, 20 data"]) < -1e4)  # the other rows pay for it


def test_what_falls_without_end_is_cut():
    found = {"GMM, K = 1": {"y": [-10.0, -1e9]}, "GMM, K = 2": {"y": [-2000.0, 1000.0]}}
    lines = mixtures.kilonats(found, (1.0, 0.1))
    assert lines["GMM, K = 2"][0] == (1.0, 0.1)
    assert lines["GMM, K = 1"][1] == pytest.approx([-0.01, -6.0]) and lines["GMM, K = 2"][1] == pytest.approx([-2, 1])
