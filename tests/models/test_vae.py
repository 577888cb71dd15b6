import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests.refusals import refused

KEY = jax.random.key(0)
MLP = vj.networks.MLP


def test_wrong_networks_are_named():
    two, six = MLP((2, 6)), MLP((6, 4))
    of_encoder = lambda encoder, **options: vj.VAE(encoder, two, 2, **options).init(KEY)
    refused("encoder: expected an output of shape (4,) for 2 latents, got (5,)", of_encoder, MLP((6, 5)))
    refused("encoder: expected an output of shape (5,) for 2 latents, got (4,)", of_encoder, six, posterior="full")
    per_pixel = vj.VAE(MLP((7, 4)), MLP((2, 7)), 2, likelihood=vj.heads.normal("per_pixel"))
    refused("expected a multiple of 2 there, got shape (7,)", per_pixel.init, KEY)
    refused("MLP: expected 3 inputs, got shapes (2,)", vj.VAE(six, MLP((3, 6)), 2).init, KEY)
    refused("decoder: expected a vaejax Network, got function", vj.VAE, six, lambda z: z, 2, error=TypeError)
    refused("posterior: expected diag, full or a head, got 'flow'", vj.VAE, six, two, 2, posterior="flow")
    refused("latent_dim: expected an integer of at least 1, got 0", vj.VAE, six, two, 0)
    refused("data_shape: expected positive sizes, got (8, 0)", vj.zoo.vae, (8, 0), 2)


def test_a_label_is_its_one_hot_vector_and_one_that_does_not_exist_is_not_taken_for_none():
    model = vj.zoo.conditional_vae(4, 2, np.int64(3), hidden=(8,))

    @jax.jit
    def run(key, labels, vector):
        params, x = model.init(key), jnp.full(4, 0.5)
        value = lambda context: vj.elbo(model, params, key, x, context).value
        return jax.vmap(value)(labels), value(vector)

    by_label, by_vector = map(np.asarray, run(KEY, np.array([1, 2, 3, -1]), np.array([0.0, 1.0, 0.0], np.float32)))
    np.testing.assert_allclose(by_label[0], by_vector, rtol=1e-6)
    assert by_label[0] != by_label[1] and np.all(np.isnan(by_label[2:]))


def test_posteriors_are_densities_with_parameters_of_their_own():
    refused("posterior: expected a distribution over the real line", vj.zoo.vae, 4, 2, posterior=vj.heads.bernoulli())
    model = vj.zoo.vae(4, 2, posterior=vj.heads.normal("shared"), hidden=(8,))
    params, bound = jax.jit(lambda key: (params := model.init(key), vj.elbo(model, params, key, jnp.ones(4))))(KEY)
    assert params["posterior"] == {"log_scale": 0.0}
    assert np.isfinite(bound.value)


def test_a_stage_with_one_channel_still_sees_its_input():
    model = vj.zoo.conv_vae((8, 8, 1), 2, channels=(1,))
    encode = lambda key, x: jax.vmap(lambda x: vj.encode(model, model.init(key), x))(x)
    codes = np.asarray(jax.jit(encode)(KEY, np.random.default_rng(0).random((5, 8, 8, 1), np.float32)))
    assert codes.std(0).min() > 1e-3


def test_equal_models_compile_once():
    traces = []

    @jax.jit
    def f(model, params):
        traces.append(model)
        return vj.encode(model, params, jnp.zeros(4))

    for _ in range(2):
        model = vj.zoo.sigma_vae(4, 2, hidden=(8,))
        f(model, jax.jit(model.init)(KEY))
    assert len(traces) == 1


def test_pixels_are_scaled_and_scored_in_the_shape_of_the_decoder():
    model = vj.zoo.vae((2, 2, 1), 1, hidden=(3,))
    params = jax.eval_shape(model.init, KEY)
    pixels = np.array([[0, 51], [102, 255]], np.uint8)
    np.testing.assert_allclose(model.event(pixels)[..., 0], [[0.0, 0.2], [0.4, 1.0]])
    assert jax.eval_shape(vj.sample, model, params, KEY).shape == (2, 2, 1)
    words = "expected floating-point values or uint8 pixels, got int32"
    refused(words, vj.elbo, model, params, KEY, pixels.astype(np.int32))


def test_a_users_own_network_drops_in():
    def init(key):
        return {"w": jax.random.normal(key, (4, 4))}

    own = vj.networks.from_functions(init, lambda weights, x: weights["w"] @ x)
    model = vj.VAE(own, MLP((2, 4)), 2)
    assert jax.eval_shape(lambda key: vj.encode(model, model.init(key), jnp.ones(4)), KEY).shape == (2,)


DENSE = "vae", "beta_vae", "sigma_vae", "full_covariance_vae", "planar_vae", "linear_iaf_vae", "iaf_vae", "autoencoder"
ZOO = dict.fromkeys(DENSE, (2, {"hidden": [4]}, ())) | {  # latents, options, shape of the divergence
    "linear_vae": (2, {}, ()),
    "conv_vae": (2, {"channels": [3]}, ()),
    "two_stage": (2, {"hidden": [4]}, (2,)),
    "ladder": ([2, 2], {"hidden": [4, 4]}, (2,)),
    "hierarchical_vae": ([2, 2], {"hidden": [4, 4]}, (2,)),
    "biva": ([2, 2], {"width": 4}, (3,)),
}


@pytest.mark.parametrize("name", ZOO)
def test_every_member_of_the_zoo_takes_a_context_and_lists(name):
    make, (latents, options, shape) = getattr(vj.zoo, name), ZOO[name]
    model = make([4, 4, 1], latents, context_dim=3, **options)
    bound = jax.eval_shape(lambda key: vj.elbo(model, model.init(key), key, jnp.full((4, 4, 1), 0.5), 2), KEY)
    assert bound.value.shape == () and bound.kl.shape == shape
    again = tuple(latents) if isinstance(latents, list) else latents
    assert hash(model) == hash(make((4, 4, 1), again, context_dim=3, **options))


def test_posteriors_of_the_zoo():
    for constructor in (vj.zoo.vae, vj.zoo.linear_vae, vj.zoo.conv_vae):
        model = constructor((4, 4, 1), 2, posterior="full")
        q = jax.eval_shape(
            model.posterior, jax.eval_shape(model.init, KEY), jax.ShapeDtypeStruct((4, 4, 1), jnp.float32)
        )
        assert isinstance(q, vj.distributions.TrilNormal) and q.scale_tril.shape == (2, 2)
        flow = constructor((4, 4, 1), 2, posterior=vj.heads.IAF(2, 4))
        bound = jax.eval_shape(vj.elbo, flow, jax.eval_shape(flow.init, KEY), KEY, jnp.zeros((4, 4, 1)))
        assert bound.kl.shape == ()
