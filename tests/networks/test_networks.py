import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from vaejax import networks
from vaejax.networks import layers
from vaejax.networks.network import ACTIVATIONS

KEY = jax.random.key(0)


def test_mlp_is_the_written_formula():
    network = networks.MLP((3, 4, 2), "tanh", out_shape=(2, 1))
    weights = network.init(KEY)
    x = np.array([0.1, -0.2, 0.3], np.float32)
    first, last = weights["layer0"], weights["layer1"]
    hidden = np.tanh(x @ first["kernel"] + first["bias"])
    np.testing.assert_allclose(
        network.apply(weights, x), (hidden @ last["kernel"] + last["bias"]).reshape(2, 1), rtol=1e-5
    )
    trunk = networks.MLP((3, 4), "tanh", activate_output=True)
    np.testing.assert_allclose(trunk.apply({"layer0": first}, x), hidden, rtol=1e-5)
    np.testing.assert_allclose(network.apply(weights, x[:2], x[2:]), network.apply(weights, x), rtol=1e-6)


def test_residual_blocks_start_near_the_identity_of_their_trunk():
    network = networks.ResidualMLP(3, 8, 2, 4, out_shape=(2, 2))
    weights = network.init(KEY)
    assert network.apply(weights, jnp.ones(3)).shape == (2, 2)
    cut = weights | {f"add{i}": jax.tree.map(jnp.zeros_like, weights[f"add{i}"]) for i in range(2)}
    trunk = jax.nn.silu(jnp.ones(3) @ weights["enter"]["kernel"]) @ weights["leave"]["kernel"]
    np.testing.assert_allclose(network.apply(cut, jnp.ones(3)).reshape(-1), trunk, rtol=1e-5)
    grads = jax.grad(lambda w: jnp.sum(network.apply(w, jnp.ones(3)) ** 2))(weights)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads["add1"]))  # nothing starts at a dead end


