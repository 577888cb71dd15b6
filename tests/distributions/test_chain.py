"""A linear Gaussian hierarchy whose posterior is known: every walk can be checked against the exact answer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.refusals import refused
from vaejax.distributions import After, Categorical, Chain, Guide, Known, Normal, bind, expect, given, sample_latents
from vaejax.models import LatentModel, elbo, importance_bound, log_joint, reconstruct, sample
from vaejax.recipes import static

A, S1, S2 = 0.8, 0.6, 0.5  # z ~ N(0, 1), y | z ~ N(A z, S1^2), x | y ~ N(y, S2^2)
VAR_Y = A**2 + S1**2


def top_link(h):
    return Normal(jnp.zeros(1), jnp.ones(1)), lambda z: z


def low_link(h):
    return Normal(A * h, jnp.full(1, S1)), lambda y: y


def exact_top(x, p, h):  # z | x
    gain = A / (VAR_Y + S2**2)
    return Normal(gain * x, jnp.full(1, (1 - gain * A) ** 0.5))


def exact_low(x, p, h):  # y | z, x: p(y | z) times the evidence of x
    precision = S1**-2 + S2**-2
    return Normal((p.mean * S1**-2 + x * S2**-2) / precision, jnp.full(1, precision**-0.5))


def marginal_y(x, h):  # y | x, bottom-up
    gain = VAR_Y / (VAR_Y + S2**2)
    return Normal(gain * x, jnp.full(1, (VAR_Y * (1 - gain)) ** 0.5)), lambda y: y


def top_given_y(y, p, h):  # z | y
    gain = A / VAR_Y
    return Normal(gain * y, jnp.full(1, (1 - gain * A) ** 0.5))


def then(a, log_q, h):
    assert h is a[0]  # the last state of the way up
    return Guide((Partial(top_given_y, a[0]), given(Known(a[0], log_q[0]))))


def pick(z):
    return (z[1],)


@static
class Hierarchy(LatentModel):
    kind: str = "guide"
    event_shape = (1,)

    def init(self, key):
        return {}

    def prior(self, params, context=None):
        return Chain(None, (Partial(top_link), Partial(low_link)))

    def likelihood(self, params, h, context=None):
        return Normal(h, jnp.full(1, S2))

    def posterior(self, params, x, context=None):
        if self.kind == "guide":
            return Guide((Partial(exact_top, x), Partial(exact_low, x)))
        return After(Chain(None, (Partial(marginal_y, x),)), Partial(then), Partial(pick))


X = np.asarray([0.7])  # float64 where the test enables it
EVIDENCE = -0.5 * (X[0] ** 2 / (VAR_Y + S2**2) + np.log(2 * np.pi * (VAR_Y + S2**2)))


@functools.partial(jax.jit, static_argnames=("model",))
def quantities(model, x):
    p, q = model.prior({}), model.posterior({}, x)
    bound, keys = bind(q, p), jax.random.split(jax.random.key(0), 20_000)

    def at_a_draw(key):
        drawn = sample_latents(key, q, p)
        z, log_q = bound.sample_and_log_prob(key)
        weight = model.likelihood({}, drawn.h).log_prob(x) - drawn.kl.sum()
        iwae = importance_bound(model, {}, key, x, k=3)
        return drawn.kl, weight, log_q, bound.log_prob(z), log_joint(model, {}, x, z) - log_q, iwae

    wrong = Guide((given(Normal.standard(1)), Partial(exact_low, x)))

    def wrong_weight(key):
        drawn = sample_latents(key, wrong, p)
        return model.likelihood({}, drawn.h).log_prob(x) - drawn.kl.sum()

    return {
        "draws": jax.vmap(at_a_draw)(keys[:4]),
        "analytic": jax.vmap(lambda key: elbo(model, {}, key, x))(keys),
        "sampled": jax.vmap(lambda key: elbo(model, {}, key, x, analytic=False).value)(keys),
        "wrong": jax.vmap(wrong_weight)(keys[:5000]),
    }


@pytest.fixture(scope="module", params=["guide", "after"])
def found(request):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, quantities(Hierarchy(request.param), X))


def test_exact_posterior_gives_the_evidence_for_every_draw(found):
    kl, weight, log_q, again, joint_minus_q, iwae = found["draws"]
    assert kl.shape == (4, 2) and found["analytic"].kl.shape[1:] == (2,)
    for value in (weight, joint_minus_q, iwae):
        np.testing.assert_allclose(value, EVIDENCE, atol=1e-10)
    np.testing.assert_allclose(again, log_q, atol=1e-12)


def test_wrong_posterior_stays_below(found):
    log_w = found["wrong"]
    assert log_w.mean() < EVIDENCE - 0.01
    w = np.exp(log_w - EVIDENCE)
    assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(len(w))  # unbiased


def test_analytic_and_sampled_terms_agree(found):
    analytic, sampled = found["analytic"].value, found["sampled"]
    for values in (analytic, sampled):
        assert abs(values.mean() - EVIDENCE) < 4 * values.std() / np.sqrt(len(values)) + 1e-9
    assert abs(analytic.mean() - sampled.mean()) < 0.02


def test_the_top_down_path_is_walked_once():
    calls = []

    def counting(h):
        calls.append(1)
        return low_link(h)

    p = Chain(None, (Partial(top_link), Partial(counting)))
    jax.eval_shape(lambda key: expect(key, Hierarchy().posterior({}, X), p, lambda drawn: drawn), jax.random.key(0))
    assert len(calls) == 1


@functools.partial(jax.jit, static_argnames=("model",))
def cooled(model, key):
    p = model.prior({})
    q, top_only = bind(model.posterior({}, X), p), jnp.asarray([1.0, 0.0])
    return {
        "prior": p.sample(key, top_only),
        "centre": (p.sample(key, 0.0), p.mean),
        "means": [sample(model, {}, key, mode="mean", temperature=t) for t in (top_only, 1.0)],
        "posterior": (q.mean, q.sample(key, jnp.asarray([0.0, 1.0]))),
        "cold": reconstruct(model, {}, key, X, temperature=0.0),
    }


@pytest.mark.parametrize("kind", ["guide", "after"])
def test_temperature_per_layer(kind):
    found = jax.tree.map(np.asarray, cooled(Hierarchy(kind), jax.random.key(0)))
    z, y = found["prior"]
    np.testing.assert_allclose(y, A * z, rtol=1e-6)
    for centre in found["centre"]:
        np.testing.assert_allclose(centre[0], 0.0)
        np.testing.assert_allclose(centre[1], 0.0)
    assert abs(found["means"][0] - found["means"][1]) > 1e-4  # y is A z where it is cold
    centre, warm = found["posterior"]
    np.testing.assert_allclose(found["cold"], centre[1], rtol=1e-6)
    if kind == "after":  # the bottom-up latent keeps its draw where only the top one is cooled
        assert abs(warm[1] - centre[1]) > 1e-4
        np.testing.assert_allclose(warm[0], A / VAR_Y * warm[1], rtol=1e-5)


def test_enumeration_inside_a_chain(x64):
    """A class at the top of a chain is summed out exactly."""
    logits, means = np.asarray([0.3, -0.2, 1.0]), np.asarray([-1.0, 0.0, 2.0])

    def choose(h):
        return Categorical(jnp.asarray(logits)), lambda k: jnp.asarray(means)[k]

    def place(h):
        return Normal(h[None], jnp.ones(1)), lambda z: z

    p = Chain(None, (Partial(choose), Partial(place)))
    q = Guide((given(Categorical(np.zeros(3))), Partial(lambda p, h: p)))
    kl, one = jax.jit(lambda key: expect(key, q, p, lambda drawn: (drawn.kl, jnp.ones(()))))(jax.random.key(0))
    np.testing.assert_allclose(one, 1.0, atol=1e-12)
    expected = np.mean(np.log(1 / 3) - (logits - np.log(np.exp(logits).sum())))
    np.testing.assert_allclose(kl, [expected, 0.0], atol=1e-12)


def test_mismatches_are_named():
    key, p, flat = jax.random.key(0), Hierarchy().prior({}), Normal(np.zeros(1), np.ones(1))
    short = Guide((given(flat),))
    refused("posterior has 1 links, the prior has 2", expect, key, short, p, lambda d: d)
    refused("walks with a Chain prior, got Normal", expect, key, short, flat, lambda d: d, error=TypeError)
    refused("walks with a Chain prior", bind, short, flat, error=TypeError)
    refused("tuple of 2 latents, got 1", p.log_prob, (np.zeros(1),))
    assert bind(flat, p) is flat
