import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import vaejax as vj
from vaejax import heads
from vaejax.distributions import Flowed, Normal

KEY, PIXELS = jax.random.key(0), (2, 3, 4)
TABLE = [  # head, shape of the output, shape of the event
    (heads.bernoulli(), PIXELS, (2, 3, 4)),
    (heads.continuous_bernoulli(), PIXELS, (2, 3, 4)),
    (heads.normal(0.3), PIXELS, (2, 3, 4)),
    (heads.normal("shared"), PIXELS, (2, 3, 4)),
    (heads.normal("optimal"), PIXELS, (2, 3, 4)),
    (heads.normal("per_pixel_constant"), PIXELS, (2, 3, 4)),
    (heads.normal("per_pixel"), PIXELS, (2, 3, 2)),
    (heads.low_rank_normal(3), PIXELS, (2, 3, 1)),
    (heads.low_rank_normal(0), PIXELS, (2, 3, 4)),
    (heads.discretized_logistic("per_pixel", levels=17), PIXELS, (2, 3, 2)),
    (heads.full_normal(), (9,), (3,)),
    (heads.LinearIAF(), (2,), (1,)),
    (heads.LinearIAF(), (9,), (3,)),
    (heads.Planar(3), (11,), (1,)),
    (heads.Planar(3), (27,), (3,)),
    (heads.IAF(2, 5), (6,), (1,)),
    (heads.IAF(2, 5), (18,), (3,)),
    (heads.IAF(2, (5, 4), context=False), (6,), (3,)),
    (heads.IAF(1, 3, 1), (9,), (3,)),
]


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("head, output_shape, event_shape", TABLE, ids=[f"{head}{e}" for head, _, e in TABLE])
def test_shapes_go_both_ways_and_draws_have_gradients(head, output_shape, event_shape):
    assert head.event_shape(output_shape) == event_shape and head.output_shape(event_shape) == output_shape
    assert head == type(head)(**vj.recipes.arguments(head))

    @jax.jit
    def run(out):
        params = head.init(KEY, event_shape)

        def loss(params, out):
            q = head.apply(params, out)
            z, log_q = q.sample_and_log_prob(KEY)
            return jnp.sum(z**2) + log_q, (z, q.mean, q.stddev if q.has_stddev else z)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, out)

    (value, shaped), (of_params, of_out) = jax.tree.map(np.asarray, run(np.float32(normal(0, output_shape))))
    assert {each.shape for each in shaped} == {event_shape} and np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((of_params, of_out))) and np.any(of_out != 0)


def test_scales_against_scipy():
    x, out = np.float32(normal(1, PIXELS)), np.float32(normal(0, PIXELS))
    table = [
        (0.3, {}, 0.3),
        ("shared", {"log_scale": np.log(0.2)}, np.hypot(0.2, 0.05)),
        ("optimal", {"log_scale": np.log(0.2)}, 0.2),
        ("optimal", {"log_scale": np.log(0.02)}, 0.05),
        ("per_pixel_constant", {"log_scale": np.full(PIXELS, np.log(0.2))}, np.hypot(0.2, 0.05)),
    ]
    pixel = np.hypot(np.log1p((np.e - 1) * np.exp(out[..., 2:])), 0.05)

    @jax.jit
    def scores(x, out):
        scored = [heads.normal(scale, floor=0.05).apply(params, out).log_prob(x) for scale, params, _ in table]
        return [*scored, heads.normal("per_pixel", floor=0.05).apply({}, out).log_prob(x[..., :2])]

    exact = [st.norm.logpdf(x, out, sigma).sum() for *_, sigma in table]
    exact.append(st.norm.logpdf(x[..., :2], out[..., :2], pixel).sum())
    np.testing.assert_allclose(scores(x, out), exact, rtol=2e-5)
    grads = jax.jit(jax.grad(lambda p: heads.normal("optimal").apply(p, out).log_prob(x)))({"log_scale": 0.0})
    assert grads["log_scale"] == 0.0  # set by its objective, never by a gradient


def test_full_covariance_is_the_multivariate_normal(x64):  # oracle 11
    out, z = normal(0, 9), np.array([0.3, -1.0, 2.0])
    tril = np.zeros((3, 3))
    tril[np.tril_indices(3)] = out[3:]
    tril = np.tril(0.3 * tril, -1) + np.diag(np.diag(tril))
    tril[np.diag_indices(3)] = np.log1p((np.e - 1) * np.exp(np.diag(tril)))
    mine = jax.jit(lambda out: heads.full_normal(floor=0.0, reach=0.3).apply({}, out).log_prob(z))(out)
    np.testing.assert_allclose(mine, st.multivariate_normal(out[:3], tril @ tril.T).logpdf(z), atol=1e-10)


