"""Linear Gaussian hierarchies, whose evidence is known (oracles 15, 17 and 19 of the mathematics), and oracle 18."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

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
    """The number that the softplus of a hierarchy maps to this scale (its floor is 1e-3)."""
    return np.log(np.expm1(np.sqrt(np.square(scale) - 1e-6))) - np.log(np.e - 1.0)


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


X, DRAWS = np.asarray([0.9, -0.4, 0.5]), 60_000


@functools.partial(jax.jit, static_argnums=0)
def quantities(model):
    params = jax.tree.map(lambda leaf: 0.6 * leaf, model.init(jax.random.key(3)))
    p, q, keys = model.prior(params), model.posterior(params, X), jax.random.split(KEY, DRAWS)
    z, log_q = bind(q, p).sample_and_log_prob(KEY)

    def weight(key):
        drawn = sample_latents(key, q, p)
        return model.likelihood(params, drawn.h).log_prob(X) - jnp.sum(drawn.kl), drawn.kl

    log_w, ratios = jax.vmap(weight)(keys)
    return {
        "evidence": evidence(model, params, X),
        "log_w": log_w,
        "log_q": (log_q, bind(q, p).log_prob(z)),
        "ratio": (sample_latents(KEY, q, p).kl, log_q - p.log_prob(z)),
        "drawn": ratios[:20_000],
        "closed": jax.vmap(functools.partial(vj.elbo, model, params, x=X))(key=keys[:20_000]).kl,
    }


@pytest.fixture(scope="module", params=MODELS)
def linear(request):
    with jax.enable_x64(True):
        return MODELS[request.param], jax.tree.map(np.asarray, quantities(MODELS[request.param]))


def test_importance_weights_are_unbiased_and_the_bound_reaches_the_evidence(linear):  # oracles 15 and 19
    _, found = linear
    log_w, exact = found["log_w"], found["evidence"]
    w = np.exp(log_w - exact)
    assert w.mean() ** 2 / np.mean(w**2) > 0.05  # the standard error below can be trusted
    assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(len(w))
    means = [np.log(w.reshape(-1, k).mean(1)).mean() + exact for k in (1, 4, 30, 1000)]
    assert means == sorted(means) and abs(means[-1] - exact) < 0.02 < exact - means[0]


def test_posteriors_are_densities(linear):
    """Log q along the draw is log q of its latents, and the joint is its ratio to the weight."""
    _, found = linear
    np.testing.assert_allclose(*found["log_q"], atol=1e-10)
    kl, ratio = found["ratio"]
    np.testing.assert_allclose(kl.sum(), ratio, atol=1e-10)
    assert kl.ndim == 1 and found["closed"].shape[1:] == kl.shape


def test_closed_forms_agree_with_draws(linear):  # oracle 19: which terms are in closed form
    model, found = linear
    closed, drawn = found["closed"], found["drawn"]
    error = np.sqrt((closed.var(0) + drawn.var(0)) / len(drawn))
    assert np.all(abs(closed.mean(0) - drawn.mean(0)) < 4 * error + 1e-9)
    if isinstance(model, vj.BIVA):  # on one draw: bottom-up terms are log-ratios, the others never negative
        assert (closed[:, 1::2] < 0).any() and (closed[:, 0::2] >= 0).all()


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
        return {"layer0": {"kernel": np.asarray(matrix), "bias": np.zeros(np.shape(matrix)[1])}}

    def pair(matrix, scale):
        return {"part0": dense(matrix), "part1": {"value": raw(scale)}}

    params = {
        "ups": {"layer0": dense(weight / squares), "layer1": dense(np.eye(2))},
        "evidence": {
            "layer0": pair(np.eye(2), np.sqrt(seen)),
            "layer1": pair(np.diag(gain), np.sqrt(1 - gain * a)),
        },
        "downs": {"layer0": pair(np.diag(a), scale)},
        "decoder": dense(weight.T),
        "likelihood": {"shift": np.zeros(4)},
    }
    assert jax.tree.structure(params) == jax.tree.structure(jax.eval_shape(model.init, KEY))
    x = rng.normal(size=4)
    covariance = weight @ np.diag(a**2 + scale**2) @ weight.T + SIGMA**2 * np.eye(4)
    exact = scipy.stats.multivariate_normal(np.zeros(4), covariance).logpdf(x)
    bound = jax.jit(jax.vmap(functools.partial(vj.importance_bound, model, params, x=x, k=3)))
    np.testing.assert_allclose(bound(key=jax.random.split(KEY, 5)), exact, atol=1e-10)


def test_the_divergence_of_a_residual_posterior(x64):  # oracle 18
    loc, shift, scale, ratio = np.random.default_rng(0).normal(size=(4, 2, 3))
    scale, ratio = np.exp(scale), np.exp(ratio)
    p = Normal(loc, scale)
    wanted = 0.5 * np.sum(shift**2 / scale**2 + ratio**2 - np.log(ratio**2) - 1)
    np.testing.assert_allclose(analytic_kl(residual_normal(p, shift, ratio), p), wanted, rtol=1e-12)
