import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from vaejax import heads, kernels

KEY = jax.random.key(0)
OUT = jax.random.normal(KEY, (2, 3, 4))


def made(head, out=OUT):
    shape = head.event_shape(out.shape)
    return head.apply(head.init(KEY, shape), out), shape


@pytest.mark.parametrize(
    "head, shape",
    [
        (heads.bernoulli(), (2, 3, 4)),
        (heads.continuous_bernoulli(), (2, 3, 4)),
        (heads.normal(0.3), (2, 3, 4)),
        (heads.normal("shared"), (2, 3, 4)),
        (heads.normal("optimal"), (2, 3, 4)),
        (heads.normal("per_pixel_constant"), (2, 3, 4)),
        (heads.normal("per_pixel"), (2, 3, 2)),
        (heads.low_rank_normal(3), (2, 3, 1)),
        (heads.low_rank_normal(0), (2, 3, 4)),
        (heads.discretized_logistic("per_pixel", levels=17), (2, 3, 2)),
    ],
    ids=str,
)
def test_shapes_go_both_ways(head, shape):
    assert head.event_shape(OUT.shape) == shape and head.output_shape(shape) == OUT.shape

    @jax.jit
    def run(out):
        distribution, _ = made(head, out)
        value = jnp.clip(distribution.sample(KEY), *(head.support or (-jnp.inf, jnp.inf)))
        grads = jax.grad(lambda out: made(head, out)[0].log_prob(value))(out)
        return (value, distribution.mean, distribution.stddev), distribution.log_prob(value), grads

    shaped, log_prob, grads = run(OUT)
    assert {each.shape for each in shaped} == {shape} and jnp.isfinite(log_prob)
    assert jnp.all(jnp.isfinite(grads)) and jnp.any(grads != 0)
    assert head == type(head)(**{f: getattr(head, f) for f in head.__dataclass_fields__})


def test_scales_against_scipy():
    x = np.asarray(jax.random.normal(jax.random.key(1), (2, 3, 4)))
    for scale, params, sigma in [
        (0.3, {}, 0.3),
        ("shared", {"log_scale": jnp.log(0.2)}, np.hypot(0.2, 0.05)),
        ("optimal", {"log_scale": jnp.log(0.2)}, 0.2),
        ("optimal", {"log_scale": jnp.log(0.02)}, 0.05),
        ("per_pixel_constant", {"log_scale": jnp.full((2, 3, 4), jnp.log(0.2))}, np.hypot(0.2, 0.05)),
    ]:
        mine = heads.normal(scale, floor=0.05).apply(params, OUT).log_prob(x)
        np.testing.assert_allclose(mine, st.norm.logpdf(x, OUT, sigma).sum(), rtol=2e-5)
    pixel = heads.normal("per_pixel", floor=0.05).apply({}, OUT)
    sigma = np.hypot(np.log1p((np.e - 1) * np.exp(OUT[..., 2:])), 0.05)
    np.testing.assert_allclose(
        pixel.log_prob(x[..., :2]), st.norm.logpdf(x[..., :2], OUT[..., :2], sigma).sum(), rtol=2e-5
    )
    grads = jax.grad(lambda p: heads.normal("optimal").apply(p, OUT).log_prob(x))({"log_scale": jnp.zeros(())})
    assert grads["log_scale"] == 0.0  # set by its objective, never by a gradient


def test_full_covariance_is_the_multivariate_normal(x64):  # oracle 11
    out = jax.random.normal(KEY, (9,), jnp.float64)
    q, event = made(heads.full_normal(floor=0.0), out)
    tril = np.array(kernels.fill_tril(out[3:]))
    tril[np.diag_indices(3)] = np.log1p((np.e - 1) * np.exp(np.diag(tril)))
    z = np.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(q.log_prob(z), st.multivariate_normal(out[:3], tril @ tril.T).logpdf(z), atol=1e-10)
    assert event == (3,)


def test_low_rank_noise_of_an_image(x64):
    out = jax.random.normal(KEY, (2, 3, 6), jnp.float64)
    head = heads.low_rank_normal(2, floor=0.0)
    p = head.apply({"log_scale": jnp.log(jnp.asarray(0.4))}, out)
    factor = np.stack([out[..., 2:4].reshape(-1), out[..., 4:].reshape(-1)], 1)
    dense = st.multivariate_normal(out[..., :2].reshape(-1), factor @ factor.T + 0.16 * np.eye(12))
    x = jax.random.normal(jax.random.key(1), (2, 3, 2), jnp.float64)
    np.testing.assert_allclose(p.log_prob(x), dense.logpdf(np.ravel(x)), atol=1e-9)
    np.testing.assert_allclose(np.ravel(p.stddev), np.sqrt(np.diag(dense.cov)), rtol=1e-12)


def test_constant_pixels_let_the_likelihood_diverge_without_a_floor():  # oracle 25
    x = jnp.zeros(10)

    def score(raw, floor):
        return heads.normal("per_pixel", floor=floor).apply({}, jnp.concatenate([x, jnp.full(10, raw)])).log_prob(x)

    # softplus(raw + ln(e - 1)) is exp(raw) (e - 1) for small scales: each step of 5 gains 5 nats a pixel.
    gains = np.diff([score(raw, 0.0) for raw in (-10.0, -15.0, -20.0, -25.0)])
    np.testing.assert_allclose(gains, 50.0, rtol=1e-4)
    bound = 10 * (-np.log(1e-3) - 0.5 * np.log(2 * np.pi))
    assert bound - 0.01 < score(-25.0, 1e-3) <= bound + 1e-3


def test_wrong_outputs_are_named():
    with pytest.raises(ValueError, match="expected a multiple of 2 there, got shape \\(3,\\)"):
        heads.normal("per_pixel").event_shape((3,))
    with pytest.raises(ValueError, match="expected an output of shape \\(2,\\), \\(5,\\), .* got \\(4,\\)"):
        heads.full_normal().event_shape((4,))
    with pytest.raises(ValueError, match="scale: expected a positive number or one of shared, .* got 'per-pixel'"):
        heads.normal("per-pixel")
    with pytest.raises(ValueError, match="scale: .* got -1"):
        heads.normal(-1)
    with pytest.raises(ValueError, match="floor: expected a non-negative standard deviation, got -0.1"):
        heads.normal("shared", floor=-0.1)
    with pytest.raises(ValueError, match="rank: expected a non-negative integer, got 1.5"):
        heads.low_rank_normal(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="levels: expected an integer of at least 2, got 1"):
        heads.discretized_logistic(levels=1)
    assert heads.normal(np.float32(0.5)) == heads.normal(0.5)
    with pytest.raises(ValueError, match="closed form for heads.normal only"):
        heads.discretized_logistic("optimal")
