"""Sets in the plane and on lines, against their densities; posteriors where a decoder of zeros is known."""

import jax
import numpy as np
import pytest

import vaejax as vj
from experiments.plane import flow_posteriors, manifolds, points


def test_the_sources_entropies_are_those_of_the_generators():
    config = points.Config.smoke()
    for name in ("4.1 axis", "4.3 eight", "4.4 blobs", "4.5 mixture"):
        x = points.dataset(config, name).test.x
        assert -points._truth(name, x, 20_000).mean() == pytest.approx(points.SETS[name].entropy, abs=0.12)


def test_quadrature_and_gap_of_a_decoder_that_does_not_look():
    """Its posterior is the prior, so that the gap is the divergence of q from it."""
    model = vj.zoo.vae(4, 2, hidden=(3,), posterior="diag")
    zero = model, jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    found = flow_posteriors.scored(*zero)
    assert found["evidence"] == pytest.approx(-4 * np.log(2), abs=1e-5)
    divergence = vj.distributions.analytic_kl(model.posterior(zero[1], np.zeros(4, np.float32)), model.prior(zero[1]))
    assert found["gap"] == pytest.approx(float(divergence), abs=1e-3)


def test_regions_are_where_a_point_is_most_probable():
    """Logits (5 z1, -5 z1, 0, 0): the first point on the right, the second one on the left."""
    model = vj.zoo.linear_vae(4, 2, likelihood=vj.heads.bernoulli())
    params = jax.tree.map(np.zeros_like, model.init(jax.random.key(0)))
    params["decoder"]["layer0"]["kernel"] = np.array([[5.0, -5.0, 0.0, 0.0], [0.0] * 4], np.float32)
    likely = np.asarray(flow_posteriors.posteriors(model, params)[1]).reshape(flow_posteriors.SIDE, -1)
    middle = flow_posteriors.SIDE // 2
    assert (likely[:, middle + 1 :] == 0).all() and (likely[:, :middle] == 1).all()


def test_the_ring_is_made_of_standard_normal_points():
    x = vj.data.ring(400).train.x
    z = manifolds.unringed(x)
    np.testing.assert_allclose(z / 10 + z / np.linalg.norm(z, axis=1, keepdims=True), x, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.15)


def test_the_line_is_the_quantile_function_of_its_density():
    z, x = manifolds.quantiles([manifolds.LINE, manifolds.LINE + 2.0])["quantile function"]
    assert np.all(np.diff(x) > 0)
    draws = np.random.default_rng(0).normal(size=200_000)
    below = 0.4 * (draws - 2.0 < x[30]).mean() + 0.6 * (0.3 * draws + 1.0 < x[30]).mean()
    assert abs(below - 0.5) < 0.005  # z = 0 is the median
