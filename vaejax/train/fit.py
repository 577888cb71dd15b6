"""Training: what a user calls."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaejax import objectives
from vaejax.data.inputs import checked_rows, is_grey, validation_rows
from vaejax.models import LatentModel
from vaejax.networks import in_precision
from vaejax.objectives.sigma import has_optimal_scale
from vaejax.train import processes
from vaejax.train.checks import as_stream, check_mesh, inject, like_init
from vaejax.train.feed import Memory, Streamed
from vaejax.train.loop import run_epochs
from vaejax.train.runs import Run, identity
from vaejax.train.state import Fit, initial_state
from vaejax.train.step import Setup

__all__ = ["fit", "fit_ensemble"]

_GREY = "the Bernoulli score of values between 0 and 1 is not a likelihood (see transforms.binarize)"
_ADAM = optax.adam(1e-3)  # one object, so that a second fit does not compile again


def fit(
    model: LatentModel,
    key: jax.Array,
    data: Any,
    *,
    objective: Any = None,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int,
    batch_size: int = 128,
    context: Any = None,
    validation: Any = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    patience: int | None = None,
    transform: Any = None,
    init: Any = None,
    average: float = 0.0,
    compute_dtype: str | None = None,
    max_skipped: int = 20,
    progress: bool = True,
    mesh: Mesh | None = None,
) -> Fit:
    """Train a model by stochastic gradients; an epoch is one compiled scan over shuffled rows.

    The data stay on the device as they are; uint8 pixels are scaled to [0, 1] inside the step. An
    epoch leaves out the rows that do not fill a batch, other ones each time; held-out rows are all
    scored. Step t draws from `fold_in(key, t)`, however the epoch is cut.

    A step with a number that is not finite is skipped and counted; after `max_skipped` of them in a
    row training stops with an error that says what blew up first.

    Args:
      model: the model.
      key: a PRNG key, for the initial parameters, the order of the rows and the draws.
      data: rows (N, ...) of floats or uint8 pixels, a `data.Split`, a `data.Dataset`, or a `data.Stream`
        (a function of the epoch or a Grain dataset will do), whose order is that of the steps. Among several
        processes (`jax.distributed`) each gives its share, and the same validation rows.
      objective: of `vaejax.objectives`, or a function of the same signature. Default: the model's own
        (`objectives.for_model`).
      optimizer: any optax transformation; `optax.adam(1e-3)` unless told otherwise. It compares by
        identity: keep one object for several fits, and they compile once.
      epochs: passes over the rows.
      batch_size: rows of a step; all of them where there are fewer.
      context: what the model is conditioned on: `"labels"` for those of the split, labels (N,), or
        vectors (N, context_dim).
      validation: held-out rows, in the forms of `data` (with a context that is an array: the pair
        `(x, context)`). Default: a `Dataset`'s own validation part.
      checkpoint: a folder for the run: killed at any moment and started again by the same call it gives,
        bit for bit, what it would have given. A folder of another run is refused (of the optimiser the
        form of its state is compared, not its learning rate), and so is a second process in the same
        one; of a finished run nothing is computed again.
      checkpoint_every: seconds between checkpoints.
      resume: `False` refuses a folder that holds a run.
      patience: stop after this many epochs without a better validation.
      transform: `transform(key, x)` of each batch, inside the step: `transforms.binarize`,
        `transforms.dequantize(levels)`, or any function in JAX.
      init: parameters to start from.
      average: decay of a moving average of the parameters, 0.999 say, which is then what is
        validated and returned; it is at most (1 + t) / (10 + t) at step t, so that the start is forgotten; 0 for none.
      compute_dtype: precision of the networks, `"bfloat16"`; parameters and likelihoods stay float32.
      max_skipped: steps in a row that may be skipped; it is looked at when an epoch ends.
      progress: show a bar, on a terminal or in a notebook.
      mesh: devices with one axis named `"data"` to split each batch over.

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
    key_init, key = jax.random.split(key)
    return _train(
        model,
        model.init(key_init) if init is None else like_init(model, init),
        key,
        data,
        hparams={},
        ensemble=False,
        objective=objective,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        context=context,
        validation=validation,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        patience=patience,
        transform=transform,
        average=average,
        compute_dtype=compute_dtype,
        max_skipped=max_skipped,
        progress=progress,
        mesh=mesh,
    )


