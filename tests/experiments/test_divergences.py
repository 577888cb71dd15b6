import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.mixtures import divergences


@pytest.fixture(scope="module")
def far():
    """Components so far apart that each is alone, and the reverse fits from four starts."""
    return divergences.mixture(2.0), divergences.reverse_fits(2.0, 4, 600, 0)


def test_the_mixture_is_that_of_the_generator():
    x = np.asarray(divergences.drawn(divergences.mixture(), 0, 20_000))
    other = vj.data.gaussian_mixture(20_000, seed=1).train.x
    np.testing.assert_allclose(np.cov(x.T), np.cov(other.T), atol=0.4)
    np.testing.assert_allclose(x.mean(0), other.mean(0), atol=0.15)


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


def test_reverse_fits_end_on_components(far):
    p, fits = far
    values = [value for value, _ in fits]
    assert values == sorted(values) and values[0] == pytest.approx(np.log(3), abs=1e-3)
    off = np.linalg.norm(np.asarray(p.components.loc) - np.asarray(fits[0][1].loc), axis=1)
    assert off.min() < 0.05


def test_places_less_than_one_unit_apart_are_one():
    fits = [(0.0, divergences.TrilNormal(jnp.array([at, 0.0]), jnp.eye(2))) for at in (0.0, 0.5, 2.0, -0.9, 2.9)]
    assert [float(q.loc[0]) for _, q in divergences.distinct(fits)] == [0.0, 2.0]


def test_numbers_of_a_mixture_of_components_that_are_alone(far):
    found = divergences.numbers(*far, 0, draws=3000)
    assert float(found["reverse KL(q|p)"]) == pytest.approx(np.log(3), abs=1e-3)
    assert float(found["reverse mass"]) == pytest.approx((1 - np.exp(-2)) / 3, abs=0.03)
    assert float(found["maximum likelihood"]) == pytest.approx(float(found["forward nll"]), abs=0.05)
    assert float(found["forward KL(p|q)"]) < float(found["reverse KL(p|q)"])
    assert found["optima"] == len(divergences.distinct(far[1]))
