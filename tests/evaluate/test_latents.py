"""Active units, the aggregate posterior and the curve of rate and distortion, against closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from tests.refusals import refused
from vaejax.distributions import Normal
from vaejax.recipes import static

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


@static
class Encoded(vj.LatentModel):
    """z ~ N(0, I), x = z + noise, and q(z|x) = N(A x, s^2) with A and s from the parameters."""

    dim: int
    event_shape = property(lambda self: (self.dim,))
    init = lambda self, key: {"map": jnp.eye(self.dim), "scale": jnp.ones(())}
    prior = lambda self, params, context=None: Normal(jnp.zeros(self.dim), jnp.ones(self.dim))
    likelihood = lambda self, params, h, context=None: Normal(h, jnp.full(self.dim, 0.5))

    def posterior(self, params, x, context=None):
        return Normal(params["map"] @ x, jnp.broadcast_to(params["scale"], (self.dim,)))


def aggregate(covariance, scale, **options):
    tril = np.linalg.cholesky(covariance)
    x = (np.random.default_rng(0).normal(size=(1200, len(tril))) @ tril.T).astype(np.float32)
    params = {"map": np.eye(len(tril), dtype=np.float32), "scale": np.float32(scale)}
    return vj.evaluate.aggregate_posterior(Encoded(len(tril)), params, KEY, x, **options)


@pytest.mark.parametrize("rows", [2000, 500])
def test_the_aggregate_posterior_of_a_gaussian(rows):
    covariance, scale = np.array([[1.5, 0.9], [0.9, 1.0]]), 0.7
    found = aggregate(covariance, scale, num_rows=rows)
    total = covariance + scale**2 * np.eye(2)
    information = 0.5 * (np.linalg.slogdet(total)[1] - 2 * np.log(scale**2))
    divergence = 0.5 * (np.trace(total) - 2 - np.linalg.slogdet(total)[1])
    correlation = total[0, 1] / np.sqrt(total[0, 0] * total[1, 1])
    expected = information, divergence, -0.5 * np.log(1 - correlation**2)
    for value, true, error in zip(found[:3], expected, found.standard_errors, strict=True):
        assert abs(value - true) < 4 * error + 0.06, (value, true, error)
    assert found.correlations[0, 1] == pytest.approx(correlation, abs=0.05)
    assert ("exact" in found.protocol) == (rows == 2000)


def test_independent_latents_have_no_total_correlation():
    found = aggregate(np.eye(2), 0.5)
    assert abs(found.total_correlation) < 4 * found.standard_errors[2] + 0.06
    of = vj.evaluate.aggregate_posterior
    refused("unconditional", of, zoo.AMORTIZED["conditional"], {}, KEY, zoo.levels(8), error=TypeError)
    mixture = zoo.EXACT["ppca-mixture"], zoo.fitted("ppca-mixture")
    refused("a hierarchy", of, *mixture, KEY, zoo.rows(), error=TypeError)


def test_active_units_count_the_means_that_move():
    model = vj.PPCA(3, 2)
    weight = np.array([[2.0, 0.0], [0.0, 0.03], [0.0, 0.0]], np.float32)
    params = {"weight": weight, "mean": np.zeros(3, np.float32), "log_scale": np.zeros((), np.float32)}
    x = RNG.normal(size=(2048, 3)).astype(np.float32)
    count, variance = vj.evaluate.active_units(model, params, x)
    exact = [(2 / 5) ** 2 * x[:, 0].var(), (0.03 / 1.0009) ** 2 * x[:, 1].var()]
    assert count == 1
    np.testing.assert_allclose(variance, exact, rtol=1e-3)
    assert vj.evaluate.active_units(model, params, x, threshold=1e-5).count == 2
    conditional, grey = zoo.AMORTIZED["conditional"], zoo.levels(20)
    found = vj.evaluate.active_units(conditional, jax.jit(conditional.init)(KEY), grey, np.arange(20) % 3)
    assert found.variance.shape == (2,)
    of = functools.partial(vj.evaluate.active_units, model, params)
    refused("threshold: expected a finite number of at least 0, got -1", of, x, threshold=-1)
    refused("x: expected rows of shape (3,)", of, x[:, :2])


def test_active_units_of_a_hierarchy_are_counted_by_layer():
    model = vj.zoo.two_stage(4, 3, second_dim=2, hidden=(4,))
    params = jax.tree.map(np.array, jax.jit(model.init)(KEY))
    params["second"]["encoder"]["layer1"]["kernel"][:, 0] = 0.0  # the mean of u_0 stands still
    x = RNG.normal(size=(100, 4)).astype(np.float32)
    count, variance = vj.evaluate.active_units(model, params, x, threshold=0.0)
    assert count == (1, 3) and [leaf.shape for leaf in variance] == [(2,), (3,)]


def test_the_curve_of_an_ensemble():
    x = (zoo.levels(150) > 0.5).astype(np.float32)
    model, betas = vj.zoo.vae(zoo.D, 2, hidden=(16,)), np.array([0.05, 0.5, 8.0], np.float32)
    keys = jnp.stack([KEY] * 3)
    fits = vj.fit_ensemble(model, keys, x, hparams={"beta": betas}, epochs=60, batch_size=25)
    curve = vj.evaluate.evidence.rate_distortion(model, fits.params, KEY, x)
    assert (np.diff(curve.rate) < 0).all() and (np.diff(curve.distortion) > 0).all()
    one, _ = fits.member(1)
    bounds = jax.vmap(lambda k, x: vj.elbo(model, one, k, x).value)(jax.random.split(KEY, len(x)), x)
    np.testing.assert_allclose(-curve.rate[1] - curve.distortion[1], np.mean(bounds), rtol=1e-5)
    assert curve.standard_errors.shape == (3, 2) and (curve.standard_errors > 0).all()
