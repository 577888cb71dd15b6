"""Linear Gaussian hierarchies, whose evidence is known (oracles 15, 17 and 19 of the mathematics), and oracle 18."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from vaejax.distributions import LowRankNormal, Normal, analytic_kl, bind, sample_latents
from vaejax.models.nvae import residual_normal
from vaejax.networks import Constant, Linear, Parallel

KEY = jax.random.key(0)
SIGMA = 0.8
HEAD = vj.heads.normal(SIGMA)
D = 3


def affine(in_size, out_size):
    """Parameters of a Gaussian whose location is affine and whose scale is constant."""
    return Parallel((Linear(in_size, out_size), Constant(out_size)))


def raw(scale):
    """What the softplus of a hierarchy maps to this scale (its floor is 1e-3)."""
    return jnp.log(jnp.expm1(jnp.sqrt(scale**2 - 1e-6))) - jnp.log(jnp.e - 1.0)


MODELS = {
    "ladder": vj.Ladder(
        (Linear(D, 2), Linear(2, 2)), (affine(2, 2), affine(2, 1)), (affine(1, 2),), Linear(2, D), (1, 2), HEAD
    ),
    "hierarchical": vj.HierarchicalVAE(
        (affine(D, 2), affine(2, 1), affine(1, 1)), (affine(1, 1), affine(1, 2)), Linear(2, D), (1, 1, 2), HEAD
    ),
    "biva": vj.BIVA(
        (Linear(D, 2), Linear(3, 2)),
        (affine(2, 1), affine(2, 1)),
        (Parallel((affine(2, 1), affine(2, 1))),),
        (affine(4, 1),),
        (Linear(1, 2), Linear(4, 2)),
        Linear(2, D),
        (1, 1),
        HEAD,
    ),
    "biva-3": vj.BIVA(
        (Linear(D, 2), Linear(3, 2), Linear(3, 2)),
        (affine(2, 1), affine(2, 1), affine(2, 1)),
        (Parallel((affine(2, 1), affine(2, 1))),) * 2,
        (affine(4, 1),) * 2,
        (Linear(1, 2), Linear(4, 2), Linear(4, 2)),
        Linear(2, D),
        (1, 1, 1),
        HEAD,
    ),
    "nvae": vj.NVAE(
        (Linear(D, 2), Linear(2, 2)), (affine(4, 1), affine(4, 2)), (affine(2, 2),), (Linear(3, 2), Linear(4, 2)),
        Linear(2, D), (2,), (1, 2), HEAD,
    ),
}  # fmt: skip


def evidence(model, params, x):
    """Exact: x is an affine map of the standardised noise of all latents, and noise of its own."""
    p = model.prior(params)

    def mean(noise):
        _, _, h = p.walk(lambda i, p, h: (p.loc + p.scale * noise[i], None))
        return model.likelihood(params, h).loc

    zeros = jax.tree.map(jnp.zeros_like, p.sample(KEY))
    factor = jnp.concatenate(jax.jacfwd(mean)(zeros), -1)
    return LowRankNormal(mean(zeros), factor, jnp.full(D, SIGMA)).log_prob(x)


@pytest.fixture(params=MODELS)
def linear(request, x64):
    model = MODELS[request.param]
    params = jax.tree.map(lambda leaf: 0.6 * leaf, model.init(jax.random.key(3)))
    return model, params, jnp.asarray([0.9, -0.4, 0.5])


def test_importance_weights_are_unbiased_and_the_bound_reaches_the_evidence(linear):  # oracles 15 and 19
    model, params, x = linear
    exact = evidence(model, params, x)

    @jax.jit
    @jax.vmap
    def weights(key):
        d = sample_latents(key, model.posterior(params, x), model.prior(params))
        return model.likelihood(params, d.h).log_prob(x) - jnp.sum(d.kl)

    log_w = weights(jax.random.split(KEY, 60_000))
    w = np.exp(log_w - exact)
    assert w.mean() ** 2 / np.mean(w**2) > 0.05  # the standard error below can be trusted
    assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(len(w))
    bounds = {k: jax.nn.logsumexp(log_w.reshape(-1, k), 1) - np.log(k) for k in (1, 4, 30, 1000)}
    means = [bound.mean() for bound in bounds.values()]
    assert means == sorted(means) and abs(means[-1] - exact) < 0.02 < exact - means[0]


def test_posteriors_are_densities(linear):
    """Log q along the draw is log q of what was drawn, and the joint is its ratio to the weight."""
    model, params, x = linear
    p, q = model.prior(params), model.posterior(params, x)
    z, log_q = bind(q, p).sample_and_log_prob(KEY)
    np.testing.assert_allclose(bind(q, p).log_prob(z), log_q, atol=1e-10)
    d = sample_latents(KEY, q, p)
    np.testing.assert_allclose(d.kl.sum(), log_q - p.log_prob(z), atol=1e-10)
    assert d.kl.shape == (len(z),)


def test_closed_forms_agree_with_draws(linear):  # oracle 19: which terms are in closed form
    model, params, x = linear
    keys = jax.random.split(KEY, 20_000)
    layers = {
        analytic: jax.vmap(functools.partial(vj.elbo, model, params, x=x, analytic=analytic))(key=keys).kl
        for analytic in (True, False)
    }
    error = np.sqrt((layers[True].var(0) + layers[False].var(0)) / len(keys))
    assert np.all(abs(layers[True].mean(0) - layers[False].mean(0)) < 4 * error + 1e-9)
    if isinstance(model, vj.BIVA):  # on one draw: bottom-up terms are log-ratios, the others never negative
        assert (layers[True][:, 1::2] < 0).any() and (layers[True][:, 0::2] >= 0).all()


def test_an_exact_ladder_weighs_every_draw_with_the_evidence(x64):  # oracle 17
    rng = np.random.default_rng(0)
    weight = np.linalg.qr(rng.normal(size=(4, 2)))[0] * [1.5, 0.7]
    squares, a, scale = (weight**2).sum(0), np.array([0.8, -1.2]), np.array([0.6, 0.9])
    seen = SIGMA**2 / squares
    gain = a / (a**2 + scale**2 + seen)
    model = vj.Ladder(
        (Linear(4, 2), Linear(2, 2)), (affine(2, 2), affine(2, 2)), (affine(2, 2),), Linear(2, 4), (2, 2), HEAD
    )

    def dense(matrix):
        return {"layer0": {"kernel": jnp.asarray(matrix), "bias": jnp.zeros(np.shape(matrix)[1])}}

    def pair(matrix, scale):
        return {"part0": dense(matrix), "part1": {"value": raw(jnp.asarray(scale))}}

    params = {
        "ups": {"layer0": dense(weight / squares), "layer1": dense(np.eye(2))},
        "evidence": {
            "layer0": pair(np.eye(2), np.sqrt(seen)),
            "layer1": pair(np.diag(gain), np.sqrt(1 - gain * a)),
        },
        "downs": {"layer0": pair(np.diag(a), scale)},
        "decoder": dense(weight.T),
    }
    assert jax.tree.structure(params) == jax.tree.structure(jax.eval_shape(model.init, KEY))
    x = jnp.asarray(rng.normal(size=4))
    covariance = weight @ np.diag(a**2 + scale**2) @ weight.T + SIGMA**2 * np.eye(4)
    exact = jax.scipy.stats.multivariate_normal.logpdf(x, jnp.zeros(4), covariance)
    for seed in range(5):
        for k in (1, 3):
            np.testing.assert_allclose(
                vj.importance_bound(model, params, jax.random.key(seed), x, k=k), exact, atol=1e-10
            )


def test_the_divergence_of_a_residual_posterior(x64):  # oracle 18
    keys = jax.random.split(KEY, 4)
    loc, shift = (jax.random.normal(key, (2, 3)) for key in keys[:2])
    scale, ratio = (jnp.exp(jax.random.normal(key, (2, 3))) for key in keys[2:])
    p = Normal(loc, scale)
    wanted = 0.5 * jnp.sum(shift**2 / scale**2 + ratio**2 - jnp.log(ratio**2) - 1)
    np.testing.assert_allclose(analytic_kl(residual_normal(p, shift, ratio), p), wanted, rtol=1e-12)
