"""Gaussians fitted to mixtures by either divergence, the bound of plain EM: against what is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.mixtures import divergences, plain_em


def test_the_forward_fit_has_the_moments_of_the_mixture():
    p = divergences.mixture(0.7)
    q, x = divergences.moments(p), np.asarray(divergences.drawn(p, 0, 50_000))
    np.testing.assert_allclose(q.loc, x.mean(0), atol=0.05)
    np.testing.assert_allclose(q.scale_tril @ q.scale_tril.T, np.cov(x.T), atol=0.15)


def test_quadrature_gives_the_divergence_from_a_mixture_of_equal_components():
    one = divergences.TrilNormal(jnp.array([1.0, -1.0]), jnp.array([[1.0, 0.0], [0.5, 2.0]]))
    same = divergences.Mixture(jnp.zeros(3), jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), one))
    q = divergences.TrilNormal(jnp.zeros(2), jnp.eye(2))
    exact = float(vj.distributions.analytic_kl(q, one))
    assert float(divergences.reverse_kl(q, same)) == pytest.approx(exact, rel=1e-5)
    assert float(divergences.reverse_kl(one, same)) == pytest.approx(0.0, abs=1e-5)


def test_numbers_of_a_mixture_of_components_that_are_alone():
    """The best reverse fit is one of the three components, ln 3 away; the forward fit is maximum likelihood."""
    p, fits = divergences.mixture(2.0), divergences.reverse_fits(2.0, 4, 600, 0)
    assert [value for value, _ in fits] == sorted(value for value, _ in fits)
    assert np.linalg.norm(np.asarray(p.components.loc) - np.asarray(fits[0][1].loc), axis=1).min() < 0.05
    found = divergences.numbers(p, fits, 0, draws=3000)
    assert float(found["reverse KL(q|p)"]) == pytest.approx(np.log(3), abs=1e-3)
    assert float(found["reverse mass"]) == pytest.approx((1 - np.exp(-2)) / 3, abs=0.03)
    assert float(found["maximum likelihood"]) == pytest.approx(float(found["forward nll"]), abs=0.05)
    assert float(found["forward KL(p|q)"]) < float(found["reverse KL(p|q)"])


def test_likelihoods_on_one_datum_have_the_slopes_of_the_theory():
    x, sigmas = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), (1e-2, 1e-3, 1e-4)
    found = {name: cell()["y"] for name, cell in plain_em.singular(x, sigmas).items()}
    step = 3 * np.log(10)
    for name in ("GMM, K = 2, 20 data", "VAE, one datum"):
        np.testing.assert_allclose(np.diff(found[name]), step, rtol=0.02)
    assert np.all(np.diff(found["GMM, K = 1, 20 data"]) < -1e4)  # the other rows pay for it


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
