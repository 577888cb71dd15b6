"""Ugly data and wrong arguments: finite answers, or errors that name expected and actual."""

import contextlib
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

import vaejax as vj
from tests import zoo
from tests.em.common import KEY, STEPS, least_rise
from tests.refusals import refused

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
MODELS = {covariance: vj.GMM(3, 4, covariance) for covariance in ("full", "tied", "diag", "spherical")} | {
    "ppca": vj.PPCA(4, 2),
    "factor analysis": vj.FactorAnalysis(4, 2),
    "ppca mixture": vj.PPCAMixture(2, 4, 2),
}


# Each model; each of the two kinds of covariance, of the steps and of the linear ones with gaps in both precisions.
CASES = [("full", False, False), ("full", True, False), ("tied", False, False), ("spherical", True, False)]
CASES += [("diag", False, False), ("diag", True, True), ("ppca", False, False), ("ppca", True, False)]
CASES += [("ppca", False, True), ("factor analysis", True, False), ("factor analysis", True, True)]
CASES += [("ppca mixture", False, False), ("ppca mixture", True, False)]


@pytest.mark.filterwarnings("ignore::vaejax.em.DegenerateFit", "ignore:x. column")
@settings(deadline=None, max_examples=100)
@given(kind=hs.sampled_from(sorted(UGLY)), case=hs.sampled_from(CASES), seed=hs.integers(0, 10_000))
def test_ugly_data_never_give_nan(kind, case, seed):
    (name, double, missing), rng = case, np.random.default_rng(seed)
    model = MODELS[name]
    x = np.concatenate([UGLY[kind](rng), UGLY[kind](rng)], 1)
    if missing:
        x[1::3, seed % 4] = np.nan
    with jax.enable_x64(double):
        params, trace = vj.em.fit(model, jax.random.key(seed), x, num_steps=12, tol=1e-9, missing=missing)
        chex.assert_tree_all_finite((params, trace.objective))
        assert least_rise(trace) >= (-1e-8 if double else -1e-4) * max(1.0, np.abs(trace.objective).max())
        if name == "ppca" and not missing:
            chex.assert_tree_all_finite(vj.em.ppca_exact(model, x))


def test_one_row():
    for model in (vj.GMM(2, 2), vj.PPCA(2, 1)):
        with pytest.warns(vj.em.DegenerateFit) if model.num_components else contextlib.nullcontext():
            params, trace = vj.em.fit(model, KEY, np.ones((1, 2)), num_steps=5)
        chex.assert_tree_all_finite((params, trace.objective))


@pytest.mark.parametrize("noise", [1e-3, 3e-4])
def test_small_noise_survives_single_precision(noise):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(5000, 2)) @ rng.normal(size=(2, 8)) + noise * rng.normal(size=(5000, 8))).astype(np.float32)
    variance = np.linalg.eigvalsh(np.cov(x.astype(float).T, bias=True))[:-2].mean()
    model = vj.PPCA(8, 2)
    fitted, trace = vj.em.fit(model, KEY, x, num_steps=200)
    for params in (vj.em.ppca_exact(model, x), fitted):
        np.testing.assert_allclose(np.exp(2 * params["log_scale"]), variance, rtol=1e-3)
    assert least_rise(trace) > -1e-7
    x[rng.random(x.shape) < 0.1] = np.nan
    _, trace = vj.em.fit(model, KEY, x, num_steps=60, missing=True)
    assert least_rise(trace) > -1e-7


def test_a_row_without_weight_cannot_spoil_a_fit():
    x, weights, names = zoo.rows().astype(np.float32), np.ones(60), ("gmm-full", "gmm-diag", "ppca-mixture")
    weights[0], x[0] = 0.0, 1e15
    for name in names:
        params, trace = vj.em.fit(zoo.EXACT[name], KEY, x, num_steps=STEPS, weights=weights)
        chex.assert_tree_all_finite((params, trace.objective))
        scales = (np.full(60, scale) for scale in (1e-60, 1e40))
        tiny, huge = (vj.em.fit(zoo.EXACT[name], KEY, zoo.rows(), num_steps=STEPS, weights=w)[0] for w in scales)
        chex.assert_trees_all_close(tiny, huge, atol=1e-5)


