"""Checks of what a user asks of training, and where hyperparameters go."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vaejax.data import Dataset, Split, Stream
from vaejax.models import LatentModel
from vaejax.train.state import TrainState

__all__ = ["as_stream", "check_mesh", "inject", "like_init"]


def as_stream(data: Any) -> Stream | None:
    """Data that come piece by piece, or `None` for rows in memory; what is neither is left to `prepare`."""
    if isinstance(data, Stream):
        return data
    if isinstance(data, Dataset | Split | list | tuple | Mapping) or hasattr(data, "__array__"):
        return None
    if hasattr(data, "column_names") or hasattr(data, "columns"):
        raise ValueError("data: expected rows; of named columns make a Dataset with vaejax.data.from_columns")
    return Stream(data)


def like_init(model: LatentModel, init: Any) -> Any:
    """The parameters to start from, where they are shaped like the model's."""
    wanted = jax.eval_shape(model.init, jax.random.key(0))
    if jax.tree.structure(init) != jax.tree.structure(wanted):
        raise ValueError(f"init: expected parameters like {jax.tree.structure(wanted)}, got {jax.tree.structure(init)}")
    for (path, leaf), given in zip(jax.tree_util.tree_flatten_with_path(wanted)[0], jax.tree.leaves(init), strict=True):
        if jnp.shape(given) != leaf.shape:
            where = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(f"init {where}: expected shape {leaf.shape}, got {jnp.shape(given)}")
    return jax.tree.map(jnp.array, init)


def inject(state: TrainState, hparams: dict[str, Any], objective: Any) -> dict[str, Any]:
    """Hand the optimiser its hyperparameters; return what is left, the objective's."""
    left, accepted = {}, getattr(objective, "accepts", None)
    is_injected = lambda node: hasattr(node, "hyperparams")  # noqa: E731
    injected = [node for node in jax.tree.leaves(state.opt_state, is_leaf=is_injected) if is_injected(node)]
    known = sorted({name for node in injected for name in node.hyperparams})
    for name, value in hparams.items():
        owners = [node for node in injected if name in node.hyperparams]
        if any(name in getattr(node, "hyperparams_states", {}) for node in owners):
            raise ValueError(f"hparams[{name!r}]: the optimiser has a schedule for it; inject a number instead")
        for node in owners:
            node.hyperparams[name] = jnp.array(value, node.hyperparams[name].dtype)  # a copy: steps are given it
        if not owners and accepted is not None and name not in accepted:
            raise ValueError(
                f"hparams: the objective accepts {', '.join(accepted) or 'none'} and the optimiser "
                f"{', '.join(known) or 'none (see optax.inject_hyperparams)'}, got {name}"
            )
        if not owners:
            left[name] = value
    return left


def check_mesh(mesh: Mesh | None, size: int, members: int | None) -> None:
    """Raise `ValueError` for devices that cannot share the rows of a batch, or the members."""
    if mesh is None:
        return
    if getattr(mesh, "axis_names", None) != ("data",):
        raise ValueError(f"mesh: expected a jax.sharding.Mesh with the one axis 'data', got {mesh!r}")
    count, what = (size, "rows in a batch") if members is None else (members, "members")
    if count % mesh.size:
        raise ValueError(f"mesh: expected a number of {what} that {mesh.size} devices divide, got {count}")
