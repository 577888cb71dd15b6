"""Arguments of fit and fit_ensemble that cannot be meant."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import zoo

KEY = jax.random.key(0)
ADAM = optax.adam(1e-3)
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,), objective=None)
X = zoo.levels(45)
fit = functools.partial(vj.fit, MODEL, KEY, batch_size=20)
SPLIT = vj.data.Split(X, np.arange(45, dtype=np.int32) % 3)
PIXELS = np.arange(225, dtype=np.uint8).reshape(45, 5)
GRID = zoo.AMORTIZED["discretized-logistic"]
CONDITIONAL = vj.zoo.conditional_vae(zoo.D, 2, 3, hidden=(8,))


def test_bad_steps_are_skipped_counted_and_explained():
    def objective(model, params, key, x, context, step, hparams):
        value, info = vj.objectives.elbo()(model, params, key, x, context, step, hparams)
        return jnp.where((step >= 2) & (step < 5), jnp.nan, 1.0) * value, info

    result = fit(X, objective=objective, epochs=4)
    assert result.state.skipped == 3
    np.testing.assert_array_equal(np.isnan(result.history.batches), np.isin(np.arange(8), [2, 3, 4]))
    assert result.history["skipped"].tolist() == [0, 2, 3, 3] and np.isnan(result.history["value"][1])
    early = [fit(X, epochs=n, optimizer=ADAM, **o).params for n, o in ((2, {"objective": objective}), (1, {}))]
    chex.assert_trees_all_close(*early, rtol=0, atol=0)
    with pytest.raises(
        FloatingPointError, match="stopped at step 5: 3 steps in a row .*first in the objective, the gradient"
    ):
        fit(X, objective=objective, epochs=4, max_skipped=2, batch_size=9)
    with pytest.raises(FloatingPointError, match="clip gradients"):
        fit(X, epochs=30, optimizer=optax.sgd(1e12), max_skipped=3)


def test_culprits_are_those_of_the_run_that_stops_it():
    def objective(model, params, key, x, context, step, hparams):
        value = jnp.where((step >= 4) & (step < 7), jnp.nan, 1.0) * jnp.sum(params["decoder"]["layer1"]["bias"])
        return value, {"aux": jnp.where(step == 0, jnp.nan, 1.0)}

    assert fit(X, objective=objective, epochs=1, batch_size=5, max_skipped=3).state.skipped == 4
    with pytest.raises(FloatingPointError, match="stopped at step 7: 3 steps in a row .*first in the objective"):
        fit(X, objective=objective, epochs=1, batch_size=5, max_skipped=2)  # though they are over by its end


def test_validation_that_is_never_finite_keeps_the_last_parameters():
    def objective(model, params, key, x, context, step, hparams):
        value, info = vj.objectives.elbo()(model, params, key, x, context, step, hparams)
        return jnp.where(jnp.shape(x)[0] == 7, jnp.nan, 1.0) * value, info

    result = fit(X, objective=objective, validation=X[:7], epochs=2)
    chex.assert_trees_all_close(result.best, result.params, rtol=0, atol=0)
    assert np.isnan(result.history["validation_value"]).all()


@pytest.mark.parametrize(
    "model, data, options, message",
    [
        (MODEL, X[:, :4], {}, "data: expected rows of shape \\(5,\\), or of as many entries, .* got \\(4,\\)"),
        (MODEL, X[:0], {}, "data: expected rows \\(N, ...\\) with at least one number, got shape \\(0, 5\\)"),
        (MODEL, X[0], {}, "data: expected rows .* got shape \\(5,\\)"),
        (MODEL, X * 3 - 1, {}, "data: expected values in \\[0, 1\\] for this likelihood, got .* in row 0"),
        (MODEL, np.where(np.arange(45)[:, None] == 7, np.nan, X), {}, "data: expected finite values, got nan in row 7"),
        (MODEL, X.astype(int), {}, "data: expected floating-point values, uint8 pixels or bool, got int64"),
        (MODEL, [1, 2], {}, "data: expected an array, a vaejax.data.Split or Dataset, got list"),
        (MODEL, X, {"validation": X * 2}, "validation: expected values in \\[0, 1\\]"),
        (MODEL, X, {"context": "labels"}, "labels.*has no labels"),
        (MODEL, SPLIT, {"context": "labels"}, "context: VAE has context_dim=0, expected None"),
        (MODEL, X, {"context": "classes"}, "context: expected .labels. or an array, got 'classes'"),
        (CONDITIONAL, SPLIT, {}, "context: VAE has context_dim=3, expected .labels."),
        (CONDITIONAL, X, {"context": np.arange(45)}, "labels below 3 .* got 3 in row 3"),
        (CONDITIONAL, X, {"context": np.ones((45, 2))}, "or an array \\(45, 3\\) for data, got float64 .* \\(45, 2\\)"),
        (CONDITIONAL, X, {"context": np.ones((45, 3)), "validation": X}, "expected the pair \\(x, context\\)"),
        (MODEL, X, {"epochs": -1}, "epochs: expected an integer of at least 0, got -1"),
        (MODEL, X, {"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
        (MODEL, X, {"average": 1.0}, "average: expected a finite number of at least 0 and below 1, got 1.0"),
        (MODEL, X, {"patience": 0, "validation": X}, "patience: expected an integer of at least 1, got 0"),
        (MODEL, X, {"compute_dtype": "bf16"}, "compute_dtype: expected one of float16, .* got 'bf16'"),
        (MODEL, X, {"transform": lambda k, x: x * 5 - 2}, "data, transformed: expected values in \\[0, 1\\]"),
        (MODEL, PIXELS, {"transform": vj.transforms.dequantize(17)}, "expected multiples of 15 up to 240"),
        (GRID, X + 0.01, {}, "expected values in \\[0, 1\\]|expected values on the grid of 17 levels"),
        (GRID, X * np.float32(0.9), {}, "expected values on the grid of 17 levels over \\[0, 1\\], got"),
        (MODEL, X, {"patience": 2}, "patience: expected validation rows to stop by, got none"),
        (MODEL, X, {"init": {"encoder": 0}}, "init: parameter .*: expected shape"),
    ],
)
def test_what_cannot_be_meant_is_refused(model, data, options, message):
    with pytest.raises(ValueError, match=message):
        vj.fit(model, KEY, data, **({"epochs": 1} | options))


def test_ensembles_refuse_what_nobody_reads():
    keys = jax.random.split(KEY, 2)
    with pytest.raises(ValueError, match="the objective accepts beta, .* the optimiser none .*, got learning_rate"):
        vj.fit_ensemble(MODEL, keys, X, hparams={"learning_rate": jnp.ones(2)}, epochs=1)
    with pytest.raises(ValueError, match="hparams\\['beta'\\]: expected one value for each of 2 members"):
        vj.fit_ensemble(MODEL, keys, X, hparams={"beta": jnp.ones(3)}, epochs=1)
    with pytest.raises(ValueError, match="keys: expected a vector of PRNG keys, got shape \\(\\)"):
        vj.fit_ensemble(MODEL, KEY, X, epochs=1)


def test_a_schedule_is_not_silently_kept():
    keys = jax.random.split(KEY, 2)
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=optax.constant_schedule(1e-3))
    with pytest.raises(ValueError, match="the optimiser has a schedule for it"):
        vj.fit_ensemble(MODEL, keys, X, hparams={"learning_rate": jnp.ones(2)}, optimizer=adam, epochs=1)
    chain = optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.sgd)(learning_rate=1.0))
    rates = {"learning_rate": jnp.array([0.0, 1.0])}
    still = vj.fit_ensemble(MODEL, keys, X, hparams=rates, optimizer=chain, epochs=2)
    moved = np.abs(np.diff(still.history["elbo"], axis=1))
    assert moved[0] != moved[1]
    plateau = optax.chain(optax.adam(1e-3), optax.contrib.reduce_on_plateau())
    assert fit(X, optimizer=plateau, epochs=1).state.skipped == 0  # it reads the loss


def test_contexts_in_every_form_are_the_same():
    labels = np.asarray(SPLIT.y)
    a = vj.fit(CONDITIONAL, KEY, SPLIT, context="labels", validation=SPLIT, epochs=1)
    b = vj.fit(CONDITIONAL, KEY, X, context=labels, validation=(X, labels), epochs=1)
    c = vj.fit(CONDITIONAL, KEY, X, context=np.eye(3, dtype=int)[labels], epochs=1)
    chex.assert_trees_all_close(a.params, b.params, rtol=0, atol=0)
    chex.assert_trees_all_close(a.params, c.params, rtol=1e-5, atol=1e-7)
