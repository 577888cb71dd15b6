"""The linear VAE against probabilistic PCA: what theory says a variational autoencoder learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import linear

pytestmark = pytest.mark.usefixtures("x64")
KEY = jax.random.key(0)


def test_orthogonal_columns_make_the_diagonal_bound_tight():  # oracles 4 and 15
    x = linear.rows()
    weight, sigma = linear.maximum_likelihood(x, 2)
    model, params = linear.model(2), linear.params(weight, sigma)
    exact = linear.evidence(x, weight, sigma)
    linear.assert_exact(model, params, x, exact)
    np.testing.assert_allclose(linear.exact_elbo_and_gradient(model, params, x)[0], exact.mean(), atol=1e-9)
    bound = vj.importance_bound(model, params, KEY, x[0], k=7)
    np.testing.assert_allclose(bound, exact[0], atol=1e-9)


def test_rotated_columns_cost_what_the_formula_says():  # oracle 4
    x, (weight, sigma, gap) = linear.rows(), linear.rotated(3)
    exact = linear.evidence(x, weight, sigma).mean()
    diagonal, _ = linear.exact_elbo_and_gradient(linear.model(3), linear.params(weight, sigma), x)
    np.testing.assert_allclose(exact - diagonal, gap, atol=1e-9)
    full = linear.params(weight, sigma, full=True)
    np.testing.assert_allclose(
        linear.exact_elbo_and_gradient(linear.model(3, vj.heads.full_normal(reach=1.0)), full, x)[0], exact, atol=1e-9
    )


@pytest.fixture(scope="module")
def optimum():
    """Maximisers of the exact ELBO: of W at fixed noise, and of W and the noise."""
    model = linear.model(3)

    @functools.partial(jax.jit, static_argnames="learn")
    def solve(beta, sigma, learn):
        start = linear.params(np.zeros((linear.D, 3)) + 0.1, 0.8)
        noise = iter(jax.random.split(jax.random.key(4), 16))
        start = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(next(noise), leaf.shape, leaf.dtype), start)
        fixed = {"log_scale": jnp.log(sigma)}
        put = lambda p: p if learn else p | {"likelihood": fixed}
        x = jnp.asarray(linear.rows())
        best = put(linear.maximise(lambda p: linear.exact_elbo(model, put(p), x, beta=beta), start))
        q = jax.vmap(lambda x: model.posterior(best, x))(x)
        aggregate = jnp.cov(q.loc.T, bias=True) + jnp.diag(jnp.mean(q.scale**2, 0))
        return best["decoder"]["layer0"]["kernel"].T, jnp.exp(2 * best["likelihood"]["log_scale"]), aggregate

    return lambda *how, **options: jax.tree.map(np.asarray, solve(*how, **options))


@pytest.mark.parametrize("beta, variance", [(1.0, 0.8), (4.0, 0.2), (2.0, 0.8)])
def test_fixed_noise_keeps_the_eigenvalues_above_it(optimum, beta, variance):  # oracles 5, 6 and 8
    weight, _, aggregate = optimum(beta, np.sqrt(variance), learn=False)
    kept = np.maximum(linear.EIGENVALUES - beta * variance, 0.0)[:3]
    np.testing.assert_allclose(np.linalg.eigvalsh(weight @ weight.T)[::-1][:3], kept, atol=1e-4)
    np.testing.assert_allclose(aggregate, np.eye(3), atol=1e-4)
    # Sampling with the noise beta sigma^2 has the data's variance where it is active; sigma^2 lacks (beta - 1) sigma^2.
    active = np.sum(kept > 0)
    for noise, wanted in ((beta * variance, 0.0), (variance, (beta - 1) * variance)):
        sampled = np.linalg.eigvalsh(weight @ weight.T + noise * np.eye(linear.D))[::-1][:active]
        np.testing.assert_allclose(linear.EIGENVALUES[:active] - sampled, wanted, atol=1e-4)


@pytest.mark.parametrize("beta, active", [(1.0, 3), (1.5, 2)])
def test_learned_noise_settles_where_the_formula_says(optimum, beta, active):  # oracles 7 and 8
    weight, variance, aggregate = optimum(beta, 1.0, learn=True)
    wanted = linear.EIGENVALUES[active:].sum() / (linear.D - beta * active)
    np.testing.assert_allclose(variance, wanted, atol=1e-6)
    kept = np.where(np.arange(3) < active, linear.EIGENVALUES[:3] - beta * wanted, 0.0)
    np.testing.assert_allclose(np.linalg.eigvalsh(weight @ weight.T)[::-1][:3], kept, atol=1e-4)
    np.testing.assert_allclose(aggregate, np.eye(3), atol=1e-4)


def test_other_eigenvectors_are_saddles():  # oracle 5
    x = linear.rows()
    _, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    model, sigma = linear.model(1, likelihood=vj.heads.normal(np.sqrt(0.3))), np.sqrt(0.3)
    at = lambda weight: {k: v for k, v in linear.params(weight, sigma).items() if k != "likelihood"}
    second = vectors[:, [-2]] * np.sqrt(linear.EIGENVALUES[1] - 0.3)
    value, grads = linear.exact_elbo_and_gradient(model, at(second), x)
    assert all(np.abs(g).max() < 1e-9 for g in jax.tree.leaves(grads))
    assert linear.exact_elbo_and_gradient(model, at(second + 0.05 * vectors[:, [-1]]), x)[0] > value


def test_optimal_sigma_from_sampled_latents_is_maximum_likelihood():  # oracle 9
    x = linear.rows(4000)
    weight, sigma = linear.maximum_likelihood(x, 2)
    model = linear.model(2, likelihood=vj.heads.normal("optimal", floor=0.0))
    statistic = vj.objectives.optimal_sigma().statistic

    def settle(start, temperature):
        def step(log_sigma, key):
            params = linear_params(weight, jnp.exp(log_sigma))
            if temperature == 0:  # the mean of z instead of a draw: the trap
                residual = x - jax.vmap(lambda x: vj.decode(model, params, vj.encode(model, params, x)))(x)
                errors = jnp.sum(residual**2, -1)
            else:
                errors = statistic(model, params, key, x, None)
            return 0.5 * jnp.log(errors.mean() / linear.D), None

        return jnp.exp(jax.lax.scan(step, jnp.log(start), jax.random.split(KEY, 60))[0])

    def linear_params(weight, sigma):
        precision = weight.T @ weight + sigma**2 * jnp.eye(2)
        scale = sigma / jnp.sqrt(jnp.diag(precision))
        raw = jnp.log(jnp.expm1(scale)) - jnp.log(jnp.e - 1)
        part0 = {"layer0": {"kernel": weight @ jnp.linalg.inv(precision), "bias": jnp.zeros(2)}}
        return {
            "encoder": {"part0": part0, "part1": {"value": raw}},
            "decoder": {"layer0": {"kernel": weight.T, "bias": jnp.zeros(linear.D)}},
            "likelihood": {"log_scale": jnp.log(sigma)},
        }

    np.testing.assert_allclose(jax.jit(settle, static_argnums=1)(2.0, 1.0), sigma, rtol=0.01)
    assert jax.jit(settle, static_argnums=1)(2.0, 0.0) < 0.9 * sigma


def test_low_rank_noise_stands_in_for_latents():  # oracle 22
    x = linear.rows()
    weight, sigma = linear.maximum_likelihood(x, 3)
    model = linear.model(2, likelihood=vj.heads.low_rank_normal(1, floor=0.0, reach=1.0))
    params = linear.params(weight[:, :2], sigma)
    kernel = np.hstack([params["decoder"]["layer0"]["kernel"], np.zeros((2, linear.D))])
    bias = np.concatenate([np.zeros(linear.D), weight[:, 2]])  # the factor is a constant of the decoder
    params["decoder"] = {"layer0": {"kernel": kernel, "bias": bias}}
    linear.assert_exact(model, params, x, linear.evidence(x, weight, sigma))
    grads = jax.tree.map(np.asarray, linear.exact_elbo_and_gradient(model, params, x)[1])
    decoder = grads["decoder"]["layer0"]
    decoder["kernel"] = decoder["kernel"][:, : linear.D]  # among factors that do not depend on z
    assert all(np.abs(g).max() < 1e-8 for g in jax.tree.leaves(grads))


def test_supervised_linear_vae_is_ppca_within_the_classes():  # oracle 23
    x = linear.rows()
    y = np.arange(len(x)) % 3
    x = x + np.random.default_rng(2).normal(size=(3, linear.D))[y] * 3
    means = np.stack([x[y == k].mean(0) for k in range(3)], 1)
    weight, sigma = linear.maximum_likelihood(x - means.T[y], 2)
    model, params = linear.model(2, context_dim=3), linear.params(weight, sigma, shift=means)
    linear.assert_exact(model, params, x, linear.evidence(x - means.T[y], weight, sigma), y)
    grads = linear.exact_elbo_and_gradient(model, params, x, np.eye(3)[y])[1]
    assert all(np.abs(g).max() < 1e-8 for g in jax.tree.leaves(grads))


def test_importance_bounds_rise_to_the_evidence():  # oracle 15
    x = linear.rows()[:1]
    weight, sigma = linear.maximum_likelihood(x=linear.rows(), latent=2)
    params = linear.params(weight, sigma)
    params["encoder"]["part1"]["value"] = params["encoder"]["part1"]["value"] + 1.0  # a posterior that is too wide
    exact = linear.evidence(x, weight, sigma)

    @jax.jit
    def bounds(keys):
        bound = functools.partial(vj.importance_bound, linear.model(2), params, x=x[0])
        return [jax.vmap(lambda key, k=k: bound(key, k=k))(keys) for k in (1, 10, 100)]

    found = np.asarray(bounds(jax.random.split(KEY, 4000)))
    means, errors = found.mean(1), 4 * found.std(1) / np.sqrt(found.shape[1])
    assert means[0] + errors[0] < means[1] - errors[1] < means[1] + errors[1] < means[2] + errors[2]
    assert means[2] < exact + errors[2] and means[2] > exact - 0.02


def test_samples_have_the_covariances_of_the_model_and_of_its_means():  # oracle 26
    weight, sigma = linear.maximum_likelihood(linear.rows(), 2)
    model, params, count = linear.model(2), linear.params(weight, sigma), 100_000

    @jax.jit
    def samples(keys):
        draw = functools.partial(vj.sample, model, params)
        return [jax.vmap(functools.partial(draw, mode=mode))(keys) for mode in ("ancestral", "mean")]

    drawn = samples(jax.random.split(KEY, count))
    for x, extra in zip(map(np.asarray, drawn), (sigma**2 * np.eye(linear.D), 0.0), strict=True):
        wanted = weight @ weight.T + extra
        error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / count)
        assert np.all(np.abs(x.T @ x / count - wanted) < 4 * error + 1e-12)
