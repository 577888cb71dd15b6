import numpy as np
import pytest

from experiments.mixtures import plain_em


def test_likelihoods_on_one_datum_have_the_slopes_of_the_theory():
    x, sigmas = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), (1e-2, 1e-3, 1e-4)
    found = {name: cell()["y"] for name, cell in plain_em.singular(x, sigmas).items()}
    step = 3 * np.log(10)
    for name in ("GMM, K = 2, 20 data", "VAE, one datum"):
        np.testing.assert_allclose(np.diff(found[name]), step, rtol=0.02)
    assert np.all(np.diff(found["GMM, K = 1, 20 data"]) < -1e4)  # the other rows pay for it


def test_what_falls_without_end_is_cut():
    found = {"GMM, K = 1": {"y": [-10.0, -1e9]}, "GMM, K = 2": {"y": [-2000.0, 1000.0]}}
    lines = plain_em.kilonats(found, (1.0, 0.1))
    assert lines["GMM, K = 2"][0] == (1.0, 0.1)
    assert lines["GMM, K = 1"][1] == pytest.approx([-0.01, -6.0]) and lines["GMM, K = 2"][1] == pytest.approx([-2, 1])


def test_what_is_done_exactly_is_done_in_float64():
    seen = []
    plain_em.exactly(lambda x, *more: seen.append((x.dtype, np.asarray(x + 1e-12 - x), more)), np.ones(2))(1, "a")
    (dtype, small, more), *_ = seen
    assert dtype == np.float64 and more == (1, "a")
    np.testing.assert_allclose(small, 1e-12, rtol=1e-3)


def test_lines_of_a_climb_agree_where_q_is_the_posterior():
    x = np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([[0.0], [6.0]], 20, 0)
    found = plain_em.exactly(plain_em.climb, x)(2, 10, 0)
    lines = plain_em.half_steps(found)
    (at, exact), (_, bound) = lines["ln p(x)"], lines["bound"]
    np.testing.assert_allclose(at, np.arange(2, 18) / 2)
    assert np.all(np.diff(bound) > -1e-12) and np.all(exact >= bound - 1e-12)
    np.testing.assert_allclose(exact[::2], bound[::2])  # after an E step
    lines = plain_em.any_q(found)
    step, bound = lines["bound"]
    assert len(step) == 11 and bound[-1] == pytest.approx(float(found["end"]), abs=1e-9)
    np.testing.assert_allclose(lines["bound + KL(q, p(z|x))"][1], lines["ln p(x)"][1], atol=1e-9)
