"""A linear Gaussian hierarchy whose posterior is known: every walk can be checked against the exact answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

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


def evidence():
    return Normal(jnp.zeros(1), jnp.full(1, (VAR_Y + S2**2) ** 0.5)).log_prob(X)


@pytest.mark.parametrize("kind", ["guide", "after"])
def test_exact_posterior_gives_the_evidence_for_every_draw(kind, x64):
    model = Hierarchy(kind)
    p, q = model.prior({}), model.posterior({}, X)
    for seed in range(4):
        d = sample_latents(jax.random.key(seed), q, p)
        assert d.kl.shape == (2,)
        weight = model.likelihood({}, d.h).log_prob(X) - d.kl.sum()
        np.testing.assert_allclose(weight, evidence(), atol=1e-10)
        bound = bind(q, p)
        z, log_q = bound.sample_and_log_prob(jax.random.key(seed))
        np.testing.assert_allclose(bound.log_prob(z), log_q, atol=1e-12)
        np.testing.assert_allclose(log_joint(model, {}, X, z) - log_q, evidence(), atol=1e-10)
        np.testing.assert_allclose(importance_bound(model, {}, jax.random.key(seed), X, k=3), evidence(), atol=1e-10)
    assert elbo(model, {}, jax.random.key(0), X).kl.shape == (2,)


def test_wrong_posterior_stays_below(x64):
    model = Hierarchy()
    p = model.prior({})
    q = Guide((given(Normal(jnp.zeros(1), jnp.ones(1))), Partial(exact_low, X)))
    keys = jax.random.split(jax.random.key(0), 5000)

    def weight(key):
        d = sample_latents(key, q, p)
        return model.likelihood({}, d.h).log_prob(X) - d.kl.sum()

    log_w = jax.vmap(weight)(keys)
    assert log_w.mean() < evidence() - 0.01
    w = jnp.exp(log_w - evidence())
    assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(len(w))  # unbiased


@pytest.mark.parametrize("kind", ["guide", "after"])
def test_analytic_and_sampled_terms_agree(kind, x64):
    model = Hierarchy(kind)
    keys = jax.random.split(jax.random.key(0), 20_000)
    values = {}
    for analytic in (True, False):
        each = jax.vmap(lambda key: elbo(model, {}, key, X, analytic=analytic).value)(keys)  # noqa: B023
        values[analytic] = each.mean()
        assert abs(each.mean() - evidence()) < 4 * each.std() / np.sqrt(len(keys)) + 1e-9
    assert abs(values[True] - values[False]) < 0.02


def test_the_top_down_path_is_walked_once():
    calls = []

    def counting(h):
        calls.append(1)
        return low_link(h)

    p = Chain(None, (Partial(top_link), Partial(counting)))
    expect(jax.random.key(0), Hierarchy().posterior({}, X), p, lambda d: d)
    assert len(calls) == 1


def test_temperature_per_layer():
    model = Hierarchy()
    p = model.prior({})
    key = jax.random.key(0)
    z, y = p.sample(key, jnp.asarray([1.0, 0.0]))
    np.testing.assert_allclose(y, A * z, rtol=1e-6)
    np.testing.assert_allclose(p.sample(key, 0.0)[0], 0.0)
    np.testing.assert_allclose(p.mean[1], 0.0)
    mean = sample(model, {}, key, mode="mean", temperature=jnp.asarray([1.0, 0.0]))
    np.testing.assert_allclose(mean, A * z * 0 + mean)
    for kind in ("guide", "after"):
        model = Hierarchy(kind)
        q = bind(model.posterior({}, X), p)
        centre = q.mean
        np.testing.assert_allclose(reconstruct(model, {}, key, X, temperature=0.0), centre[1], rtol=1e-6)
        if kind == "after":  # the bottom-up latent keeps its draw where only the top one is cooled
            warm = q.sample(key, jnp.asarray([0.0, 1.0]))
            assert abs(warm[1] - centre[1]) > 1e-4
            np.testing.assert_allclose(warm[0], A / VAR_Y * warm[1], rtol=1e-5)


def test_enumeration_inside_a_chain(x64):
    """A class at the top of a chain is summed out exactly."""
    logits = jnp.asarray([0.3, -0.2, 1.0])
    means = jnp.asarray([-1.0, 0.0, 2.0])

    def choose(h):
        return Categorical(logits), lambda k: means[k]

    def place(h):
        return Normal(h[None], jnp.ones(1)), lambda z: z

    p = Chain(None, (Partial(choose), Partial(place)))
    q = Guide((given(Categorical(jnp.zeros(3))), Partial(lambda p, h: p)))
    d = expect(jax.random.key(0), q, p, lambda d: (d.kl, jnp.ones(())))
    np.testing.assert_allclose(d[1], 1.0, atol=1e-12)
    expected = np.mean(np.log(1 / 3) - jax.nn.log_softmax(logits))
    np.testing.assert_allclose(d[0], [expected, 0.0], atol=1e-12)


def test_mismatches_are_named():
    p = Hierarchy().prior({})
    short = Guide((given(Normal(jnp.zeros(1), jnp.ones(1))),))
    with pytest.raises(ValueError, match="posterior has 1 links, the prior has 2"):
        expect(jax.random.key(0), short, p, lambda d: d)
    with pytest.raises(TypeError, match="walks with a Chain prior, got Normal"):
        expect(jax.random.key(0), short, Normal(jnp.zeros(1), jnp.ones(1)), lambda d: d)
    with pytest.raises(TypeError, match="walks with a Chain prior"):
        bind(short, Normal(jnp.zeros(1), jnp.ones(1)))
    with pytest.raises(ValueError, match="tuple of 2 latents, got 1"):
        p.log_prob((jnp.zeros(1),))
    flat = Normal(jnp.zeros(1), jnp.ones(1))
    assert bind(flat, p) is flat
