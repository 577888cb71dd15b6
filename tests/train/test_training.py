import csv
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax as vj
from tests import linear, zoo

KEY = jax.random.key(0)
MODEL = vj.zoo.vae(zoo.D, 2, hidden=(8,), objective=None)
X = zoo.levels(45)
SIGMA = vj.zoo.sigma_vae(zoo.D, 2, hidden=(8,), objective=vj.objectives.optimal_sigma())
ADAM = optax.adam(1e-3)
fit = functools.partial(vj.fit, MODEL, KEY, batch_size=20, optimizer=ADAM)


@pytest.fixture(scope="module")
def plain():
    return fit(X, epochs=5)


PIXELS = (8, 8, 1)
DIGITS = [vj.zoo.sigma_vae(PIXELS, 2), vj.zoo.conditional_vae(PIXELS, 2, 10)]
MORE_DIGITS = [getattr(vj.zoo, name)(PIXELS, 2) for name in ("vae", "full_covariance_vae", "linear_iaf_vae", "iaf_vae")]
MORE_DIGITS += [vj.zoo.two_stage(PIXELS, 3), vj.zoo.ladder(PIXELS, (2, 4))]


@pytest.mark.parametrize("model", [*DIGITS, *(pytest.param(model, marks=pytest.mark.slow) for model in MORE_DIGITS)])
def test_training_raises_the_held_out_bound_of_digits(model):
    context = "labels" if model.context_dim else None
    result = vj.fit(model, KEY, vj.data.digits(), epochs=6, batch_size=60, context=context)
    for name in ("validation_elbo", "validation_value"):
        held = result.history[name]
        assert held[-1] > held[0] and np.all(np.isfinite(held))
    assert result.history["step"][-1] == 6 * 20


def test_the_linear_vae_reaches_probabilistic_pca(x64):  # oracle 4, by stochastic gradients
    x = linear.rows(256)
    weight, sigma = linear.maximum_likelihood(x, 2)
    exact = linear.evidence(jnp.asarray(x), weight, sigma).mean()
    model = linear.model(2)
    schedule = optax.cosine_decay_schedule(2e-2, 6000)
    start = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), model.init(KEY))
    result = vj.fit(model, KEY, x, init=start, epochs=1500, batch_size=64, optimizer=optax.adam(schedule))
    reached = linear.exact_elbo(model, result.params, jnp.asarray(x))
    assert 0 <= exact - reached < 1e-3


@pytest.mark.slow
def test_the_linear_vae_reaches_probabilistic_pca_on_mnist(mnist):
    x = (mnist.train.x[:5000] / np.float32(255)).reshape(5000, 784)
    best = vj.em.ppca_exact(vj.PPCA(784, 8), x)
    exact = vj.evaluate.exact_log_evidence(vj.PPCA(784, 8), best, x).mean()
    model, schedule = vj.zoo.linear_vae(784, 8), optax.cosine_decay_schedule(2e-2, 4000)
    result = vj.fit(model, KEY, x, epochs=200, batch_size=250, optimizer=optax.adam(schedule))
    assert 0 < exact - linear.exact_elbo(model, result.params, jnp.asarray(x)) < 0.5


def test_one_device_and_four_agree():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    alone, split = fit(X, epochs=3), fit(X, epochs=3, mesh=mesh)
    chex.assert_trees_all_close(alone.params, split.params, atol=1e-5)
    np.testing.assert_allclose(alone.history["value"], split.history["value"], atol=1e-5)
    with pytest.raises(ValueError, match="mesh: expected a number of rows in a batch that 4 devices divide, got 10"):
        fit(X, epochs=1, batch_size=10, mesh=mesh)


MEMBERS = {"epochs": 3, "batch_size": 20, "validation": X[:7]}


@pytest.fixture(scope="module")
def alone():
    """Members 2 and 3 of the ensemble below, each by itself."""
    keys = jax.random.split(KEY, 4)
    beta, fast = vj.objectives.beta(4.0), optax.adam(1e-2)
    return {
        2: vj.fit(MODEL, keys[2], X, objective=beta, optimizer=ADAM, **MEMBERS),
        3: vj.fit(MODEL, keys[3], X, optimizer=fast, **MEMBERS),
    }


@pytest.mark.parametrize("devices", [1, 2])
def test_a_member_of_an_ensemble_is_a_fit_of_its_own(devices, alone):
    mesh = None if devices == 1 else jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    hparams = {"beta": jnp.array([1.0, 2.0, 4.0, 1.0]), "learning_rate": jnp.array([1e-3, 1e-3, 1e-3, 1e-2])}
    options = MEMBERS | {"hparams": hparams, "optimizer": adam, "mesh": mesh}
    many = vj.fit_ensemble(MODEL, jax.random.split(KEY, 4), X, **options)
    assert many.history["value"].shape == (4, 3) and many.history.batches.shape == (4, 6)
    for i, solo in alone.items():
        chex.assert_trees_all_close(many.member(i), (solo.params, solo.best), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(many.history["validation_value"][i], solo.history["validation_value"], rtol=1e-5)


def test_numbers_and_a_start_may_be_given():
    start = jax.jit(MODEL.init)(jax.random.key(1))
    result = fit(X, init=start, hparams={"beta": 4.0}, epochs=0)
    chex.assert_trees_all_equal(result.params, start)
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), start)
    keys = jax.random.split(KEY, 2)
    chex.assert_trees_all_equal(vj.fit_ensemble(MODEL, keys, X, init=members, epochs=0).member(1)[0], start)
    with pytest.raises(ValueError, match="init: parameter .*: expected shape \\(2, "):
        vj.fit_ensemble(MODEL, keys, X, init=start, epochs=0)


