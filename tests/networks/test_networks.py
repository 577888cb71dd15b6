import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.refusals import refused
from vaejax import networks

KEY, X = jax.random.key(0), np.ones(3, np.float32)


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
    assert network == networks.from_nnx(tied) and hash(network) == hash(networks.from_nnx(tied))

    @jax.jit
    def run(key):
        weights, direct = network.init(key), Tied(nnx.Rngs(key))
        rows = jax.vmap(network.apply, (None, 0))(weights, jnp.ones((2, 3)))
        return weights, network.apply(weights, X), network.apply(weights, X, X), rows, direct(X)

    weights, out, shifted, rows, direct = jax.tree.map(np.asarray, run(KEY))
    assert list(weights) == ["again"] and list(weights["again"]) == ["bias", "kernel"]
    assert len(jax.tree.leaves(weights)) == 2  # one kernel and one bias: the tie is kept
    for other in (out, shifted - 1, rows[0], rows[1]):
        np.testing.assert_allclose(other, direct, rtol=1e-5)


def test_plain_functions_become_a_network():
    network = networks.from_functions(lambda key: {"a": np.full(2, 2.0)}, lambda w, x: w["a"] * x)
    assert network.apply(network.init(KEY), np.full(2, 3.0)).tolist() == [6.0, 6.0]


def test_networks_combine():
    chain = networks.Sequential((networks.MLP((4, 3), activate_output=True), networks.Linear(3, 2)))
    both = networks.Parallel((chain, networks.Constant(3)))

    @jax.jit
    def run(key):
        weights = both.init(key)
        return both.apply(weights, X, X[:1]), chain.apply(weights["part0"], jnp.ones(4))

    out, first = map(np.asarray, run(KEY))
    np.testing.assert_array_equal(out[2:], np.zeros(3))
    np.testing.assert_allclose(out[:2], first, rtol=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        networks.Sequential((networks.MLP((64, 64), activate_output=True), networks.Linear(64, 8))),
        networks.MADE(64, [4]),  # type: ignore[arg-type]
    ],
    ids=["sequence", "made"],
)
def test_half_precision_keeps_parameters_and_outputs_in_single(network):
    half, x = networks.in_precision(network, "bfloat16"), np.random.default_rng(0).normal(size=64).astype(np.float32)

    @jax.jit
    def run(key):
        weights = half.init(key)
        return weights, network.apply(weights, x), half.apply(weights, x)

    weights, exact, rounded = run(KEY)
    assert rounded.dtype == jnp.float32 and jax.tree.leaves(weights)[0].dtype == jnp.float32
    assert 1e-6 < np.abs(np.asarray(exact) - rounded).max() < 0.1
    assert "bf16[64" in str(jax.make_jaxpr(half.apply)(weights, x))
    assert hash(half) == hash(networks.in_precision(network, "bfloat16"))
    assert networks.in_precision(network, None) == network


def applied(network, *shapes):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.eval_shape(lambda *inputs: network.apply(network.init(KEY), *inputs), *inputs)


def flax(module, *args, **kwargs):
    return networks.from_nnx(lambda rngs: module(*args, rngs=rngs, **kwargs)).init(KEY)


MLP, MADE, Cell, ConvLayer = networks.MLP, networks.MADE, networks.Cell, networks.ConvLayer
WRONG = {
    "hidden: expected at least 1 positive sizes, got ()": lambda: MADE(3, ()),
    "context_dim: expected an integer of at least 0, got -1": lambda: MADE(3, (4,), 2, -1),
    "activation: expected one of relu, leaky_relu, elu, gelu, silu, softplus, tanh, got 'x'": lambda: MLP((2, 2), "x"),
    "softplus, tanh, got 'sine'": lambda: MADE(3, (4,), activation="sine"),
    "sizes: expected at least 2 positive sizes, got (3,)": lambda: MLP((3,)),
    "out_shape: expected 4 entries, got shape (3,)": lambda: MLP((2, 4), out_shape=(3,)),
    "MADE: expected 5 inputs, got shapes (3,)": lambda: applied(MADE(3, (4,), 2, 2), (3,)),
    "MLP: expected 2 inputs, got shapes (3,) and (1,)": lambda: applied(MLP((2, 2)), (3,), (1,)),
    "MLP: expected weights named ['layer0'], got ['other']": lambda: MLP((2, 2)).apply({"other": 0}, X[:2]),
    "MLP.layer0.kernel: expected shape (3, 2), got (1,)": lambda: MLP((3, 2)).apply(
        {"layer0": {"kernel": X[:1], "bias": X[:2]}}, X
    ),
    "Skip: expected an output of shape (2,), got (3,)": lambda: applied(networks.Skip(networks.Linear(2, 3)), (2,)),
    "one size with 3 channels in all, got shapes [(4, 4, 2)]": lambda: applied(ConvLayer(3, 2), (4, 4, 2)),
    "an image among its inputs, got [(3,)]": lambda: applied(ConvLayer(3, 2), (3,)),
    "about (8, 8), got (9, 9)": lambda: applied(ConvLayer(2, 2, double_to=(9, 9)), (4, 4, 2)),
    "double_to: expected (height, width) and stride 1": lambda: ConvLayer(2, 2, stride=2, double_to=(9, 9)),
    "kind: expected one of depthwise, full, got 'wide'": lambda: Cell(2, "wide"),
    "an image with 3 channels, got shape (4, 4, 2)": lambda: applied(Cell(3), (4, 4, 2)),
    "data_shape: expected (height, width, channels), got (2, 2)": lambda: networks.ConvEncoder((2, 2), (4,), 2),
    "only state is parameters, got BatchStat. Models are pure": lambda: flax(nnx.BatchNorm, 3),
    "only state is parameters, got RngCount, RngKey": lambda: flax(nnx.Dropout, 0.5),
    "GroupNorm normalises one datum otherwise than a batch": lambda: flax(nnx.GroupNorm, 4, num_groups=2),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_settings_are_named(words):
    refused(words, WRONG[words])
