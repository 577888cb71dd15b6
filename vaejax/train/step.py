"""Compiled pieces of training: a run of steps as one scan, and averages over held-out rows."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from vaejax.data.inputs import Rows
from vaejax.models import LatentModel
from vaejax.objectives import Calibration, Objective
from vaejax.objectives.objective import HParams, Info
from vaejax.train.state import StepLog, TrainState
from vaejax.types import Array, ArrayLike, Key, Params, PyTree, Transform

__all__ = ["Scan", "Setup", "absorb", "evaluate", "measure", "run_steps", "shuffle"]

PERMUTATION, VALIDATION, CALIBRATION = (2**32 - 1 - i for i in range(3))  # no step number reaches these

F = TypeVar("F", bound=Callable[..., Any])
Order = Int[Array, "*members N"]
"""Places of the rows of the coming batches, one after the other."""


class Scan(NamedTuple):
    """Steps `first` to at most `end` over the rows in this order."""

    rows: Rows
    order: Order
    first: ArrayLike
    end: ArrayLike


class Setup(NamedTuple):
    """Settings that are fixed while training runs: the static argument of every compiled piece.

    Attributes:
      model: the model.
      objective: the value to maximise.
      optimizer: an optax transformation.
      transform: `transform(key, x)` of a batch, or `None`.
      batch_size: rows of a step.
      average: decay of the moving average of the parameters, 0 for none.
      parts: equal parts of the batch whose gradients are computed one after the other.
      mesh: devices to split the batch over, or `None`.
      ensemble: whether the state has a leading axis of members.
    """

    model: LatentModel
    objective: Objective
    optimizer: optax.GradientTransformation
    transform: Transform | None
    batch_size: int
    average: float
    parts: int
    mesh: Mesh | None
    ensemble: bool

    def over_members(self, f: F) -> F:
        """The function of one member, for all of them at once."""
        return jax.vmap(f, axis_name="members") if self.ensemble else f


def _fresh_key(key: Key, purpose: int, index: ArrayLike) -> Key:
    """A key for something other than a step."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose), index)


def _is_finite(leaf: Array) -> Array:
    return jnp.isfinite(jnp.sum(leaf))


def _batch(setup: Setup, rows: Rows, index: Array, key: Key) -> Rows:
    batch = jax.tree.map(lambda leaf: leaf[index], rows)
    if setup.transform is not None:
        batch = batch._replace(x=setup.transform(key, batch.x))
    if setup.mesh is not None and not setup.ensemble:
        batch = jax.lax.with_sharding_constraint(batch, NamedSharding(setup.mesh, PartitionSpec("data")))
    return batch


def _step(setup: Setup, state: TrainState, scan: Scan, hparams: HParams, i: Array) -> tuple[TrainState, StepLog]:
    key_transform, key = jax.random.split(jax.random.fold_in(state.key, state.step))
    index = jax.lax.dynamic_slice(scan.order, (i * setup.batch_size,), (setup.batch_size,))
    x, context = _batch(setup, scan.rows, index, key_transform)

    batch = state.params, key, x, context, state.step, hparams
    ascent, (value, info) = setup.objective.gradient(setup.model, *batch, parts=setup.parts)
    grads = jax.tree.map(jnp.negative, ascent)
    finite = {"the objective": _is_finite(value)} | {name: _is_finite(term) for name, term in info.items()}
    for path, grad in jax.tree_util.tree_flatten_with_path(grads)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        finite[f"the gradient of {name}"] = _is_finite(grad)
    good = functools.reduce(jnp.logical_and, finite.values())
    taken = i < scan.end
    step = good & taken

    def advance(now: PyTree, grads: Params) -> PyTree:
        params, opt_state, average = now
        update = optax.with_extra_args_support(setup.optimizer).update
        updates, opt_state = update(grads, opt_state, params, value=-value)
        params = optax.apply_updates(params, updates)
        if average is not None:
            decay = jnp.minimum(setup.average, (1.0 + state.step) / (10.0 + state.step))
            average = jax.tree.map(lambda a, p: decay * a + (1.0 - decay) * p, average, params)
        return params, opt_state, average

    def stay(now: PyTree, grads: Params) -> PyTree:
        if not setup.ensemble:
            return now
        return jax.tree.map(lambda a, b: jnp.where(step, a, b), advance(now, grads), now)

    # Reduced over the members, the predicate has no member axis, and the branch stays a branch.
    every = jax.lax.pmin(step.astype(jnp.int32), "members") > 0 if setup.ensemble else step
    now = state.params, state.opt_state, state.average
    params, opt_state, average = jax.lax.cond(every, advance, stay, now, grads)
    skipped = state.skipped + (taken & ~good)
    state = state._replace(
        params=params, opt_state=opt_state, average=average, step=state.step + taken, skipped=skipped
    )
    return state, StepLog(value, info, taken, finite)


