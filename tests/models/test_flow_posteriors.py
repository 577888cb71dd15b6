"""What a flow buys: the gap between bound and evidence that a diagonal posterior leaves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import linear
from tests.refusals import refused

KEY = jax.random.key(0)
M = 3


@pytest.fixture
def optimum(x64):
    """Rotated maximum likelihood: its gap, evidences, parameters, and the posterior's unit triangle and scales."""
    weight, sigma, gap = linear.rotated(M)
    precision = weight.T @ weight + sigma**2 * np.eye(M)
    tril = np.linalg.cholesky(sigma**2 * np.linalg.inv(precision))
    scale = np.diag(tril)
    full = linear.params(weight, sigma, full=True)
    return gap, linear.evidence(linear.rows(), weight, sigma), full, tril / scale, scale


def with_codes(full, unit, codes):
    """The parameters of `linear.params`, with an encoder in front of a flow of this triangle."""
    part0 = {"layer0": full["encoder"]["part0"]["layer0"]}
    part0["layer0"] |= {"kernel": np.linalg.solve(unit, part0["layer0"]["kernel"].T).T}
    return full | {"encoder": {"part0": part0, "part1": {"value": codes}}}


def test_one_linear_step_makes_the_bound_tight(optimum):  # oracles 4 and 13
    _, exact, full, unit, scale = optimum
    triangle = np.tril(unit, -1)
    triangle[np.diag_indices(M)] = linear._raw(scale)
    model, params = linear.model(M, vj.heads.LinearIAF(reach=1.0)), with_codes(full, unit, triangle[np.tril_indices(M)])
    linear.assert_exact(model, params, linear.rows(), exact)
    bound, _ = linear.exact_elbo_and_gradient(model, params, linear.rows())
    np.testing.assert_allclose(bound, exact.mean(), atol=1e-9)


def test_one_gated_step_makes_the_bound_tight(optimum):  # oracles 4 and 13
    """z = g y + (1 - g) A y with a strictly lower A, by the direct connections of the MADE."""
    _, exact, full, unit, scale = optimum
    head, gate = vj.heads.IAF(1, 4, context=False), 1 / (1 + np.exp(-1.5))
    # L = g I + (1 - g) A on a base with scales diag(tril) / g
    params = with_codes(full, gate * unit, linear._raw(scale / gate))
    shapes = jax.eval_shape(lambda key: head.init(key, (M,)), KEY)["step0"]
    step = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)
    direct = np.concatenate([(np.tril(unit, -1) * gate / (1 - gate)).T, np.zeros((M, M))], 1)
    params["posterior"] = {"step0": step | {"direct": {"kernel": direct}}}
    linear.assert_exact(linear.model(M, head), params, linear.rows(), exact)


def test_training_a_flow_closes_the_gap_that_a_diagonal_posterior_has(optimum):  # oracles 4 and 13
    gap, evidence, full, *_ = optimum
    x, exact = linear.rows(), evidence.mean()
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, 800))

    @functools.partial(jax.jit, static_argnums=0)
    def bound_of(head):
        model = linear.model(M, head)
        start = model.init(jax.random.key(2)) | {name: full[name] for name in ("decoder", "likelihood")}
        learned = {name: start[name] for name in ("encoder", "posterior") if name in start}
        bound = lambda p, key: vj.objectives.elbo()(model, start | p, key, x, None, 0, {})[0]

        def step(carry, key):
            p, state = carry
            updates, state = optimizer.update(jax.grad(lambda p: -bound(p, key))(p), state, p)
            return (optax.apply_updates(p, updates), state), None

        learned = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), learned)
        (p, _), _ = jax.lax.scan(step, (learned, optimizer.init(learned)), jax.random.split(KEY, 800))
        return jnp.mean(jax.lax.map(lambda key: bound(p, key), jax.random.split(jax.random.key(1), 200)))

    heads = vj.models.vae.POSTERIORS["diag"], vj.heads.LinearIAF(reach=1.0), vj.heads.IAF(1, 4)
    diagonal, full_left, iaf = (exact - float(bound_of(head)) for head in heads)
    assert abs(diagonal - gap) < 0.03
    assert -0.02 < full_left < 0.1 * gap and -0.02 < iaf < 0.1 * gap


@pytest.mark.parametrize("posterior", [vj.heads.Planar(2), vj.heads.IAF(2, 4), vj.heads.LinearIAF()], ids=str)
def test_one_latent_and_a_context(posterior):
    prior = vj.priors.coupling(2, 4) if posterior == vj.heads.LinearIAF() else vj.priors.autoregressive(2, 4)
    model = vj.zoo.conditional_vae(4, 1, 3, posterior=posterior, hidden=(4,), prior=prior)
    require_training(model, np.arange(16) % 3)


def test_images():
    require_training(vj.zoo.conv_vae((4, 4, 1), 2, posterior=vj.heads.IAF(2, 4), channels=(2,)), None)


def require_training(model, context):
    x = np.random.default_rng(0).random((16, *model.event_shape)).astype(np.float32)
    result = vj.fit(model, KEY, x, context=context, epochs=2, batch_size=8, progress=False)
    assert result.state.skipped == 0 and np.all(np.isfinite(result.history["value"]))


def test_bounds_that_score_the_draws():
    """The importance-weighted bound never inverts a flow; sticking the landing does, where it can."""
    x = np.random.default_rng(0).random((8, 4)).astype(np.float32)
    for posterior in (vj.heads.Planar(2), vj.heads.IAF(2, 4)):
        model = vj.zoo.vae(4, 2, posterior=posterior, hidden=(4,))
        score = lambda objective, p, model=model: objective(model, p, KEY, x, None, 0, {})[0]
        params = jax.jit(model.init)(KEY)
        assert jnp.isfinite(jax.jit(functools.partial(score, vj.objectives.iwae(3)))(params))
        landing = functools.partial(score, vj.objectives.stl(num_samples=1))
        if isinstance(posterior, vj.heads.Planar):
            refused("density along its draws only", jax.eval_shape, landing, params, error=TypeError)
        else:
            value, grads = jax.jit(jax.value_and_grad(landing))(params)
            many = jax.jit(functools.partial(score, vj.objectives.elbo(num_samples=500)))(params)
            assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads))
            assert abs(value - many) < 1.0


FOUR = np.tile(np.eye(4, dtype=np.float32), (64, 1))


def four_points(posterior, epochs):
    """Mittas, figure 13: four points and two latents; ELBO of each of five seeds."""
    model = vj.zoo.vae(4, 2, hidden=(32,), posterior=posterior)
    keys = jax.random.split(KEY, 5)
    fits = vj.fit_ensemble(model, keys, FOUR, optimizer=optax.adam(3e-3), epochs=epochs, batch_size=64, progress=False)
    one = lambda p, x: vj.elbo(model, p, jax.random.key(1), x, num_samples=1000).value
    return np.asarray(jax.jit(jax.vmap(lambda p: jax.vmap(functools.partial(one, p))(jnp.eye(4)).mean()))(fits.params))


@pytest.mark.slow
def test_flows_fill_the_prior_between_four_points():
    diagonal, flow = four_points("diag", 400), four_points(vj.heads.IAF(4, 32), 400)
    assert flow.mean() > diagonal.mean() + 0.1 and flow.min() > diagonal.mean()
    assert flow.max() < -np.log(4) + 0.02
