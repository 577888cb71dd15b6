"""Starts from the data, schedules that know the run, and runs that are extended."""

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
HEADS = {
    "bernoulli": vj.heads.bernoulli(),
    "continuous": vj.heads.continuous_bernoulli(),
    **{f"normal-{scale}": vj.heads.normal(scale) for scale in (0.3, "shared", "per_pixel_constant", "per_pixel")},
    "logistic": vj.heads.discretized_logistic("per_pixel", levels=17),
    "low-rank": vj.heads.low_rank_normal(2),
    "full": vj.heads.full_normal(),
}


def rows(count=64):
    """Entries that differ in mean and spread, one of them constant, on the grid of every likelihood."""
    raw = np.random.default_rng(0).beta([0.5, 2, 5, 2, 1], [2, 2, 1, 5, 1], size=(count, zoo.D))
    x = np.round(16 * raw) / 16
    x[:, 3] = 0.0
    return x.astype(np.float32)


@functools.partial(jax.jit, static_argnames=("head",))
def silent(head, params, mean, deviation):
    """The head's distribution at the output of a network that knows nothing, from data with these moments."""
    output, params = head.from_data(params, mean, deviation)
    q = head.apply(params, output)
    return q.mean, q.stddev, q.log_prob(mean)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_from_the_data_has_their_mean_and_their_deviations(name):
    head, x = HEADS[name], rows()
    mean, deviation = jnp.asarray(x.mean(0)), jnp.maximum(jnp.asarray(x.std(0)), 0.03)
    located, wide, density = silent(head, head.init(KEY, (zoo.D,)), mean, deviation)
    # Logistic tails that are clipped at the ends of the grid move the mean; logits stay finite.
    np.testing.assert_allclose(located, mean, atol=0.05 if name == "logistic" else 1.1e-3)
    assert np.isfinite(density) and np.all(np.isfinite(wide))
    if name in ("normal-per_pixel", "normal-per_pixel_constant", "full"):
        np.testing.assert_allclose(wide, deviation, rtol=1e-3)
    if name in ("normal-shared", "low-rank"):
        np.testing.assert_allclose(wide, np.sqrt(np.mean(np.square(deviation))), rtol=1e-3)


@pytest.mark.parametrize("name", ["bernoulli", "normal-per_pixel", "full"])
def test_a_model_starts_from_the_data_of_a_fit(name):
    model, x = vj.zoo.vae(zoo.D, 2, hidden=(8,), likelihood=HEADS[name]), rows()
    result = vj.fit(model, KEY, x, epochs=0)
    assert result.history.notes[-1] == "started from the data"
    blank = result.params | {"decoder": jax.tree.map(jnp.zeros_like, result.params["decoder"])}
    np.testing.assert_allclose(vj.decode(model, blank, jnp.zeros(2)), x.mean(0), atol=2e-3)
    members = vj.fit_ensemble(model, jax.random.split(KEY, 2), x, epochs=0)
    chex.assert_trees_all_close(
        members.member(1)[0]["likelihood"], jax.tree.map(np.asarray, result.params["likelihood"]), rtol=1e-6
    )


def test_a_start_follows_the_objective_and_can_be_chosen():
    model, x = vj.zoo.vae(zoo.D, 2, hidden=(8,)), rows()
    note = lambda **options: vj.fit(model, KEY, x, epochs=0, **options).history.notes[-1]
    assert note() == note(start="data", objective=vj.objectives.elbo()) == "started from the data"
    assert note(start="key") == note(objective=vj.objectives.elbo()) == "started from the key"
    params = model.init(KEY)
    assert note(init=params) == "started from the parameters that were given"
    with pytest.raises(ValueError, match="start: expected None with init=, got 'data'"):
        note(init=params, start="data")
    with pytest.raises(ValueError, match="start: expected one of None, data, key, got 'labels'"):
        note(start="labels")


def test_pixels_are_scaled_and_transformed_before_their_mean_is_taken():
    model, pixels = vj.zoo.vae(4, 2, hidden=(8,)), np.full((400, 4), [0, 51, 204, 255], np.uint8)
    shift = vj.fit(model, KEY, pixels, epochs=0, transform=vj.transforms.binarize).params["likelihood"]["shift"]
    np.testing.assert_allclose(jax.nn.sigmoid(shift), [0.001, 0.2, 0.8, 0.999], atol=0.1)


