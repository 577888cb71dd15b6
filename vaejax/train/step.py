"""The compiled pieces of training: a run of steps as one scan, and averages over held-out rows."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaejax.data.inputs import Rows
from vaejax.models import LatentModel
from vaejax.train.state import TrainState

__all__ = ["Setup", "StepLog", "absorb", "evaluate", "fresh_key", "measure", "run_steps", "shuffle"]

PERMUTATION, VALIDATION, CALIBRATION = (2**32 - 1 - i for i in range(3))  # no step number reaches these


class Setup(NamedTuple):
    """What is fixed while training runs: the static argument of every compiled piece.

    Attributes:
      model: the model.
      objective: what is maximised.
      optimizer: an optax transformation.
      transform: `transform(key, x)` of a batch, or `None`.
      batch_size: rows of a step.
      average: decay of the moving average of the parameters, 0 for none.
      mesh: devices to split the batch over, or `None`.
      ensemble: whether the state has a leading axis of members.
    """

    model: LatentModel
    objective: Any
    optimizer: optax.GradientTransformation
    transform: Callable[[jax.Array, jax.Array], jax.Array] | None
    batch_size: int
    average: float
    mesh: Mesh | None
    ensemble: bool


class StepLog(NamedTuple):
    """What a step tells the host.

    Attributes:
      value: the objective.
      info: its terms.
      taken: whether there was a step at all (the last run of an epoch may be shorter).
      finite: for the value, each term of `info` and the gradient of each parameter, whether it was finite.
    """

    value: jax.Array
    info: dict[str, jax.Array]
    taken: jax.Array
    finite: dict[str, jax.Array]


def fresh_key(key: jax.Array, purpose: int, index: Any) -> jax.Array:
    """A key for something other than a step."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose), index)


def _finite(tree: Any) -> jax.Array:
    return jax.tree.map(lambda leaf: jnp.isfinite(jnp.sum(leaf)), tree)


def _batch(setup: Setup, rows: Rows, index: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
    x, context = jax.tree.map(lambda leaf: leaf[index], rows)
    if setup.transform is not None:
        x = setup.transform(key, x)
    if setup.mesh is not None and not setup.ensemble:
        split = NamedSharding(setup.mesh, PartitionSpec("data"))
        x, context = jax.lax.with_sharding_constraint((x, context), split)
    return x, context


def _step(
    setup: Setup, state: TrainState, rows: Rows, order: jax.Array, hparams: dict[str, Any], i: jax.Array, end: jax.Array
) -> tuple[TrainState, StepLog]:
    key_transform, key = jax.random.split(jax.random.fold_in(state.key, state.step))
    index = jax.lax.dynamic_slice(order, (i * setup.batch_size,), (setup.batch_size,))
    x, context = _batch(setup, rows, index, key_transform)

    def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, dict]]:
        value, info = setup.objective(setup.model, params, key, x, context, state.step, hparams)
        return -value, (value, info)

    grads, (value, info) = jax.grad(loss, has_aux=True)(state.params)
    finite = {"the objective": _finite(value)} | {name: _finite(term) for name, term in info.items()}
    paths = jax.tree_util.tree_flatten_with_path(grads)[0]
    finite |= {f"the gradient of {jax.tree_util.keystr(p, simple=True, separator='/')}": _finite(g) for p, g in paths}
    good = functools.reduce(jnp.logical_and, finite.values())
    taken = i < end

    def advance(now: tuple, grads: Any) -> tuple:
        params, opt_state, average = now
        update = optax.with_extra_args_support(setup.optimizer).update
        updates, opt_state = update(grads, opt_state, params, value=-value)
        params = optax.apply_updates(params, updates)
        if average is not None:
            decay = jnp.minimum(setup.average, (1.0 + state.step) / (10.0 + state.step))
            average = jax.tree.map(lambda a, p: decay * a + (1.0 - decay) * p, average, params)
        return params, opt_state, average

    now = state.params, state.opt_state, state.average
    step = good & taken

    def stay(now: tuple, grads: Any) -> tuple:
        if not setup.ensemble:
            return now
        return jax.tree.map(lambda a, b: jnp.where(step, a, b), advance(now, grads), now)

    # Reduced over the members, the predicate has no member axis, and the branch stays a branch.
    every = jax.lax.pmin(step.astype(jnp.int32), "members") > 0 if setup.ensemble else step
    new = jax.lax.cond(every, advance, stay, now, grads)
    bad = (taken & ~good).astype(jnp.int32)
    state = state._replace(
        params=new[0],
        opt_state=new[1],
        average=new[2],
        step=state.step + taken,
        skipped=state.skipped + bad,
        skipped_in_row=jnp.where(taken, (state.skipped_in_row + 1) * bad, state.skipped_in_row),
    )
    return state, StepLog(value, info, taken, finite)


