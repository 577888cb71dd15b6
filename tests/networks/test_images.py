import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax import networks
from vaejax.networks import layers

KEY = jax.random.key(0)


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "shape, kernel_shape, stride",
    [
        ((7, 5, 3), (4, 4, 3, 4), 2),
        ((6, 6, 2), (3, 3, 2, 5), 1),
        ((5, 4, 8), (3, 3, 8, 2), 1),
        ((3, 2, 1), (4, 4, 1, 2), 2),
        ((9, 8, 8), (4, 4, 8, 1), 2),
        ((7, 5, 6), (5, 5, 6), 1),
        ((4, 4, 6), (3, 3, 6), 2),
        ((2, 3, 6), (4, 4, 6), 1),
    ],
)
def test_convolution_by_products_is_the_convolution(shape, kernel_shape, stride):
    def reference(x, kernel):
        kernel, groups = (kernel[:, :, None], shape[-1]) if kernel.ndim == 3 else (kernel, 1)
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x[None], kernel, (stride, stride), "SAME", dimension_numbers=dims, feature_group_count=groups
        )[0]

    @jax.jit
    def both(x, kernel):
        square = lambda f: lambda x, k: (jnp.sum(f(x, k) ** 2), f(x, k))
        of = lambda f: jax.grad(square(f), (0, 1), has_aux=True)(x, kernel)
        return of(functools.partial(layers._by_products, stride=stride)), of(reference)

    mine, exact = both(normal(0, shape), normal(1, kernel_shape))
    chex.assert_trees_all_close(mine, exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape, context, blocks", [((28, 28, 1), 0, 0), ((9, 7, 3), 2, 1), ((5, 6, 2), 0, 0)])
def test_convolutional_networks_take_images_of_any_size(shape, context, blocks):
    encoder = networks.ConvEncoder(shape, (4, 8), 6, context, blocks)
    decoder = networks.ConvDecoder(3 + context, (8, 4), (*shape[:2], 2 * shape[2]), blocks)

    def run(key, x, *context):
        code = encoder.apply(encoder.init(key), x, *context)
        return code, decoder.apply(decoder.init(key), code[:3], *context)

    inputs = normal(0, shape), *((np.ones(context, np.float32),) if context else ())
    code, out = jax.eval_shape(run, KEY, *inputs)
    assert code.shape == (6,) and out.shape == (*shape[:2], 2 * shape[2])
    if context:
        run = jax.jit(run)
        pairs = zip(run(KEY, *inputs), run(KEY, inputs[0], 2 * inputs[1]), strict=True)
        assert all(np.all(np.isfinite(one)) and np.any(np.asarray(one) != other) for one, other in pairs)


def test_deep_pixels_become_squares():
    """A stage turns channels (0, 1, 2, 3) of a pixel into a square of four pixels, row by row."""
    decoder = networks.ConvDecoder(1, (1,), (2, 2, 1))
    weights = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), jax.eval_shape(decoder.init, KEY))
    weights["conv0"]["bias"] = np.arange(4.0, dtype=np.float32)
    out = jax.jit(decoder.apply)(weights, np.ones(1))
    np.testing.assert_array_equal(np.asarray(out)[..., 0], [[0.0, 1.0], [2.0, 3.0]])


@pytest.mark.parametrize("kind", ["depthwise", "full"])
def test_a_cell_is_near_the_identity_and_its_filters_have_a_length_of_their_own(kind):
    cell, x = networks.Cell(4, kind, expand=2), normal(0, (5, 4, 4))

    @jax.jit
    def run(key):
        weights = cell.init(key)
        longer = {
            name: leaf | {"direction": 3.0 * leaf["direction"]} if name.startswith("conv") else leaf
            for name, leaf in weights.items()
        }
        grads = jax.grad(lambda w: jnp.sum(cell.apply(w, x) ** 3))(weights)
        return cell.apply(weights, x), cell.apply(longer, x), grads

    out, longer, grads = jax.tree.map(np.asarray, run(KEY))
    assert 0.001 < np.std(out - x) < 0.3
    np.testing.assert_allclose(longer, out, rtol=1e-4, atol=1e-5)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grads))


def test_vectors_are_spread_over_the_image_and_sizes_double():
    layer, small = networks.ConvLayer(3, 2, double_to=(7, 6), activation="silu"), networks.ConvLayer(3, 2, gain=0.01)
    image, vector = normal(0, (4, 3, 1)), np.array([0.3, -1.0], np.float32)
    planes = np.concatenate([image, np.tile(vector, (4, 3, 1))], -1)

    @jax.jit
    def run(key):
        weights = layer.init(key)
        return (
            layer.apply(weights, image, vector),
            layer.apply(weights, planes),
            small.apply(small.init(key), planes),
        )

    spread, joined, low = map(np.asarray, run(KEY))
    assert spread.shape == (7, 6, 2) and np.std(low) < 0.05
    np.testing.assert_allclose(spread, joined, rtol=1e-6)


@pytest.mark.parametrize("size", [(3, 3), (5, 3), (1, 1)])
def test_the_gradient_of_a_depthwise_convolution_is_that_of_the_plain_one(size):
    """Row by row, under one and two vmaps, and of filters that differ from image to image."""
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((3, 6, 7, 4), (*size, 4)))

    def plain(x, kernel):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x[None], kernel[:, :, None], (1, 1), "SAME", dimension_numbers=dims, feature_group_count=4
        )[0]

    def gradients(convolve, axes, kernel):
        loss = lambda x, kernel: jnp.sum(jnp.sin(jax.vmap(convolve, axes)(x, kernel)))
        return jax.jit(jax.grad(loss, (0, 1)))(x, kernel)

    for axes, kernels in (((0, None), kernel), ((0, 0), jnp.stack([kernel, 2 * kernel, -kernel]))):
        mine, theirs = (gradients(each, axes, kernels) for each in (layers.convolve, plain))
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    members = jax.vmap(lambda k: gradients(layers.convolve, (0, None), k)[1])(jnp.stack([kernel, 2 * kernel]))
    np.testing.assert_allclose(members[1], gradients(plain, (0, None), 2 * kernel)[1], rtol=1e-4, atol=1e-4)
