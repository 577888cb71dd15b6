"""Recipes of models, networks and objectives as JSON, and back: no pickle, and no code from data."""

import json
from typing import Any

from vaejax.pytrees import RECIPES, arguments, recipe_name

__all__ = ["from_json", "to_json"]

_PLAIN = (str, int, float, bool, type(None))
_LONGEST = 1_000_000  # characters: a recipe is a page of text


def to_json(recipe: Any) -> str:
    """A recipe as JSON: `{"type": name, argument: value, ...}`, nested as it is.

    Raises:
      TypeError: for what JSON cannot say, a function for instance; it names where.

    >>> import vaejax as vj
    >>> to_json(vj.PPCA(dim=5, latent_dim=2))
    '{"type": "vaejax.models.PPCA", "dim": 5, "latent_dim": 2}'
    """
    return json.dumps(_told(recipe, "model"), allow_nan=False)


def _told(value: Any, where: str) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        return [_told(each, f"{where}[{i}]") for i, each in enumerate(value)]
    name = recipe_name(type(value))
    if RECIPES.get(name) is type(value):
        named = {key: _told(each, f"{where}.{key}") for key, each in arguments(value).items()}
        return {"type": name} | named
    raise TypeError(f"{where}: {type(value).__name__} cannot be written as JSON; pass model= when you load")


def from_json(text: str) -> Any:
    """The recipe that `to_json` wrote.

    Only classes that are already imported and were declared with `vaejax.pytrees.static` are made; a
    model of your own is found once its module is imported.

    Raises:
      ValueError: for malformed JSON, unknown types and arguments that their type refuses.

    >>> import vaejax as vj
    >>> from_json(to_json(vj.PPCA(dim=5, latent_dim=2)))
    PPCA(dim=5, latent_dim=2)
    """
    if len(text) > _LONGEST:
        raise ValueError(f"recipe: expected at most {_LONGEST} characters, got {len(text)}")
    try:
        return _made(json.loads(text, parse_constant=_refuse), "model")
    except (json.JSONDecodeError, RecursionError) as problem:
        raise ValueError(f"recipe: expected JSON, got {text[:60]!r} ({problem})") from problem


def _refuse(constant: str) -> Any:
    raise ValueError(f"recipe: expected finite numbers, got {constant}")


def _made(value: Any, where: str) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return tuple(_made(each, f"{where}[{i}]") for i, each in enumerate(value))
    name = value.pop("type", None)
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"recipe: {where} has the unknown type {name!r}; import the module that defines it first")
    named = {key: _made(each, f"{where}.{key}") for key, each in value.items()}
    try:
        return RECIPES[name](**named)
    except TypeError as problem:
        raise ValueError(f"recipe: {where}, a {name}: {problem}") from problem