@functools.partial(jax.jit, static_argnames=("setup", "length"), donate_argnames=("state",))
def run_steps(
    setup: Setup,
    state: TrainState,
    rows: Rows,
    order: jax.Array,
    hparams: dict[str, Any],
    first: jax.Array,
    end: jax.Array,
    *,
    length: int,
) -> tuple[TrainState, StepLog]:
    """Take the steps `first` to `first + length` of an order in one scan; those from `end` on do nothing."""

    def run(state: TrainState, order: jax.Array, hparams: dict[str, Any]) -> tuple[TrainState, StepLog]:
        body = lambda state, i: _step(setup, state, rows, order, hparams, i, end)  # noqa: E731
        return jax.lax.scan(body, state, first + jnp.arange(length))

    return jax.vmap(run, axis_name="members")(state, order, hparams) if setup.ensemble else run(state, order, hparams)


@functools.partial(jax.jit, static_argnames=("setup", "count"))
def shuffle(setup: Setup, key: jax.Array, epoch: jax.Array, positions: Any = None, *, count: int) -> jax.Array:
    """The order of the rows in an epoch; row i lies at `positions[i]`, or at i."""

    def one(key: jax.Array) -> jax.Array:
        order = jax.random.permutation(fresh_key(key, PERMUTATION, epoch), count)
        return order if positions is None else jnp.asarray(positions)[order]

    return jax.vmap(one)(key) if setup.ensemble else one(key)


def _average_over(
    setup: Setup, f: Callable[[jax.Array, Any, Any], Any], key: jax.Array, rows: Rows, order: jax.Array, before: Any = 0
) -> Any:
    """Mean of `f(key, x, context)`, a mean over a batch, over the rows at `order`; the last batch takes the rest."""
    count, size = len(order), setup.batch_size
    full = max(0, count // size - 1)
    rest = count - full * size  # a small batch would bias what is estimated from batches, a total correlation

    def one(i: Any, length: int) -> Any:
        key_transform, key_f = jax.random.split(jax.random.fold_in(key, before + i))
        index = jax.lax.dynamic_slice(order, (i * size,), (length,))
        return f(key_f, *_batch(setup, rows, index, key_transform))

    last = one(full, rest)
    total = jax.tree.map(lambda leaf: leaf * (rest / count), last)
    if full:
        add = lambda sums, i: (jax.tree.map(jnp.add, sums, one(i, size)), None)  # noqa: E731
        sums, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, last), jnp.arange(full))
        total = jax.tree.map(lambda leaf, part: leaf + part * (size / count), total, sums)
    return total


@functools.partial(jax.jit, static_argnames=("setup",))
def measure(setup: Setup, state: TrainState, rows: Rows, order: jax.Array, before: Any = 0) -> list[jax.Array]:
    """What the objective's closed form needs, a mean over the rows: under the parameters, and under their average.

    `before` is the number of batches that were measured before these, so that their draws are not met again.
    """
    statistic, _ = setup.objective.calibration

    def one(state: TrainState) -> list[jax.Array]:
        key, each = fresh_key(state.key, CALIBRATION, state.step), []
        for params in (state.params,) if state.average is None else (state.params, state.average):
            mean = lambda key, x, context, now=params: jnp.mean(statistic(setup.model, now, key, x, context))  # noqa: E731
            each.append(_average_over(setup, mean, key, rows, jnp.asarray(order), before))
        return each

    return jax.vmap(one)(state) if setup.ensemble else one(state)


@functools.partial(jax.jit, static_argnames=("setup",), donate_argnames=("state",))
def absorb(setup: Setup, state: TrainState, measured: list[jax.Array]) -> TrainState:
    """Store what the objective has in closed form."""
    _, stored = setup.objective.calibration

    def one(state: TrainState, measured: list[jax.Array]) -> TrainState:
        if state.average is not None:
            state = state._replace(average=stored(setup.model, state.average, measured[1]))
        return state._replace(params=stored(setup.model, state.params, measured[0]))

    return jax.vmap(one)(state, measured) if setup.ensemble else one(state, measured)


@functools.partial(jax.jit, static_argnames=("setup",), donate_argnames=("state",))
def evaluate(
    setup: Setup, state: TrainState, rows: Rows, hparams: dict[str, Any]
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Score held-out rows, with the same draws every time, and keep the parameters that score best."""
    objective = getattr(setup.objective, "evaluation", setup.objective)

    def one(state: TrainState, hparams: dict[str, Any]) -> tuple[TrainState, dict[str, jax.Array]]:
        def score(key: jax.Array, x: jax.Array, context: Any) -> dict[str, jax.Array]:
            value, info = objective(setup.model, state.current, key, x, context, state.step, hparams)
            return {"value": value} | info

        scores = _average_over(setup, score, fresh_key(state.key, VALIDATION, 0), rows, jnp.arange(len(rows.x)))
        better = jnp.isfinite(scores["value"]) & (scores["value"] > state.best_value)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.current, state.best)
        value = jnp.where(better, scores["value"], state.best_value)
        stale = jnp.where(better, 0, state.stale + 1)
        return state._replace(best=best, best_value=value.astype(state.best_value.dtype), stale=stale), scores

    return jax.vmap(one)(state, hparams) if setup.ensemble else one(state, hparams)
