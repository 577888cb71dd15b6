"""Models on disk: the recipe as JSON beside the arrays, which Orbax writes. Nothing is pickled."""

import importlib.metadata
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.models import LatentModel
from vaejax.recipes import digest, from_json, to_json

__all__ = ["brief", "load", "manager_of", "recipe_or_none", "save", "whole_checkpoints"]

FORMAT = 1
_KEPT = 3  # checkpoints of a run
_RECIPE, _ARRAYS = "recipe.json", "arrays"
_LONGEST = 2_000_000  # bytes of a recipe


def brief(problem: Exception) -> str:
    """Kind and first line of an error; of a long line both ends, since the system's reason comes last."""
    text = f"{type(problem).__name__}: {problem}".splitlines()[0].split(" [tensorstore_spec=")[0]
    return text if len(text) <= 300 else f"{text[:150]} ... {text[-150:]}"


def recipe_or_none(model: LatentModel) -> Any:
    """The model's recipe as JSON values, or `None` where JSON cannot say it."""
    try:
        return json.loads(to_json(model))
    except TypeError:
        return None


def save(path: str | Path, model: LatentModel, params: Any) -> None:
    """Write a model and its parameters to a new folder, whole or not at all.

    Args:
      path: the folder; it must not exist.
      model: the model. Where JSON cannot say its recipe (a network made of your own functions), the
        folder holds the parameters alone, and `load` asks for `model=`.
      params: its parameters.

    Raises:
      FileExistsError: where something is at `path` already.
      OSError: where it cannot be written.
    """
    import orbax.checkpoint as ocp

    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} exists already: save to a new folder")
    arrays = jax.tree.map(np.asarray, params)
    recipe = recipe_or_none(model)
    about = {
        "format": FORMAT,
        "vaejax": importlib.metadata.version("vaejax"),
        "sha256": digest(arrays),
        "model": recipe,
    }
    folder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder / _ARRAYS, arrays)
        (folder / _RECIPE).write_text(json.dumps(about, indent=1) + "\n")
        os.rename(folder, path)
    except BaseException as problem:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(problem, Exception):  # Orbax and TensorStore raise many kinds where they cannot write
            raise OSError(f"{path}: the model could not be saved ({brief(problem)})") from problem
        raise


def load(path: str | Path, model: LatentModel | None = None) -> tuple[LatentModel, Any]:
    """Read what `save` wrote, or the best parameters of a run of `fit(..., checkpoint=path)`.

    Of a run of `fit_ensemble` the parameters of all members are stacked: each leaf has one more axis, the first, and
    `jax.tree.map(lambda leaf: leaf[i], params)` is member i.

    Args:
      path: the folder.
      model: the model, where the folder does not say it; where it does, it must be the same.

    Returns:
      `(model, params)`.

    Raises:
      FileNotFoundError: where there is no saved model.
      ValueError: for a damaged folder, unknown types, and parameters that the model does not have.
    """
    import orbax.checkpoint as ocp

    path = Path(path).absolute()
    if (path / "run.json").is_file():
        return _best_of(path, model)
    if not (path / _RECIPE).is_file() and (path / "model" / _RECIPE).is_file():  # a fit by EM of the command line
        path = path / "model"
    about = _about(path)
    if about["model"] is not None:
        stored = from_json(json.dumps(about["model"]))
        if model is not None and model != stored:
            raise ValueError(f"{path} holds another model: expected {model}, got {stored}")
        model = stored
    if model is None:
        raise ValueError(f"{path} holds parameters without a recipe: pass model=")
    if not isinstance(model, LatentModel):
        raise ValueError(f"{path}: expected a model, got a recipe of {type(model).__name__}")
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(path / _ARRAYS)
    except Exception as problem:  # Orbax and TensorStore raise many kinds for files that are not whole
        raise ValueError(f"{path}: the arrays cannot be read ({brief(problem)})") from problem
    _require_like(path, arrays, jax.eval_shape(model.init, jax.random.key(0)))
    if digest(arrays) != about["sha256"]:
        raise ValueError(f"{path}: the arrays are damaged: their checksum is not the one that was stored")
    return model, jax.tree.map(jnp.asarray, arrays)


