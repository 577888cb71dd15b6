"""Arrays on disk, written by Orbax: saved models, with the recipe as JSON, and checkpoints. Nothing is pickled."""

import errno
import importlib.metadata
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.checks import require_parameters
from vaejax.data.standardize import FILE as SCALING
from vaejax.files import brief, new_folder, plain_path, read_json, write_json
from vaejax.models import LatentModel
from vaejax.recipes import arguments, digest, from_json, to_json
from vaejax.types import Params, PyTree

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

__all__ = ["RUN", "add_checkpoint", "load", "manager_of", "recipe_or_none", "save", "whole_checkpoints"]

RUN, _RECIPE, _ARRAYS = "run.json", "recipe.json", "arrays"
_FORMATS = (1, 2, 3)  # the checksum of the first, of 0.1, leaves out the recipe
_SHIFTED = {"model": 3, "run": 5}  # formats since which a likelihood has a shift, and heads a reach
_KEPT = 3  # checkpoints of a run


def save(path: str | Path, model: LatentModel, params: Params) -> None:
    """Write a model and its parameters to a new folder, whole or not at all.

    Where JSON cannot say the model's recipe (a network made of your own functions), the folder holds the
    parameters alone, and `load` needs `model=`.

    Args:
      path: the folder; it must not exist.
      model: the model.
      params: its parameters.

    Raises:
      FileExistsError: where something is at `path` already.
      ValueError: for parameters that are not the model's, and a path with one of `[ ] * ?` or a backslash.
      OSError: where it cannot be written, or is not there when it is read back.
    """
    import orbax.checkpoint as ocp

    path = plain_path(path)
    require_parameters("params", params, jax.eval_shape(model.init, jax.random.key(0)))
    arrays, recipe = jax.tree.map(np.asarray, params), recipe_or_none(model)
    about = {
        "format": _FORMATS[-1],
        "vaejax": importlib.metadata.version("vaejax"),
        "sha256": digest((json.dumps(recipe), arrays)),
        "model": recipe,
    }
    with new_folder(path, "the model") as folder:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder / _ARRAYS, arrays)
            checkpointer.wait_until_finished()
            if digest(checkpointer.restore(folder / _ARRAYS)) != digest(arrays):
                raise OSError("the arrays that were read back are not those that were written")
        write_json(folder / _RECIPE, about)


def load(path: str | Path, model: LatentModel | None = None) -> tuple[LatentModel, Params]:
    """Read the model that `save` wrote, or the best parameters of a run of `fit(..., checkpoint=path)`.

    Of a run of `fit_ensemble` the parameters of all members are stacked: each leaf has one more axis, the first, and
    `jax.tree.map(lambda leaf: leaf[i], params)` is member i.

    Args:
      path: the folder.
      model: the model, where the folder does not say it; where it does, it must be the same.

    Returns:
      `(model, params)`.

    Warns:
      UserWarning: where the model is of rows that `vaejax fit --standardize` scaled; it says how to scale yours.

    Raises:
      FileNotFoundError: where there is no saved model.
      ValueError: for a damaged folder, unknown types, and parameters that the model does not have.
    """
    import orbax.checkpoint as ocp

    path = Path(path).absolute()
    if any((folder / SCALING).is_file() for folder in (path, path.parent)):
        folder = path if (path / SCALING).is_file() else path.parent
        apply = f"vaejax.data.Scaling.read({str(folder)!r}).apply(x)"
        warnings.warn(f"this model is of rows in standard units: bring yours there with {apply}", stacklevel=2)
    if (path / RUN).is_file():
        return _best_of(path, model)
    if not (path / _RECIPE).is_file() and (path / "model" / _RECIPE).is_file():  # a fit by EM of the command line
        path = path / "model"
    file = path / _RECIPE
    if not file.is_file():
        raise FileNotFoundError(f"{path} holds no saved model: expected the file {_RECIPE} in it")
    about = read_json(file, "what vaejax.save writes", ("format", "sha256", "model"))
    if about["format"] not in _FORMATS:
        raise ValueError(f"{file}: expected format {_FORMATS[-1]}, got {about['format']!r}; a newer vaejax wrote it")
    older = about["format"] < _SHIFTED["model"]
    model = _model(path, about["model"], model, older)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(path / _ARRAYS)
    except Exception as problem:  # Orbax and TensorStore raise many kinds for files that are not whole
        raise ValueError(f"{path}: the arrays cannot be read ({brief(problem)})") from problem
    expected = jax.eval_shape(model.init, jax.random.key(0))
    content = arrays if about["format"] == 1 else (json.dumps(about["model"]), arrays)
    filled = _with_shifts(arrays, expected) if older else arrays
    require_parameters(str(path), filled, expected)
    if digest(content) != about["sha256"]:
        raise ValueError(f"{path}: the model is damaged: its checksum is not the one that was stored")
    return model, jax.tree.map(jnp.asarray, filled)


