from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from experiments.plane import manifolds


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
    assert abs(found["data"]) < 0.02 < means[0] and found["floor"] == 1e-3
    assert abs(found["to_prior"]) < 0.02 and abs(found["to_second"]) < 0.02  # codes and both are N(0, 1)


def test_drawn_points_have_the_decoder_s_mean_and_noise(constant):
    found = manifolds.drawn("ring", *constant, most=150)
    assert {len(x) for x in found.values()} == {150} and list(found)[0] == "z"
    np.testing.assert_allclose(found["two stages"], np.tile([1.0, -1.0], (150, 1)), atol=1e-6)
    np.testing.assert_allclose(found["two stages, with noise"].std(0), 0.5, atol=0.1)


def test_the_ring_comes_with_the_z_that_it_is_made_of(constant):
    data = vj.data.ring(400)
    found = manifolds.drawn("ring", data, *constant[1:], most=150)
    z, x = found["z"], found["data"]
    np.testing.assert_array_equal(x, data.train.x[:150])
    np.testing.assert_allclose(z / 10 + z / np.linalg.norm(z, axis=1, keepdims=True), x, atol=1e-5)
    np.testing.assert_allclose(manifolds.unringed(data.train.x).std(0), 1.0, atol=0.15)


def test_principal_axes_show_where_the_data_bend():
    data = vj.data.manifold(2, 10, 500)
    model = vj.zoo.two_stage(10, 2, hidden=(4,))
    found = manifolds.bent(data, model, model.init(jax.random.key(0)), most=200)
    assert list(found)[0] == "data, axes 1, 2" and len(found) == 6 and {x.shape for x in found.values()} == {(200, 2)}
    first, last = (found[f"data, axes 1, {other}"] for other in (2, 4))
    np.testing.assert_array_equal(first[:, 0], last[:, 0])
    assert first[:, 0].std() > first[:, 1].std() > last[:, 1].std() > 0.1  # four dimensions hold the surface


def test_the_claim_of_the_ring_stands_under_the_ring_only(monkeypatch, constant):
    monkeypatch.setattr(manifolds, "fitted", lambda study, name: constant)
    kept = {}
    captions = []
    keep = lambda name, figure, caption, claim="": (kept.update({name: claim}), captions.append(caption))  # noqa: E731
    study = SimpleNamespace(figure=keep)
    manifolds.figures(study, ("ring", "clusters"), ("r = 1",), "1 of 3 (ring)")
    assert kept["ring"].startswith("Doersch") and kept["clusters"] == "" and "r1" in kept
    assert captions[0].endswith("Collapsed runs: 1 of 3 (ring).")


@pytest.fixture
def two_runs():
    """Two sets of three runs; of `b` one has collapsed, which would be a clear difference, and the others disagree."""
    cells = {f"a, seed {seed}": {"active": 1, "x": 0.1 * seed, "y": 1 + 0.11 * seed} for seed in range(3)}
    cells |= {f"b, seed {seed}": {"active": 3, "x": 1.0, "y": 1.0 + 0.1 * seed} for seed in range(2)}
    return manifolds.Grid(cells | {"b, seed 2": {"active": 0, "x": 0.0, "y": 9.0}}, 3)


def test_where_one_number_is_lower_by_pairs_of_runs_that_use_latents(two_runs):
    said = manifolds.nearer(two_runs, ("a", "b"), "x", "y")
    assert said == "on a (by 1.0100 ± 0.0058), and no difference is shown on b"
    assert manifolds.nearer(two_runs, ("a",), "y", "x") == "on none, further on a (by -1.0100 ± 0.0058)"
    assert manifolds.collapsed(two_runs, ("a", "b")) == "1 of 3 (b)" and manifolds.collapsed(two_runs, "a") == "none"


def test_latents_that_are_not_as_many_as_dimensions(two_runs):
    for cell in two_runs.cells.values():
        cell |= {"sigma": 0.5, "one stage": cell["y"], "two stages": cell["x"], "to_prior": 1.0, "to_second": 1.0}
    said = manifolds.of_latents(two_runs, ("a", "b"), {"a": 1, "b": 3})
    assert said.startswith("a: 1.0 ± 0.0, σ 0.500 ± 0.000; b: 2.0 ± 1.0, σ")
    assert said.endswith("(predicted: r of them, which fails for b; σ near 0)")
    said = manifolds.of_stages(two_runs, ("a", "b"))
    assert "one on a (by" in said and said.endswith("prior on none, and no difference is shown on a, b.")


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
