import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import linear, zoo
from tests.refusals import refused
from vaejax import objectives

KEY = jax.random.key(0)
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,))


@pytest.fixture(scope="module")
def start():
    return jax.tree.map(np.asarray, jax.jit(MODEL.init)(KEY)), zoo.levels(12)


@functools.partial(jax.jit, static_argnames=("objective", "model", "gradient"))
def _score(objective, params, x, model, step, key, hparams, gradient):
    f = lambda params: objective(model, params, key, x, None, step, hparams)
    return jax.value_and_grad(f, has_aux=True)(params) if gradient else f(params)


def score(objective, params, x, model=MODEL, step=0, key=KEY, gradient=False, **hparams):
    """Value and info of a batch, and the gradient where it is wanted."""
    return jax.tree.map(np.asarray, _score(objective, params, x, model, step, key, hparams, gradient))


@functools.partial(jax.jit, static_argnames=("model", "k"))
def each(model, params, x, k=5):
    """Posterior, draw, bounds of each datum with the key that an objective gives it."""
    keys = jax.random.split(KEY, len(x))
    q = jax.vmap(functools.partial(model.posterior, params))(x)
    z = jax.vmap(lambda q, key: q.sample(key))(q, keys)
    bounds = jax.vmap(functools.partial(vj.importance_bound, model, params, k=k))(keys, x)
    kl = jax.vmap(lambda q: vj.distributions.analytic_kl(q, model.prior(params)))(q)
    logits = jax.vmap(lambda z: model.likelihood(params, z).logits)(z)
    return q, z, bounds, jax.vmap(functools.partial(vj.elbo, model, params))(keys, x), kl, logits


def posterior_densities(q, z):
    """Density of each draw under each posterior, by dimension (N, N, M), and under its own."""
    scaled = (z[:, None] - q.loc[None]) / q.scale[None]
    density = np.exp(-0.5 * scaled**2) / (q.scale[None] * np.sqrt(2 * np.pi))
    return density, np.diagonal(density.prod(-1))


def test_the_elbo_and_its_forces(start):
    params, x = start
    value, info = score(objectives.elbo(), params, x)
    q, _, _, parts, *_ = jax.tree.map(np.asarray, each(MODEL, params, x))
    np.testing.assert_allclose(info["kl"], parts.kl.mean(), rtol=1e-5)
    np.testing.assert_allclose(info["kl_per_dimension"].sum(), info["kl"], rtol=1e-5)
    forces = info["log_likelihood"] + info["log_prior"] + info["entropy"]
    np.testing.assert_allclose(forces, value, rtol=1e-5)
    np.testing.assert_allclose(
        info["entropy"], (0.5 * np.log(2 * np.pi * np.e) + np.log(q.scale)).sum(-1).mean(), rtol=1e-5
    )
    crossed = -0.5 * (np.log(2 * np.pi) + q.loc**2 + q.scale**2).sum(-1).mean()
    np.testing.assert_allclose(info["log_prior"], crossed, rtol=1e-5)


def test_more_samples_lower_the_variance(start):
    params, x = start
    spread = []
    for count in (1, 16):
        values = jax.jit(
            jax.vmap(lambda key: objectives.elbo(num_samples=count)(MODEL, params, key, x[:1], None, 0, {})[0])  # noqa: B023
        )(jax.random.split(KEY, 400))
        spread.append(np.asarray(values).std())
    assert 3.0 < spread[0] / spread[1] < 5.2  # the square root of 16, and its error


