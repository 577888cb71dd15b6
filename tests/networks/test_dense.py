import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax import networks
from vaejax.networks import MADE, bound

KEY = jax.random.key(0)


def weights_of(network):
    rng, shapes = np.random.default_rng(0), jax.eval_shape(network.init, KEY)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def run(network, weights, *inputs):
    return np.asarray(jax.jit(network.apply)(weights, *inputs))


def test_mlp_is_the_written_formula():
    network = networks.MLP((3, 4, 2), "tanh", out_shape=(2, 1))
    weights, x = weights_of(network), np.array([0.1, -0.2, 0.3], np.float32)
    first, last = weights["layer0"], weights["layer1"]
    hidden = np.tanh(x @ first["kernel"] + first["bias"])
    expected = (hidden @ last["kernel"] + last["bias"]).reshape(2, 1)
    np.testing.assert_allclose(run(network, weights, x), expected, rtol=1e-5)
    np.testing.assert_allclose(run(network, weights, x[:2], x[2:]), expected, rtol=1e-5)
    trunk = networks.MLP((3, 4), "tanh", activate_output=True)
    np.testing.assert_allclose(run(trunk, {"layer0": first}, x), hidden, rtol=1e-5)


def test_residual_blocks_start_near_the_identity_of_their_trunk():
    network, x = networks.ResidualMLP(3, 8, 2, 4, out_shape=(2, 2)), np.ones(3, np.float32)

    @jax.jit
    def both(key):
        weights = network.init(key)
        cut = weights | {f"add{i}": jax.tree.map(jnp.zeros_like, weights[f"add{i}"]) for i in range(2)}
        grads = jax.grad(lambda w: jnp.sum(network.apply(w, x) ** 2))(weights)
        return weights, network.apply(cut, x), grads["add1"]

    weights, trunk, grads = jax.tree.map(np.asarray, both(KEY))
    hidden = x @ weights["enter"]["kernel"]
    expected = hidden / (1 + np.exp(-hidden)) @ weights["leave"]["kernel"]
    np.testing.assert_allclose(trunk, expected.reshape(2, 2), rtol=1e-5)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grads))  # nothing starts at a dead end


@pytest.mark.parametrize(
    "dim, hidden, context",
    [(1, (4,), 2), (2, (1,), 0), (5, (2,), 3), (5, (3, 4), 0), (3, (16, 7, 9), 1), (6, (6,), 2)],
)
def test_jacobians_are_strictly_lower_triangular(dim, hidden, context):  # oracle 12
    network = MADE(dim, hidden, 3, context)
    inputs = (np.linspace(-1, 1, dim), np.ones(context))[: 1 + bool(context)]
    after = lambda weights, z, *context: bound(network, weights, *context)(z)
    jacobian = jax.jit(jax.jacfwd(after, tuple(range(1, 1 + len(inputs)))))
    of_z, *of_context = jax.tree.map(np.asarray, jacobian(weights_of(network), *inputs))
    assert np.all(np.triu(of_z) == 0) and np.all(of_z[:, *np.tril_indices(dim, -1)] != 0)
    assert all(np.all(jacobian != 0) for jacobian in of_context)  # of the first entry too


def test_made_is_the_masked_formula():
    network = MADE(2, (3,), 1, 1, "tanh")
    weights = weights_of(network)
    z, c = np.array([0.3, -1.2], np.float32), np.array([0.7], np.float32)
    # Degrees 0, 0, 1: the first two units read the context alone, the third one the first entry too.
    kernel = weights["layer0"]["kernel"].copy()
    kernel[0, :2] = kernel[1] = 0.0
    hidden = np.tanh(np.concatenate([z, c]) @ kernel + weights["layer0"]["bias"])
    last, direct = weights["layer1"]["kernel"].copy(), weights["direct"]["kernel"].copy()
    last[2, 0] = direct[0, 0] = direct[1] = 0.0
    expected = hidden @ last + weights["layer1"]["bias"] + np.concatenate([z, c]) @ direct
    np.testing.assert_allclose(run(network, weights, z, c)[0], expected, rtol=1e-5)


def test_units_start_with_unit_variance_and_small_outputs():
    network = MADE(8, (256, 32))
    z = np.random.default_rng(1).normal(size=(500, 8)).astype(np.float32)

    @jax.jit
    def start(key):
        weights = network.init(key)
        grads = jax.grad(lambda w: jnp.sum(network.apply(w, z[0]) ** 2))(weights)
        return weights["layer0"]["kernel"], jax.vmap(network.apply, (None, 0))(weights, z), grads

    kernel, out, grads = jax.tree.map(np.asarray, start(KEY))
    live = np.any(kernel != 0, 0)
    assert live.sum() == 224  # the 32 units of degree 0 have nothing to read
    np.testing.assert_allclose((z @ kernel).std(0)[live].mean(), 1.0, atol=0.15)
    assert out.std() < 0.2 and all(np.any(leaf != 0) for leaf in jax.tree.leaves(grads))
