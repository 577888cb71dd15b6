"""Rate and distortion against the bound they make, and the slope that the weight of the divergence sets."""

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)


def test_the_curve_of_an_ensemble():
    x = (zoo.levels(300) > 0.5).astype(np.float32)
    model, betas = vj.zoo.vae(zoo.D, 2, hidden=(16,)), jnp.array([0.05, 0.5, 8.0])
    keys = jnp.stack([KEY] * 3)
    fits = vj.fit_ensemble(model, keys, x, hparams={"beta": betas}, epochs=60, batch_size=50)
    curve = vj.evaluate.latents.rate_distortion(model, fits.params, KEY, x)
    assert (np.diff(curve.rate) < 0).all() and (np.diff(curve.distortion) > 0).all()
    one, _ = fits.member(1)
    bounds = jax.vmap(lambda k, x: vj.elbo(model, one, k, x).value)(jax.random.split(KEY, len(x)), x)
    np.testing.assert_allclose(-curve.rate[1] - curve.distortion[1], bounds.mean(), rtol=1e-5)
    assert curve.standard_errors.shape == (3, 2) and (curve.standard_errors > 0).all()
