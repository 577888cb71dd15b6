"""The EM loop: one compiled `lax.scan` over steps, vectorised over restarts."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from vaejax.em.step import RESTARTS, Chunks, Either, EMStep, Hyper, any_restart
from vaejax.progress import Bar
from vaejax.types import Array, Key, Params

__all__ = ["EMTrace", "run", "watched"]

PATIENCE = 2.0  # seconds before a bar appears
_bars: list[Bar] = []


class EMTrace(NamedTuple):
    r"""How an EM fit went, for the restart that is returned, as NumPy arrays. S is the argument `num_steps`.

    Attributes:
      objective: mean log-likelihood of a row plus log-prior per row, nats, before each step and after
        the last; frozen from the step at which the fit stopped.
      log_likelihood: mean log-likelihood of a row, nats, likewise.
      converged: whether two successive objectives differed by less than `tol`. Never true without a
        `tol`, or where a number was not finite.
      steps: number of steps taken.
      reseeds: components that started again in each step; the objective may fall there.
      effective_rows: rows that each component explains (of weighted ones $(\sum w)^2/\sum w^2$ count).
      at_floor: whether a component stands on the variance floor in a direction in which the data do not.
      degenerate: whether it is that with the default floor, or explains fewer rows than its covariance needs: then its
        likelihood is no evidence for it, and a restart without such components is preferred.
    """

    objective: Float[Either, " S+1"]
    log_likelihood: Float[Either, " S+1"]
    converged: Bool[Either, ""]
    steps: Int[Either, ""]
    reseeds: Int[Either, " S"]
    effective_rows: Float[Either, " K"]
    at_floor: Bool[Either, " K"]
    degenerate: Bool[Either, " K"]


@contextlib.contextmanager
def watched(progress: bool, num_steps: int) -> Iterator[bool]:
    """A bar that the compiled loop feeds; gives whether it can be seen."""
    with Bar(progress, num_steps, "EM", patience=PATIENCE) as bar:
        _bars.append(bar)
        try:
            yield bar.visible
            jax.effects_barrier()
        finally:
            _bars.remove(bar)


def _report(step: Array, objective: Array) -> None:
    if _bars:
        _bars[-1].update(int(step) + 1, f"objective {float(objective):.4f}")  # in the standard frame


class _State(NamedTuple):
    params: Params
    objective: Array
    log_likelihood: Array
    converged: Array
    stopped: Array
    steps: Array


@functools.partial(jax.jit, static_argnames=("step", "num_steps", "num_restarts", "progress"))
def run(
    step: EMStep,
    key: Key,
    rows: Chunks,
    params: Params | None,
    hyper: Hyper,
    tol: Array,
    *,
    num_steps: int,
    num_restarts: int,
    progress: bool = False,
) -> tuple[Params, EMTrace]:
    """Run all restarts and return the best; `params` is a starting point, or `None` to draw one for each."""
    data = step.summarize(rows)
    count = rows.count**2 / jnp.sum(rows.w**2)

    def take(state: _State, hyper: Hyper, key: Key, index: Array) -> tuple[_State, Any]:
        now = hyper._replace(may_reseed=index < num_steps // 2)
        result = step.update(state.params, data, now, jax.random.fold_in(key, index))
        leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(result.params)]
        finite = jnp.all(jnp.stack([*leaves, jnp.isfinite(result.objective)]))
        close = finite & (jnp.abs(result.objective - state.objective) < tol)
        # One more turn than there are steps: it only reads the objective of the last parameters.
        stopped = state.stopped | close | ~finite | (index == num_steps)
        keep = lambda old, new: jnp.where(stopped, old, new).astype(old.dtype)  # noqa: E731
        freeze = lambda old, new: jnp.where(state.stopped, old, new).astype(old.dtype)  # noqa: E731
        new = _State(
            jax.tree.map(keep, state.params, result.params),
            freeze(state.objective, result.objective),
            freeze(state.log_likelihood, result.log_likelihood),
            freeze(state.converged, close),
            stopped,
            state.steps + jnp.where(stopped, 0, 1),
        )
        if progress:
            objective = jax.lax.pmax(new.objective, RESTARTS)
            jax.debug.callback(_report, jnp.minimum(index, num_steps - 1), objective)
        return new, (new.objective, new.log_likelihood, jnp.where(stopped, 0, result.reseeds).astype(jnp.int32))

    def restart(index: Array) -> tuple[Params, EMTrace]:
        key_start, key_steps = jax.random.split(jax.random.fold_in(key, index))
        given = hyper._replace(restart=index)
        first = step.start(key_start, data, given) if params is None else params
        first = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), first)
        settled = step.settled(first, data, given)
        nothing = jnp.full((), jnp.nan, float)
        no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
        state = _State(first, nothing, nothing, no, no, zero)

        def body(state: _State, index: Array) -> tuple[_State, Any]:
            rest = lambda: (state, (state.objective, state.log_likelihood, zero))  # noqa: E731
            return jax.lax.cond(any_restart(~state.stopped), lambda: take(state, settled, key_steps, index), rest)

        state, (objective, log_likelihood, reseeds) = jax.lax.scan(body, state, jnp.arange(num_steps + 1))
        effective, at_floor = step.shares(state.params) * count, step.at_floor(state.params, settled)
        degenerate = at_floor & ~settled.floor_given | (effective + settled.prior_count < step.least_rows)
        trace = EMTrace(
            objective, log_likelihood, state.converged, state.steps, reseeds[:-1], effective, at_floor, degenerate
        )
        return state.params, trace

    # The first restarts are the same whatever their number: more of them are never worse.
    fitted, trace = jax.vmap(restart, axis_name=RESTARTS)(jnp.arange(num_restarts))
    final = jnp.where(jnp.isfinite(trace.objective[:, -1]), trace.objective[:, -1], -jnp.inf)
    bad = jnp.where(jnp.isfinite(final), jnp.sum(trace.degenerate, 1), jnp.iinfo(jnp.int32).max)
    best = jnp.argmax(jnp.where(bad == jnp.min(bad), final, -jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], (fitted, trace))
