"""The two-stage model: a second latent-variable model in the place of the first one's prior."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from vaejax.distributions import GuidedChain, Normal, bind

KEY = jax.random.key(0)
SMALL = vj.zoo.two_stage(4, 2, second_dim=3, hidden=(6,))


def noisy(model):
    leaves, form = jax.tree.flatten(model.init(KEY))
    keys = jax.random.split(jax.random.key(5), len(leaves))
    return form.unflatten([leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)])


def test_its_bound_is_that_of_the_joint_model():
    params, x = noisy(SMALL), jnp.array([0.2, -0.1, 0.4, 1.0])
    q = bind(SMALL.posterior(params, x), SMALL.prior(params))
    assert isinstance(q, GuidedChain)
    (u, z), log_q = q.sample_and_log_prob(KEY)
    q1 = SMALL.first.posterior(params["first"], x)
    q2 = SMALL.second.posterior(params["second"], z)
    np.testing.assert_allclose(log_q, q1.log_prob(z) + q2.log_prob(u), rtol=1e-5)
    joint = (
        SMALL.second.prior(params["second"]).log_prob(u)
        + SMALL.second.likelihood(params["second"], u).log_prob(z)
        + SMALL.first.likelihood(params["first"], z).log_prob(x)
    )
    np.testing.assert_allclose(vj.log_joint(SMALL, params, x, (u, z)), joint, rtol=1e-5)
    assert vj.sample(SMALL, params, KEY, temperature=jnp.array([0.0, 1.0])).shape == (4,)


def test_training_adds_two_bounds_and_tells_the_joint_one():
    params, x = noisy(SMALL), 0.3 * jax.random.normal(KEY, (3000, 4))
    objective = vj.objectives.two_stage(vj.objectives.elbo(num_samples=10), vj.objectives.elbo(num_samples=10))
    value, info = jax.jit(lambda p: objective(SMALL, p, KEY, x, None, 0, {}))(params)
    np.testing.assert_allclose(value, info["first_elbo"] + info["second_elbo"], rtol=1e-5)
    assert {"first_kl", "second_kl", "first_implied_variance", "second_implied_variance"} <= set(info)
    alone = jax.jit(lambda p: vj.objectives.elbo(num_samples=10)(SMALL.first, p, KEY, x, None, 0, {}))(params["first"])
    np.testing.assert_allclose(info["first_elbo"], alone[0], rtol=0.02)
    one = lambda key, x: vj.elbo(SMALL, params, key, x, num_samples=20).value
    joint = jax.jit(jax.vmap(one))(jax.random.split(KEY, len(x)), x)
    np.testing.assert_allclose(info["elbo"], joint.mean(), rtol=0.02)


def test_the_second_stage_leaves_the_first_alone():
    params, x = noisy(SMALL), 0.3 * jax.random.normal(KEY, (8, 4))
    parts = lambda p: vj.objectives.two_stage()(SMALL, p, KEY, x, None, 0, {})[1]
    every = jax.jit(jax.jacrev(lambda p: {name: parts(p)[name] for name in ("first_elbo", "second_elbo")}))(params)
    for name, moved, still in (("second_elbo", "second", "first"), ("first_elbo", "first", "second")):
        grads = every[name]
        assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(grads[still]))
        assert any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads[moved]))


def test_both_likelihoods_have_their_log_gamma():
    """At z = mu the density is (2 pi gamma)^(-D/2), and a second stage that is right for q(z) has its entropy."""
    for stage, size in ((SMALL.first, 4), (SMALL.second, 2)):
        params = stage.init(KEY) | {"likelihood": {"log_scale": jnp.asarray(-3.0)}}
        p = stage.likelihood(params, jnp.zeros(stage.latent_dim))
        gamma = np.exp(-6.0) + 1e-6
        np.testing.assert_allclose(p.log_prob(p.mean), -0.5 * size * np.log(2 * np.pi * gamma), rtol=1e-5)


def test_settings_and_contexts():
    assert vj.objectives.for_model(vj.TwoStage(SMALL.first, SMALL.second)) == vj.objectives.two_stage()
    both = vj.zoo.two_stage((2, 2, 1), 2, hidden=(4,), context_dim=3)
    below = vj.TwoStage(both.first, vj.zoo.vae(2, 2, hidden=(4,), likelihood=vj.heads.normal()))
    above = vj.TwoStage(vj.zoo.vae(4, 2, hidden=(4,)), both.second)
    for model in (both, below, above):
        assert model.context_dim == 3
        params = model.init(KEY)
        x, label = jnp.full(model.event_shape, 0.5), jnp.asarray(1)
        assert vj.elbo(model, params, KEY, x, label).kl.shape == (2,)
        assert vj.sample(model, params, KEY, label).shape == model.event_shape
        with pytest.raises(ValueError, match="TwoStage has context_dim=3: expected .* got None"):
            vj.sample(model, params, KEY)
        grey = np.random.default_rng(0).random((8, *model.event_shape))
        result = vj.fit(model, KEY, grey, context=np.arange(8) % 3, epochs=1, progress=False)
        assert np.isfinite(result.history["value"][0])
    assert above.support == (0.0, 1.0) and above.binary and above.levels is None


def test_stages_that_do_not_fit_are_named():
    first = SMALL.first
    with pytest.raises(ValueError, match="second: expected a VAE of vectors with 2 real entries, .* shape \\(3,\\)"):
        vj.TwoStage(first, vj.zoo.vae(3, 2, likelihood=vj.heads.normal()))
    with pytest.raises(ValueError, match="second: expected a VAE of vectors .* support \\(0.0, 1.0\\)"):
        vj.TwoStage(first, vj.zoo.vae(2, 2))
    with pytest.raises(TypeError, match="second: expected a vaejax VAE, got PPCA"):
        vj.TwoStage(first, vj.PPCA(2, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='first: expected heads.normal\\("shared"\\) or another head, got "optimal"'):
        vj.TwoStage(vj.zoo.sigma_vae(4, 2), SMALL.second)
    conditional = functools.partial(vj.zoo.vae, hidden=(4,), likelihood=vj.heads.normal())
    with pytest.raises(ValueError, match="second: expected context_dim 0 or 3, got 2"):
        vj.TwoStage(conditional(4, 2, context_dim=3), conditional(2, 2, context_dim=2))
    with pytest.raises(TypeError, match="two_stage: expected a TwoStage model, got VAE"):
        vj.objectives.two_stage()(first, first.init(KEY), KEY, jnp.zeros((2, 4)), None, 0, {})
    with pytest.raises(ValueError, match="first: expected an objective without a closed form"):
        vj.objectives.two_stage(vj.objectives.optimal_sigma())
    with pytest.raises(TypeError, match="second: expected an objective of vaejax.objectives, got function"):
        vj.objectives.two_stage(second=lambda *args: None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hparams: TwoStage accepts beta, got free_bits"):
        objective = vj.objectives.two_stage(second=vj.objectives.stl())
        objective(SMALL, SMALL.init(KEY), KEY, jnp.zeros((2, 4)), None, 0, {"free_bits": 1.0})


def test_a_flow_without_a_density_can_be_the_first_posterior():
    model = vj.zoo.two_stage(4, 2, hidden=(4,), posterior=vj.heads.Planar(2))
    params, x = noisy(model), jnp.full(4, 0.3)
    assert jnp.isfinite(vj.elbo(model, params, KEY, x).value)
    assert jnp.isfinite(vj.importance_bound(model, params, KEY, x, k=3))
    assert vj.reconstruct(model, params, KEY, x).shape == (4,)
    u, z = vj.encode(model, params, x)
    np.testing.assert_allclose(z, model.first.posterior(params["first"], x).mean, rtol=1e-5)
    np.testing.assert_allclose(u, model.second.posterior(params["second"], z).mean, rtol=1e-5)


def test_noiseless_data_of_rank_two_use_two_latents_and_no_noise():  # oracle 24
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(6, 2)))[0] * np.array([2.0, 1.0])
    x = (rng.normal(size=(512, 2)) @ directions.T).astype(np.float32)
    floor = 0.01
    model = vj.zoo.linear_vae(6, 4, likelihood=vj.heads.normal("shared", floor=floor))
    schedule = optax.adam(optax.cosine_decay_schedule(0.02, 1600))
    params = vj.fit(model, KEY, x, epochs=400, optimizer=schedule, progress=False).params
    sigma = model.likelihood(params, jnp.zeros(4)).scale
    assert floor < sigma < 1.1 * floor
    count, variance = vj.evaluate.active_units(model, params, x)
    assert count == 2 and np.sum(np.asarray(variance) > 0.9) == 2 and np.sum(np.asarray(variance) < 1e-4) == 2


@pytest.mark.slow
def test_the_second_stage_mends_the_samples():  # oracle 24
    """Two clusters on a line in four dimensions: q(z) has two modes, which the prior N(0, 1) has not."""
    rng = np.random.default_rng(0)
    codes = np.where(rng.random((3000, 1)) < 0.5, 1.5, -1.5) + 0.2 * rng.normal(size=(3000, 1))
    x, held = np.split((codes * np.array([[1.0, 0.5, -0.5, 0.2]])).astype(np.float32), 2)
    # Without a warm-up the second stage stays where it begins: u unused, gamma the variance of z.
    objective = vj.objectives.two_stage(second=vj.objectives.warm_up(600))
    model = vj.zoo.two_stage(4, 1, hidden=(32, 32), activation="silu", objective=objective)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, 1995))
    fit = vj.fit(model, KEY, x, epochs=133, batch_size=100, optimizer=optimizer, validation=held, progress=False)
    assert fit.history["first_elbo"][-1] > fit.history["first_elbo"][0]
    assert fit.history["validation_second_elbo"][-1] > -1.2  # a Gaussian's: -1.42
    params, keys = fit.params, jax.random.split(KEY, 1500)

    def drawn(model, params):
        return jax.jit(jax.vmap(functools.partial(vj.sample, model, params)))(keys)

    alone, both = (
        vj.evaluate.mmd(drawn(model.first, params["first"]), held, 0.3),
        vj.evaluate.mmd(drawn(model, params), held, 0.3),
    )
    assert alone > 0.02 and both < 0.3 * alone

    def aggregate(key, x):
        z = model.first.posterior(params["first"], x).sample(key)
        return z, model.second.posterior(params["second"], z).sample(key)

    z, u = jax.jit(jax.vmap(aggregate))(keys, x)
    prior = jax.vmap(Normal(jnp.zeros(1), jnp.ones(1)).sample)(jax.random.split(jax.random.key(1), 1500))
    assert vj.evaluate.mmd(u, prior, 0.5) < 0.5 * vj.evaluate.mmd(z, prior, 0.5)
    assert vj.evaluate.active_units(model, params, held).count == (1, 1)
