"""Training: the functions that a user calls."""

from __future__ import annotations  # signatures show the names of types

import contextlib
from collections.abc import Callable, Mapping
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from vaejax import objectives
from vaejax.checks import prng_key, require_parameters
from vaejax.data import Dataset, Split, Stream
from vaejax.data.inputs import PIXELS, Rows, checked_rows, is_grey, validation_rows
from vaejax.models import LatentModel
from vaejax.networks import in_precision
from vaejax.objectives import Objective
from vaejax.objectives.objective import HParams, Info
from vaejax.recipes import static
from vaejax.train import processes
from vaejax.train.feed import Feed, Memory, Position, Streamed
from vaejax.train.loop import run_epochs
from vaejax.train.options import Data, Options, keywords
from vaejax.train.runs import Checkpoint, Run, identity, settings, update_digest
from vaejax.train.state import Fit, History, TrainState, initial_state
from vaejax.train.step import Setup
from vaejax.types import Array, ArrayLike, Key, Params

__all__ = ["fit", "fit_ensemble"]

_GREY = "the Bernoulli score of values between 0 and 1 is not a likelihood (see transforms.binarize)"
_ADAM = optax.adam(1e-3)  # one object, so that a second fit does not compile again


@keywords(Options)
def fit(model: LatentModel, key: Key, data: Data, options: Options) -> Fit:
    """Train a model by stochastic gradients; an epoch is one compiled scan over shuffled rows.

    The data stay on the device as they are; uint8 pixels are scaled to [0, 1] inside the step. An
    epoch leaves out the rows that do not fill a batch, other ones each time; held-out rows are all
    scored. Step t draws from `fold_in(key, t)`, however the epoch is cut.

    A step with a number that is not finite is skipped and counted; after `max_skipped` of them in a
    row training stops with an error that names the term that blew up first.

    Args:
      model: the model.
      key: for the initial parameters, the order of the rows and the draws.
      data: rows (N, ...) of floats or uint8 pixels, a `data.Split`, a `data.Dataset`, or a `data.Stream`
        (a function of the epoch or a Grain dataset will do), whose order is that of the steps. Among several
        processes (`jax.distributed`) each gives its share, and the same validation rows.
      options: of `Options`.

    Returns:
      A `Fit`: final and best parameters, history, state.

    Raises:
      ValueError: for data and settings that cannot be meant; it names expected and actual.
      FloatingPointError: after too many skipped steps.
      OSError: for a checkpoint that cannot be written; the one before it stays whole.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.vae((8, 8, 1), latent_dim=2, hidden=(16,))
    >>> result = vj.fit(model, jax.random.key(0), vj.data.digits(), epochs=2)
    >>> result.history["validation_elbo"].shape
    (2,)
    """
    return _train(model, prng_key("key", key), data, options)


@keywords(Options)
def fit_ensemble(model: LatentModel, keys: Key, data: Data, options: Options) -> Fit:
    """Train several members at once: seeds, weights, learning rates side by side, in one program.

    Member i is the result of `fit` with `keys[i]` and the i-th hyperparameters. On a CPU it costs the sum of
    the members; on an accelerator small members share the device. With `patience` training stops when every
    member has been without a better validation for so long, with `max_skipped` where one exceeds it.

    Args:
      model: the model.
      keys: a key for each member.
      data: as for `fit`, the same rows for all members, each in its own order.
      options: of `Options`.

    Returns:
      A `Fit` whose arrays have a leading axis of members; `member(i)` picks one.

    >>> import jax, jax.numpy as jnp, vaejax as vj
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> model = vj.zoo.vae((8, 8, 1), latent_dim=2, hidden=(16,))
    >>> fits = vj.fit_ensemble(model, keys, vj.data.digits(), hparams={"beta": jnp.array([1.0, 4.0])}, epochs=1)
    >>> fits.history["kl"].shape
    (2, 1)
    """
    keys = prng_key("keys", keys)
    if jnp.ndim(keys) != 1 or not len(keys):
        raise ValueError(f"keys: expected a vector of PRNG keys, got shape {jnp.shape(keys)}")
    if jax.process_count() > 1:
        raise ValueError("fit_ensemble: expected one process; members are split over the devices of one (mesh=)")
    return _train(model, keys, data, options)