def _with_shifts(params: Params, expected: Params) -> Params:
    """Parameters of an older format, with the zeros that their likelihoods were shifted by."""
    for name, part in expected.items():
        if name == "likelihood" and isinstance(part, dict) and "shift" in part:
            params = params | {name: params.get(name, {}) | {"shift": jnp.zeros(part["shift"].shape)}}
        elif name in ("first", "second") and isinstance(part, dict):
            params = params | {name: _with_shifts(params[name], part)}
    return params


def _without_shifts(expected: Params) -> Params:
    """The parameters of a model as an older format has them."""
    older = {}
    for name, part in expected.items():
        if name == "likelihood" and isinstance(part, dict):
            part = {key: leaf for key, leaf in part.items() if key != "shift"}
        elif name in ("first", "second") and isinstance(part, dict):
            part = _without_shifts(part)
        older |= {} if part == {} else {name: part}
    return older


def _as_it_was(recipe: Any) -> Any:
    """A recipe of an older format, whose heads took the network's numbers as they are."""
    if isinstance(recipe, list):
        return [_as_it_was(part) for part in recipe]
    if not isinstance(recipe, dict):
        return recipe
    parts = {name: _as_it_was(part) for name, part in recipe.items()}
    reached = ("LinearIAF", "Planar", "_FullNormal", "_LowRankNormal")
    return parts | ({"reach": 1.0} if recipe.get("type") in {f"vaejax.heads.{name}" for name in reached} else {})


def _model(path: Path, recipe: Any, model: LatentModel | None, older: bool) -> LatentModel:
    """The model of a folder, from its recipe or as it is given."""
    if recipe is not None:
        stored = from_json(json.dumps(_as_it_was(recipe) if older else recipe))
        if model is not None and _untrained(model) != _untrained(stored):
            raise ValueError(f"{path} holds another model: expected {model}, got {stored}")
        model = stored
    if model is None:
        raise ValueError(f"{path} holds parameters without a recipe: pass model=")
    if not isinstance(model, LatentModel):
        raise ValueError(f"{path}: expected a model, got a recipe of {type(model).__name__}")
    return model


def _untrained(model: Any) -> Any:
    """The model without its way of training, which its parameters do not depend on."""
    given = arguments(model)
    return type(model)(**given | {"objective": None}) if given.get("objective") is not None else model


def _best_of(path: Path, model: LatentModel | None) -> tuple[LatentModel, Params]:
    """The model of a run's folder, with its best parameters so far (the last ones without validation)."""
    about = read_json(path / RUN, "what vaejax.fit writes", ("format", "recipe", "members"))
    older = about["format"] < _SHIFTED["run"]
    model = _model(path, about["recipe"], model, older)
    newest = None
    for _ in range(20):  # a run that goes on may be between two checkpoints
        if (newest := next(whole_checkpoints(manager_of(path, writes=False), path), None)) is not None:
            break
        time.sleep(0.05)
    else:
        raise ValueError(f"{path} holds no checkpoint yet")
    state = newest[0]["state"]
    scored = state["best"] and np.all(np.isfinite(state["best_value"]["0"]))
    leaves = state["best"] if scored else state["average"] or state["params"]
    expected = jax.eval_shape(model.init, jax.random.key(0))
    if about["members"] is not None:
        add_axis = lambda leaf: jax.ShapeDtypeStruct((about["members"], *leaf.shape), leaf.dtype)  # noqa: E731
        expected = jax.tree.map(add_axis, expected)
    structure = jax.tree.structure(_without_shifts(expected) if older else expected)
    if len(leaves) != structure.num_leaves:
        raise ValueError(f"{path}: expected {structure.num_leaves} parameters, got {len(leaves)}")
    params = jax.tree.unflatten(structure, [jnp.asarray(leaves[str(i)]) for i in range(len(leaves))])
    params = _with_shifts(params, expected) if older else params
    require_parameters(str(path), params, expected)
    return model, params


