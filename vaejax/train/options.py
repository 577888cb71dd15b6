"""Options of training: one record, whose fields are the keywords of `fit` and `fit_ensemble`."""

from __future__ import annotations  # signatures show the names of types

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeAlias, get_args

import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from vaejax.checks import require_choice, require_integer, require_number
from vaejax.data import Dataset, Split, Stream
from vaejax.models import LatentModel
from vaejax.objectives import Objective
from vaejax.objectives.objective import Info
from vaejax.train.calls import Callback
from vaejax.train.schedule import Optimizer
from vaejax.train.start import Start
from vaejax.train.state import Fit
from vaejax.types import Array, ArrayLike, Key, Params, Precision, Transform

__all__ = ["Data", "Options", "keywords"]

Data: TypeAlias = ArrayLike | Split | Dataset | Stream | Iterable[Any] | Callable[[int], Iterable[Any]]
P = ParamSpec("P")
_EXPECTED = {"callback": "a function", "optimizer": "an optax transformation or a function of the number of steps"}


def _usable(name: str, value: Any) -> bool:
    return callable(value) or (name == "optimizer" and isinstance(value, optax.GradientTransformation))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """Settings of `fit` and `fit_ensemble`, which take them as keywords.

    Attributes:
      objective: of `vaejax.objectives`, or a function of the same signature. Default: the model's own, else the ELBO.
      optimizer: any optax transformation, or a function of the run's number of steps that returns one. Default: Adam,
        whose rate falls from 2e-3 to 0 along a cosine over the run, on gradients cut to a norm of 100. Both compare by
        identity: keep one object for several fits, and they compile once.
      epochs: passes over the rows.
      extend: go on with a run whose schedule depends on its length for more `epochs` than it was begun for, from
        where it stands, by the schedule of the new length; such a run is refused otherwise.
      batch_size: rows of a step; all of them where there are fewer. Default: 100.
      microbatch: rows whose gradient is computed at a time; the sum over a batch is that of the whole to rounding.
        It must divide `batch_size`. Default: the fast one, 32 or fewer rows on CPUs where a batch's activations are
        more than 64 MiB, else the batch. Objectives of whole batches (`beta_tc`, `two_stage`, a function) refuse it.
      start: `"data"` moves the likelihood to the mean and the deviations of the rows before the first step, `"key"`
        leaves the parameters as they are drawn. Default: `"data"` where the objective warms the divergence up (without
        that the latents would be given up at once), else `"key"`; `History.notes` says which.
      context: the condition of the model: `"labels"` for those of the split, labels (N,), or vectors (N, context_dim).
      validation: held-out rows, in the forms of `data` (with a context that is an array: the pair `(x, context)`).
        Default: a `Dataset`'s own validation part.
      checkpoint: a folder for the run: killed at any moment and started again by the same call it gives, bit for bit,
        the result of an uninterrupted run. A folder of another run is refused, and so is a second process in the same
        one; `epochs`, `patience`, `max_skipped`, `checkpoint_every`, `progress` and `mesh` may differ. Of a finished
        run nothing is computed again; `History.notes` says so, and where a run was resumed. `vaejax.load` gives the
        best parameters at any time.
      checkpoint_every: seconds between checkpoints.
      resume: `False` refuses a folder that holds a run.
      patience: stop after this many epochs without a better validation (of an ensemble: of any member), counted from
        the end of a warm-up.
      transform: `transform(key, x)` of each batch, inside the step: `transforms.binarize`,
        `transforms.dequantize(levels)`, or any function in JAX.
      init: parameters to start from.
      average: decay of a moving average of the parameters, 0.999 say, which is then validated and returned; it is at
        most (1 + t) / (10 + t) at step t, so that the start is forgotten; 0 for none.
      compute_dtype: precision of the networks, `"bfloat16"` or `jnp.bfloat16`; parameters and likelihoods stay float32.
      max_skipped: steps in a row that may be skipped; it is looked at when an epoch ends.
      progress: show a bar, on a terminal or in a notebook.
      callback: `callback(report)`, called on the host with a `vaejax.train.Report`: step, epoch, averages, and the
        parameters on demand. `True` stops the run, an error ends it. It changes no bit of the result, and a run that
        is resumed repeats no call.
      callback_every: `"epoch"`, or `"scan"`: after each compiled run of steps, a part of an epoch.
      mesh: devices with one axis named `"data"` to split each batch over, or the members of an ensemble.
      hparams: numbers that the objective accepts (`beta`, ...), or that `optax.inject_hyperparams` gives the optimiser
        (`learning_rate`, ...); of an ensemble arrays with a value for each member.
    """

    objective: Objective | Callable[..., tuple[Array, Info]] | None = None
    optimizer: Optimizer | None = None
    epochs: int
    extend: bool = False
    batch_size: int | None = None
    microbatch: int | None = None
    start: Start | None = None
    context: Literal["labels"] | ArrayLike | None = None
    validation: Data | tuple[ArrayLike, ArrayLike] | None = None
    checkpoint: str | Path | None = None
    checkpoint_every: float = 60.0
    resume: bool = True
    patience: int | None = None
    transform: Transform | None = None
    init: Params | None = None
    average: float = 0.0
    compute_dtype: Precision | DTypeLike | None = None
    max_skipped: int = 20
    progress: bool = True
    callback: Callback | None = None
    callback_every: Literal["epoch", "scan"] = "epoch"
    mesh: Mesh | None = None
    hparams: Mapping[str, ArrayLike] | None = None

    def __post_init__(self):
        require_integer("epochs", self.epochs, 0)
        for name in ("batch_size", "microbatch", "patience"):
            if getattr(self, name) is not None:
                require_integer(name, getattr(self, name))
        require_choice("start", self.start, (None, *get_args(Start)))
        require_choice("callback_every", self.callback_every, ("epoch", "scan"))
        for name in ("callback", "optimizer"):
            if getattr(self, name) is not None and not _usable(name, getattr(self, name)):
                raise TypeError(f"{name}: expected {_EXPECTED[name]}, got {type(getattr(self, name)).__name__}")
        require_integer("max_skipped", self.max_skipped, 0)
        require_number("average", self.average, least=0.0, below=1.0)
        _ = self.precision  # it is checked when the options are made
        if self.mesh is not None and getattr(self.mesh, "axis_names", None) != ("data",):
            raise ValueError(f"mesh: expected a jax.sharding.Mesh with the one axis 'data', got {self.mesh!r}")

    @property
    def precision(self) -> Precision | None:
        """The name of `compute_dtype`."""
        if self.compute_dtype is None:
            return None
        given: Any = self.compute_dtype
        name: Any = given if isinstance(given, str) else jnp.dtype(given).name
        return require_choice("compute_dtype", name, get_args(Precision))


