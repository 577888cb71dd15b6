from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments import manifolds


@pytest.fixture
def constant():
    """Points around (1, -1) with deviation 0.5, and two stages that know them: the decoder looks at no latent."""
    rng = np.random.default_rng(0)
    train, test = (rng.normal([1.0, -1.0], 0.5, (n, 2)).astype(np.float32) for n in (400, 200))
    model = vj.zoo.two_stage(2, 1, hidden=(4,))
    both = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    last = sorted(both["first"]["decoder"])[-1]
    both["first"]["decoder"][last]["bias"] = jnp.array([1.0, -1.0])
    both["first"]["likelihood"]["log_scale"] = jnp.log(jnp.full_like(both["first"]["likelihood"]["log_scale"], 0.5))
    return vj.data.Dataset(vj.data.Split(train, None), None, vj.data.Split(test, None)), model, both


def test_numbers_are_those_of_a_decoder_that_is_known(constant):
    found = manifolds.numbers(*constant, 0)
    assert found["active"] == 0
    np.testing.assert_allclose(found["sigma"], 0.5, rtol=1e-3)
    means = [found[way] for way in ("one stage", "two stages", "mixture", "kernels")]
    np.testing.assert_allclose(means, means[0], rtol=1e-5)  # all are the same one point
    assert abs(found["data"]) < 0.02 < means[0]


def test_drawn_points_have_the_decoder_s_mean_and_noise(constant):
    found = manifolds.drawn("ring", *constant, most=150)
    assert {len(x) for x in found.values()} == {150} and list(found)[0] == "z"
    np.testing.assert_allclose(found["two stages"], np.tile([1.0, -1.0], (150, 1)), atol=1e-6)
    np.testing.assert_allclose(found["two stages, with noise"].std(0), 0.5, atol=0.1)


def test_a_fit_is_of_the_set_that_is_named():
    config = SimpleNamespace(rows=500, epochs=4)
    study = SimpleNamespace(config=config, fit=lambda model, x, **how: SimpleNamespace(params=(x, how)))
    for name, latents, width in (("ring", 2, 2), ("clusters", 1, 4), ("r = 3", 6, 10)):
        data, model, (x, how) = manifolds.fitted(study, name, seed=5)
        assert x is data.train.x and x.shape == (500, width) and len(data.test.x) == 250
        assert model.first.latent_dim == latents and how == {"seed": 5, "epochs": 4, "learning_rate": 2e-3}


def test_the_line_is_the_quantile_function_of_its_density():
    lines = manifolds.quantiles([manifolds.LINE, manifolds.LINE + 2.0])
    z, x = lines["quantile function"]
    assert np.all(np.diff(x) > 0)
    below = 0.4 * (np.random.default_rng(0).normal(-2.0, 1.0, 200_000) < x[30]).mean()
    below += 0.6 * (np.random.default_rng(1).normal(1.0, 0.3, 200_000) < x[30]).mean()
    assert abs(below - 0.5) < 0.005  # z = 0 is the median
    z, mean, error = lines["decoder's mean"]
    np.testing.assert_allclose(mean, z + 1.0)
    np.testing.assert_allclose(error, 1.0)