def test_images_and_uint8():
    images = vj.data.digits().train.x[:50]
    flat = images.reshape(50, 64) / np.float32(255)
    model = vj.PPCA(64, 3)
    a, b = vj.em.ppca_exact(model, images), vj.em.ppca_exact(model, flat)
    chex.assert_trees_all_close(a["log_scale"], b["log_scale"], atol=1e-5)
    assert np.isfinite(vj.log_evidence(model, a, images[0]))


X = np.random.default_rng(0).normal(size=(20, 2))
INIT = {"means": X[:2], "logits": np.zeros(2), "log_scale": np.zeros((2, 2))}


def spoiled(value):
    x = X.copy()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    "x, options, words",
    [
        (X[:, 0], {}, "expected rows of 2 values (N, 2) or images ... got shape (20,)"),
        (np.ones((20, 3)), {}, "expected rows of 2 values ... got shape (20, 3)"),
        (np.ones((0, 2)), {}, "got shape (0, 2)"),
        (X.astype(int), {}, "expected floating-point rows or uint8 images, got int64"),
        (X > 0, {}, "got bool"),
        (X.astype(object), {}, "got object"),
        (X.astype(complex), {}, "got complex128"),
        (X.astype(str), {}, "got <U"),
        (spoiled(np.nan), {}, "expected finite values (missing=True takes nan), got nan in row 3"),
        (spoiled(np.inf), {}, "got inf in row 3"),
        (spoiled(-np.inf), {"missing": True}, "got -inf in row 3"),
        (np.stack([X[:, 0], np.full(20, np.nan)], 1), {"missing": True}, "column 1 has no observed value"),
        (1e200 * X, {}, "too large to square"),
        (X, {"num_steps": -1}, "num_steps: expected an integer of at least 0, got -1"),
        (X, {"num_steps": 2.5}, "num_steps: expected an integer"),
        (X, {"num_restarts": 0}, "num_restarts: expected an integer of at least 1, got 0"),
        (X, {"weights": -np.ones(20)}, "non-negative numbers, got -1.0 in row 0"),
        (X, {"weights": np.ones(19)}, "weights: expected shape (20,), got (19,)"),
        (X, {"weights": np.zeros(20)}, "weights: expected a positive sum"),
        (X, {"weights": np.full(20, np.nan)}, "weights: expected finite"),
        (X, {"weights": np.array(["a"] * 20)}, "weights: expected numbers"),
        (X, {"tol": -1.0}, "tol: expected a finite number of at least 0, got -1.0"),
        (X, {"tol": float("nan")}, "tol: expected a finite number"),
        (X, {"variance_floor": -1e-3}, "variance_floor: expected a finite number of at least 0"),
        (X, {"prior_count": -1.0}, "prior_count: expected a finite number of at least 0"),
        (X, {"prior_variance": 0.0}, "prior_variance: expected a finite number above 0"),
        (X, {"init": {"means": X[:2]}}, "init: expected the parameters"),
        (X, {"init": INIT | {"means": np.full((2, 2), np.nan)}}, "init['means']: expected finite numbers, got nan"),
        (X, {"init": INIT | {"means": X[:3]}}, "init['means']: expected shape"),
        (X, {"mesh": "cpu"}, "mesh: expected a jax.sharding.Mesh with the one axis 'data', got 'cpu'"),
    ],
)
def test_wrong_input_is_named(x, options, words):
    refused(words, vj.em.fit, vj.GMM(2, 2, "diag"), KEY, x, **{"num_steps": 2, **options})


def test_wrong_models_are_named():
    model, fit = vj.GMM(2, 2), functools.partial(vj.em.fit, num_steps=2)
    params = model.init(KEY)
    words = "missing: expected covariance diag or spherical, ... got GMM"
    refused(words, fit, model, KEY, spoiled(np.nan), missing=True)
    refused("expected a GMM, PPCA, FactorAnalysis or PPCAMixture, ... got str", fit, "gmm", KEY, X, error=TypeError)
    refused("expected a vaejax PPCA, got GMM", vj.em.ppca_exact, model, X, error=TypeError)
    refused("non-zero diagonals", fit, model, KEY, X, init=params | {"scale_tril": jnp.zeros((2, 2, 2))})
    for rows in (jnp.ones((4, 2), jnp.int32), jnp.ones((4, 3))):
        refused(f"floating-point rows (N, 2), got {rows.dtype}", vj.em.em_step, model, params, rows)
