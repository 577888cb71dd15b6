"""Choices that depend on the size of the data and the length of the run: batch, optimiser, warm-up."""

import functools
from collections.abc import Callable
from typing import TypeAlias

import optax

from vaejax.objectives import Objective

__all__ = ["UNKNOWN", "Optimizer", "cosine_adam", "for_steps", "made", "rows_of_a_step", "with_steps"]

Optimizer: TypeAlias = optax.GradientTransformation | Callable[[int], optax.GradientTransformation]
"""An optax transformation, or a function of the number of steps of the run that gives one."""

UNKNOWN = 10_000  # steps that a share is of, where a stream does not say its length
_RATE = 2e-3
_ROWS = 100
_LONGEST = 100.0  # norm of a gradient


def rows_of_a_step(devices: int = 1, size: int = _ROWS) -> int:
    """The default size of a batch, 100, as a multiple of the devices."""
    return max(devices, size // devices * devices)


@functools.cache
def cosine_adam(rate: float = _RATE) -> Callable[[int], optax.GradientTransformation]:
    """The default optimiser: Adam at `rate`, which falls to zero along a cosine over the run.

    Gradients longer than 100 are cut to that length: that of a batch of MNIST is about 40, and one batch in thousands,
    in which a deep prior has a scale close to zero, would throw Adam out for the rest of the run.
    """
    return lambda num_steps: _clipped(optax.cosine_decay_schedule(rate, num_steps))


def _clipped(rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(_LONGEST), optax.adam(rate))


@functools.lru_cache(maxsize=64)
def made(function: Callable[[int], optax.GradientTransformation], num_steps: int) -> optax.GradientTransformation:
    """One object for a length, so that a second fit does not compile again."""
    optimizer = function(num_steps)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(f"optimizer: expected a function that gives an optax transformation, it gave {optimizer!r}")
    return optimizer


def for_steps(given: Optimizer | None, num_steps: int | None) -> optax.GradientTransformation:
    """The optimiser of a run of so many steps; `None` where a stream does not say how many they are."""
    if isinstance(given, optax.GradientTransformation):
        return given
    if given is None and num_steps is None:
        return _constant()
    if num_steps is None:
        raise ValueError("optimizer: a function of the steps needs their number: give the stream's rows, Stream(rows=)")
    return made(given or cosine_adam(), max(1, num_steps))


@functools.cache
def _constant() -> optax.GradientTransformation:
    return _clipped(0.5 * _RATE)


def with_steps(objective: Objective, num_steps: int | None) -> Objective:
    """The objective of a run of so many steps."""
    return objective.of_run(UNKNOWN if num_steps is None else max(1, num_steps))
