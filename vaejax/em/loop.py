"""The EM loop: one compiled `lax.scan` over steps, vectorised over restarts."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.em.family import family_of
from vaejax.em.progress import report
from vaejax.em.step import RESTARTS, Hyper, any_restart
from vaejax.models import LatentModel

__all__ = ["EMTrace", "run"]


class EMTrace(NamedTuple):
    """How an EM fit went, for the restart that is returned, as NumPy arrays. S is the number of steps asked for.

    Attributes:
      objective: mean log-likelihood of a row plus log-prior per row, nats, before each step and after
        the last, shape (S + 1,); frozen from the step at which the fit stopped.
      log_likelihood: mean log-likelihood of a row, nats, likewise.
      converged: whether two successive objectives differed by less than `tol`. Never true without a
        `tol`, or where a number was not finite.
      steps: number of steps taken.
      reseeds: components that started again in each step, shape (S,); the objective may fall there.
    """

    objective: Any
    log_likelihood: Any
    converged: Any
    steps: Any
    reseeds: Any


class _State(NamedTuple):
    params: Any
    objective: jax.Array
    log_likelihood: jax.Array
    converged: jax.Array
    stopped: jax.Array
    steps: jax.Array


@functools.partial(jax.jit, static_argnames=("missing", "num_steps", "num_restarts", "mesh", "progress"))
def run(
    model: LatentModel,
    key: jax.Array,
    rows: Any,
    params: Any,
    hyper: Hyper,
    tol: jax.Array,
    *,
    missing: bool,
    num_steps: int,
    num_restarts: int,
    mesh: Any,
    progress: bool = False,
) -> tuple[Any, EMTrace]:
    """Run all restarts and return the best; `params` is a starting point, or `None` to draw one for each."""
    family = family_of(model, missing)
    data = family.summarize(rows, mesh)

    def take(state: _State, key: jax.Array, index: jax.Array) -> tuple[_State, Any]:
        now = hyper._replace(may_reseed=index < num_steps // 2)
        result = family.step(model, state.params, data, now, jax.random.fold_in(key, index), mesh)
        leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(result.params)]
        finite = jnp.all(jnp.stack([*leaves, jnp.isfinite(result.objective)]))
        close = finite & (jnp.abs(result.objective - state.objective) < tol)
        # One more turn than there are steps: it only reads the objective of the last parameters.
        stopped = state.stopped | close | ~finite | (index == num_steps)
        keep = lambda old, new: jnp.where(stopped, old, new)  # noqa: E731
        freeze = lambda old, new: jnp.where(state.stopped, old, new)  # noqa: E731
        new = _State(
            jax.tree.map(keep, state.params, result.params),
            freeze(state.objective, result.objective),
            freeze(state.log_likelihood, result.log_likelihood),
            freeze(state.converged, close),
            stopped,
            state.steps + jnp.where(stopped, 0, 1),
        )
        if progress:
            report(jnp.minimum(index, num_steps - 1), jax.lax.pmax(new.objective, RESTARTS))
        reseeds = jnp.where(stopped, 0, result.reseeds)
        return new, (new.objective, new.log_likelihood, reseeds)

    def restart(key: jax.Array) -> tuple[Any, EMTrace]:
        key_start, key_steps = jax.random.split(key)
        first = family.start(model, key_start, data, hyper) if params is None else params
        nothing = jnp.full((), jnp.nan, hyper.floor.dtype)
        no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
        state = _State(first, nothing, nothing, no, no, zero)

        def body(state: _State, index: jax.Array) -> tuple[_State, Any]:
            rest = lambda: (state, (state.objective, state.log_likelihood, zero))  # noqa: E731
            return jax.lax.cond(any_restart(~state.stopped), lambda: take(state, key_steps, index), rest)

        state, (objective, log_likelihood, reseeds) = jax.lax.scan(body, state, jnp.arange(num_steps + 1))
        trace = EMTrace(objective, log_likelihood, state.converged, state.steps, reseeds[:-1])
        return state.params, trace

    # The first restarts are the same whatever their number: more of them are never worse.
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num_restarts))
    fitted, trace = jax.vmap(restart, axis_name=RESTARTS)(keys)
    final = trace.objective[:, -1]
    best = jnp.argmax(jnp.where(jnp.isfinite(final), final, -jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], (fitted, trace))
