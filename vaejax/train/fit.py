"""Training: the functions that a user calls."""

from __future__ import annotations  # signatures show the names of types

import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from vaejax import objectives
from vaejax.checks import prng_key
from vaejax.data import Dataset, Split, Stream
from vaejax.data.inputs import PIXELS, Rows, checked_rows, is_grey, validation_rows
from vaejax.models import LatentModel
from vaejax.networks import in_precision
from vaejax.objectives import Objective
from vaejax.objectives.objective import HParams, Info
from vaejax.recipes import static
from vaejax.train import processes
from vaejax.train.cost import cost_of, default_parts
from vaejax.train.feed import Feed, Memory, Position, Streamed
from vaejax.train.identity import identity, settings, update_digest
from vaejax.train.loop import run_epochs
from vaejax.train.options import Data, Options, keywords
from vaejax.train.runs import Checkpoint, Run
from vaejax.train.schedule import UNKNOWN, Optimizer, for_steps, rows_of_a_step, with_steps
from vaejax.train.start import started
from vaejax.train.state import Fit, History, TrainState, initial_state
from vaejax.train.step import Setup
from vaejax.types import Array, ArrayLike, Key

__all__ = ["fit", "fit_ensemble"]

_GREY = "the Bernoulli score of values between 0 and 1 is not a likelihood (see transforms.binarize)"
_ENDLESS = (
    f"the stream does not say how many rows it has (Stream(rows=)): shares of the run are of {UNKNOWN} steps, and the "
    "default learning rate is constant"
)


@keywords(Options)
def fit(model: LatentModel, key: Key, data: Data, options: Options) -> Fit:
    """Train a model by stochastic gradients; an epoch is one compiled scan over shuffled rows.

    The data stay on the device as they are; uint8 pixels are scaled to [0, 1] inside the step. An
    epoch leaves out the rows that do not fill a batch, other ones each time; held-out rows are all
    scored. Step t draws from `fold_in(key, t)`, however the epoch is cut.

    A step with a number that is not finite is skipped and counted; after `max_skipped` of them in a
    row training stops with an error that names the term that blew up first.

    Without settings it does the best that is known of models of these kinds: Adam at 2e-3 that falls along a cosine,
    batches of 100, and the objective that the model brings (the zoo's members raise the weight of the divergence over
    the first 15 % of the steps, hierarchies over 30 %, and start from the data). `docs/measurements.md` compares it
    with a constant rate of 1e-3.

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
    mesh = options.mesh
    if mesh is None and jax.process_count() > 1:
        mesh = processes.all_devices()
    size, per_epoch = _sizes(source, options.batch_size, 1 if mesh is None or members is not None else mesh.size)
    count, shared = (size, "rows in a batch") if members is None else (members, "members")
    if mesh is not None and count % mesh.size:
        raise ValueError(f"mesh: expected a number of {shared} that {mesh.size} devices divide, got {count}")
    num_steps = per_epoch and per_epoch * options.epochs
    plan = _Plan(objective, options.optimizer)
    setup = Setup(
        in_precision(model, options.precision),
        *plan.of(num_steps),
        options.transform,
        size,
        options.average,
        1,
        mesh,
        members is not None,
    )
    feed: Feed = (
        Memory(setup, source) if isinstance(source, Rows) else Streamed(setup, source, options.context is not None)
    )
    keys = setup.over_members(jax.random.split)(key)
    params, origin = started(setup, keys[..., 0], options.init, options.start, feed.head)
    begin = lambda params, key: initial_state(params, key, setup.optimizer, setup.average > 0, held is not None)  # noqa: E731
    state = setup.over_members(begin)(params, keys[..., 1])
    hparams = _inject(state, options.hparams or {}, objective, key.shape)
    setup = setup._replace(parts=_parts(setup, feed.head, hparams, options.microbatch))
    feed.setup = setup
    reference = setup._replace(**dict(zip(("objective", "optimizer"), plan.of(num_steps and UNKNOWN), strict=True)))
    if jax.process_count() > 1:
        processes.require_same({"optimizer": update_digest(reference, state)})
    run = contextlib.nullcontext()
    if options.checkpoint is not None:
        this = identity(reference, options, feed.head, held, hparams, state)
        run = Run.open(options.checkpoint, this, resume=options.resume, every=options.checkpoint_every)
    if mesh is not None:
        held, both = processes.replicated(held, mesh), (state, hparams)
        over = NamedSharding(mesh, PartitionSpec("data"))
        state, hparams = processes.replicated(both, mesh) if members is None else jax.device_put(both, over)
    table = feed.head.x.dtype == jnp.uint8 and len(model.event_shape) < 3
    notes = {
        _GREY: is_grey(model, feed.head, options.transform),
        PIXELS: table and options.transform is None,
        origin: True,
        _ENDLESS: num_steps is None and plan.depends_on_steps,
    }
    history = History([note for note, holds in notes.items() if holds])
    planned = num_steps if plan.depends_on_steps else None
    first = Checkpoint(Position(0, 0), state, history, [], np.zeros(members or 1, int), planned)
    with processes.together(saved=options.checkpoint is not None), run as directory:
        return run_epochs(setup, options, feed, held, hparams, first, directory)


def _sizes(source: Rows | Stream, batch_size: int | None, devices: int) -> tuple[int, int | None]:
    """Rows of a step, and steps of an epoch where they are known."""
    known = len(source.x) if isinstance(source, Rows) else source.rows
    counts, size = processes.gathered(-1 if known is None else known), batch_size or rows_of_a_step(devices)
    if counts.min() < 0:
        return size, None
    total = int(counts.sum())
    size = min(size, total) if isinstance(source, Rows) else size
    return size, total // size


def _parts(setup: Setup, rows: Rows, hparams: HParams, microbatch: int | None) -> int:
    """Equal parts of a batch whose gradients are computed one after the other."""
    if microbatch is None:
        whole = setup.mesh is not None or not setup.objective.splits
        return 1 if whole else default_parts(cost_of(setup, rows, hparams), setup.batch_size)
    if setup.batch_size % microbatch:
        raise ValueError(f"microbatch: expected a divisor of the {setup.batch_size} rows of a step, got {microbatch}")
    if setup.mesh is not None and setup.batch_size != microbatch:
        raise ValueError("microbatch: expected None with mesh=, where every device has its part of the batch")
    return setup.batch_size // microbatch


class _Plan(NamedTuple):
    """Objective and optimiser, either of which may depend on the length of the run."""

    objective: Objective
    optimizer: Optimizer | None

    @property
    def depends_on_steps(self) -> bool:
        fixed = isinstance(self.optimizer, optax.GradientTransformation)
        return not fixed or self.objective.of_run(UNKNOWN) != self.objective.of_run(2 * UNKNOWN)

    def of(self, num_steps: int | None) -> tuple[Objective, optax.GradientTransformation]:
        """Both, of a run of so many steps."""
        return with_steps(self.objective, num_steps), for_steps(self.optimizer, num_steps)


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
