"""Saved models: the recipe as JSON beside the arrays. Nothing is pickled."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.files import brief, new_folder, read_json, write_json
from vaejax.models import LatentModel
from vaejax.recipes import digest, from_json
from vaejax.train.runs import best_of, is_run, read_arrays, recipe_or_none, write_arrays
from vaejax.types import Params

__all__ = ["load", "save"]

_FORMAT = 1
_RECIPE, _ARRAYS = "recipe.json", "arrays"


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
      OSError: where it cannot be written.
    """
    arrays = jax.tree.map(np.asarray, params)
    about = {
        "format": _FORMAT,
        "vaejax": importlib.metadata.version("vaejax"),
        "sha256": digest(arrays),
        "model": recipe_or_none(model),
    }
    with new_folder(Path(path).absolute(), "the model") as folder:
        write_arrays(folder / _ARRAYS, arrays)
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

    Raises:
      FileNotFoundError: where there is no saved model.
      ValueError: for a damaged folder, unknown types, and parameters that the model does not have.
    """
    path = Path(path).absolute()
    if is_run(path):
        recipe, leaves = best_of(path)
        model = _model(path, recipe, model)
        structure = jax.tree.structure(jax.eval_shape(model.init, jax.random.key(0)))
        return model, jax.tree.unflatten(structure, map(jnp.asarray, leaves))
    if not (path / _RECIPE).is_file() and (path / "model" / _RECIPE).is_file():  # a fit by EM of the command line
        path = path / "model"
    file = path / _RECIPE
    if not file.is_file():
        raise FileNotFoundError(f"{path} holds no saved model: expected the file {_RECIPE} in it")
    about = read_json(file, "what vaejax.save writes", ("format", "sha256", "model"))
    if about["format"] != _FORMAT:
        raise ValueError(f"{file}: expected format {_FORMAT}, got {about['format']!r}; a newer vaejax wrote it")
    model = _model(path, about["model"], model)
    try:
        arrays = read_arrays(path / _ARRAYS)
    except Exception as problem:  # Orbax and TensorStore raise many kinds for files that are not whole
        raise ValueError(f"{path}: the arrays cannot be read ({brief(problem)})") from problem
    _require_like(path, arrays, jax.eval_shape(model.init, jax.random.key(0)))
    if digest(arrays) != about["sha256"]:
        raise ValueError(f"{path}: the arrays are damaged: their checksum is not the one that was stored")
    return model, jax.tree.map(jnp.asarray, arrays)


def _model(path: Path, recipe: Any, model: LatentModel | None) -> LatentModel:
    """The model of a folder, from its recipe or as it is given."""
    if recipe is not None:
        stored = from_json(json.dumps(recipe))
        if model is not None and model != stored:
            raise ValueError(f"{path} holds another model: expected {model}, got {stored}")
        model = stored
    if model is None:
        raise ValueError(f"{path} holds parameters without a recipe: pass model=")
    if not isinstance(model, LatentModel):
        raise ValueError(f"{path}: expected a model, got a recipe of {type(model).__name__}")
    return model


def _require_like(path: Path, arrays: Params, expected: Params) -> None:
    shapes, expected_shapes = (
        {jax.tree_util.keystr(name): leaf.shape for name, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
        for tree in (arrays, expected)
    )
    for name in sorted(shapes.keys() | expected_shapes.keys()):
        if shapes.get(name) != expected_shapes.get(name):
            raise ValueError(
                f"{path}: parameter {name}: expected shape {expected_shapes.get(name)}, got {shapes.get(name)}"
            )
