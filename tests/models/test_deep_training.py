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


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_ladder_with_its_warm_up_keeps_more_units_than_the_plain_hierarchy():
    """Each as its source trains it: the ladder with a warm-up of the divergence, the plain hierarchy without."""
    data, keys, sizes = vj.data.digits(), jax.random.split(KEY, 3), {"hidden": (64, 64, 128)}
    x, test = digits(data.train), digits(data.test)
    kept, parameters = {}, {}
    for zoo, objective in ((vj.zoo.ladder, vj.objectives.warm_up(1800)), (vj.zoo.hierarchical_vae, None)):
        model = zoo((8, 8, 1), (4, 8, 16), objective=objective, **sizes)
        fits = vj.fit_ensemble(model, keys, x, epochs=300, batch_size=100, progress=False)
        members = [fits.member(i)[0] for i in range(len(keys))]
        kept[zoo] = [vj.evaluate.active_units(model, params, test).count for params in members]
        parameters[zoo] = sum(leaf.size for leaf in jax.tree.leaves(members[0]))
    ladder, plain = kept.values()
    assert all(sum(a) > sum(b) for a in ladder for b in plain), kept
    assert all(sum(counts[:-1]) == 0 for counts in plain) and all(sum(counts[:-1]) > 0 for counts in ladder), kept
    assert 0.8 < parameters[vj.zoo.ladder] / parameters[vj.zoo.hierarchical_vae] < 1.25