def test_low_rank_noise_of_an_image(x64):
    out, x = normal(0, (2, 3, 6)), normal(1, (2, 3, 2))

    @jax.jit
    def run(out):
        p = heads.low_rank_normal(2, floor=0.0, reach=0.3).apply({"log_scale": jnp.log(0.4)}, out)
        return p.log_prob(x), p.stddev

    log_p, stddev = run(out)
    factor = 0.3 * np.stack([out[..., 2:4].reshape(-1), out[..., 4:].reshape(-1)], 1)
    dense = st.multivariate_normal(out[..., :2].reshape(-1), factor @ factor.T + 0.16 * np.eye(12))
    np.testing.assert_allclose(log_p, dense.logpdf(np.ravel(x)), atol=1e-9)
    np.testing.assert_allclose(np.ravel(stddev), np.sqrt(np.diag(dense.cov)), rtol=1e-12)


def test_constant_pixels_let_the_likelihood_diverge_without_a_floor():  # oracle 25
    x = np.zeros(10, np.float32)

    @functools.partial(jax.jit, static_argnames="floor")
    def score(raw, floor):
        return heads.normal("per_pixel", floor=floor).apply({}, jnp.concatenate([x, jnp.full(10, raw)])).log_prob(x)

    # softplus(raw + ln(e - 1)) is exp(raw) (e - 1) for small scales: each step of 5 gains 5 nats a pixel.
    gains = np.diff([score(raw, 0.0) for raw in (-10.0, -15.0, -20.0, -25.0)])
    np.testing.assert_allclose(gains, 50.0, rtol=1e-4)
    bound = 10 * (-np.log(1e-3) - 0.5 * np.log(2 * np.pi))
    assert bound - 0.01 < score(-25.0, 1e-3) <= bound + 1e-3


def test_the_linear_step_is_a_correlated_gaussian(x64):  # oracle 13
    head, dim, out = heads.LinearIAF(floor=0.0, reach=0.3), 4, normal(0, 14)
    raw = np.zeros((dim, dim))
    raw[np.tril_indices(dim)] = out[dim:]
    scale, strict = np.log1p((np.e - 1) * np.exp(np.diag(raw))), 0.3 * np.tril(raw, -1)

    @jax.jit
    def run(out, key):
        q = head.apply({}, out)
        step = jax.tree_util.Partial(lambda y: (y + strict @ y, jnp.zeros(())))
        z, log_q = Flowed(Normal(out[:dim], jnp.asarray(scale)), (step,)).sample_and_log_prob(key)
        return z, log_q, q.sample(key), q.log_prob(z)

    unit = np.eye(dim) + strict
    dense = st.multivariate_normal(unit @ out[:dim], unit @ np.diag(scale**2) @ unit.T)
    for seed in range(3):
        z, log_q, drawn, score = run(out, jax.random.key(seed))
        np.testing.assert_allclose(drawn, z, atol=1e-12)
        np.testing.assert_allclose([score, log_q], dense.logpdf(z), atol=1e-10)


def test_planar_steps_start_as_the_identity_and_move(x64):  # oracle 14
    head, start, moved = heads.Planar(3), np.zeros(19), 2.0 * normal(0, 19)

    @jax.jit
    def run(start, moved):
        q = head.apply({}, start)
        z, log_q = q.sample_and_log_prob(KEY)

        def reach(out):  # every parameter but b, which is symmetric at the identity, can leave the start
            z, log_q = head.apply({}, out).sample_and_log_prob(KEY)
            return jnp.sum(jnp.sin(z) * jnp.arange(1.0, 3.0)) + log_q

        steps = [(*step(z), step.u, step.w, step.b) for step in head.apply({}, moved).steps]
        return (z, log_q), (q.base.sample(KEY), q.base.log_prob(z)), jax.grad(reach)(start), steps

    (z, log_q), base, grads, steps = jax.tree.map(np.asarray, run(start, moved))
    np.testing.assert_allclose(z, base[0], atol=1e-9)
    np.testing.assert_allclose(log_q, base[1], atol=1e-9)
    assert np.all(grads[4:].reshape(3, 5)[:, :2] != 0)
    for y, log_det, u, w, b in steps:
        t, along = np.tanh(w @ z + b), w @ u
        u_hat = (y - z) / t
        assert w @ u_hat > -1
        np.testing.assert_allclose(log_det, np.log(1 + (u_hat @ w) * (1 - t**2)), atol=1e-9)
        np.testing.assert_allclose(u_hat, u + (-1 + np.logaddexp(0, along) - along) * w / (w @ w), atol=1e-9)


def test_autoregressive_flows_start_near_the_identity_and_read_their_context(x64):
    head = heads.IAF(2, 16)
    assert heads.IAF(2, 16, context=4) == head

    @jax.jit
    def run(out):
        params = head.init(KEY, (3,))
        push = lambda out: lambda z: head.apply(params, out)._push(z)[0]
        start, both = (jax.jacfwd(push(out))(jnp.ones(3)) for out in (jnp.zeros(18), out))
        return params, start, both, jax.jacfwd(lambda out: head.apply(params, out).mean)(out)

    params, start, both, of_output = jax.tree.map(np.asarray, run(normal(0, 18)))
    assert sorted(params) == ["step0", "step1"]
    shrink = 1 / (1 + np.exp(-1.5)) ** 2
    np.testing.assert_allclose(start[::-1], shrink * np.eye(3), atol=0.15)  # the order was reversed once
    assert np.all(np.any(of_output[:, 6:] != 0, 1))  # all entries, through the context
    assert np.all(both != 0)  # in two steps of opposite order every entry reads every other


