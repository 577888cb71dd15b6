"""Slow: what only shows after thousands of steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj

KEY = jax.random.key(0)


def digits(part):
    return (part.x > 100).astype(np.float32)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_deepest_model_stays_finite_from_five_seeds():
    x = digits(vj.data.digits().train)[:320]
    model = vj.zoo.nvae((8, 8, 1), groups=(3, 3), channels=4, latent_channels=2, expand=1)
    results = vj.fit_ensemble(
        model, jax.random.split(KEY, 5), x, epochs=100, batch_size=16, optimizer=optax.adam(3e-3), progress=False
    )
    assert np.all(results.state.step == 2000) and np.all(results.state.skipped == 0)
    assert results.history.batches.shape == (5, 2000) and np.isfinite(results.history.batches).all()
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(results.params))
    value = results.history["value"]
    assert (value[:, -5:].mean(1) > value[:, 0]).all()