def fit_ensemble(
    model: LatentModel, keys: jax.Array, data: Any, *, hparams: dict[str, Any] | None = None, **options: Any
) -> Fit:
    """Train several members at once: seeds, weights, learning rates side by side, in one program.

    Member i is what `fit` makes of `keys[i]` and the i-th hyperparameters. On a CPU it costs the sum of
    the members; on an accelerator small members share the device.

    Args:
      model: the model.
      keys: a key for each member.
      data: as for `fit`, the same rows for all members, each in its own order.
      hparams: arrays with a value for each member: names that the objective accepts (`beta`, ...), or
        that the optimiser has been given by `optax.inject_hyperparams` (`learning_rate`, ...).
      **options: the keywords of `fit`, but for `init`. With `patience` training stops when every member
        has been without a better validation for so long, with `max_skipped` where one exceeds it; a
        `mesh` splits the members over its devices.

    Returns:
      A `Fit` whose arrays have a leading axis of members; `member(i)` picks one.

    >>> import jax, jax.numpy as jnp, vaejax as vj
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> model = vj.zoo.vae((8, 8, 1), latent_dim=2, hidden=(16,))
    >>> fits = vj.fit_ensemble(model, keys, vj.data.digits(), hparams={"beta": jnp.array([1.0, 4.0])}, epochs=1)
    >>> fits.history["kl"].shape
    (2, 1)
    """
    if jnp.ndim(keys) != 1 or not len(keys):
        raise ValueError(f"keys: expected a vector of PRNG keys, got shape {jnp.shape(keys)}")
    hparams = {name: jnp.asarray(value) for name, value in (hparams or {}).items()}
    for name, value in hparams.items():
        if value.shape[:1] != keys.shape:
            raise ValueError(f"hparams[{name!r}]: expected one value for each of {len(keys)} members, got {value}")
    both = jax.vmap(jax.random.split)(keys)
    params = jax.vmap(model.init)(both[:, 0])
    return _train(model, params, both[:, 1], data, hparams, True, **options)


def _train(
    model: LatentModel,
    params: Any,
    key: jax.Array,
    data: Any,
    hparams: dict[str, Any],
    ensemble: bool,
    *,
    epochs: int,
    objective: Any = None,
    optimizer: optax.GradientTransformation | None = None,
    batch_size: int = 128,
    context: Any = None,
    validation: Any = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    resume: bool = True,
    patience: int | None = None,
    transform: Any = None,
    average: float = 0.0,
    compute_dtype: str | None = None,
    max_skipped: int = 20,
    progress: bool = True,
    mesh: Mesh | None = None,
) -> Fit:
    counts = [("epochs", epochs, 0), ("batch_size", batch_size, 1), ("max_skipped", max_skipped, 0)]
    for name, value, least in counts + ([] if patience is None else [("patience", patience, 1)]):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    if compute_dtype not in (None, "float16", "bfloat16", "float32", "float64"):
        raise ValueError(f"compute_dtype: expected bfloat16, float16, float32 or float64, got {compute_dtype!r}")
    if not 0 <= average < 1:
        raise ValueError(f"average: expected a decay in [0, 1), got {average!r}")
    objective = objectives.for_model(model) if objective is None else objective
    if has_optimal_scale(model) and getattr(objective, "calibration", None) is None:
        raise ValueError("heads.normal('optimal') is trained by objectives.optimal_sigma(), which alone sets its scale")
    if jax.process_count() > 1 and ensemble:
        raise ValueError("fit_ensemble: expected one process; members are split over the devices of one (mesh=)")
    mesh = processes.all_devices() if mesh is None and jax.process_count() > 1 else mesh
    stream = as_stream(data)
    if stream is not None and not (context is None or isinstance(context, str)):
        raise ValueError('context: of a stream expected "labels" or None; its pieces bring their contexts')
    held = validation_rows(model, data, context, validation, transform)
    if patience is not None and held is None:
        raise ValueError("patience: expected validation rows to stop by, got none")
    rows = checked_rows(model, data, context, transform=transform) if stream is None else None
    count = None if rows is None else processes.total(len(rows.x))
    size = batch_size if count is None else min(batch_size, count)
    check_mesh(mesh, size, len(key) if ensemble else None)
    setup = Setup(
        model if compute_dtype is None else in_precision(model, compute_dtype),
        objective,
        optimizer or _ADAM,
        transform,
        size,
        average,
        mesh,
        ensemble,
    )
    begin = lambda params, key: initial_state(params, setup.optimizer, key, average > 0, held is not None)  # noqa: E731
    state = jax.vmap(begin)(params, key) if ensemble else begin(params, key)
    hparams = inject(state, hparams, objective)
    feed: Any = Memory(setup, rows) if rows is not None else Streamed(setup, stream, context is not None)  # type: ignore[arg-type]
    told = None if checkpoint is None else identity(setup, key, feed.head, held, hparams, state)
    if mesh is not None:
        held = processes.replicated(held, mesh)
        both, members = (state, hparams), NamedSharding(mesh, PartitionSpec("data"))
        state, hparams = jax.device_put(both, members) if ensemble else processes.replicated(both, mesh)
    notes = [_GREY] if is_grey(model, feed.head, transform) else []
    options = (epochs, patience, max_skipped, progress, notes)
    with processes.together(saved=checkpoint is not None):
        if checkpoint is None or told is None:
            return run_epochs(setup, state, feed, held, hparams, *options, None)
        with Run(checkpoint, told, resume=resume, every=checkpoint_every) as run:
            return run_epochs(setup, state, feed, held, hparams, *options, run)