def test_an_epoch_cut_into_scans_is_the_same_epoch(monkeypatch):
    whole = fit(X, epochs=2, batch_size=9)
    monkeypatch.setattr("vaejax.train.loop._scan_length", lambda *_: 2)  # five steps as 2 + 2 + 1
    cut = fit(X, epochs=2, batch_size=9)
    chex.assert_trees_all_close(whole.params, cut.params, rtol=0, atol=0)
    assert cut.state.step == 10 and cut.history.batches.shape == (10,)
    np.testing.assert_array_equal(whole.history.batches, cut.history.batches)


def test_long_epochs_are_cut():
    from vaejax.train.cost import Cost, steps_of_a_scan

    length = steps_of_a_scan(Cost(operations=1e7, activations=1e5), rows=100, steps=1000)
    assert 1 <= length < 1000 and length * -(-1000 // length) < 1000 + length


def test_validation_scores_every_row_and_keeps_the_best():
    def objective(model, params, key, x, context, step, hparams):
        return -jnp.mean((x - params["decoder"]["layer1"]["bias"][None]) ** 2) * zoo.D, {"rows": jnp.mean(x)}

    held = zoo.levels(43, seed=1)
    options = {"objective": objective, "validation": held, "epochs": 40, "optimizer": optax.sgd(0.45)}
    result = fit(X, **options)
    bias = result.best["decoder"]["layer1"]["bias"]
    best = result.history["validation_value"].max()
    # 43 rows: 20 + 20 + 3
    np.testing.assert_allclose(-np.square(held - np.asarray(bias)).mean() * zoo.D, best, rtol=1e-4)
    np.testing.assert_allclose(result.history["validation_rows"][-1], held.mean(), rtol=1e-5)
    assert result.state.best_value == pytest.approx(best)
    stopped = fit(X, patience=3, **options)
    values = stopped.history["validation_value"]
    assert len(values) < 40 and len(values) - 1 - values.argmax() == 3


def test_without_validation_the_last_is_the_best(plain):
    chex.assert_trees_all_close(plain.params, plain.best, rtol=0, atol=0)


def test_optimal_sigma_is_stored_for_the_train_set_and_not_refitted_to_held_out_rows():
    held = np.full((10, zoo.D), 0.5, np.float32)
    result = vj.fit(SIGMA, KEY, X, epochs=3, batch_size=20, validation=held, optimizer=ADAM)
    sigma = jnp.exp(result.params["likelihood"]["log_scale"])

    @jax.jit
    def errors(x):
        keys = jax.random.split(KEY, 200)
        one = lambda key, x: jnp.mean((x - vj.reconstruct(SIGMA, result.params, key, x)) ** 2)
        return jax.vmap(lambda key: jax.vmap(functools.partial(one, key))(x))(keys).mean()

    np.testing.assert_allclose(sigma**2, errors(X), rtol=0.1)
    np.testing.assert_allclose(result.history["validation_implied_variance"][-1], sigma**2, rtol=1e-5)
    with pytest.raises(ValueError, match="trained by objectives.optimal_sigma"):
        vj.fit(SIGMA, KEY, X, epochs=1, objective=vj.objectives.elbo())
    assert result.history.notes == ("started from the key",)  # a Gaussian likelihood takes every value


def test_averages_follow_the_parameters(monkeypatch):
    from vaejax.train import loop

    steps, real = [], loop.run_steps

    def watched(*args, **kwargs):
        state, log = real(*args, **kwargs)
        steps.append(jax.tree.map(jnp.copy, state.params))
        return state, log

    watched.lower = real.lower
    monkeypatch.setattr(loop, "run_steps", watched)
    averaged = fit(X, epochs=10, batch_size=45, average=0.9)  # an epoch is one step
    leaf = lambda tree: np.asarray(tree["decoder"]["layer1"]["bias"])
    mean = leaf(jax.jit(MODEL.init)(jax.random.split(KEY)[0]))
    for t in range(10):
        decay = min(0.9, (1 + t) / (10 + t))
        mean = decay * mean + (1 - decay) * leaf(steps[t])
    np.testing.assert_allclose(leaf(averaged.params), mean, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(fit(X, epochs=10, batch_size=45).params, averaged.state.params, rtol=1e-6)


def test_half_precision_trains_float32_parameters(plain):
    single, half = plain, fit(X, epochs=5, compute_dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(half.params)} == {jnp.dtype("float32")}
    difference = np.abs(single.history["value"] - half.history["value"])
    assert 0 < difference.max() < 0.05


def test_what_the_caller_holds_is_left_alone():
    own = {"w": jnp.ones((4, zoo.D))}
    encoder = vj.networks.from_functions(lambda key: own, lambda w, x: w["w"] @ x)
    model = vj.VAE(encoder, vj.networks.MLP((2, zoo.D)), 2)
    rates, keys = jnp.array([1e-3, 1e-2]), jax.random.split(KEY, 2)
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    for _ in range(2):
        vj.fit(model, KEY, X, epochs=1)
        vj.fit_ensemble(model, keys, X, hparams={"learning_rate": rates}, optimizer=adam, epochs=1)
    assert own["w"].sum() == 4 * zoo.D and rates[1] > rates[0]


def test_optimisers_schedules_and_clipping_are_optax():
    chain = optax.chain(optax.clip_by_global_norm(1e-9), optax.sgd(optax.linear_schedule(1.0, 0.0, 10)))
    result = fit(X, optimizer=chain, epochs=2)
    start = jax.jit(MODEL.init)(jax.random.split(KEY)[0])
    chex.assert_trees_all_close(result.params, start, atol=1e-7)


def test_transforms_act_on_every_batch_and_once_on_held_out_rows():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 4), dtype=np.uint8)

    def objective(model, params, key, x, context, step, hparams):
        grey = jnp.mean((x > 0) & (x < 1))
        return 0.0 * jnp.sum(params["decoder"]["layer1"]["bias"]), {"grey": grey, "mean": jnp.mean(x)}

    model = vj.zoo.vae(4, 2, hidden=(3,))
    options = {"objective": objective, "batch_size": 20, "validation": pixels, "epochs": 3}
    result = vj.fit(model, KEY, pixels, transform=vj.transforms.binarize, **options)
    assert result.history.notes == ("started from the key",) and np.all(result.history["grey"] == 0)
    assert len(set(result.history["mean"].tolist())) == 3
    assert len(set(result.history["validation_mean"].tolist())) == 1
    assert abs(result.history["mean"].mean() - pixels.mean() / 255) < 0.1