def manager_of(path: Path, writes: bool) -> Any:
    """Orbax's manager of the checkpoints in a run's folder; one that `writes` clears away what a killed run left."""
    import orbax.checkpoint as ocp

    kept = _KEPT if writes else None
    options = ocp.CheckpointManagerOptions(max_to_keep=kept, cleanup_tmp_directories=writes, create=writes)
    return ocp.CheckpointManager(path / "checkpoints", options=options)


def whole_checkpoints(manager: Any, path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Arrays and description of the checkpoints that are whole, newest first; damaged ones are told."""
    import orbax.checkpoint as ocp

    for number in sorted(manager.all_steps(), reverse=True):
        items = ocp.args.Composite(arrays=ocp.args.StandardRestore(), about=ocp.args.JsonRestore())
        try:
            found = manager.restore(number, args=items)
            if digest(found["arrays"]) != found["about"]["sha256"]:
                raise ValueError("its checksum is not the one that was stored")
        except Exception as problem:  # Orbax and TensorStore raise many kinds for files that are not whole
            told = f"{path}: checkpoint {number} is damaged ({brief(problem)}); trying an older one"
            warnings.warn(told, stacklevel=2)
            continue
        yield found["arrays"], found["about"]


def _best_of(path: Path, model: LatentModel | None) -> tuple[LatentModel, Any]:
    """The model of a run's folder, with its best parameters so far (the last ones without validation)."""
    try:
        about = json.loads((path / "run.json").read_text("utf-8"))
        recipe, validated, averaged = about["recipe"], about["validation"] is not None, about["average"] > 0
    except (ValueError, KeyError, TypeError) as problem:
        raise ValueError(f"{path / 'run.json'}: expected what vaejax.fit writes ({problem})") from problem
    if recipe is not None:
        model = from_json(json.dumps(recipe))
    if not isinstance(model, LatentModel):
        raise ValueError(f"{path} holds a run without a recipe: pass model=")
    newest = next(whole_checkpoints(_reader_of(path), path), None)
    if newest is None:
        raise ValueError(f"{path} holds no checkpoint yet")
    leaves = [newest[0]["state"][str(i)] for i in range(len(newest[0]["state"]))]
    template = jax.eval_shape(model.init, jax.random.key(0))
    count, after = len(jax.tree.leaves(template)), 6  # best_value, stale, step, skipped, skipped_in_row, key
    end, first = len(leaves) - after, 0  # of the trees of parameters; the average and the best are the last ones
    if validated and np.all(np.isfinite(leaves[end])):
        first = end - count
    elif averaged:
        first = end - count * (1 + validated)
    chosen = leaves[first : first + count]
    return model, jax.tree.unflatten(jax.tree.structure(template), [jnp.asarray(leaf) for leaf in chosen])


def _reader_of(path: Path) -> Any:
    """A manager that writes nothing; a run that goes on may remove a checkpoint while it looks: then it looks again."""
    for attempt in range(10):
        try:
            return manager_of(path, writes=False)
        except FileNotFoundError:
            if attempt == 9:
                raise
            time.sleep(0.05)


def _about(path: Path) -> dict[str, Any]:
    file = path / _RECIPE
    if not file.is_file():
        raise FileNotFoundError(f"{path} holds no saved model: expected the file {_RECIPE} in it")
    if file.stat().st_size > _LONGEST:
        raise ValueError(f"{file}: expected at most {_LONGEST} bytes")
    try:
        about = json.loads(file.read_text("utf-8"))
        version, _, _ = about["format"], about["sha256"], about["model"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ValueError(f"{file}: expected what vaejax.save writes, got something else ({problem})") from problem
    if version not in range(1, FORMAT + 1):
        raise ValueError(f"{file}: expected format 1 to {FORMAT}, got {version!r}; a newer vaejax wrote it")
    return about


def _require_like(path: Path, arrays: Any, wanted: Any) -> None:
    found, expected = (
        {jax.tree_util.keystr(name): leaf.shape for name, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
        for tree in (arrays, wanted)
    )
    if found != expected:
        differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        name = differ[0]
        raise ValueError(f"{path}: parameter {name}: expected shape {expected.get(name)}, got {found.get(name)}")