@pytest.mark.parametrize(
    "size, depth, features, side, stride",
    [((7, 5), 3, 4, 4, 2), ((6, 6), 2, 5, 3, 1), ((5, 4), 8, 2, 3, 1), ((3, 2), 1, 2, 4, 2), ((9, 8), 8, 1, 4, 2)],
)
def test_convolution_by_patches_is_the_convolution(size, depth, features, side, stride):
    x = jax.random.normal(KEY, (*size, depth))
    kernel = jax.random.normal(jax.random.key(1), (side, side, depth, features))

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(
            x[None], kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )[0]

    def both(f):
        square = lambda x, k: (jnp.sum(f(x, k) ** 2), f(x, k))
        return jax.jit(jax.grad(square, (0, 1), has_aux=True))(x, kernel)

    mine, wanted = both(functools.partial(layers._by_products, stride=stride)), both(reference)
    chex.assert_trees_all_close(mine, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape, context, blocks", [((28, 28, 1), 0, 0), ((9, 7, 3), 2, 1), ((5, 6, 2), 0, 0)])
def test_convolutional_networks_take_images_of_any_size(shape, context, blocks):
    encoder = networks.ConvEncoder(shape, (4, 8), 6, context, blocks)
    decoder = networks.ConvDecoder(3 + context, (8, 4), (*shape[:2], 2 * shape[2]), blocks)
    x = jax.random.normal(KEY, shape)
    extra = (jnp.ones(context),) if context else ()
    weights = jax.jit(encoder.init)(KEY)
    encode = jax.jit(encoder.apply)
    code = encode(weights, x, *extra)
    assert code.shape == (6,)
    out = jax.eval_shape(decoder.apply, jax.eval_shape(decoder.init, KEY), code[:3], *extra)
    assert out.shape == (*shape[:2], 2 * shape[2])
    if context:
        assert jnp.any(encode(weights, x, 2 * jnp.ones(context)) != code)


def test_deep_pixels_become_squares():
    """A stage turns channels (0, 1, 2, 3) of a pixel into a square of four pixels, row by row."""
    decoder = networks.ConvDecoder(1, (1,), (2, 2, 1))
    weights = decoder.init(KEY)
    weights["conv0"]["kernel"] = jnp.zeros((3, 3, 1, 4))
    weights["conv0"]["bias"] = jnp.arange(4.0)
    np.testing.assert_array_equal(decoder.apply(weights, jnp.ones(1))[..., 0], [[0.0, 1.0], [2.0, 3.0]])


class Tied(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([nnx.Linear(3, 3, rngs=rngs)])
        self.again = self.blocks[0]

    def __call__(self, x, context=None):
        return self.again(self.blocks[0](x)) + (0.0 if context is None else context)


def tied(rngs):
    return Tied(rngs)


def test_a_flax_module_becomes_a_network():
    network = networks.from_nnx(tied)
    weights = network.init(KEY)
    assert network == networks.from_nnx(tied) and hash(network) == hash(networks.from_nnx(tied))
    assert list(weights) == ["again"] and list(weights["again"]) == ["bias", "kernel"]
    assert len(jax.tree.leaves(weights)) == 2  # one kernel and one bias: the tie is kept
    direct = Tied(nnx.Rngs(KEY))
    np.testing.assert_allclose(network.apply(weights, jnp.ones(3)), direct(jnp.ones(3)), rtol=1e-6)
    np.testing.assert_allclose(network.apply(weights, jnp.ones(3), jnp.ones(3)), direct(jnp.ones(3)) + 1, rtol=1e-6)
    doubled = jax.vmap(network.apply, (None, 0))(jax.tree.map(lambda w: 2 * w, weights), jnp.ones((2, 3)))
    assert doubled.shape == (2, 3)


def test_modules_with_other_state_are_refused():
    with pytest.raises(ValueError, match="only state is parameters, got BatchStat.*LayerNorm instead"):
        networks.from_nnx(lambda rngs: nnx.BatchNorm(3, rngs=rngs)).init(KEY)
    with pytest.raises(ValueError, match="Rng"):
        networks.from_nnx(lambda rngs: nnx.Dropout(0.5, rngs=rngs)).init(KEY)

    with pytest.raises(ValueError, match="GroupNorm normalises one datum otherwise than a batch"):
        networks.from_nnx(lambda rngs: nnx.GroupNorm(4, num_groups=2, rngs=rngs)).init(KEY)


def test_plain_functions_become_a_network():
    network = networks.from_functions(lambda key: {"a": jnp.ones(2)}, lambda w, x: w["a"] * x)
    assert network.apply(network.init(KEY), jnp.full(2, 3.0)).tolist() == [3.0, 3.0]


def test_networks_combine():
    chain = networks.Sequential((networks.MLP((4, 3), activate_output=True), networks.Linear(3, 2)))
    both = networks.Parallel((chain, networks.Constant(3)))
    weights = both.init(KEY)
    out = both.apply(weights, jnp.ones(3), jnp.ones(1))
    assert out.shape == (5,) and out[2:].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(out[:2], chain.apply(weights["part0"], jnp.ones(4)))


def test_half_precision_keeps_parameters_and_outputs_in_single():
    network = networks.Sequential((networks.MLP((64, 64), activate_output=True), networks.Linear(64, 8)))
    half = networks.in_precision(network, "bfloat16")
    weights = half.init(KEY)
    x = jax.random.normal(KEY, (64,))
    exact, rounded = network.apply(weights, x), half.apply(weights, x)
    assert rounded.dtype == jnp.float32 and jax.tree.leaves(weights)[0].dtype == jnp.float32
    assert 1e-5 < jnp.abs(exact - rounded).max() < 0.1
    assert hash(half) == hash(networks.in_precision(network, "bfloat16"))


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="activation: expected one of relu, .*, got 'swish'"):
        networks.MLP((2, 2), "swish")
    with pytest.raises(ValueError, match="sizes: expected at least 2 positive sizes, got \\(3,\\)"):
        networks.MLP((3,))
    with pytest.raises(ValueError, match="out_shape: expected 4 entries, got shape \\(3,\\)"):
        networks.MLP((2, 4), out_shape=(3,))
    with pytest.raises(ValueError, match="data_shape: expected \\(height, width, channels\\), got \\(28, 28\\)"):
        networks.ConvEncoder((28, 28), (4,), 2)  # type: ignore[arg-type]
    network = networks.MLP((2, 2))
    with pytest.raises(ValueError, match="MLP: expected 2 inputs, got shapes \\(3,\\) and \\(1,\\)"):
        network.apply(network.init(KEY), jnp.ones(3), jnp.ones(1))
    with pytest.raises(ValueError, match="MLP: expected weights named \\['layer0'\\], got \\['other'\\]"):
        network.apply({"other": 0}, jnp.ones(2))
    with pytest.raises(ValueError, match="MLP.layer0.kernel: expected shape \\(2, 2\\), got \\(2, 3\\)"):
        network.apply({"layer0": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(2)}}, jnp.ones(2))
    assert ACTIVATIONS.keys() >= {"relu", "silu", "tanh"}
