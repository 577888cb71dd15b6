"""Laws that EM keeps for every model of the zoo, in float64: it climbs, in any units, on any devices."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax as vj
from tests import zoo
from tests.em.common import KEY, STEPS, X, fit, least_rise, start
from vaejax.distributions import analytic_kl

GAPS = ["gmm-diag", "gmm-spherical", "ppca", "factor-analysis"]


@functools.partial(jax.jit, static_argnums=0)
def mean_evidence(model, params, x):
    return jnp.mean(jax.vmap(lambda row: vj.log_evidence(model, params, row))(x))


@pytest.mark.parametrize("name", zoo.EXACT)
def test_em_never_goes_down_and_reports_the_penalised_likelihood(name, x64):  # oracle 2
    model, x, weights = zoo.EXACT[name], 50.0 * X, np.random.default_rng(0).random(60)
    for seed, count in ((0, 0.0), (1, 4.0), (2, 4.0)):
        _, trace = vj.em.fit(model, jax.random.key(seed), x, num_steps=STEPS, weights=weights, prior_count=count)
        assert least_rise(trace) >= -1e-9
    # The parameters that come back are the scored ones, in the units of the data.
    params, trace = fit(name, x, prior_count=4.0, prior_variance=7.0)
    np.testing.assert_allclose(trace.log_likelihood[-1], mean_evidence(model, params, jnp.asarray(x)), atol=1e-9)
    if "scale_tril" in params:
        tril = np.asarray(params["scale_tril"]).reshape(-1, zoo.D, zoo.D)
        covs = tril @ np.swapaxes(tril, -1, -2)
    else:
        scales = np.asarray(params["log_scale"])
        rows = scales.reshape(len(scales) if name.startswith(("gmm", "ppca-")) else 1, -1)
        covs = [np.diag(np.exp(2 * np.broadcast_to(row, zoo.D))) for row in rows]
    prior = sum(np.linalg.slogdet(c)[1] + 7.0 * np.trace(np.linalg.inv(c)) for c in covs)
    np.testing.assert_allclose(trace.objective[-1], trace.log_likelihood[-1] - 2.0 * prior / len(x), atol=1e-9)


@pytest.mark.parametrize("name", GAPS)
def test_em_with_missing_values(name, x64):
    model, x, rng = zoo.EXACT[name], X.copy(), np.random.default_rng(1)
    complete, first = fit(name)
    masked, second = fit(name, missing=True)
    np.testing.assert_allclose(first.objective[:10], second.objective[:10], atol=1e-8)
    chex.assert_trees_all_close(complete, masked, atol=1e-5)
    x[rng.random(x.shape) < 0.3] = np.nan
    for accelerate in (False, True):
        params, trace = fit(name, x, missing=True, accelerate=accelerate)
        assert np.diff(trace.objective).min() >= -1e-9
    # The reported likelihood is that of the observed entries: the marginal of each row.
    marginal = model.marginal(params)
    if name.startswith("gmm"):
        weights, means = jax.nn.softmax(marginal.logits), np.asarray(marginal.components.loc)
        covs = [np.diag(scale**2) for scale in np.asarray(marginal.components.scale)]
    else:
        weights, means = [1.0], np.asarray(marginal.loc)[None]
        covs = [np.asarray(marginal.factor @ marginal.factor.T + jnp.diag(marginal.scale**2))]
    from scipy.stats import multivariate_normal

    total = 0.0
    for row in x:
        seen = np.flatnonzero(~np.isnan(row))
        parts = zip(weights, means, covs, strict=True)
        total += np.log(
            sum(w * multivariate_normal(m[seen], c[np.ix_(seen, seen)]).pdf(row[seen]) for w, m, c in parts)
            if len(seen)
            else 1.0
        )
    np.testing.assert_allclose(trace.log_likelihood[-1], total / len(x), atol=1e-9)


@pytest.mark.parametrize("name", zoo.EXACT)
def test_steps_weights_and_precision(name, x64):
    model, begin, x = zoo.EXACT[name], start(name), jnp.asarray(X)
    exact, reference = fit(name, init=begin)
    plain, trace = fit(name, init=begin, variance_floor=0.0, accelerate=False)
    # One step is a pure function, and `fit` takes that step again and again.
    step, params, path = functools.partial(vj.em.em_step, model), begin, []
    for _ in range(STEPS):
        params, *_ = result = step(params, x, weights=jnp.ones(60))
        path.append(result.log_likelihood)
    chex.assert_trees_all_close(params, plain, atol=1e-7)
    np.testing.assert_allclose(path, trace.log_likelihood[:-1], atol=1e-9)
    # A weight of two is a row twice.
    weights = np.random.default_rng(0).permutation(np.arange(60) % 3)
    repeated = np.repeat(X, weights, axis=0)
    twice = {"prior_count": 2.0, "prior_variance": 1.0, "init": begin}
    weighted, trace = fit(name, weights=weights, **twice)
    again, other = fit(name, repeated, **twice)
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-9)
    chex.assert_trees_all_close(weighted, again, atol=1e-6)
    pair = step(begin, x, weights=jnp.asarray(weights, float)), step(begin, jnp.asarray(repeated), weights=jnp.ones(60))
    chex.assert_trees_all_close(*pair, atol=1e-10)
    # Single precision follows.
    with jax.enable_x64(False):
        single, trace = fit(name, X.astype(np.float32), init=begin)
    assert all(leaf.dtype == jnp.float32 for leaf in single.values())
    assert all(leaf.dtype == jnp.float64 for leaf in exact.values())
    np.testing.assert_allclose(trace.objective, reference.objective, atol=2e-5)


@pytest.mark.parametrize("name", zoo.EXACT)
def test_units_change_nothing(name, x64):
    _, plain = fit(name)
    for scale, shift in ((1e-8, 0.0), (1e8, 1e8), (1.0, -1e8)):
        _, other = fit(name, X * scale + shift)
        expected = plain.log_likelihood - zoo.D * np.log(scale)
        np.testing.assert_allclose(other.log_likelihood[:9], expected[:9], atol=1e-5 if shift else 1e-8)


@pytest.mark.parametrize("name", ["gmm-full", "gmm-diag", "ppca", "ppca-mixture"])
def test_four_devices_equal_one(name, x64):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    one, trace = fit(name, init=start(name))
    four, other = fit(name, init=start(name), mesh=mesh)
    chex.assert_trees_all_close(one, four, atol=1e-6)
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-9)


@pytest.mark.filterwarnings("ignore::vaejax.em.DegenerateFit")
@pytest.mark.parametrize("name", ["gmm-full", "gmm-diag", "ppca-mixture"])
def test_an_empty_component_starts_again(name, x64):
    begin = start(name)
    begin["means"] = begin["means"].at[0].set(1e4)  # no row is near it
    params, trace = fit(name, init=begin)
    assert trace.reseeds.sum() >= 1 and np.all(trace.reseeds[STEPS // 2 :] == 0)
    assert least_rise(trace) >= -1e-9
    assert jax.nn.softmax(params["logits"]).min() > 1e-3


def test_tol_freezes_and_reports(x64):
    from vaejax.em import loop

    _, full = fit("gmm-full")
    assert not full.converged and full.steps == STEPS
    compiled = loop.run._cache_size()
    params, trace = fit("gmm-full", tol=3e-3)
    stop = int(trace.steps)
    assert trace.converged and 1 < stop < STEPS
    np.testing.assert_array_equal(trace.objective[: stop + 1], full.objective[: stop + 1])
    assert np.all(trace.objective[stop:] == trace.objective[stop])
    assert abs(trace.objective[stop] - trace.objective[stop - 1]) < 3e-3
    np.testing.assert_allclose(mean_evidence(zoo.EXACT["gmm-full"], params, X), trace.objective[stop], atol=1e-9)
    _, short = fit("gmm-full", tol=0.0)
    assert not short.converged and short.steps == STEPS
    vj.em.fit(vj.GMM(3, zoo.D), jax.random.key(7), X + 1, num_steps=STEPS)  # an equal model, other data
    assert loop.run._cache_size() == compiled


def test_restarts_return_the_best(x64):
    model, key = zoo.EXACT["gmm-full"], jax.random.key(3)
    options = {"num_steps": STEPS, "start": "random"}
    one, three = (vj.em.fit(model, key, X, num_restarts=n, **options)[1].objective[-1] for n in (1, 3))
    assert three > one + 1e-3


def test_zero_steps_return_the_start(x64):
    begin = start("gmm-full")
    params, trace = vj.em.fit(zoo.EXACT["gmm-full"], KEY, X, num_steps=0, init=begin)
    chex.assert_trees_all_close(params, begin, atol=1e-12)
    assert trace.objective.shape == (1,) and trace.reseeds.shape == (0,)
    # Linear models are scored at the mean of the data, whatever `init` says.
    params, trace = vj.em.fit(zoo.EXACT["ppca"], KEY, X + 5, num_steps=0, init=start("ppca"))
    np.testing.assert_allclose(params["mean"], X.mean(0) + 5, atol=1e-9)
    np.testing.assert_allclose(trace.objective[0], mean_evidence(zoo.EXACT["ppca"], params, X + 5), atol=1e-9)


@functools.partial(jax.jit, static_argnums=0)
def anatomy(model, stale, old, x):
    """All quantities of the argument about one step."""
    path, halves = vj.em.ascent(model, old, x, num_steps=3)
    q = jax.lax.map(lambda params: vj.em.expected_log_joint(model, params, old, x), path)
    return path, halves, q, vj.em.kl_gap(model, old, stale, x)


@pytest.mark.parametrize("name", ["gmm-full", "gmm-diag", "ppca", "factor-analysis", "ppca-mixture"])
def test_half_steps_rise_and_gaps_close(name, x64):  # oracles 2 and 3, source A section 2
    model, x, old, stale = zoo.EXACT[name], jnp.asarray(X), start(name, 3), start(name, 1)
    path, halves, q, gap = anatomy(model, stale, old, x)
    exact = jax.lax.map(lambda params: mean_evidence(model, params, x), path)
    np.testing.assert_allclose(halves.after_e, exact[:3], atol=1e-10)
    np.testing.assert_allclose(halves.log_likelihood, exact[1:], atol=1e-10)
    np.testing.assert_allclose(halves.before[1:], halves.after_m[:-1], atol=1e-10)
    assert np.all(halves.before[1:] < halves.after_e[1:])
    assert np.all(halves.after_e < halves.after_m) and np.all(halves.after_m < halves.log_likelihood)
    # The gap is the divergence of the posteriors, computed without the bound.
    assert gap > 1e-3
    if name != "ppca-mixture":
        divergence = lambda row: analytic_kl(model.posterior(stale, row), model.posterior(old, row))
        np.testing.assert_allclose(gap, np.mean(jax.vmap(divergence)(x)), atol=1e-9)
    # The bound is Q plus the entropy of q, and M raises Q.
    assert q[1] > q[0]
    np.testing.assert_allclose(halves.after_m[0] - halves.after_e[0], q[1] - q[0], atol=1e-10)


def test_progress_bar_is_fed_from_inside_the_scan(monkeypatch):
    from vaejax.em import loop

    class Terminal(__import__("io").StringIO):
        def isatty(self):
            return True

    terminal, seen, update = Terminal(), [], loop.Bar.update
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(loop, "PATIENCE", 0.0)
    monkeypatch.setattr(loop.Bar, "update", lambda self, *args: (seen.append(args), update(self, *args)))
    vj.em.fit(zoo.EXACT["gmm-diag"], KEY, X, num_steps=5, num_restarts=2)
    assert {step for step, *_ in seen} == set(range(6))
    assert "EM" in terminal.getvalue() and not loop._bars
    monkeypatch.setattr("sys.stderr", quiet := Terminal())
    vj.em.fit(zoo.EXACT["gmm-diag"], KEY, X, num_steps=5, num_restarts=2, progress=False)
    assert quiet.getvalue() == ""