@pytest.mark.parametrize("head", [heads.Planar(3, floor=0.1), heads.LinearIAF(floor=0.1), heads.IAF(2, 5, floor=0.1)])
def test_floors_hold(head):
    params = jax.eval_shape(lambda key: head.init(key, (2,)), KEY)
    q = head.apply(params, jnp.full(head.output_shape((2,)), -50.0))
    scale = jnp.diagonal(q.scale_tril) if isinstance(head, heads.LinearIAF) else q.base.scale
    np.testing.assert_allclose(scale, 0.1, rtol=1e-5)


def test_networks_of_flows_have_streams_of_their_own_and_compute_in_lower_precision():
    prior = vj.priors.coupling(1, 3)
    model = vj.zoo.iaf_vae(4, 2, depth=1, flow_hidden=3, hidden=(4,), prior=prior)
    half = vj.networks.in_precision(model, "bfloat16")
    assert half.posterior_head.compute_dtype == half.prior_recipe.compute_dtype == "bfloat16"
    plain, params = (jax.tree.map(np.asarray, jax.jit(m.init)(KEY)) for m in (vj.zoo.vae(4, 2, hidden=(4,)), model))
    assert np.array_equal(plain["decoder"]["layer0"]["kernel"], params["decoder"]["layer0"]["kernel"])
    leaves = [leaf for leaf in jax.tree.leaves(params["posterior"]) if leaf.ndim == 2 and np.any(leaf != 0)]
    assert all(not np.isclose(leaf.ravel()[-1], plain["encoder"]["layer0"]["kernel"]).any() for leaf in leaves)
    draw = lambda params, x: half.posterior(params, x).sample(KEY)
    assert "bf16[10,3]" in str(jax.make_jaxpr(draw)(params, np.ones(4)))
    assert jax.eval_shape(draw, params, np.ones(4)).dtype == jnp.float32
    exact, rough = (vj.elbo(m, params, KEY, jnp.ones(4)).value for m in (model, half))
    np.testing.assert_allclose(rough, exact, rtol=0.05)


VAE, MLP = vj.VAE, vj.networks.MLP
WRONG = {
    "expected a multiple of 2 there, got shape (3,)": lambda: heads.normal("per_pixel").event_shape((3,)),
    "expected an output of shape (2,), (5,), (9,), (14,), ..., got (4,)": lambda: heads.full_normal().event_shape((4,)),
    "Planar(depth=2, floor=1e-06, reach=0.1): expected an output of shape (8,)": lambda: heads.Planar(2).event_shape(
        (9,)
    ),
    "expected an output of shape (6,), (12,), (18,), (24,), ..., got (2, 3)": lambda: heads.IAF(1).event_shape((2, 3)),
    "scale: expected one of shared, optimal, per_pixel_constant, per_pixel": lambda: heads.normal("per-pixel"),
    "scale: expected a finite number above 0, got -1": lambda: heads.normal(-1),
    "floor: expected a finite number of at least 0, got -0.1": lambda: heads.normal("shared", floor=-0.1),
    "floor: expected a finite number of at least 0, got -1": lambda: heads.Planar(1, floor=-1),
    "floor: expected a finite number of at least 0, got -2": lambda: heads.IAF(1, floor=-2),
    "floor: expected a finite number of at least 0, got -3": lambda: heads.LinearIAF(floor=-3),
    "rank: expected an integer of at least 0, got 1.5": lambda: heads.low_rank_normal(1.5),
    "levels: expected an integer of at least 2, got 1": lambda: heads.discretized_logistic(levels=1),
    "closed form for heads.normal only": lambda: heads.discretized_logistic("optimal"),
    "depth: expected an integer of at least 1, got 0": lambda: heads.Planar(0),
    "depth: expected an integer of at least 1, got 1.5": lambda: heads.IAF(1.5),
    "hidden: expected at least 1 positive sizes, got (4, 0)": lambda: heads.IAF(1, (4, 0)),
    "context: expected an integer of at least 0, got -1": lambda: heads.IAF(1, 4, context=-1),
    "encoder: expected an output of shape (14,) for 2 latents, got (4,)": lambda: VAE(
        MLP((6, 4)), MLP((2, 6)), 2, heads.Planar(2)
    ).init(KEY),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_settings_are_named(words):
    assert heads.normal(np.float32(0.5)) == heads.normal(0.5)
    with pytest.raises(ValueError, match=re.escape(words)):
        WRONG[words]()
