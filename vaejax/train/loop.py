"""The loop over epochs on the host, and what it reads from the device after each."""

import contextlib
import math
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows
from vaejax.train.feed import Memory, Position, Streamed
from vaejax.train.processes import local
from vaejax.train.progress import Progress
from vaejax.train.runs import Run, joined
from vaejax.train.state import Fit, History, TrainState
from vaejax.train.step import Setup, StepLog, evaluate, run_steps

__all__ = ["run_epochs"]


def run_epochs(
    setup: Setup,
    state: TrainState,
    feed: Memory | Streamed,
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
    with Progress(progress, epochs, feed.steps, setup.batch_size * members, int(np.max(state.step))) as bar:
        length = 0
        for epoch in range(begun.epoch, epochs):
            if exhausted(state):
                break
            start, before = time.perf_counter(), int(np.max(state.step))
            length = length or _scan_length(setup, state, *feed.example(state.key), hparams)
            at = begun if epoch == begun.epoch else Position(epoch, 0)
            before -= at.step
            with contextlib.closing(feed.pieces(state.key, at, length)) as pieces:
                for piece in pieces:
                    part = piece.rows, piece.order, hparams, piece.first, piece.end
                    state, log = run_steps(setup, state, *part, length=length)
                    logs.append(log)
                    at = piece.after
                    if bar.visible:
                        bar.show(epoch, before + at.step, _averages(jax.tree.map(np.asarray, log)))
                    if run is not None and run.wanted() and (run.stopped or at.step != feed.steps):
                        run.save(at, state, history, logs, in_row)
                    if run is not None and run.stopped:
                        raise KeyboardInterrupt(f"stopped at step {at.step} of epoch {epoch + 1}; {run.farewell}")
            if getattr(setup.objective, "calibration", None) is not None:
                state = feed.calibrated(state, epoch, length)
            scores = {}
            if held is not None:
                state, scores = evaluate(setup, state, held, hparams)
            log, logs = joined(logs), []
            row = _averages(log) | {f"validation_{name}": np.asarray(value) for name, value in scores.items()}
            row |= {"step": np.asarray(state.step), "skipped": np.asarray(state.skipped)}
            row["seconds"] = np.asarray(time.perf_counter() - start)
            taken = log.taken[0] if setup.ensemble else log.taken
            history.append(row, np.where(_good(log), log.value, np.nan)[..., taken])
            in_row = _stop_if_stuck(log, in_row, before, max_skipped)
            if run is not None and (epoch == epochs - 1 or exhausted(state) or run.wanted()):
                run.save(Position(epoch + 1, 0), state, history, [], in_row)
    params = state.current
    best = params
    if held is not None:  # of a member that was never scored with a finite number the last parameters stand
        known = np.isfinite(np.asarray(state.best_value))
        shaped = lambda leaf: known.reshape(known.shape + (1,) * (np.ndim(leaf) - known.ndim))  # noqa: E731
        best = jax.tree.map(lambda b, p: jnp.where(shaped(b), b, p), state.best, params)
    params, best, state = local((params, best, state))
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


def _scan_length(setup: Setup, state: TrainState, rows: Rows, order: Any, steps: int, hparams: dict[str, Any]) -> int:
    """Steps in one scan: all, or about two seconds of them where they are estimated to take over five."""
    lowered = run_steps.lower(setup, state, rows, order, hparams, 0, 1, length=1)
    work = (lowered.cost_analysis() or {}).get("flops", 0.0)
    rate = 2.5e10 * (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1e13
    seconds = steps * work / rate
    return steps if seconds <= 5.0 else max(1, math.ceil(steps / math.ceil(seconds / 2.0)))