def test_weights_compose(start):
    params, x = start
    value, info = score(objectives.elbo(), params, x)
    ll, kl = info["log_likelihood"], info["kl"]
    cases = {
        objectives.beta(4.0): ll - 4 * kl,
        objectives.beta(2.0, objectives.beta(3.0)): ll - 6 * kl,
        objectives.warm_up(10): ll - 0.3 * kl,  # oracle 26: min(1, t / N)
        objectives.warm_up(10, objectives.beta(4.0)): ll - 1.2 * kl,
        objectives.beta(4.0, objectives.warm_up(2)): ll - 4 * kl,
    }
    for objective, wanted in cases.items():
        np.testing.assert_allclose(score(objective, params, x, step=3)[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(score(objectives.beta(4.0), params, x, beta=0.5)[0], ll - 2 * kl, rtol=1e-5)
    np.testing.assert_allclose(score(objectives.warm_up(10).evaluation, params, x)[0], value, rtol=1e-6)
    assert score(objectives.warm_up(10, objectives.beta(4.0)), params, x, step=3)[1]["beta"] == pytest.approx(1.2)
    assert objectives.beta(4.0) == objectives.beta(4.0) and hash(objectives.beta(4.0)) == hash(objectives.beta(4.0))


def test_free_bits_count_each_part_as_at_least_so_much(start):
    params, x = start
    _, info = score(objectives.elbo(), params, x)
    dims = info["kl_per_dimension"]
    nats = float(dims.mean())  # one dimension above, one below
    wanted = info["log_likelihood"] - np.maximum(dims, nats).sum()
    np.testing.assert_allclose(score(objectives.free_bits(nats), params, x)[0], wanted, rtol=1e-6)
    layer = score(objectives.free_bits(10.0, per="layer"), params, x)[0]
    np.testing.assert_allclose(layer, info["log_likelihood"] - 10.0, rtol=1e-6)
    _, grads = score(objectives.free_bits(1e3), params, x, gradient=True)
    _, plain = score(objectives.beta(0.0), params, x, gradient=True)
    chex.assert_trees_all_close(grads, plain, rtol=1e-5, atol=1e-6)  # a divergence below its floor has no gradient
    full = zoo.AMORTIZED["full-posterior"]
    call = lambda key: objectives.free_bits(0.1)(full, full.init(key), key, x, None, 0, {})
    refused("free_bits: expected a diagonal Gaussian posterior", jax.eval_shape, call, KEY)


def test_iwae_is_the_mean_of_the_bounds(start):
    params, x = start
    value, info = score(objectives.iwae(5), params, x)
    np.testing.assert_allclose(value, np.mean(each(MODEL, params, x)[2]), rtol=1e-5)
    assert info["elbo"] < value and 1 / 5 < info["effective_sample_share"] <= 1


def test_beta_tc_is_the_elbo_at_equal_weights_and_exact_on_the_whole_data(start):
    params, x = start
    value, info = score(objectives.beta_tc(1.0, num_data=len(x)), params, x)
    np.testing.assert_allclose(value, info["elbo"], rtol=1e-5)
    q, z, *_ = jax.tree.map(np.asarray, each(MODEL, params, x))
    density, own = posterior_densities(q, z)
    np.testing.assert_allclose(info["mutual_information"], np.log(own / density.prod(-1).mean(1)).mean(), rtol=1e-4)
    correlation = np.log(density.prod(-1).mean(1) / density.mean(1).prod(-1)).mean()
    np.testing.assert_allclose(info["total_correlation"], correlation, rtol=1e-3, atol=1e-5)
    heavy = score(objectives.beta_tc(6.0, num_data=len(x)), params, x)[0]
    np.testing.assert_allclose(value - heavy, 5 * correlation, rtol=1e-2, atol=1e-4)


def test_a_batch_stands_for_the_whole_data_in_beta_tc(start):
    """The datum's own posterior counts 1/N; the others of the batch share the remaining (N - 1)/N."""
    params, x = start
    x, count = x[:3], 12
    info = score(objectives.beta_tc(1.0, num_data=count), params, x)[1]
    q, z, *_ = jax.tree.map(np.asarray, each(MODEL, params, x))
    density, own = posterior_densities(q, z)
    share = np.where(np.eye(3) > 0, 1 / count, (count - 1) / count / 2)
    np.testing.assert_allclose(share.sum(1), 1.0)
    joint = (density.prod(-1) * share).sum(1)
    np.testing.assert_allclose(info["mutual_information"], np.log(own / joint).mean(), rtol=1e-4)
    product = (density * share[..., None]).sum(1).prod(-1)
    np.testing.assert_allclose(info["total_correlation"], np.log(joint / product).mean(), rtol=1e-3, atol=1e-5)


def test_stl_has_the_value_of_the_elbo_and_no_noise_at_an_exact_posterior(x64):
    x = linear.rows()[:8]
    weight, sigma = linear.maximum_likelihood(linear.rows(), 2)
    model, params = linear.model(2), linear.params(weight, sigma)
    (value, _), grads = score(objectives.stl(), params, x, model, gradient=True)
    (sampled, _), noisy = score(objectives.elbo(analytic=False), params, x, model, gradient=True)
    np.testing.assert_allclose(value, sampled, rtol=1e-10)
    assert max(np.abs(g).max() for g in jax.tree.leaves(grads["encoder"])) < 1e-9
    assert max(np.abs(g).max() for g in jax.tree.leaves(noisy["encoder"])) > 1e-2


def test_optimal_sigma_is_the_written_formula_and_its_gradient_needs_no_stop(x64):  # oracle 9
    model = vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,), likelihood=vj.heads.normal("optimal", floor=1e-6))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), jax.jit(model.init)(KEY))
    x = np.asarray(zoo.levels(12), np.float64)
    keys = jax.random.split(KEY, len(x))

    def by_hand(params):
        def one(key, x):
            q = model.posterior(params, x)
            kl = vj.distributions.analytic_kl(q, model.prior(params))
            return jnp.sum((x - vj.decode(model, params, q.sample(key))) ** 2), kl

        errors, kl = jax.vmap(one)(keys, x)
        d, mse = zoo.D, jnp.mean(errors) / zoo.D
        log_sigma = 0.5 * jnp.log(mse)  # no stop_gradient here
        return -d * mse / (2 * jnp.exp(2 * log_sigma)) - d * log_sigma - 0.5 * d * math.log(
            2 * math.pi
        ) - kl.mean(), mse

    def mine(params):
        value, info = objectives.optimal_sigma()(model, params, KEY, x, None, 0, {})
        return value, info["implied_variance"]

    objective = objectives.optimal_sigma()

    @jax.jit
    def stored(params):
        calibration = objective.calibration
        return calibration.absorb(model, params, calibration.statistic(model, params, KEY, x, None).mean())

    (value, mse), grads = jax.jit(jax.value_and_grad(by_hand, has_aux=True))(params)
    (other, variance), also = jax.jit(jax.value_and_grad(mine, has_aux=True))(params)
    np.testing.assert_allclose([value, mse], [other, variance], rtol=1e-10)
    chex.assert_trees_all_close(grads, also, rtol=1e-9, atol=1e-12)
    calibrated = stored(params)
    np.testing.assert_allclose(np.exp(2 * calibrated["likelihood"]["log_scale"]), mse, rtol=1e-10)
    np.testing.assert_allclose(score(objective.evaluation, calibrated, x, model)[0], value, rtol=1e-10)


