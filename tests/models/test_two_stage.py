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


@functools.partial(jax.jit, static_argnums=0)
def noisy(model):
    leaves, form = jax.tree.flatten(model.init(KEY))
    keys = jax.random.split(jax.random.key(5), len(leaves))
    return form.unflatten([leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)])


def rows(count):
    return 0.3 * np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


def test_its_bound_is_that_of_the_joint_model():
    @jax.jit
    def run(params, x):
        q = bind(SMALL.posterior(params, x), SMALL.prior(params))
        assert isinstance(q, GuidedChain)
        (u, z), log_q = q.sample_and_log_prob(KEY)
        first, second = params["first"], params["second"]
        q1, q2 = SMALL.first.posterior(first, x), SMALL.second.posterior(second, z)
        joint = SMALL.second.prior(second).log_prob(u) + SMALL.second.likelihood(second, u).log_prob(z)
        joint += SMALL.first.likelihood(first, z).log_prob(x)
        same = (log_q, q1.log_prob(z) + q2.log_prob(u)), (vj.log_joint(SMALL, params, x, (u, z)), joint)
        return same, vj.sample(SMALL, params, KEY, temperature=jnp.array([0.0, 1.0]))

    same, sample = run(noisy(SMALL), np.array([0.2, -0.1, 0.4, 1.0], np.float32))
    for pair in same:
        np.testing.assert_allclose(*pair, rtol=1e-5)
    assert sample.shape == (4,)


def test_training_adds_two_bounds_and_says_the_joint_one():
    x = rows(3000)
    objective = vj.objectives.two_stage(vj.objectives.elbo(num_samples=10), vj.objectives.elbo(num_samples=10))

    @jax.jit
    def run(params, keys):
        alone = vj.objectives.elbo(num_samples=10)(SMALL.first, params["first"], KEY, x, None, 0, {})
        joint = jax.vmap(lambda key, x: vj.elbo(SMALL, params, key, x, num_samples=20).value)(keys, x)
        return objective(SMALL, params, KEY, x, None, 0, {}), alone, joint

    (value, info), alone, joint = jax.tree.map(np.asarray, run(noisy(SMALL), jax.random.split(KEY, len(x))))
    np.testing.assert_allclose(value, info["first_elbo"] + info["second_elbo"], rtol=1e-5)
    assert {"first_kl", "second_kl", "first_implied_variance", "second_implied_variance"} <= set(info)
    np.testing.assert_allclose(info["first_elbo"], alone[0], rtol=0.02)
    np.testing.assert_allclose(info["elbo"], joint.mean(), rtol=0.02)


def test_the_second_stage_leaves_the_first_alone():
    parts = lambda p: vj.objectives.two_stage()(SMALL, p, KEY, rows(8), None, 0, {})[1]
    every = jax.jit(jax.jacrev(lambda p: {name: parts(p)[name] for name in ("first_elbo", "second_elbo")}))
    grads = jax.tree.map(np.asarray, every(noisy(SMALL)))
    for name, moved, still in (("second_elbo", "second", "first"), ("first_elbo", "first", "second")):
        assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(grads[name][still]))
        assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(grads[name][moved]))


def test_both_likelihoods_have_their_log_gamma():
    """At z = mu the density is (2 pi gamma)^(-D/2), and a second stage that is right for q(z) has its entropy."""
    for stage, size in ((SMALL.first, 4), (SMALL.second, 2)):

        @jax.jit
        def at_the_mean(key, stage=stage):
            p = stage.likelihood(stage.init(key) | {"likelihood": {"log_scale": -3.0}}, jnp.zeros(stage.latent_dim))
            return p.log_prob(p.mean)

        gamma = np.exp(-6.0) + 1e-6
        np.testing.assert_allclose(at_the_mean(KEY), -0.5 * size * np.log(2 * np.pi * gamma), rtol=1e-5)


def test_settings_and_contexts():
    assert vj.objectives.for_model(vj.TwoStage(SMALL.first, SMALL.second)) == vj.objectives.two_stage()
    both = vj.zoo.two_stage((2, 2, 1), 2, hidden=(4,), context_dim=3)
    below = vj.TwoStage(both.first, vj.zoo.vae(2, 2, hidden=(4,), likelihood=vj.heads.normal()))
    above = vj.TwoStage(vj.zoo.vae(4, 2, hidden=(4,)), both.second)
    for model in (both, below, above):
        assert model.context_dim == 3 and model.stages == (model.first, model.second)
        params = jax.jit(model.init)(KEY)
        x, label = np.full(model.event_shape, 0.5, np.float32), np.int32(1)
        assert jax.eval_shape(vj.elbo, model, params, KEY, x, label).kl.shape == (2,)
        assert jax.eval_shape(vj.sample, model, params, KEY, label).shape == model.event_shape
        with pytest.raises(ValueError, match="TwoStage has context_dim=3: expected .* got None"):
            vj.sample(model, params, KEY)
        grey = np.random.default_rng(0).random((8, *model.event_shape)).astype(np.float32)
        objective = functools.partial(vj.objectives.two_stage(), model)
        value, _ = jax.jit(objective)(params, KEY, grey, np.arange(8) % 3, 0, {})
        assert np.isfinite(value)
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
        vj.objectives.two_stage()(first, {}, KEY, np.zeros((2, 4)), None, 0, {})
    with pytest.raises(ValueError, match="first: expected an objective without a closed form"):
        vj.objectives.two_stage(vj.objectives.optimal_sigma())
    with pytest.raises(TypeError, match="second: expected an objective of vaejax.objectives, got function"):
        vj.objectives.two_stage(second=lambda *args: None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hparams: TwoStage accepts beta, got free_bits"):
        objective = vj.objectives.two_stage(second=vj.objectives.stl())
        objective(SMALL, {}, KEY, np.zeros((2, 4)), None, 0, {"free_bits": 1.0})


def test_a_flow_without_a_density_can_be_the_first_posterior():
    model = vj.zoo.two_stage(4, 2, hidden=(4,), posterior=vj.heads.Planar(2))

    @jax.jit
    def run(params, x):
        bounds = vj.elbo(model, params, KEY, x).value, vj.importance_bound(model, params, KEY, x, k=3)
        u, z = vj.encode(model, params, x)
        means = model.first.posterior(params["first"], x).mean, model.second.posterior(params["second"], z).mean
        return bounds, vj.reconstruct(model, params, KEY, x), (z, u), means

    bounds, again, code, means = jax.tree.map(np.asarray, run(noisy(model), np.full(4, 0.3, np.float32)))
    assert np.all(np.isfinite(bounds)) and again.shape == (4,)
    for pair in zip(code, means, strict=True):
        np.testing.assert_allclose(*pair, rtol=1e-5)


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
