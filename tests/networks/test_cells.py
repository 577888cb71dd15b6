import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax import networks
from vaejax.networks import layers

KEY = jax.random.key(0)


@pytest.mark.parametrize("size, side", [((7, 5), 5), ((4, 4), 3), ((2, 3), 4)])
def test_depthwise_convolution_by_shifts_is_the_convolution(size, side):
    x = jax.random.normal(KEY, (*size, 6))
    kernel = jax.random.normal(jax.random.key(1), (side, side, 6))

    def reference(x, kernel):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x[None], kernel[:, :, None], (1, 1), "SAME", dimension_numbers=dims, feature_group_count=6
        )[0]

    def both(f):
        square = lambda x, k: (jnp.sum(f(x, k) ** 2), f(x, k))
        return jax.jit(jax.grad(square, (0, 1), has_aux=True))(x, kernel)

    chex.assert_trees_all_close(both(functools.partial(layers._by_products, stride=1)), both(reference), rtol=1e-4, atol=1e-4)
    chex.assert_trees_all_close(layers.convolve(x, kernel), reference(x, kernel), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["depthwise", "full"])
def test_a_cell_is_near_the_identity_and_its_filters_have_a_length_of_their_own(kind):
    cell = networks.Cell(8, kind, expand=2)
    weights = jax.jit(cell.init)(KEY)
    x = jax.random.normal(KEY, (6, 5, 8))
    apply = jax.jit(cell.apply)
    out = apply(weights, x)
    assert 0.001 < jnp.std(out - x) < 0.3
    longer = {
        name: leaf | {"direction": 3.0 * leaf["direction"]} if name.startswith("conv") else leaf
        for name, leaf in weights.items()
    }
    np.testing.assert_allclose(apply(longer, x), out, rtol=1e-4, atol=1e-5)
    grads = jax.jit(jax.grad(lambda w: jnp.sum(cell.apply(w, x) ** 3)))(weights)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads))


def test_vectors_are_spread_over_the_image_and_sizes_double():
    layer = networks.ConvLayer(3, 2, 3, double_to=(7, 6), activation="silu")
    weights = layer.init(KEY)
    image, vector = jax.random.normal(KEY, (4, 3, 1)), jnp.asarray([0.3, -1.0])
    out = layer.apply(weights, image, vector)
    assert out.shape == (7, 6, 2)
    planes = jnp.concatenate([image, jnp.tile(vector, (4, 3, 1))], -1)
    np.testing.assert_allclose(out, layer.apply(weights, planes), rtol=1e-6)
    small = networks.ConvLayer(3, 2, gain=0.01)
    assert jnp.std(small.apply(small.init(KEY), planes)) < 0.05


def test_wrong_sizes_are_named():
    image = jnp.ones((4, 4, 2))
    layer = networks.ConvLayer(3, 2)
    with pytest.raises(ValueError, match="images of one size with 3 channels in all, got shapes \\[\\(4, 4, 2\\)\\]"):
        layer.apply(layer.init(KEY), image)
    with pytest.raises(ValueError, match="an image among its inputs, got \\[\\(3,\\)\\]"):
        layer.apply(layer.init(KEY), jnp.ones(3))
    double = networks.ConvLayer(2, 2, double_to=(9, 9))
    with pytest.raises(ValueError, match="expected a size of about \\(8, 8\\), got \\(9, 9\\)"):
        double.apply(double.init(KEY), image)
    with pytest.raises(ValueError, match="double_to: expected \\(height, width\\) and stride 1"):
        networks.ConvLayer(2, 2, stride=2, double_to=(9, 9))
    with pytest.raises(ValueError, match="kind: expected one of depthwise, full, got 'wide'"):
        networks.Cell(2, "wide")
    cell = networks.Cell(3)
    with pytest.raises(ValueError, match="an image with 3 channels, got shape \\(4, 4, 2\\)"):
        cell.apply(cell.init(KEY), image)
    skip = networks.Skip(networks.Linear(2, 3))
    with pytest.raises(ValueError, match="Skip: expected an output of shape \\(2,\\), got \\(3,\\)"):
        skip.apply(skip.init(KEY), jnp.ones(2))
