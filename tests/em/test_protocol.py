"""A model of a user's own that brings its EM step: a mixture of Bernoullis, in thirty lines."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests.refusals import refused
from vaejax.distributions import Bernoulli, Categorical, Mixture
from vaejax.recipes import field, static

KEY = jax.random.key(0)
STEPS = 20


@static
class BernoulliMixture(vj.LatentModel):
    num_components: int = field()
    dim: int
    support = (0.0, 1.0)
    has_evidence = True
    event_shape = property(lambda self: (self.dim,))
    em_step = property(lambda self: BernoulliStep(self))

    def init(self, key):
        logits = jax.random.normal(key, (self.num_components, self.dim))
        return {"weights": jnp.zeros(self.num_components), "logits": logits}

    def prior(self, params, context=None):
        return Categorical(params["weights"])

    def likelihood(self, params, h, context=None):
        return Bernoulli(params["logits"][h])

    def posterior(self, params, x, context=None):
        return Categorical(self.marginal(params).component_log_probs(x))

    def marginal(self, params, context=None):
        return Mixture(params["weights"], Bernoulli(params["logits"]))


@static
class BernoulliStep(vj.em.EMStep):
    model: BernoulliMixture

    def update(self, params, rows, hyper, key):
        mass, ones, log_likelihood = rows.sum(self._sums, params)
        p = jnp.clip(ones / mass[:, None], 1e-6, 1 - 1e-6)
        new = {"weights": jnp.log(mass / rows.count), "logits": jnp.log(p) - jnp.log1p(-p)}
        return vj.em.Update(new, log_likelihood / rows.count)

    def _sums(self, params, chunk):
        constant = jax.nn.log_softmax(params["weights"]) - jnp.sum(jax.nn.softplus(params["logits"]), 1)
        r, log_likelihood = vj.em.responsibilities(constant[:, None] + params["logits"] @ chunk.x, chunk.w)
        return jnp.sum(r, 1), r @ chunk.x.T, log_likelihood


MODEL = BernoulliMixture(3, 12)
_rng = np.random.default_rng(0)
CENTRES = _rng.random((3, 12)) < 0.5
X = (CENTRES[np.arange(120) % 3] ^ (_rng.random((120, 12)) < 0.1)).astype(np.float64)


@pytest.fixture(scope="module")
def fitted():
    with jax.enable_x64(True):
        return vj.em.fit(MODEL, KEY, X, num_steps=STEPS, num_restarts=4)


def test_it_climbs_to_the_clusters(fitted, x64):
    params, trace = fitted
    assert np.diff(trace.objective).min() >= -1e-9 and trace.steps == STEPS
    exact = jax.vmap(lambda row: vj.log_evidence(MODEL, params, row))(jnp.asarray(X))
    np.testing.assert_allclose(trace.log_likelihood[-1], np.mean(exact), atol=1e-9)
    np.testing.assert_array_equal(np.unique(params["logits"] > 0, axis=0), np.unique(CENTRES, axis=0))


def test_weights_restarts_devices_and_precision(fitted, x64):
    weights = _rng.permutation(np.arange(120) % 3)
    weighted, trace = vj.em.fit(MODEL, KEY, X, num_steps=STEPS, num_restarts=4, weights=weights)
    repeated, other = vj.em.fit(MODEL, KEY, np.repeat(X, weights, 0), num_steps=STEPS, num_restarts=4)
    np.testing.assert_allclose(trace.objective[-1], other.objective[-1], atol=1e-9)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split, _ = vj.em.fit(MODEL, KEY, X, num_steps=STEPS, num_restarts=4, mesh=mesh)
    chex.assert_trees_all_close(split, fitted[0], atol=1e-8)
    _, alone = vj.em.fit(MODEL, KEY, X, num_steps=STEPS)
    assert alone.objective[-1] <= fitted[1].objective[-1] + 1e-9
    with jax.enable_x64(False):
        for rows in (X.astype(np.float32), X == 1, (255 * X).astype(np.uint8).reshape(120, 3, 4, 1)):
            single, trace = vj.em.fit(MODEL, KEY, rows, num_steps=STEPS, num_restarts=4)
            np.testing.assert_allclose(trace.objective[-1], fitted[1].objective[-1], atol=1e-5)  # all starts end there
            assert single["logits"].dtype == jnp.float32


def test_one_step_and_its_halves(x64):
    x, start = jnp.asarray(X), MODEL.init(KEY)
    step = vj.em.em_step(MODEL, start, x)
    _, trace = vj.em.fit(MODEL, KEY, X, num_steps=STEPS, num_restarts=4, init=start)
    np.testing.assert_allclose(step.objective, trace.objective[0], atol=1e-9)
    half = vj.em.half_steps(MODEL, MODEL.init(jax.random.key(1)), start, step.params, x)
    assert half.before < half.after_e < half.after_m < half.log_likelihood
    np.testing.assert_allclose([half.after_e, half.log_likelihood], trace.objective[:2], atol=1e-9)


def test_wrong_rows_are_named():
    fit = functools.partial(vj.em.fit, MODEL, KEY, num_steps=1)
    refused("values in [0, 1] for this likelihood, got 2.0 in row 0", fit, X + 1)
    refused("missing: expected", fit, X, missing=True)
    refused("expected floating-point rows or uint8 images, got int64", fit, X.astype(int))
