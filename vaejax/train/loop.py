"""Loop over epochs on the host, and the numbers that it reads from the device after each."""

import contextlib
import sys
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows
from vaejax.objectives.objective import HParams
from vaejax.progress import Bar
from vaejax.train.calls import Calls
from vaejax.train.cost import cost_of, steps_of_a_scan
from vaejax.train.feed import Feed, Position
from vaejax.train.options import Options
from vaejax.train.processes import local
from vaejax.train.runs import Checkpoint, Run
from vaejax.train.state import Fit, StepLog, TrainState, joined
from vaejax.train.step import Setup, evaluate, run_steps
from vaejax.types import Params

__all__ = ["run_epochs"]


def run_epochs(
    setup: Setup, options: Options, feed: Feed, held: Rows | None, hparams: HParams, start: Checkpoint, run: Run | None
) -> Fit:
    """Train, calibrate and validate, epoch by epoch, from the run's last checkpoint where there is one."""
    begun = start if run is None else run.restore(start)
    position, state, history, logs, in_row, planned = begun
    patience, before = options.patience, int(np.max(state.step))
    calls = Calls(options.callback, options.callback_every, None if run is None else run.path)

    def is_over(state: TrainState) -> bool:
        return calls.ended(state) or (patience is not None and bool(np.all(np.asarray(state.stale) >= patience)))

    finished = position.epoch >= options.epochs or is_over(state)
    if run is not None and (words := run.resumed(begun, options, finished, start.planned)) is not None:
        history.notes += (words,)
        if options.progress and jax.process_index() == 0:
            print(f"vaejax: {words}", file=sys.stderr)
    images = setup.batch_size * (len(state.key) if setup.ensemble else 1)
    planned = planned if finished else start.planned
    length, clock = 0, time.perf_counter()
    with Bar(options.progress, options.epochs * feed.steps or None, "compiling", done=before) as bar:
        for epoch in range(position.epoch, options.epochs):
            if is_over(state):
                break
            started, first = time.perf_counter(), int(np.max(state.step)) - position.step
            length = length or _scan_length(setup, feed, state, hparams)
            with contextlib.closing(feed.scans(state.key, position, length)) as scans:
                for scan, position in scans:
                    state, log = run_steps(setup, state, scan, hparams, length=length)
                    logs.append(log)
                    if bar.visible:
                        done = first + position.step
                        speed = (done - before) * images / (time.perf_counter() - clock)
                        words = f"{_terms(jax.device_get(log))}  {speed:,.0f} images/s"
                        bar.update(done, words, f"epoch {epoch + 1}/{options.epochs}")
                    if run is not None and run.is_due() and (run.stopped or position.step != feed.steps):
                        run.save(Checkpoint(position, state, history, logs, in_row, planned))
                    if run is not None and run.stopped:
                        where = f"stopped at step {position.step} of epoch {epoch + 1}"
                        raise KeyboardInterrupt(f"{where}; {run.farewell}")
                    if calls.every == "scan" and calls.make(state, epoch + 1, _averages(jax.device_get(log))):
                        break
            if calls.ended(state):
                break
            if setup.objective.calibration is not None:
                state = feed.calibrated(state, epoch, length)
            scores = {}
            if held is not None:
                state, scores = evaluate(setup, state, held, hparams)
            log, logs, position = joined(logs), [], Position(epoch + 1, 0)
            row = _averages(log) | {f"validation_{name}": np.asarray(value) for name, value in scores.items()}
            row |= {"step": np.asarray(state.step), "skipped": np.asarray(state.skipped)}
            row["seconds"] = np.asarray(time.perf_counter() - started)
            taken = log.taken[0] if setup.ensemble else log.taken
            history.append(row, np.where(log.good, log.value, np.nan)[..., taken])
            in_row = _stop_if_stuck(log, in_row, first, options.max_skipped, history.notes)
            last = position.epoch == options.epochs or is_over(state)
            stops = calls.every == "epoch" and calls.make(state, epoch + 1, row)
            if run is not None and not stops and (last or run.is_due()):
                run.save(Checkpoint(position, state, history, logs, in_row, planned))
        if run is not None and not finished and calls.ended(state):
            run.save(Checkpoint(position, state, history, logs, in_row, planned))
    if calls.ended(state):
        history.notes += (f"the callback stopped the run at step {np.max(state.step)}",)
    if (skipped := np.max(state.skipped)) > 0:
        history.notes += (
            f"{skipped} of {np.max(state.step)} steps were skipped: they had numbers that are not finite",
        )
    params, best, state = local((state.current, _best(state), state))
    return Fit(params, best, history, state)


def _best(state: TrainState) -> Params:
    """The best parameters; of a member that was never scored with a finite number the last ones."""
    if state.best is None:
        return state.current
    known = np.isfinite(np.asarray(state.best_value))
    if known.all():
        return state.best
    shaped = lambda leaf: known.reshape(known.shape + (1,) * (np.ndim(leaf) - known.ndim))  # noqa: E731
    return jax.tree.map(lambda best, last: jnp.where(shaped(best), best, last), state.best, state.current)


def _averages(log: StepLog) -> dict[str, np.ndarray]:
    """Means over the steps that were taken; the axis of the steps is the last one of `value`."""
    good = log.good
    axis = good.ndim - 1

    def mean(leaf: np.ndarray) -> np.ndarray:
        weight = good.reshape(good.shape + (1,) * (leaf.ndim - good.ndim))
        count = weight.sum(axis)
        return np.where(count > 0, np.where(weight, leaf, 0.0).sum(axis) / np.maximum(count, 1), np.nan)

    return {name: mean(np.asarray(leaf, np.float64)) for name, leaf in ({"value": log.value} | log.info).items()}


def _terms(log: StepLog) -> str:
    """The objective and its terms, for the bar."""
    averages = _averages(log)
    names = [name for name in ("value", "log_likelihood", "kl") if name in averages]
    return "  ".join(f"{name.replace('_', ' ')} {np.mean(averages[name]):.2f}" for name in names)


def _blame(name: str) -> tuple[bool, bool, str]:
    """Order of culprits: terms, then the sums that follow from them, then gradients."""
    return name.startswith("the gradient"), name in ("elbo", "the objective"), name


def _stop_if_stuck(log: StepLog, in_row: np.ndarray, step: int, max_skipped: int, notes: Sequence[str]) -> np.ndarray:
    """Bad steps in a row of each member at the end of an epoch that began at `step` with `in_row` of them.

    Raises:
      FloatingPointError: where there were more than `max_skipped` in a row, with the term that was to blame.
    """
    bad = np.atleast_2d(~log.good & log.taken)
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
                f"larger floor{''.join(f'; {note}' for note in notes)}"
            )
    return in_row


def _scan_length(setup: Setup, feed: Feed, state: TrainState, hparams: HParams) -> int:
    """Steps in one compiled scan."""
    rows = setup.batch_size * (len(state.key) if setup.ensemble else 1)
    return steps_of_a_scan(cost_of(setup, feed.head, hparams), rows, feed.most)