def recipe_or_none(model: LatentModel) -> Any:
    """The model's recipe as JSON values, or `None` where JSON cannot say it."""
    try:
        return json.loads(to_json(model))
    except TypeError:
        return None


def manager_of(path: Path, writes: bool) -> "CheckpointManager":
    """Orbax's manager of the checkpoints in a run's folder; one that `writes` clears away what a killed run left."""
    import orbax.checkpoint as ocp

    kept = _KEPT if writes else None
    options = ocp.CheckpointManagerOptions(max_to_keep=kept, cleanup_tmp_directories=writes, create=writes)
    tries = 10
    while True:
        try:
            return ocp.CheckpointManager(path / "checkpoints", options=options)
        except OSError as problem:
            # A run that goes on removes what a reader looks at; a failed write is cleared away by its own thread.
            kinds = () if writes else (FileNotFoundError, NotADirectoryError)
            passing = isinstance(problem, kinds) or (writes and problem.errno == errno.ENOTEMPTY)
            tries -= 1
            if not passing or not tries:
                raise
            time.sleep(0.05)


def add_checkpoint(manager: "CheckpointManager", arrays: PyTree, about: dict[str, Any]) -> None:
    """Write the next checkpoint of a run in the background, with a checksum of its arrays."""
    import orbax.checkpoint as ocp

    about = about | {"sha256": digest(arrays), "run": _run_digest(manager)}
    items = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
    latest = manager.latest_step()
    manager.save(0 if latest is None else latest + 1, args=items, force=True)


def _run_digest(manager: "CheckpointManager") -> str:
    """The identity that the checkpoints of a folder must have."""
    return digest((Path(manager.directory).parent / RUN).read_text())


def whole_checkpoints(manager: "CheckpointManager", path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Arrays and description of the checkpoints that are whole, newest first, with a warning of each damaged one.

    Raises:
      ValueError: for a checkpoint of another run.
    """
    import orbax.checkpoint as ocp

    about = read_json(path / RUN, "what vaejax.fit writes", ("format",))
    for number in sorted(manager.all_steps(), reverse=True):
        items = ocp.args.Composite(arrays=ocp.args.StandardRestore(), about=ocp.args.JsonRestore())
        try:
            stored = manager.restore(number, args=items)
            if digest(stored["arrays"]) != stored["about"]["sha256"]:
                raise ValueError("its checksum is not the one that was stored")
        except Exception as problem:  # Orbax and TensorStore raise many kinds for files that are not whole
            if _vanishes(path / "checkpoints" / str(number)):
                continue
            reason = f"{path}: checkpoint {number} is damaged ({brief(problem)}); trying an older one"
            warnings.warn(reason, stacklevel=2)
            continue
        said = stored["about"].get("run")
        unsaid = said is None and about["format"] == 3  # which did not say it yet
        if not unsaid and said != _run_digest(manager):
            raise ValueError(f"{path}: checkpoint {number} is of another run than its {RUN}")
        yield stored["arrays"], stored["about"]


def _vanishes(folder: Path) -> bool:
    """Whether a checkpoint is being removed by the run that goes on, which has a newer one."""
    for _ in range(10):
        if not folder.exists():
            return True
        time.sleep(0.02)
    return False
