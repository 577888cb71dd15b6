import dataclasses

import jax
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from tests.refusals import refused
from vaejax.evaluate import draw_rows, ex_post, from_prior
from vaejax.evaluate.draw import interpolate, plane, traverse

KEY = jax.random.key(0)


def identity_autoencoder():
    """A code that is the datum: the aggregate posterior is the data's distribution."""
    model = vj.zoo.autoencoder(2, 2, hidden=())
    params = jax.jit(model.init)(KEY)
    line = {"layer0": {"kernel": np.eye(2, dtype=np.float32), "bias": np.zeros(2, np.float32)}}
    return model, {**params, "encoder": line, "decoder": line}


def test_the_ex_post_density_finds_the_mixture_that_the_codes_are():
    model, params = identity_autoencoder()
    centres = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 6.0]])
    rng = np.random.default_rng(0)
    x = (centres[rng.integers(0, 3, 1500)] + 0.3 * rng.normal(size=(1500, 2))).astype(np.float32)
    sampler = ex_post(model, params, KEY, x, num_components=3)
    means = np.asarray(sampler.density_params["means"])
    np.testing.assert_allclose(means[np.argsort(means[:, 0])], centres[[0, 2, 1]], atol=0.05)
    made = draw_rows(sampler, jax.random.key(1), 1500)
    assert vj.evaluate.samples.frechet_distance(made.astype(float), x.astype(float)) < 0.05
    near = np.linalg.norm(made[:, None] - centres[None], axis=2)
    assert near.min(1).max() < 1.6  # none between the modes
    np.testing.assert_allclose(np.bincount(near.argmin(1)) / 1500, 1 / 3, atol=0.05)


def test_every_mode_is_the_one_of_vaejax_sample():
    model = vj.zoo.sigma_vae(4, 2, hidden=(8,))
    params, keys = jax.jit(model.init)(KEY), jax.random.split(KEY, 5)
    for how in ({"mode": "offset", "offset": 2.0}, {"temperature": 0.5}):
        expected = jax.vmap(lambda key, how=how: vj.sample(model, params, key, **how))(keys)
        np.testing.assert_allclose(draw_rows(from_prior(model, params, **how), KEY, 5), expected, atol=1e-6)
    x = np.random.default_rng(0).random((60, 4), np.float32)
    fitted = ex_post(model, params, KEY, x, num_components=2, offset=1.0)
    modes = ("mean", "offset", "ancestral")
    made = {mode: draw_rows(dataclasses.replace(fitted, mode=mode), KEY, 5) for mode in modes}
    sigma = made["offset"] - made["mean"]
    np.testing.assert_allclose(sigma, sigma[0, 0], rtol=1e-3)
    assert np.abs(made["ancestral"] - made["mean"]).max() > 0.1


def test_a_context_goes_along():
    model = vj.zoo.conditional_vae(4, 2, 3, hidden=(8,))
    params, x, y = jax.jit(model.init)(KEY), np.random.default_rng(0).random((60, 4), np.float32), np.arange(60) % 3
    sampler = ex_post(model, params, KEY, x, y, num_components=2)
    first, second = (draw_rows(sampler, KEY, 3, np.full(3, label)) for label in (0, 1))
    assert first.shape == (3, 4) and np.abs(first - second).max() > 1e-3
    refused("context: expected 3 labels or vectors, got None", draw_rows, sampler, KEY, 3)
    refused("context: expected 3 labels or vectors, got an array of shape (2,)", draw_rows, sampler, KEY, 3, y[:2])
    gmm = zoo.EXACT["gmm-full"], zoo.fitted("gmm-full")
    refused("GMM: expected one array of continuous latents", ex_post, *gmm, KEY, zoo.rows(), error=TypeError)


@pytest.fixture(scope="module")
def linear():
    model = vj.PPCA(4, 3)
    weight = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    return model, {"mean": np.zeros(4, np.float32), "weight": weight, "log_scale": np.zeros((), np.float32)}


def test_walks_between_codes(linear):
    model, params = linear
    a, b = np.array([2.0, 0.0, 0.0], np.float32), np.array([0.0, 2.0, 0.0], np.float32)
    weight = np.asarray(params["weight"])
    t = np.linspace(0, 1, 5)[:, None]
    np.testing.assert_allclose(interpolate(model, params, a, b, steps=5), ((1 - t) * a + t * b) @ weight.T, atol=1e-5)
    circle = np.concatenate([np.cos(t * np.pi / 2), np.sin(t * np.pi / 2), 0 * t], 1) * 2
    walked = interpolate(model, params, a, b, steps=5, spherical=True)
    np.testing.assert_allclose(walked, circle @ weight.T, atol=1e-5)
    for end in (a, -a, np.zeros(3, np.float32)):  # no great circle is the shortest
        straight, bent = (interpolate(model, params, a, end, steps=3, spherical=how) for how in (False, True))
        np.testing.assert_allclose(bent[::2], straight[::2], atol=1e-5)
    refused("end: expected a code of shape", interpolate, model, params, a, np.zeros(2))


def test_traversals_move_one_latent(linear):
    model, params = linear
    z = np.array([0.5, -1.0, 2.0], np.float32)
    images = traverse(model, params, z, 1, values=[-1.0, 0.0, 4.0])
    steps = np.diff(np.asarray(images), axis=0)
    np.testing.assert_allclose(images[0], vj.decode(model, params, z), rtol=1e-5)
    np.testing.assert_allclose(steps, np.outer([1.0, 4.0], params["weight"][:, 1]), rtol=1e-4)
    assert traverse(model, params, z, 0).shape == (7, 4)
    refused("dimension: expected 0 to 2, got 3", traverse, model, params, z, 3)
    refused("layer: expected None for this code, got 0", traverse, model, params, z, 0, layer=0)


def test_a_plane_is_read_like_a_page():
    model = vj.PPCA(4, 2)
    params = jax.jit(model.init)(KEY) | {"weight": np.eye(4, 2, dtype=np.float32)}
    grid = np.asarray(plane(model, params, steps=3, limit=1.5)).reshape(3, 3, 4)
    np.testing.assert_allclose(grid[0, :, 0], [-1.5, 0.0, 1.5])
    np.testing.assert_allclose(grid[:, 0, 1], [1.5, 0.0, -1.5])
    labelled = vj.zoo.conditional_vae(3, 2, 2, hidden=(4,))
    some = jax.jit(labelled.init)(KEY)
    zero, one = (plane(labelled, some, np.eye(2, dtype=np.float32)[i], steps=2) for i in range(2))
    assert zero.shape == (4, 3) and not np.allclose(zero, one)
    refused("expected one array of two latents, got (3,)", plane, vj.PPCA(4, 3), jax.jit(vj.PPCA(4, 3).init)(KEY))
    refused("limit: expected a finite number above 0, got 0", plane, model, params, limit=0)


def test_walks_in_a_hierarchy():
    model = vj.PPCAMixture(2, 4, 2)  # latents: the component, then the factors
    params = jax.jit(model.init)(KEY)
    z = (np.asarray(1), np.zeros(2, np.float32))
    images = traverse(model, params, z, 0, layer=1, values=[0.0, 1.0])
    assert images.shape == (2, 4)
    np.testing.assert_allclose(images[0], vj.decode(model, params, z), atol=1e-6)
    refused("layer: expected an index for this code, got None", traverse, model, params, z, 0)