def _train(model: LatentModel, key: Key, data: Data, options: Options) -> Fit:
    """Check everything, then draw the parameters and train; a vector of keys trains members."""
    members = len(key) if key.ndim else None
    processes.require_same(settings(model, key, options))
    objective = _objective(model, options.objective)
    source = _source(model, data, options)
    held = validation_rows(model, data, options.context, options.validation, options.transform)
    if options.patience is not None and held is None:
        raise ValueError("patience: expected validation rows to stop by, got none")
    mesh, size = options.mesh, options.batch_size
    if mesh is None and jax.process_count() > 1:
        mesh = processes.all_devices()
    if isinstance(source, Rows):
        size = min(size, int(processes.gathered(len(source.x)).sum()))
    count, shared = (size, "rows in a batch") if members is None else (members, "members")
    if mesh is not None and count % mesh.size:
        raise ValueError(f"mesh: expected a number of {shared} that {mesh.size} devices divide, got {count}")
    precise = in_precision(model, options.precision)
    optimizer, average = options.optimizer or _ADAM, options.average
    setup = Setup(precise, objective, optimizer, options.transform, size, average, mesh, members is not None)
    keys = setup.over_members(jax.random.split)(key)
    params = _start(setup.over_members(model.init), keys[..., 0], options.init)
    begin = lambda params, key: initial_state(params, key, optimizer, average > 0, held is not None)  # noqa: E731
    state = setup.over_members(begin)(params, keys[..., 1])
    if jax.process_count() > 1:
        processes.require_same({"optimizer": update_digest(setup, state)})
    hparams = _inject(state, options.hparams or {}, objective, key.shape)
    feed: Feed = (
        Memory(setup, source) if isinstance(source, Rows) else Streamed(setup, source, options.context is not None)
    )
    run = contextlib.nullcontext()
    if options.checkpoint is not None:
        this = identity(setup, options, feed.head, held, hparams, state)
        run = Run.open(options.checkpoint, this, resume=options.resume, every=options.checkpoint_every)
    if mesh is not None:
        held, both = processes.replicated(held, mesh), (state, hparams)
        over = NamedSharding(mesh, PartitionSpec("data"))
        state, hparams = processes.replicated(both, mesh) if members is None else jax.device_put(both, over)
    table = feed.head.x.dtype == jnp.uint8 and len(model.event_shape) < 3
    notes = {_GREY: is_grey(model, feed.head, options.transform), PIXELS: table and options.transform is None}
    history = History([note for note, holds in notes.items() if holds])
    first = Checkpoint(Position(0, 0), state, history, [], np.zeros(members or 1, int))
    with processes.together(saved=options.checkpoint is not None), run as directory:
        return run_epochs(setup, options, feed, held, hparams, first, directory)


@static
class _Function(Objective):
    """A user's function of a batch as an objective, which may read any hyperparameter."""

    function: Callable[..., tuple[Array, Info]]

    @property
    def accepts(self) -> None:
        return None

    def of_batch(self, model, params, key, x, context, step, hparams):
        return self.function(model, params, key, x, context, step, hparams)


def _objective(model: LatentModel, given: Objective | Callable[..., tuple[Array, Info]] | None) -> Objective:
    objective = objectives.for_model(model) if given is None else given
    objective = objective if isinstance(objective, Objective) else _Function(objective)
    if model.scale == "optimal" and objective.calibration is None:
        raise ValueError("heads.normal('optimal') is trained by objectives.optimal_sigma(), which alone sets its scale")
    return objective


def _source(model: LatentModel, data: Data, options: Options) -> Rows | Stream:
    """Rows in memory, or data that come piece by piece."""
    if isinstance(data, Dataset | Split | list | tuple | Mapping) or hasattr(data, "__array__"):
        return checked_rows(
            model, cast("ArrayLike", data), options.context, transform=options.transform
        )  # it refuses the lists
    if hasattr(data, "column_names") or hasattr(data, "columns"):
        raise ValueError("data: expected rows; of named columns make a Dataset with vaejax.data.from_columns")
    if not (options.context is None or isinstance(options.context, str)):
        raise ValueError('context: of a stream expected "labels" or None; its pieces bring their contexts')
    return data if isinstance(data, Stream) else Stream(data)


def _start(init: Callable[[Key], Params], key: Key, given: Params | None) -> Params:
    """The parameters to start from: drawn, or those given where they are shaped like the model's."""
    if given is None:
        return init(key)
    require_parameters("init", given, jax.eval_shape(init, key))
    return jax.tree.map(jnp.array, given)


def _inject(
    state: TrainState, given: Mapping[str, ArrayLike], objective: Objective, members: tuple[int, ...]
) -> HParams:
    """Hand the optimiser its hyperparameters; return those that are left, the objective's."""
    left, accepted = {}, objective.accepts
    is_injected = lambda node: hasattr(node, "hyperparams")  # noqa: E731
    injected = [node for node in jax.tree.leaves(state.opt_state, is_leaf=is_injected) if is_injected(node)]
    known = sorted({name for node in injected for name in node.hyperparams})
    for name, value in given.items():
        if jnp.shape(value)[: len(members)] != members:
            raise ValueError(f"hparams[{name!r}]: expected one value for each of {members[0]} members, got {value}")
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
            left[name] = jnp.asarray(value)
    return left
