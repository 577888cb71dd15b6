import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from jax.tree_util import Partial

import vaejax as vj
from vaejax import heads, kernels
from vaejax.distributions import Flowed, Normal

KEY = jax.random.key(0)
FLOWS = [heads.Planar(3), heads.LinearIAF(), heads.IAF(2, 5), heads.IAF(2, (5, 4), context=False), heads.IAF(1, 3, 1)]


def made(head, dim, key=KEY, dtype=None):
    out = jax.random.normal(key, head.output_shape((dim,)), dtype)
    return head.apply(head.init(jax.random.key(1), (dim,)), out)


@pytest.mark.parametrize("head", FLOWS, ids=str)
def test_shapes_go_both_ways_and_draws_have_gradients(head):
    for dim in (1, 3):
        (size,) = head.output_shape((dim,))
        assert head.event_shape((size,)) == (dim,)
        params = head.init(KEY, (dim,))

        @jax.jit
        def loss(params, out, head=head):
            z, log_q = head.apply(params, out).sample_and_log_prob(KEY)
            return jnp.sum(z**2) + log_q, z

        out = jax.random.normal(KEY, (size,))
        (value, z), grads = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, out)
        assert z.shape == head.apply(params, out).mean.shape == (dim,) and jnp.isfinite(value)
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(grads)) and jnp.any(grads[1] != 0)
    assert head == type(head)(**vj.recipes.arguments(head))
    with pytest.raises(ValueError, match="got shape \\(2, 3\\)|got \\(2, 3\\)"):
        head.event_shape((2, 3))


def test_the_linear_step_is_a_correlated_gaussian(x64):  # oracle 13
    head, dim = heads.LinearIAF(floor=0.0), 4
    out = jax.random.normal(KEY, head.output_shape((dim,)))
    q = head.apply({}, out)
    raw = np.array(kernels.fill_tril(out[dim:]))
    scale, strict = np.log1p((np.e - 1) * np.exp(np.diag(raw))), np.tril(raw, -1)
    step = Partial(lambda strict, y: (y + strict @ y, jnp.zeros(())), strict)
    flow = Flowed(Normal(out[:dim], jnp.asarray(scale)), (step,))
    for key in jax.random.split(KEY, 3):
        z, log_q = flow.sample_and_log_prob(key)
        np.testing.assert_allclose(q.log_prob(z), log_q, atol=1e-10)
        np.testing.assert_allclose(q.sample(key), z, atol=1e-12)
    unit = np.eye(dim) + strict
    dense = st.multivariate_normal(unit @ out[:dim], unit @ np.diag(scale**2) @ unit.T)
    np.testing.assert_allclose(q.log_prob(z), dense.logpdf(z), atol=1e-10)


def test_planar_steps_start_as_the_identity_and_move(x64):  # oracle 14
    head = heads.Planar(3)
    (size,) = head.output_shape((2,))
    start = jnp.zeros(size)
    q = head.apply({}, start)
    z, log_q = q.sample_and_log_prob(KEY)
    np.testing.assert_allclose(z, q.base.sample(KEY), atol=1e-9)
    np.testing.assert_allclose(log_q, q.base.log_prob(z), atol=1e-9)

    def reach(out):  # every parameter but b, which is symmetric at the identity, can leave the start
        z, log_q = head.apply({}, out).sample_and_log_prob(KEY)
        return jnp.sum(jnp.sin(z) * jnp.arange(1.0, 3.0)) + log_q

    grads = jax.grad(reach)(start)[4:].reshape(3, 5)
    assert jnp.all(grads[:, :2] != 0)
    out = 2.0 * jax.random.normal(KEY, (size,))
    for step in head.apply({}, out).steps:
        y, log_det = step(z)
        u, w, b = step.keywords["u"], step.keywords["w"], step.keywords["b"]
        slope = 1 - jnp.tanh(w @ z + b) ** 2
        u_hat = (y - z) / jnp.tanh(w @ z + b)
        assert w @ u_hat > -1
        np.testing.assert_allclose(log_det, jnp.log(1 + (u_hat @ w) * slope), atol=1e-9)
        np.testing.assert_allclose(u_hat, u + (-1 + jnp.logaddexp(0, w @ u) - w @ u) * w / (w @ w), atol=1e-9)


