import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj

KEY = jax.random.key(0)


def identity_autoencoder():
    """A code that is the datum: the aggregate posterior is the data's distribution."""
    model = vj.zoo.autoencoder(2, 2, hidden=())
    params = model.init(KEY)
    line = {"layer0": {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}}
    return model, {**params, "encoder": line, "decoder": line}


def test_the_ex_post_density_finds_the_mixture_that_the_codes_are():
    model, params = identity_autoencoder()
    centres = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 6.0]])
    rng = np.random.default_rng(0)
    x = (centres[rng.integers(0, 3, 1500)] + 0.3 * rng.normal(size=(1500, 2))).astype(np.float32)
    sampler = vj.evaluate.ex_post(model, params, KEY, x, num_components=3)
    means = np.asarray(sampler.density_params["means"])
    np.testing.assert_allclose(means[np.argsort(means[:, 0])], centres[[0, 2, 1]], atol=0.05)
    made = vj.evaluate.draw_rows(sampler, jax.random.key(1), 1500)
    assert vj.evaluate.samples.frechet_distance(made.astype(float), x.astype(float)) < 0.05
    near = np.linalg.norm(made[:, None] - centres[None], axis=2)
    assert near.min(1).max() < 1.6  # none between the modes
    np.testing.assert_allclose(np.bincount(near.argmin(1)) / 1500, 1 / 3, atol=0.05)


def test_codes_are_draws_of_the_aggregate_posterior():
    model = vj.PPCA(5, 2)
    params = model.init(KEY) | {"weight": jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)}
    x = vj.evaluate.draw_rows(vj.evaluate.from_prior(model, params), jax.random.key(1), 4000)
    z = vj.evaluate.encode_rows(model, params, jax.random.key(2), x)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.08)  # of an exact posterior: the prior
    centres = vj.evaluate.encode_rows(model, params, jax.random.key(2), x, temperature=0.0)
    np.testing.assert_allclose(centres[:9], jax.vmap(lambda x: vj.encode(model, params, x))(x[:9]), atol=1e-5)
    assert np.trace(np.cov(centres.T)) < 1.9


def test_every_mode_is_the_one_of_vaejax_sample():
    model = vj.zoo.sigma_vae(4, 2, hidden=(8,))
    params, keys = model.init(KEY), jax.random.split(KEY, 5)
    for how in ({"mode": "offset", "offset": 2.0}, {"temperature": 0.5}):
        expected = jax.vmap(lambda key, how=how: vj.sample(model, params, key, **how))(keys)
        np.testing.assert_allclose(
            vj.evaluate.draw_rows(vj.evaluate.from_prior(model, params, **how), KEY, 5), expected, atol=1e-6
        )
    x = np.random.default_rng(0).random((60, 4), np.float32)
    fitted = vj.evaluate.ex_post(model, params, KEY, x, num_components=2, offset=1.0)
    modes = ("mean", "offset", "ancestral")
    made = {mode: vj.evaluate.draw_rows(dataclasses.replace(fitted, mode=mode), KEY, 5) for mode in modes}
    sigma = made["offset"] - made["mean"]
    np.testing.assert_allclose(sigma, sigma[0, 0], rtol=1e-3)
    assert np.abs(made["ancestral"] - made["mean"]).max() > 0.1


def test_a_context_goes_along():
    model = vj.zoo.conditional_vae(4, 2, 3, hidden=(8,))
    params, x, y = model.init(KEY), np.random.default_rng(0).random((30, 4), np.float32), np.arange(30) % 3
    sampler = vj.evaluate.ex_post(model, params, KEY, x, y, num_components=2)
    first, second = (vj.evaluate.draw_rows(sampler, KEY, 3, np.full(3, label)) for label in (0, 1))
    assert first.shape == (3, 4) and np.abs(first - second).max() > 1e-3
    with pytest.raises(ValueError, match="context: expected 3 labels or vectors, got None"):
        vj.evaluate.draw_rows(sampler, KEY, 3)
    with pytest.raises(ValueError, match="context: expected 3 labels or vectors, got an array of shape \\(2,\\)"):
        vj.evaluate.draw_rows(sampler, KEY, 3, np.zeros(2, int))


def test_what_has_no_codes_is_refused():
    mixture = vj.GMM(2, 3)
    with pytest.raises(TypeError, match="GMM: expected one array of continuous latents"):
        vj.evaluate.ex_post(mixture, mixture.init(KEY), KEY, np.zeros((5, 3)))
    model = vj.PPCA(3, 1)
    with pytest.raises(ValueError, match="finite values, got nan in row 0"):
        vj.evaluate.encode_rows(model, model.init(KEY), KEY, np.full((2, 3), np.nan))