@pytest.mark.parametrize("rms", [300.0, 1e-4])
def test_optimal_sigma_holds_at_every_scale(rms):
    model = vj.zoo.sigma_vae(64, 2, hidden=(8,), likelihood=vj.heads.normal("optimal", floor=1e-6))
    params = jax.tree.map(np.asarray, jax.jit(model.init)(KEY))
    noise = rms * np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    params["decoder"] = jax.tree.map(np.zeros_like, params["decoder"])
    value, info = score(objectives.optimal_sigma(), params, noise, model)
    mse = np.mean(noise**2)
    np.testing.assert_allclose(info["implied_variance"], mse, rtol=1e-4)
    np.testing.assert_allclose(info["log_likelihood"], -32 * (np.log(2 * np.pi * mse) + 1), rtol=1e-4)


def test_a_weighted_gaussian_bound_is_that_of_more_noise(x64):
    """(beta, sigma^2 = s / beta) at constant s have one maximiser: the values differ by a factor and a constant."""
    x = linear.rows()
    weight, _ = linear.maximum_likelihood(linear.rows(), 2)
    slopes = []
    for beta in (1.0, 4.0):
        model = linear.model(2, likelihood=vj.heads.normal(math.sqrt(0.8 / beta)))
        params = linear.params(weight, 0.7)
        del params["likelihood"]
        (_, info), grads = score(objectives.beta(beta), params, x, model, gradient=True)
        np.testing.assert_allclose(info["implied_variance"], 0.8, rtol=1e-12)
        slopes.append(jax.tree.map(lambda g: g / beta, grads))  # noqa: B023
    chex.assert_trees_all_close(*slopes, rtol=1e-9, atol=1e-9)


