import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax.networks import MADE, bound, in_precision

KEY = jax.random.key(0)


def weights_of(network):
    shapes = jax.eval_shape(network.init, KEY)
    keys = iter(jax.random.split(KEY, 16))
    return jax.tree.map(lambda leaf: jax.random.normal(next(keys), leaf.shape, jnp.float64), shapes)


@pytest.mark.parametrize(
    "dim, hidden, context",
    [(1, (4,), 2), (2, (1,), 0), (5, (2,), 3), (5, (3, 4), 0), (3, (16, 7, 9), 1), (6, (6,), 2)],
)
def test_jacobians_are_strictly_lower_triangular(dim, hidden, context, x64):  # oracle 12
    network = MADE(dim, hidden, 3, context)
    weights, z = weights_of(network), jax.random.normal(KEY, (dim,))
    after = (jnp.ones(context),) if context else ()
    for of_z in jax.jacfwd(bound(network, weights, *after))(z):
        assert np.all(np.triu(of_z) == 0) and np.all(of_z[np.tril_indices(dim, -1)] != 0)
    if context:
        of_c = jax.jacfwd(lambda c: network.apply(weights, z, c))(jnp.ones(context))
        assert np.all(of_c != 0)  # the first entry too


def test_it_is_the_masked_formula(x64):
    network = MADE(2, (3,), 1, 1, "tanh")
    weights = weights_of(network)
    z, c = np.array([0.3, -1.2]), np.array([0.7])
    # Degrees 0, 0, 1: the first two units read the context alone, the third one the first entry too.
    kernel = np.array(weights["layer0"]["kernel"])
    kernel[0, :2] = kernel[1] = 0.0
    hidden = np.tanh(np.concatenate([z, c]) @ kernel + weights["layer0"]["bias"])
    last, direct = np.array(weights["layer1"]["kernel"]), np.array(weights["direct"]["kernel"])
    last[2, 0] = direct[0, 0] = direct[1] = 0.0
    wanted = hidden @ last + weights["layer1"]["bias"] + np.concatenate([z, c]) @ direct
    np.testing.assert_allclose(network.apply(weights, jnp.asarray(z), jnp.asarray(c))[0], wanted, atol=1e-12)


def test_units_start_with_unit_variance_and_small_outputs():
    network = MADE(8, (256, 256))
    weights = network.init(KEY)
    z = jax.random.normal(jax.random.key(1), (500, 8))
    first = z @ weights["layer0"]["kernel"]
    live = np.any(np.asarray(weights["layer0"]["kernel"]) != 0, 0)
    assert live.sum() == 224  # the 32 units of degree 0 have nothing to read
    np.testing.assert_allclose(first.std(0)[live].mean(), 1.0, atol=0.15)
    assert jax.vmap(lambda z: network.apply(weights, z))(z).std() < 0.2
    grads = jax.grad(lambda w: jnp.sum(network.apply(w, z[0]) ** 2))(weights)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads))


def test_lower_precision_and_wrong_sizes():
    network = MADE(3, [4], 2, 2)  # type: ignore[arg-type]
    assert network == MADE(3, (4,), 2, 2) and hash(network) == hash(MADE(3, (4,), 2, 2))
    weights = network.init(KEY)
    half = in_precision(network, "bfloat16")
    out = half.apply(weights, jnp.ones(3), jnp.ones(2))
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, network.apply(weights, jnp.ones(3), jnp.ones(2)), atol=0.05)
    assert "bf16[5,4]" in str(jax.make_jaxpr(half.apply)(weights, jnp.ones(3), jnp.ones(2)))
    with pytest.raises(ValueError, match="MADE: expected 5 inputs, got shapes \\(3,\\)"):
        network.apply(weights, jnp.ones(3))
    with pytest.raises(ValueError, match="hidden: expected at least 1 positive sizes, got \\(\\)"):
        MADE(3, ())
    with pytest.raises(ValueError, match="context_dim: expected a non-negative integer, got -1"):
        MADE(3, (4,), 2, -1)
    with pytest.raises(ValueError, match="activation: expected one of .* got 'sine'"):
        MADE(3, (4,), activation="sine")