@functools.partial(jax.jit, static_argnames=("setup", "length"), donate_argnames=("state",))
def run_steps(
    setup: Setup, state: TrainState, scan: Scan, hparams: HParams, *, length: int
) -> tuple[TrainState, StepLog]:
    """Take `length` steps from the first one of a scan on; those from its end on do nothing."""

    def run(state: TrainState, order: Order, hparams: HParams) -> tuple[TrainState, StepLog]:
        body = lambda state, i: _step(setup, state, scan._replace(order=order), hparams, i)  # noqa: E731
        return jax.lax.scan(body, state, scan.first + jnp.arange(length))

    return setup.over_members(run)(state, scan.order, hparams)


@functools.partial(jax.jit, static_argnames=("count",))
def shuffle(key: Key, epoch: ArrayLike, positions: ArrayLike | None = None, *, count: int) -> Order:
    """The order of the rows in an epoch, for each of the keys; row i lies at `positions[i]`, or at i."""

    def one(key: Key) -> Order:
        order = jax.random.permutation(_fresh_key(key, PERMUTATION, epoch), count)
        return order if positions is None else jnp.asarray(positions)[order]

    return jax.vmap(one)(key) if key.ndim else one(key)


def _average_over(
    setup: Setup,
    f: Callable[[Key, Array, Array | None], PyTree],
    key: Key,
    rows: Rows,
    order: Order,
    before: ArrayLike = 0,
) -> PyTree:
    """Mean of `f(key, x, context)`, a mean over a batch, over the rows at `order`; the last batch takes the rest."""
    count, size = len(order), setup.batch_size
    full = max(0, count // size - 1)
    rest = count - full * size  # a small batch would bias an estimate from batches, a total correlation

    def one(i: ArrayLike, length: int) -> PyTree:
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


def _calibration(setup: Setup) -> Calibration:
    calibration = setup.objective.calibration
    assert calibration is not None, "only objectives with a closed form are measured"
    return calibration


@functools.partial(jax.jit, static_argnames=("setup",))
def measure(setup: Setup, state: TrainState, rows: Rows, order: Order, before: ArrayLike = 0) -> list[Array]:
    """Mean over the rows of the statistic that the objective's closed form needs: of the parameters, and their average.

    `before` is the number of batches that were measured before these, so that their draws are not met again.
    """
    statistic = _calibration(setup).statistic

    def one(state: TrainState) -> list[Array]:
        key, means = _fresh_key(state.key, CALIBRATION, state.step), []
        for params in (state.params,) if state.average is None else (state.params, state.average):
            mean = lambda key, x, context, now=params: jnp.mean(statistic(setup.model, now, key, x, context))  # noqa: E731
            means.append(_average_over(setup, mean, key, rows, jnp.asarray(order), before))
        return means

    return setup.over_members(one)(state)


@functools.partial(jax.jit, static_argnames=("setup",), donate_argnames=("state",))
def absorb(setup: Setup, state: TrainState, measured: list[Array]) -> TrainState:
    """The state with the parameters that the objective has in closed form."""
    stored = _calibration(setup).absorb

    def one(state: TrainState, measured: list[Array]) -> TrainState:
        if state.average is not None:
            state = state._replace(average=stored(setup.model, state.average, measured[1]))
        return state._replace(params=stored(setup.model, state.params, measured[0]))

    return setup.over_members(one)(state, measured)


@functools.partial(jax.jit, static_argnames=("setup",), donate_argnames=("state",))
def evaluate(setup: Setup, state: TrainState, rows: Rows, hparams: HParams) -> tuple[TrainState, Info]:
    """Score held-out rows, with the same draws every time, and keep the parameters that score best."""

    def one(state: TrainState, hparams: HParams) -> tuple[TrainState, Info]:
        def score(key: Key, x: Array, context: Array | None) -> Info:
            objective = setup.objective.evaluation
            value, info = objective(setup.model, state.current, key, x, context, state.step, hparams)
            return {"value": value} | info

        key = _fresh_key(state.key, VALIDATION, 0)
        scores = _average_over(setup, score, key, rows, jnp.arange(len(rows.x)))
        better = jnp.isfinite(scores["value"]) & (scores["value"] > state.best_value)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.current, state.best)
        value = jnp.where(better, scores["value"], state.best_value).astype(state.best_value.dtype)
        stale = jnp.where(better | ~jnp.asarray(setup.objective.settled(state.step)), 0, state.stale + 1)
        return state._replace(best=best, best_value=value, stale=stale), scores

    return setup.over_members(one)(state, hparams)