def keywords(
    record: Callable[P, Options],
) -> Callable[
    [Callable[[LatentModel, Key, Data, Options], Fit]], Callable[Concatenate[LatentModel, Key, Data, P], Fit]
]:
    """A decorator: the fields of the record become keywords of a function, in its signature and its docstring."""
    fields = list(inspect.signature(record).parameters.values())
    described = inspect.cleandoc(record.__doc__ or "").split("Attributes:\n")[1].replace("\n", "\n    ").strip()

    def decorate(
        function: Callable[[LatentModel, Key, Data, Options], Fit],
    ) -> Callable[Concatenate[LatentModel, Key, Data, P], Fit]:
        first = list(inspect.signature(function).parameters.values())[:3]
        signature = inspect.Signature(first + fields, return_annotation="Fit")

        @functools.wraps(function)
        def door(*args: Any, **options: Any) -> Fit:
            try:
                given = signature.bind(*args, **options).arguments
            except TypeError as problem:
                raise TypeError(f"{function.__name__}: {problem}") from None
            model, key, data = (given.pop(parameter.name) for parameter in first)
            return function(model, key, data, record(**given))  # type: ignore[call-arg]

        door.__signature__ = signature  # type: ignore[attr-defined]
        door.__doc__ = (function.__doc__ or "").replace("options: of `Options`.", described)
        return door  # type: ignore[return-value]

    return decorate