def test_shares_of_a_run_are_numbers_of_its_steps():
    x, objective = zoo.levels(40), vj.objectives.warm_up(0.25)
    model = vj.zoo.vae(zoo.D, 2, hidden=(8,), objective=None)
    seen = []

    def optimizer(num_steps):
        seen.append(num_steps)
        return optax.sgd(optax.linear_schedule(1e-3, 0.0, num_steps))

    shared = vj.fit(model, KEY, x, epochs=4, batch_size=10, objective=objective, optimizer=optimizer)
    assert 16 in seen  # 4 epochs of 4 steps
    np.testing.assert_allclose(shared.history["beta"], [0.375, 1.0, 1.0, 1.0])
    fixed = vj.objectives.warm_up(4)
    counted = vj.fit(model, KEY, x, epochs=4, batch_size=10, objective=fixed, optimizer=optimizer(16))
    chex.assert_trees_all_equal(shared.params, counted.params)
    with pytest.raises(ValueError, match="0.25 is a share of a run, whose steps vaejax.fit knows"):
        objective(model, model.init(KEY), KEY, jnp.asarray(x), None, 0, {})
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="num_steps: expected"):
            vj.objectives.warm_up(share)


def test_a_stream_may_say_its_length():
    x = zoo.levels(40)
    model = vj.zoo.vae(zoo.D, 2, hidden=(8,))
    pieces = lambda epoch: [x]
    endless = vj.fit(model, KEY, pieces, epochs=2, batch_size=10)
    assert "shares of the run are of 10000 steps" in " ".join(endless.history.notes)
    told = vj.fit(model, KEY, vj.data.Stream(pieces, rows=40), epochs=2, batch_size=10)
    np.testing.assert_allclose(told.history["beta"][-1], 1.0)
    with pytest.raises(ValueError, match=r"give the stream's rows, Stream\(rows=\)"):
        vj.fit(model, KEY, pieces, epochs=2, optimizer=lambda num_steps: optax.sgd(1.0 / num_steps))


def test_a_run_with_a_schedule_is_longer_only_where_that_is_meant(tmp_path):
    model, x = vj.zoo.vae(zoo.D, 2, hidden=(8,)), zoo.levels(40)
    fit = functools.partial(vj.fit, model, KEY, x, batch_size=10, checkpoint=tmp_path / "run")
    short = fit(epochs=2)
    with pytest.raises(ValueError, match="schedule of this run is for 8 steps, epochs=3 makes 12: extend=True"):
        fit(epochs=3)
    chex.assert_trees_all_equal(fit(epochs=1).params, short.params)  # read, not trained
    longer = fit(epochs=3, extend=True)
    assert longer.state.step == 12 and "extended from 8 to 12 steps" in longer.history.notes[-1]
    by_hand = vj.fit(model, KEY, x, batch_size=10, epochs=3)
    np.testing.assert_allclose(longer.history["beta"][-1], by_hand.history["beta"][-1])
    assert not np.array_equal(longer.params["decoder"]["layer0"]["bias"], short.params["decoder"]["layer0"]["bias"])
    chex.assert_trees_all_equal(fit(epochs=3).params, longer.params)  # it is a run of that length now


def test_optimisers_that_are_none_are_refused():
    model, x = vj.zoo.vae(zoo.D, 2, hidden=(8,)), zoo.levels(40)
    with pytest.raises(TypeError, match="optimizer: expected an optax transformation or a function of the number"):
        vj.fit(model, KEY, x, epochs=1, optimizer=1e-3)
    with pytest.raises(ValueError, match="gives an optax transformation, it gave 40"):
        vj.fit(model, KEY, x, epochs=20, batch_size=20, optimizer=lambda num_steps: num_steps)


def test_patience_begins_where_the_warm_up_ends():
    """Validation is worst at the end: nothing but the warm-up keeps the run from stopping after two epochs."""
    model, x = vj.zoo.vae(zoo.D, 2, hidden=(8,)), zoo.levels(40)
    rise = optax.sgd(-1e-2)  # away from the optimum
    fit = functools.partial(vj.fit, model, KEY, x, epochs=10, batch_size=10, validation=x, patience=2, optimizer=rise)
    assert fit(objective=vj.objectives.elbo(), start="data").state.step == 12
    assert fit(objective=vj.objectives.warm_up(0.5)).state.step == 4 * (4 + 2)


def test_one_gradient_that_is_far_out_does_not_stop_the_default_optimiser():
    """Adam divides by the root of what it has seen: after one such gradient it would stand still for the run."""
    params, slope = jnp.ones(3), jnp.full(3, 2.0)

    @functools.partial(jax.jit, static_argnames="optimizer")
    def last_step(optimizer):
        def step(state, factor):
            update, state = optimizer.update(factor * slope, state, params)
            return state, update

        return jax.lax.scan(step, optimizer.init(params), jnp.ones(300).at[1].set(1e9))[1][-1]

    bare = optax.adam(optax.cosine_decay_schedule(1e-2, 10_000))
    assert np.all(last_step(vj.train.cosine_adam(1e-2)(10_000)) < -4e-3) and np.all(last_step(bare) > -1e-6)
