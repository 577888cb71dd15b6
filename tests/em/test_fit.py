"""What `em.fit` promises as a host function: units, weights, restarts, honesty, devices, errors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", zoo.EXACT)
def test_single_precision_follows_double(name):
    model, x = zoo.EXACT[name], zoo.rows()
    start = zoo.fitted(name, 1)
    single, trace = vj.em.fit(model, KEY, x.astype(np.float32), num_steps=10, init=start)
    assert all(leaf.dtype == jnp.float32 for leaf in single.values())
    with jax.enable_x64(True):
        double, reference = vj.em.fit(model, KEY, x, num_steps=10, init=start)
        assert all(leaf.dtype == jnp.float64 for leaf in double.values())
    np.testing.assert_allclose(trace.objective, reference.objective, atol=2e-5)
    direct = np.mean(vj.evaluate.exact_log_evidence(model, single, x.astype(np.float32)))
    np.testing.assert_allclose(trace.log_likelihood[-1], direct, atol=1e-4)


@pytest.mark.parametrize("name", zoo.EXACT)
def test_units_change_nothing(name, x64):
    model, x, start = zoo.EXACT[name], zoo.rows(), zoo.fitted(name, 0)
    _, plain = vj.em.fit(model, KEY, x, num_steps=8)
    for scale, shift in ((1e-8, 0.0), (1e8, 1e8), (1.0, -1e8)):
        _, other = vj.em.fit(model, KEY, x * scale + shift, num_steps=8)
        expected = plain.log_likelihood - zoo.D * np.log(scale)
        np.testing.assert_allclose(other.log_likelihood, expected, atol=1e-5 if shift else 1e-8)
    del start


@pytest.mark.parametrize("name", zoo.EXACT)
def test_integer_weights_are_repeated_rows(name, x64):
    model, x, start = zoo.EXACT[name], zoo.rows(), zoo.fitted(name, 0)
    weights = np.random.default_rng(0).integers(0, 3, len(x))
    a, trace = vj.em.fit(model, KEY, x, num_steps=6, init=start, weights=weights, prior_count=2.0, prior_variance=1.0)
    b, other = vj.em.fit(
        model, KEY, np.repeat(x, weights, axis=0), num_steps=6, init=start, prior_count=2.0, prior_variance=1.0
    )
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-9)
    chex.assert_trees_all_close(a, b, atol=1e-8)


def test_restarts_return_the_best(x64):
    model, x = vj.GMM(4, 2), vj.data.gaussian_mixture(300, seed=1).train.x.astype(float)
    finals = [vj.em.fit(model, KEY, x, num_steps=25, num_restarts=n)[1].objective[-1] for n in (1, 3, 6)]
    assert finals[0] <= finals[1] + 1e-9 and finals[1] <= finals[2] + 1e-9 and finals[2] > finals[0] + 1e-3


def test_tol_freezes_and_reports(x64):
    model, x = vj.GMM(2, 5), zoo.rows()
    params, trace = vj.em.fit(model, KEY, x, num_steps=200, tol=1e-5)
    assert trace.converged and trace.steps < 200
    stop = int(trace.steps)
    assert np.all(trace.objective[stop:] == trace.objective[stop])
    assert abs(trace.objective[stop] - trace.objective[stop - 1]) < 1e-5
    again, _ = vj.em.fit(model, KEY, x, num_steps=stop)
    chex.assert_trees_all_close(params, again, atol=1e-12)
    _, short = vj.em.fit(model, KEY, x, num_steps=3, tol=1e-12)
    assert not short.converged and short.steps == 3
    _, forever = vj.em.fit(model, KEY, x, num_steps=100)
    assert not forever.converged and forever.steps == 100


def test_zero_steps_return_the_start(x64):
    start = zoo.fitted("gmm-full", 3)
    params, trace = vj.em.fit(zoo.EXACT["gmm-full"], KEY, zoo.rows(), num_steps=0, init=start)
    chex.assert_trees_all_close(params, start, atol=1e-12)
    assert trace.objective.shape == (1,) and trace.reseeds.shape == (0,)


@pytest.mark.parametrize("name", ["gmm-full", "gmm-diag", "ppca-mixture"])
def test_an_empty_component_starts_again(name, x64):
    model, x = zoo.EXACT[name], zoo.rows()
    start = dict(zoo.fitted(name, 0))
    start["means"] = jnp.asarray(start["means"]).at[0].set(1e4)  # no row is near it
    params, trace = vj.em.fit(model, KEY, x, num_steps=30, init=start)
    assert trace.reseeds.sum() >= 1 and np.all(trace.reseeds[15:] == 0)
    rise = np.diff(trace.objective)[trace.reseeds == 0]
    assert rise.min() >= -1e-9
    assert jax.nn.softmax(params["logits"]).min() > 1e-3


@pytest.mark.parametrize("name", zoo.EXACT)
def test_four_devices_equal_one(name):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    model, x = zoo.EXACT[name], zoo.rows(61)
    one, trace = vj.em.fit(model, KEY, x, num_steps=5)
    four, other = vj.em.fit(model, KEY, x, num_steps=5, mesh=mesh)
    chex.assert_trees_all_close(one, four, atol=1e-5)
    np.testing.assert_allclose(trace.objective, other.objective, atol=1e-5)


def test_em_step_is_pure_and_agrees_with_fit(x64):
    for name, model in zoo.EXACT.items():
        x, start = jnp.asarray(zoo.rows()), zoo.fitted(name, 0)
        if "mean" in start:
            start = start | {"mean": x.mean(0)}
        step = jax.jit(vj.em.em_step)(model, start, x)
        fitted, trace = vj.em.fit(model, KEY, x, num_steps=1, init=start, variance_floor=0.0, accelerate=False)
        chex.assert_trees_all_close(step.params, fitted, atol=1e-8)
        np.testing.assert_allclose(step.log_likelihood, trace.log_likelihood[0], atol=1e-10)
        weighted = vj.em.em_step(model, start, x, weights=jnp.arange(60.0) % 2)
        half = vj.em.em_step(model, start | ({"mean": x[1::2].mean(0)} if "mean" in start else {}), x[1::2])
        chex.assert_trees_all_close(weighted.params, half.params, atol=1e-10)


def test_refitting_does_not_compile_again():
    from vaejax.em import loop

    x = zoo.rows(40)
    vj.em.fit(vj.GMM(2, 5), KEY, x, num_steps=3)
    before = loop.run._cache_size()
    vj.em.fit(vj.GMM(2, 5), jax.random.key(7), x + 1, num_steps=3)
    assert loop.run._cache_size() == before


def test_images_and_uint8():
    images = vj.data.digits().train.x[:50]
    flat = images.reshape(50, 64) / np.float32(255)
    model = vj.PPCA(64, 3)
    a, b = vj.em.ppca_exact(model, images), vj.em.ppca_exact(model, flat)
    chex.assert_trees_all_close(a["log_scale"], b["log_scale"], atol=1e-5)
    assert np.isfinite(vj.log_evidence(model, a, images[0]))


UGLY = {
    "duplicates": lambda rng: np.repeat(rng.normal(size=(3, 2)), 4, axis=0),
    "one distinct row": lambda rng: np.tile(rng.normal(size=(1, 2)), (12, 1)),
    "constant column": lambda rng: np.stack([rng.normal(size=12), np.full(12, 7.0)], 1),
    "all zero": lambda rng: np.zeros((12, 2)),
    "offset 1e8": lambda rng: 1e8 + rng.normal(size=(12, 2)),
    "scale 1e-8": lambda rng: 1e-8 * rng.normal(size=(12, 2)),
    "scales 1e-8 and 1e8": lambda rng: rng.normal(size=(12, 2)) * [1e-8, 1e8],
    "heavy tails": lambda rng: np.clip(rng.standard_cauchy((12, 2)), -1e15, 1e15),
    "one outlier": lambda rng: np.concatenate([rng.normal(size=(11, 2)), [[1e12, -1e12]]]),
    "on a line": lambda rng: np.outer(rng.normal(size=12), [1.0, 2.0]),
    "integers as floats": lambda rng: rng.integers(0, 3, (12, 2)).astype(float),
}


@settings(deadline=None, max_examples=60)
@given(
    kind=hs.sampled_from(sorted(UGLY)),
    covariance=hs.sampled_from(["full", "diag", "spherical", "tied"]),
    double=hs.booleans(),
    seed=hs.integers(0, 10_000),
)
def test_ugly_data_never_give_nan(kind, covariance, double, seed):
    x = UGLY[kind](np.random.default_rng(seed))
    with jax.enable_x64(double):
        params, trace = vj.em.fit(vj.GMM(3, 2, covariance), jax.random.key(seed), x, num_steps=12, tol=1e-9)
        chex.assert_tree_all_finite((params, trace.objective))
        rise = np.diff(trace.objective)[trace.reseeds == 0]
        assert rise.min() >= (-1e-9 if double else -1e-4) * max(1.0, np.abs(trace.objective).max())


LINEAR = {"ppca": vj.PPCA(4, 2), "fa": vj.FactorAnalysis(4, 2), "mixture": vj.PPCAMixture(2, 4, 2)}


@settings(deadline=None, max_examples=40)
@given(
    kind=hs.sampled_from(sorted(UGLY)),
    name=hs.sampled_from(["ppca", "fa", "mixture"]),
    double=hs.booleans(),
    missing=hs.booleans(),
    seed=hs.integers(0, 10_000),
)
def test_ugly_data_in_linear_models(kind, name, double, missing, seed):
    model, rng = LINEAR[name], np.random.default_rng(seed)
    x = np.concatenate([UGLY[kind](rng), UGLY[kind](rng)], 1)
    missing = missing and name != "mixture"
    if missing:
        x[1::3, seed % 4] = np.nan
    with jax.enable_x64(double):
        params, trace = vj.em.fit(model, jax.random.key(seed), x, num_steps=12, missing=missing)
        chex.assert_tree_all_finite((params, trace.objective))
        rise = np.diff(trace.objective)[trace.reseeds == 0]
        assert rise.min() >= (-1e-8 if double else -1e-5) * max(1.0, np.abs(trace.objective).max())
        if isinstance(model, vj.PPCA) and not missing:
            chex.assert_tree_all_finite(vj.em.ppca_exact(model, x))


@pytest.mark.parametrize("noise", [1e-3, 3e-4])
def test_small_noise_survives_single_precision(noise):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(5000, 2)) @ rng.normal(size=(2, 8)) + noise * rng.normal(size=(5000, 8))).astype(np.float32)
    values = np.linalg.eigvalsh(np.cov(x.astype(float).T, bias=True))[::-1]
    model = vj.PPCA(8, 2)
    exact = vj.em.ppca_exact(model, x)
    np.testing.assert_allclose(np.exp(2 * exact["log_scale"]), values[2:].mean(), rtol=1e-3)
    fitted, trace = vj.em.fit(model, KEY, x, num_steps=200)
    np.testing.assert_allclose(np.exp(2 * fitted["log_scale"]), values[2:].mean(), rtol=1e-3)
    assert np.diff(trace.objective).min() > -1e-7
    hole = x.copy()
    hole[rng.random(x.shape) < 0.1] = np.nan
    _, trace = vj.em.fit(model, KEY, hole, num_steps=60, missing=True)
    assert np.diff(trace.objective).min() > -1e-7


def test_a_row_without_weight_cannot_spoil_a_fit():
    x = zoo.rows().astype(np.float32)
    weights = np.ones(len(x))
    weights[0], x[0] = 0.0, 1e15
    for name in ("gmm-full", "gmm-diag", "ppca-mixture"):
        params, trace = vj.em.fit(zoo.EXACT[name], KEY, x, num_steps=4, weights=weights)
        chex.assert_tree_all_finite((params, trace.objective))
    tiny, _ = vj.em.fit(zoo.EXACT["gmm-full"], KEY, zoo.rows(), num_steps=4, weights=np.full(60, 1e-60))
    huge, _ = vj.em.fit(zoo.EXACT["gmm-full"], KEY, zoo.rows(), num_steps=4, weights=np.full(60, 1e40))
    chex.assert_trees_all_close(tiny, huge, atol=1e-5)


def test_the_returned_parameters_are_the_scored_ones(x64):
    for name in ("ppca", "factor-analysis"):
        model, x = zoo.EXACT[name], zoo.rows() + 5.0
        params, trace = vj.em.fit(model, KEY, x, num_steps=0, init=model.init(KEY))
        np.testing.assert_allclose(
            trace.objective[0], np.mean(vj.evaluate.exact_log_evidence(model, params, x)), atol=1e-9
        )


def test_one_row():
    for model in (vj.GMM(2, 2), vj.GMM(2, 2, "diag"), vj.PPCA(2, 1), vj.PPCAMixture(2, 2, 1)):
        params, trace = vj.em.fit(model, KEY, np.ones((1, 2)), num_steps=5)
        chex.assert_tree_all_finite((params, trace.objective))


X = np.random.default_rng(0).normal(size=(20, 2))


def spoiled(value, row=3):
    x = X.copy()
    x[row, 1] = value
    return x


@pytest.mark.parametrize(
    "x, options, words",
    [
        (X[:, 0], {}, r"expected shape \(N, 2\) or .* got \(20,\)"),
        (np.ones((20, 3)), {}, r"expected rows of 2 values, got 3 \(shape \(20, 3\)\)"),
        (np.ones((0, 2)), {}, r"at least one row, got shape \(0, 2\)"),
        (X.astype(int), {}, "expected floating-point rows or uint8 images, got int64"),
        (X > 0, {}, "got bool"),
        (X.astype(object), {}, "got object"),
        (X.astype(complex), {}, "got complex128"),
        (X.astype(str), {}, "got <U"),
        (spoiled(np.nan), {}, "expected finite values, got nan in row 3; pass missing=True"),
        (spoiled(np.inf), {}, "got inf in row 3"),
        (spoiled(-np.inf), {"missing": True}, "got -inf in row 3"),
        (np.stack([X[:, 0], np.full(20, np.nan)], 1), {"missing": True}, "column 1 has no observed value"),
        (1e200 * X, {}, "too large to square"),
        (X, {"num_steps": -1}, "num_steps: expected an integer of at least 0, got -1"),
        (X, {"num_steps": 2.5}, "num_steps: expected an integer"),
        (X, {"num_restarts": 0}, "num_restarts: expected an integer of at least 1, got 0"),
        (X, {"weights": -np.ones(20)}, "non-negative numbers, got -1.0 in row 0"),
        (X, {"weights": np.ones(19)}, r"weights: expected shape \(20,\), got \(19,\)"),
        (X, {"weights": np.zeros(20)}, "weights: expected a positive sum"),
        (X, {"weights": np.full(20, np.nan)}, "weights: expected finite"),
        (X, {"weights": np.array(["a"] * 20)}, "weights: expected numbers"),
        (X, {"tol": -1.0}, "tol: expected a non-negative number, got -1.0"),
        (X, {"tol": float("nan")}, "tol: expected a finite number"),
        (X, {"variance_floor": -1e-3}, "variance_floor: expected a non-negative number"),
        (X, {"prior_count": -1.0}, "prior_count: expected a non-negative number"),
        (X, {"prior_variance": 0.0}, "prior_variance: expected a positive number"),
        (X, {"init": {"means": X[:2]}}, "init: expected the parameters"),
        (
            X,
            {"init": {"means": np.full((2, 2), np.nan), "logits": np.zeros(2), "log_scale": np.zeros((2, 2))}},
            r"init\['means'\]: expected finite numbers, got nan",
        ),
        (X, {"mesh": "cpu"}, "mesh: expected a jax.sharding.Mesh with the one axis 'data', got 'cpu'"),
        (
            X,
            {"init": {"means": X[:3], "logits": np.zeros(2), "log_scale": np.zeros((2, 2))}},
            r"init\['means'\]: expected shape",
        ),
    ],
)
def test_wrong_input_is_named(x, options, words):
    with pytest.raises(ValueError, match=words):
        vj.em.fit(vj.GMM(2, 2, "diag"), KEY, x, **{"num_steps": 2, **options})


def test_wrong_models_are_named():
    with pytest.raises(ValueError, match="covariance diag or spherical, got 'full'"):
        vj.em.fit(vj.GMM(2, 2), KEY, spoiled(np.nan), num_steps=2, missing=True)
    with pytest.raises(TypeError, match="expected a GMM, PPCA, FactorAnalysis or PPCAMixture, got str"):
        vj.em.fit("gmm", KEY, X, num_steps=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a PPCA, got GMM"):
        vj.em.ppca_exact(vj.GMM(2, 2), X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"floating-point rows \(N, D\), got int32"):
        vj.em.em_step(vj.GMM(2, 2), vj.GMM(2, 2).init(KEY), jnp.ones((4, 2), jnp.int32))
    with pytest.raises(ValueError, match="non-zero diagonals"):
        vj.em.fit(vj.GMM(2, 2), KEY, X, num_steps=1, init=vj.GMM(2, 2).init(KEY) | {"scale_tril": jnp.zeros((2, 2, 2))})
    with pytest.raises(ValueError, match="expected rows of 2 values, got 3"):
        vj.em.em_step(vj.GMM(2, 2), vj.GMM(2, 2).init(KEY), jnp.ones((4, 3)))


def test_progress_bar_is_fed_from_inside_the_scan(monkeypatch):
    from vaejax.em import progress

    class Terminal(__import__("io").StringIO):
        def isatty(self):
            return True

    terminal, seen = Terminal(), []
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    show = progress._Bar.show
    monkeypatch.setattr(progress._Bar, "show", lambda self, *args: (seen.append(args), show(self, *args)))
    _, trace = vj.em.fit(vj.GMM(2, 5), KEY, zoo.rows(), num_steps=5, num_restarts=2)
    assert {step for step, _ in seen} == {1, 2, 3, 4, 5}
    assert "EM" in terminal.getvalue() and not progress._bars
    quiet = Terminal()
    monkeypatch.setattr("sys.stderr", quiet)
    vj.em.fit(vj.GMM(2, 5), KEY, zoo.rows(), num_steps=5, progress=False)
    assert quiet.getvalue() == ""