def test_a_weighted_bernoulli_bound_is_that_of_cooler_pixels(start):  # oracle 21
    params, x = start
    x, beta = np.round(x), 2.5
    _, _, _, _, kl, logits = jax.tree.map(np.asarray, each(MODEL, params, x))
    p = 1 / (1 + np.exp(-logits))
    log_z = np.log(p ** (1 / beta) + (1 - p) ** (1 / beta)).sum(-1)
    log_prob = jax.jit(jax.vmap(vj.kernels.bernoulli_log_prob))
    plain, cooler = (np.asarray(log_prob(x, l)) for l in (logits, logits / beta))
    np.testing.assert_allclose(plain / beta - log_z, cooler, rtol=1e-5)
    wanted = beta * np.mean(cooler + log_z - kl)
    np.testing.assert_allclose(score(objectives.beta(beta), params, x)[0], wanted, rtol=1e-5)


def test_pathwise_and_score_function_gradients_agree(start):  # oracle 27
    params, x = start
    x = x[0]

    def f(params, z):
        q = MODEL.posterior(params, x)
        return vj.log_joint(MODEL, jax.lax.stop_gradient(params), x, z) - jax.lax.stop_gradient(q).log_prob(z)

    def pathwise(params, key):
        return f(params, MODEL.posterior(params, x).sample(key))

    def flat(tree):
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree["encoder"])])

    @jax.jit
    def gradients(params, keys):
        baseline = jnp.mean(jax.vmap(functools.partial(pathwise, params))(keys[:500]))

        def score_function(key):
            z = MODEL.posterior(params, x).sample(key)
            g = jax.grad(lambda p: MODEL.posterior(p, x).log_prob(z))(params)
            # The best constant does not bias it; without one its noise hides everything.
            return (f(params, z) - baseline) * flat(g)

        return jax.vmap(lambda key: flat(jax.grad(pathwise)(params, key)))(keys), jax.vmap(score_function)(keys)

    keys = jax.random.split(KEY, 20_000)
    a, b = map(np.asarray, gradients(params, keys))
    error = np.sqrt((a.var(0) + b.var(0)) / len(keys))
    distance = np.abs(a.mean(0) - b.mean(0)) / (error + 1e-9)
    assert np.mean(distance < 4) > 0.99 and np.abs(a.mean(0)).max() > 20 * error.max() / 4
    assert np.median(a.var(0)[b.var(0) > 0] / b.var(0)[b.var(0) > 0]) < 0.5  # and the pathwise one is quieter


def test_minibatches_average_to_the_full_gradient(x64):  # oracle 27
    model, x, params = zoo.EXACT["gmm-diag"], zoo.rows(12), zoo.fitted("gmm-diag")
    # N / |M| times the sum over the batch has the gradient of the whole.
    whole, *parts = (score(objectives.elbo(), params, x[rows], model, gradient=True)[1] for rows in BATCHES)
    chex.assert_trees_all_close(jax.tree.map(lambda *g: sum(g) / 4, *parts), whole, atol=1e-9)


BATCHES = (slice(None), *(slice(i, i + 3) for i in range(0, 12, 3)))


def test_settings_that_an_objective_does_not_read_are_refused(start):
    call = lambda objective, **hparams: objective(MODEL, start[0], KEY, start[1], None, 0, hparams)
    refused("hparams: IWAE accepts none, got beta", call, objectives.iwae(2), beta=1.0)
    refused("hparams: Elbo accepts beta, ... got gamma", call, objectives.elbo(), gamma=1.0)
    refused("optimal_sigma: expected a model with heads.normal('optimal')", call, objectives.optimal_sigma())
    refused("IWAE has no beta to change", objectives.beta, 2.0, objectives.iwae(2))
    words = "expected an objective of vaejax.objectives, got function"
    refused(words, objectives.warm_up, 3, lambda: 0, error=TypeError)
    refused("k: expected an integer of at least 1, got 0", objectives.iwae, 0)
    refused("num_steps: expected", objectives.warm_up, 0)
    refused("weight: expected a finite number of at least 0, got -1.0", objectives.beta, -1.0)
    refused("per: expected ...dimension...layer, got 'pixel'", objectives.free_bits, 0.1, per="pixel")
    refused("num_samples: expected", objectives.elbo, num_samples=0)