def test_autoregressive_flows_start_near_the_identity_and_read_their_context(x64):
    head = heads.IAF(2, 16)
    params, (size,) = head.init(KEY, (3,)), head.output_shape((3,))
    assert size == 18 and heads.IAF(2, 16, context=4) == head and sorted(params) == ["step0", "step1"]
    q = head.apply(params, jnp.zeros(size))
    shrink = jax.nn.sigmoid(1.5) ** 2
    turned = jax.jacfwd(lambda z: q._push(z)[0])(jnp.ones(3))[::-1]  # the order was reversed once
    np.testing.assert_allclose(turned, shrink * np.eye(3), atol=0.15)
    out = jax.random.normal(KEY, (size,))
    of_output = jax.jacfwd(lambda out: head.apply(params, out).mean)(out)
    assert jnp.all(jnp.any(of_output[:, 6:] != 0, 1))  # all entries, through the context
    # In two steps of opposite order every entry reads every other.
    both = jax.jacfwd(lambda z: head.apply(params, out)._push(z)[0])(jnp.ones(3))
    assert jnp.all(both != 0)
    alone = heads.IAF(2, 16, context=False)
    assert alone.output_shape((3,)) == (6,)


@pytest.mark.parametrize("head", FLOWS, ids=str)
def test_floors_hold(head):
    fields = vj.recipes.arguments(head) | {"floor": 0.1}
    floored = type(head)(**fields)
    (size,) = floored.output_shape((2,))
    q = floored.apply(floored.init(KEY, (2,)), jnp.full(size, -50.0))
    scale = jnp.diagonal(q.scale_tril) if isinstance(head, heads.LinearIAF) else q.base.scale
    np.testing.assert_allclose(scale, 0.1, rtol=1e-5)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="depth: expected an integer of at least 1, got 0"):
        heads.Planar(0)
    with pytest.raises(ValueError, match="depth: expected an integer of at least 1, got 1.5"):
        heads.IAF(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hidden: expected at least 1 positive sizes, got \\(4, 0\\)"):
        heads.IAF(1, (4, 0))
    with pytest.raises(ValueError, match="context: expected True, False or a number for each latent, got -1"):
        heads.IAF(1, 4, context=-1)
    for head in (heads.Planar, heads.IAF):
        with pytest.raises(ValueError, match="floor: expected a non-negative standard deviation, got -1"):
            head(1, floor=-1)
    with pytest.raises(ValueError, match="floor: expected"):
        heads.LinearIAF(floor=-1)
    with pytest.raises(
        ValueError, match="reads 2 d \\+ 2 \\(2 d \\+ 1\\) numbers for d entries .*: got shape \\(9,\\)"
    ):
        heads.Planar(2).event_shape((9,))
    with pytest.raises(ValueError, match="expected events that are vectors, got shape \\(2, 3\\)"):
        heads.IAF(1).output_shape((2, 3))
    with pytest.raises(ValueError, match="sizes: expected at least 2 positive sizes, got \\(1, 0, 2\\)"):
        vj.priors.coupling(2, 0)
    with pytest.raises(ValueError, match="depth: expected an integer of at least 1, got 0"):
        vj.priors.autoregressive(0)
    with pytest.raises(ValueError, match="encoder: expected an output of shape \\(14,\\) for 2 latents, got \\(4,\\)"):
        vj.VAE(vj.networks.MLP((6, 4)), vj.networks.MLP((2, 6)), 2, heads.Planar(2)).init(KEY)


def test_lower_precision_reaches_the_networks_of_a_flow():
    model = vj.zoo.iaf_vae(4, 2, depth=1, flow_hidden=3, hidden=(4,), prior=vj.priors.coupling(1, 3))
    half = vj.networks.in_precision(model, "bfloat16")
    assert half.posterior_head.compute_dtype == half.prior_recipe.compute_dtype == "bfloat16"
    params = model.init(KEY)
    q = half.posterior(params, jnp.ones(4))
    assert "bf16[10,3]" in str(jax.make_jaxpr(q.sample)(KEY)) and q.sample(KEY).dtype == jnp.float32
    exact, rough = (vj.elbo(m, params, KEY, jnp.ones(4)).value for m in (model, half))
    np.testing.assert_allclose(rough, exact, rtol=0.05)


def test_weights_of_flows_do_not_disturb_the_other_streams():
    plain, flow = vj.zoo.vae(4, 2, hidden=(3,)), vj.zoo.iaf_vae(4, 2, depth=1, flow_hidden=3, hidden=(3,))
    one, other = plain.init(KEY), flow.init(KEY)
    assert jnp.array_equal(one["decoder"]["layer0"]["kernel"], other["decoder"]["layer0"]["kernel"])
    leaves = [leaf for leaf in jax.tree.leaves(other["posterior"]) if leaf.ndim == 2 and jnp.any(leaf != 0)]
    assert all(not jnp.isclose(leaf.ravel()[-1], one["encoder"]["layer0"]["kernel"]).any() for leaf in leaves)