def test_binarisation_has_the_probabilities_of_the_pixels():
    pixels = jnp.tile(jnp.array([0, 1, 51, 128, 254, 255], jnp.uint8), (200_000, 1))
    drawn = vj.transforms.binarize(KEY, pixels)
    p = np.array([0, 1, 51, 128, 254, 255]) / 255
    assert drawn[:, 0].max() == 0 and drawn[:, 5].min() == 1
    assert np.all(np.abs(drawn.mean(0) - p) <= 4 * np.sqrt(p * (1 - p) / 200_000))
    assert abs(np.corrcoef(np.asarray(drawn[:, 2:4]).T)[0, 1]) < 0.01
    floats = vj.transforms.binarize(KEY, jnp.tile(jnp.asarray(p, jnp.float32), (50_000, 1)))
    assert np.all(np.abs(floats.mean(0) - p) <= 4 * np.sqrt(p * (1 - p) / 50_000) + 1e-7)
    levels = vj.transforms.dequantize(17)(KEY, jnp.tile(jnp.array([0, 240], jnp.uint8), (1000, 1)))
    assert jnp.all((levels[:, 0] < 1 / 17) & (levels[:, 1] >= 16 / 17)) and levels.std(0).min() > 0.01


def test_history_is_a_table(tmp_path):
    result = fit(X, epochs=2, validation=X)
    assert "is not a likelihood" in repr(result.history)  # grey pixels under a Bernoulli likelihood
    with pytest.raises(KeyError, match="'loss': the history has value, .*seconds"):
        result.history["loss"]
    result.history.to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["epoch"] for row in table] == ["1", "2"]
    assert float(table[1]["kl_per_dimension_1"]) == result.history["kl_per_dimension"][1, 1]
    assert float(table[0]["validation_elbo"]) == pytest.approx(float(result.history["validation_elbo"][0]))


def test_a_fit_compiles_once_and_a_second_one_nothing():
    from vaejax.train import step

    sizes = []
    for key in (0, 5):
        model = vj.zoo.vae(zoo.D, 2, hidden=(7,))  # an equal one, not the same
        before = step.run_steps._cache_size(), step.evaluate._cache_size()
        vj.fit(model, jax.random.key(key), X, epochs=3, batch_size=20, validation=X[:7])
        after = step.run_steps._cache_size(), step.evaluate._cache_size()
        sizes.append((after[0] - before[0], after[1] - before[1]))
    assert sizes == [(1, 1), (0, 0)]


def test_progress_is_shown_where_somebody_looks(monkeypatch, capsys):
    fit(X, epochs=1)
    assert capsys.readouterr() == ("", "")  # not a terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    fit(X, epochs=2)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown and "images/s" in shown and "kl" in shown
