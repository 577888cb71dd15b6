"""Parameters to start from: given, drawn from the key, or brought to where the data lie."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.checks import require_parameters
from vaejax.data.inputs import Rows
from vaejax.train.processes import gathered
from vaejax.train.step import Setup
from vaejax.types import Array, Key, Params

__all__ = ["Start", "started"]

Start = Literal["data", "key"]
_ROWS = 2**16  # of which the moments are taken


def started(setup: Setup, key: Key, given: Params | None, start: Start | None, rows: Rows) -> tuple[Params, str]:
    """The parameters, of all members where there are several, and words for where they come from."""
    init = setup.over_members(setup.model.init)
    if given is not None:
        if start is not None:
            raise ValueError(f"start: expected None with init=, got {start!r}")
        require_parameters("init", given, jax.eval_shape(init, key))
        return jax.tree.map(jnp.array, given), "started from the parameters that were given"
    if start == "key" or (start is None and not setup.objective.warms_up):
        return init(key), "started from the key"
    x = rows.x[:: -(-len(rows.x) // _ROWS)]
    means, variances = (gathered(np.asarray(part, np.float64)) for part in _moments(setup, x))
    share = gathered(len(x)).reshape(-1, *(1 for _ in means.shape[1:])) / gathered(len(x)).sum()
    mean = np.sum(share * means, 0)
    variance = np.sum(share * (variances + (means - mean[None]) ** 2), 0)
    parts = (jnp.asarray(part, jnp.result_type(float)) for part in (mean, np.sqrt(variance)))
    return _moved(setup, init(key), *parts), "started from the data"


@functools.partial(jax.jit, static_argnames=("setup",))
def _moments(setup: Setup, x: Array) -> tuple[Array, Array]:
    """Mean and variance of each entry, as the likelihood sees it."""
    x = x if setup.transform is None else setup.transform(jax.random.key(0), x)
    events = jax.vmap(setup.model.event)(x)
    mean = jnp.mean(events, 0)
    return mean, jnp.mean((events - mean[None]) ** 2, 0)


@functools.partial(jax.jit, static_argnames=("setup",))
def _moved(setup: Setup, params: Params, mean: Array, deviation: Array) -> Params:
    return setup.over_members(lambda params: setup.model.from_data(params, mean, deviation))(params)
