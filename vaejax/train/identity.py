"""Identity of a run: what two calls must share to be the same one."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vaejax.data.inputs import Rows
from vaejax.models import LatentModel
from vaejax.objectives.objective import HParams
from vaejax.recipes import digest
from vaejax.train.options import Options
from vaejax.train.processes import texts
from vaejax.train.runs import flat
from vaejax.train.saved import recipe_or_none
from vaejax.train.state import TrainState
from vaejax.train.step import Setup
from vaejax.types import Key, PyTree

__all__ = ["identity", "settings", "update_digest"]

_FORMAT = 5


def identity(
    setup: Setup, options: Options, rows: Rows, held: Rows | None, hparams: HParams, state: TrainState
) -> dict[str, Any]:
    """Facts that two runs must share to be the same one; under `options` stand those that may differ.

    `setup` is that of a run of a fixed length: schedules that depend on it are compared at that one.
    """
    content = texts(digest(flat(rows)))
    return {
        "format": _FORMAT,
        "model": text(setup.model),
        "recipe": recipe_or_none(setup.model),
        "objective": text(setup.objective),
        "transform": text(setup.transform),
        "optimizer": text(jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), state.opt_state)),
        "batch_size": setup.batch_size,
        "microbatch": setup.batch_size // setup.parts,
        "average": setup.average,
        "members": len(state.key) if setup.ensemble else None,
        "start": digest(flat((state, hparams))),
        "data": content if len(content) > 1 else content[0],
        "validation": None if held is None else digest(flat(held)),
        "jax": jax.__version__,
        "update": update_digest(setup, state),
        "options": {"epochs": options.epochs, "patience": options.patience, "max_skipped": options.max_skipped},
    }


def update_digest(setup: Setup, state: TrainState) -> str:
    """A checksum of the optimiser's update as JAX traces it, with its constants: the learning rate, a schedule."""

    def update(state: TrainState) -> PyTree:
        step = optax.with_extra_args_support(setup.optimizer).update
        return step(state.params, state.opt_state, state.params, value=jnp.zeros(()))

    traced = jax.make_jaxpr(setup.over_members(update))(state)
    return digest((text(traced.jaxpr), traced.consts))


def settings(model: LatentModel, key: Key, options: Options) -> dict[str, str]:
    """What all processes of a run must share beside the data, as text."""
    alike = {"objective", "epochs", "batch_size", "patience", "transform", "average", "compute_dtype", "max_skipped"}
    alike |= {"microbatch", "start", "callback_every", "extend"}
    named: dict[str, Any] = {name: getattr(options, name) for name in sorted(alike)}
    named |= {name: getattr(options, name) is not None for name in ("checkpoint", "callback")}
    named |= {"model": model, "key": jax.random.key_data(key).tolist()}
    return {name: text(value) for name, value in named.items()}


def text(value: Any) -> str:
    """How a value shows itself, without places in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
