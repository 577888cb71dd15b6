"""Work and memory of a training step, counted in the trace of its objective, and the parts of a batch that follow."""

import functools
import math
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.data.inputs import Rows
from vaejax.models import LatentModel
from vaejax.objectives import Objective
from vaejax.objectives.objective import HParams
from vaejax.train.step import Setup
from vaejax.types import Params

__all__ = ["Cost", "cost_of", "default_parts", "steps_of_a_scan"]

_ROWS = 7919  # a prime: it divides the sizes of what each row has, and no others
_BACKWARD = 3  # a gradient is about three passes
_LARGE = 2**26  # bytes of activations of a batch, far more than a CPU's caches hold
_PART = 32  # rows of a part: with fewer, products are too narrow


class Cost(NamedTuple):
    """Cost of a pass over one row: floating-point operations, and bytes of everything that is computed."""

    operations: float
    activations: float


def cost_of(setup: Setup, rows: Rows, hparams: HParams) -> Cost:
    """Cost of the objective's value for one row of a setup."""
    batch = setup.batch_size
    x, context = (None if leaf is None else jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype) for leaf in rows)
    if setup.transform is not None:
        x = jax.eval_shape(setup.transform, jax.random.key(0), x)
    count = batch if setup.objective.accepts is None else _ROWS  # a user's function may be of that batch alone
    shapes = tuple(None if leaf is None else leaf.update(shape=(count, *leaf.shape[1:])) for leaf in (x, context))
    of_member = (jnp.shape(value)[setup.ensemble :] for value in hparams.values())
    return _cost(setup.model, setup.objective, *shapes, tuple(zip(hparams, of_member, strict=True)))


@functools.lru_cache(maxsize=256)
def _cost(
    model: LatentModel, objective: Objective, x: Any, context: Any, hparams: tuple[tuple[str, tuple[int, ...]], ...]
) -> Cost:
    params = jax.eval_shape(model.init, jax.random.key(0))

    def value(params: Params, x: Any, context: Any) -> Any:
        named = {name: jnp.ones(shape) for name, shape in hparams}
        return objective(model, params, jax.random.key(0), x, context, 0, named)

    return _counted(jax.make_jaxpr(value)(params, x, context).jaxpr, x.shape[0])


def _counted(jaxpr: Any, rows: int) -> Cost:
    operations = activations = 0.0
    for equation in jaxpr.eqns:
        inner = [_counted(part, rows) for part in _parts(equation)]
        if inner:
            times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            operations += times * sum(part.operations for part in inner)
            activations += times * sum(part.activations for part in inner)
            continue
        for variable in equation.outvars:
            shape, dtype = getattr(variable.aval, "shape", ()), getattr(variable.aval, "dtype", None)
            size = math.prod(shape)
            if size % rows or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
                continue
            work = 1
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                work = 2 * math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            operations += size / rows * work
            activations += size / rows * dtype.itemsize
    return Cost(operations, activations)


def _parts(equation: Any) -> list[Any]:
    """Jaxprs inside an equation."""
    found = []
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                found.append(inner)
    return found


def default_parts(cost: Cost, rows: int) -> int:
    """In how many equal parts the gradient of a batch is fastest.

    Whole on accelerators, and where all that a batch computes is at most 64 MiB; else the fewest parts of at most 32
    rows. On a CPU such parts find more of it in the caches.

    >>> default_parts(Cost(0.0, 76e3), 128), default_parts(Cost(0.0, 1.4e6), 128), default_parts(Cost(0.0, 1e9), 100)
    (1, 4, 4)
    """
    if jax.default_backend() != "cpu" or cost.activations * rows <= _LARGE:
        return 1
    return next(parts for parts in range(1, rows + 1) if rows % parts == 0 and rows / parts <= _PART)


def steps_of_a_scan(cost: Cost, rows: int, steps: int) -> int:
    """Steps in one scan: all, or about two seconds of them where they are estimated to take over five."""
    rate = 2.5e10 * (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1e13
    seconds = steps * rows * _BACKWARD * cost.operations / rate
    return steps if seconds <= 5.0 else max(1, math.ceil(steps / math.ceil(seconds / 2.0)))
