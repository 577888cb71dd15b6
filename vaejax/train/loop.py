"""The loop over epochs on the host, and what it reads from the device after each."""

import math
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.inputs import Rows
from vaejax.train.progress import Progress
from vaejax.train.runs import Position, Run, joined
from vaejax.train.state import Fit, History, TrainState
from vaejax.train.step import Setup, StepLog, calibrate, evaluate, run_steps, shuffle

__all__ = ["run_epochs"]


def run_epochs(
    setup: Setup,
    state: TrainState,
    rows: Rows,
    held: Rows | None,
    hparams: dict[str, Any],
    epochs: int,
    patience: int | None,
    max_skipped: int,
    progress: bool,
    notes: list[str],
    run: Run | None,
) -> Fit:
    """Train, calibrate and validate, epoch by epoch, from the run's last checkpoint where there is one."""
    history, logs, begun = History(notes=notes), [], Position(0, 0)
    members = len(state.key) if setup.ensemble else 1
    in_row = np.zeros(members, int)
    found = run.restore(state, history) if run is not None else None
    if found is not None:
        begun, state, logs, in_row = found
    exhausted = lambda state: patience is not None and np.all(np.asarray(state.stale) >= patience)  # noqa: E731
    done = begun.epoch * setup.steps + begun.step
    with Progress(progress, epochs, setup.steps, setup.batch_size * members, done) as bar:
        length = 0
        for epoch in range(begun.epoch, epochs):
            if exhausted(state):
                break
            start = time.perf_counter()
            order = shuffle(setup, state.key, epoch, count=len(rows.x))
            length = length or _scan_length(setup, state, rows, order, hparams)
            first = begun.step if epoch == begun.epoch else 0
            while first < setup.steps:
                state, log = run_steps(setup, state, rows, order, hparams, first, length=length)
                first = min(first + length, setup.steps)
                logs.append(log)
                if bar.visible:
                    bar.show(epoch * setup.steps + first, _averages(jax.tree.map(np.asarray, log)))
                if run is not None and (run.stopped or (first < setup.steps and run.due())):
                    run.save(Position(epoch, first), state, history, logs, in_row)
                if run is not None and run.stopped:
                    raise KeyboardInterrupt(f"stopped at step {first} of epoch {epoch + 1}; {run.farewell}")
            if getattr(setup.objective, "calibration", None) is not None:
                state = calibrate(setup, state, rows)
            scores = {}
            if held is not None:
                state, scores = evaluate(setup, state, held, hparams)
            log, logs = joined(logs), []
            row = _averages(log) | {f"validation_{name}": np.asarray(value) for name, value in scores.items()}
            row |= {"step": np.asarray(state.step), "skipped": np.asarray(state.skipped)}
            row["seconds"] = np.asarray(time.perf_counter() - start)
            taken = log.taken[0] if setup.ensemble else log.taken
            history.append(row, np.where(_good(log), log.value, np.nan)[..., taken])
            in_row = _stop_if_stuck(log, in_row, epoch * setup.steps, max_skipped)
            if run is not None and (run.due() or epoch == epochs - 1 or exhausted(state)):
                run.save(Position(epoch + 1, 0), state, history, [], in_row)
    params = state.current
    best = params
    if held is not None:  # of a member that was never scored with a finite number the last parameters stand
        known = np.isfinite(np.asarray(state.best_value))
        shaped = lambda leaf: known.reshape(known.shape + (1,) * (np.ndim(leaf) - known.ndim))  # noqa: E731
        best = jax.tree.map(lambda b, p: jnp.where(shaped(b), b, p), state.best, params)
    return Fit(params, best, history, state)


def _good(log: StepLog) -> np.ndarray:
    return np.logical_and.reduce([*log.finite.values(), log.taken])


def _averages(log: StepLog) -> dict[str, np.ndarray]:
    """Means over the steps that were taken; the axis of the steps is the last one of `value`."""
    good = _good(log)
    axis = good.ndim - 1

    def mean(leaf: np.ndarray) -> np.ndarray:
        weight = good.reshape(good.shape + (1,) * (leaf.ndim - good.ndim))
        count = np.maximum(weight.sum(axis), 1)
        return np.where(weight.sum(axis) > 0, np.where(weight, leaf, 0.0).sum(axis) / count, np.nan)

    return {name: mean(np.asarray(leaf, np.float64)) for name, leaf in ({"value": log.value} | log.info).items()}


def _blame(name: str) -> tuple[bool, bool, str]:
    """Order of culprits: terms, then the sums that follow from them, then gradients."""
    return name.startswith("the gradient"), name in ("elbo", "the objective"), name


def _stop_if_stuck(log: StepLog, in_row: np.ndarray, step: int, max_skipped: int) -> np.ndarray:
    """Bad steps in a row of each member at the end of an epoch that began at `step` with `in_row` of them.

    Raises:
      FloatingPointError: where there were more than `max_skipped` in a row, with the term that was to blame.
    """
    bad = np.atleast_2d(~_good(log) & log.taken)
    for i in range(int(log.taken.sum(-1).max())):
        in_row = np.where(bad[:, i], in_row + 1, 0)
        if in_row.max() > max_skipped:
            member = int(in_row.argmax())
            first = max(0, i + 1 - int(in_row[member]))
            flags = {name: np.atleast_2d(flag)[member, first] for name, flag in log.finite.items()}
            culprits = sorted((name for name, good in flags.items() if not good), key=_blame)
            raise FloatingPointError(
                f"training stopped at step {step + i + 1}: {int(in_row[member])} steps in a row had numbers that are "
                f"not finite (first in {', '.join(culprits[:4])}{', ...' if len(culprits) > 4 else ''}). "
                "Lower the learning rate, clip gradients (optax.clip_by_global_norm), or give a learned scale a "
                "larger floor"
            )
    return in_row


def _scan_length(setup: Setup, state: TrainState, rows: Rows, order: jax.Array, hparams: dict[str, Any]) -> int:
    """Steps in one scan: an epoch's, or about two seconds of it where it is estimated to take over five."""
    lowered = run_steps.lower(setup, state, rows, order, hparams, 0, length=setup.steps)
    work = (lowered.cost_analysis() or {}).get("flops", 0.0)  # a loop's body is counted once
    rate = 2.5e10 * (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1e13
    seconds = setup.steps * work / rate
    return setup.steps if seconds <= 5.0 else max(1, math.ceil(setup.steps / math.ceil(seconds / 2.0)))
