"""Recipes: frozen classes that are static or pytrees under JAX, as JSON and back, without pickle and code from data."""

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np

__all__ = ["RECIPES", "arguments", "digest", "field", "from_json", "pytree", "recipe_name", "static", "to_json"]

RECIPES: dict[str, type] = {}  # every class that `static` has decorated, by its name in files
_PLAIN = (str, int, float, bool, type(None))
_LONGEST = 1_000_000  # characters: a recipe is a page of text

T = TypeVar("T")


def field(
    *, alias: str | None = None, default: Any = dataclasses.MISSING, converter: Callable[[Any], Any] | None = None
) -> Any:
    """A field of a `static` class.

    Args:
      alias: its name in the constructor, where a method has the plain name.
      default: as of `dataclasses.field`.
      converter: applied to what the constructor is given.
    """
    metadata = {"argument": alias} if alias else {}
    return dataclasses.field(default=default, metadata=metadata | ({"converter": converter} if converter else {}))


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def pytree(cls: type[T]) -> type[T]:
    """A frozen dataclass whose fields are pytree children.

    Fields declared with `dataclasses.field(metadata={"static": True})` are static.
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, field))
def static(cls: type[T]) -> type[T]:
    """A frozen dataclass without arrays, static under `jax.jit`: it hashes and compares by value.

    Rebuilding an equal one in a re-run notebook cell therefore compiles nothing again. Its constructor takes the
    names that the fields give (`field(alias=)`), turns lists into tuples and numbers of NumPy into Python's own.
    """
    decorated = dataclasses.dataclass(frozen=True, init=False, repr=False)(cls)
    parameters = [_parameter(f) for f in dataclasses.fields(decorated)]  # type: ignore[arg-type]
    decorated.__init__ = _constructor(decorated, inspect.Signature(parameters))
    if "__repr__" not in cls.__dict__:
        decorated.__repr__ = _shown
    RECIPES[recipe_name(decorated)] = decorated
    return jax.tree_util.register_static(decorated)


def _argument(f: dataclasses.Field) -> str:
    return f.metadata.get("argument", f.name)


def _parameter(f: dataclasses.Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default
    return inspect.Parameter(_argument(f), inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def _constructor(cls: type, signature: inspect.Signature) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise TypeError(f"{cls.__name__}: {problem}") from None
        bound.apply_defaults()
        for f in dataclasses.fields(cls):
            value, converter = _hashable(bound.arguments[_argument(f)]), f.metadata.get("converter")
            object.__setattr__(self, f.name, value if converter is None else converter(value))
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    __init__.__signature__ = signature.replace(parameters=[this, *signature.parameters.values()])  # type: ignore[attr-defined]
    return __init__


def _shown(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in arguments(self).items())})"


def _hashable(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | jax.Array) and np.ndim(value) == 0:
        return value.item()
    if type(value) is list or type(value) is tuple:
        return tuple(map(_hashable, value))
    return value


def recipe_name(cls: type) -> str:
    """The name of a recipe's class in files: its package's part and its own name, not the file that it stands in."""
    return ".".join([*cls.__module__.split(".")[:2], cls.__qualname__])


def arguments(recipe: Any) -> dict[str, Any]:
    """Arguments of a recipe's constructor: `type(recipe)(**arguments(recipe))` is equal."""
    return {_argument(f): getattr(recipe, f.name) for f in dataclasses.fields(recipe)}


def digest(tree: Any) -> str:
    """A checksum of the names, types, shapes and values of a tree of arrays: sha256, in hexadecimal."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        leaf = np.ascontiguousarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        total.update(leaf.tobytes())
    return total.hexdigest()


def to_json(recipe: Any) -> str:
    """A recipe as JSON: `{"type": name, argument: value, ...}`, nested as it is.

    Raises:
      TypeError: for a value that JSON cannot say, a function for instance; it names the place.

    >>> import vaejax as vj
    >>> to_json(vj.PPCA(dim=5, latent_dim=2))
    '{"type": "vaejax.models.PPCA", "dim": 5, "latent_dim": 2}'
    """
    return json.dumps(_plain(recipe, "model"), allow_nan=False)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        return [_plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    name = recipe_name(type(value))
    if RECIPES.get(name) is not type(value):
        raise TypeError(f"{where}: {type(value).__name__} cannot be written as JSON; pass model= when you load")
    return {"type": name} | {key: _plain(entry, f"{where}.{key}") for key, entry in arguments(value).items()}


def from_json(text: str) -> Any:
    """The recipe that `to_json` wrote.

    Only classes that are already imported and were declared with `static` are built; a model of a user is known
    once its module is imported.

    Raises:
      ValueError: for malformed JSON, unknown types and arguments that their type refuses.

    >>> import vaejax as vj
    >>> from_json(to_json(vj.PPCA(dim=5, latent_dim=2)))
    PPCA(dim=5, latent_dim=2)
    """
    if len(text) > _LONGEST:
        raise ValueError(f"recipe: expected at most {_LONGEST} characters, got {len(text)}")
    try:
        return _built(json.loads(text, parse_constant=_refuse), "model")
    except (json.JSONDecodeError, RecursionError) as problem:
        raise ValueError(f"recipe: expected JSON, got {text[:60]!r} ({problem})") from problem


def _refuse(constant: str) -> Any:
    raise ValueError(f"recipe: expected finite numbers, got {constant}")


def _built(value: Any, where: str) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return tuple(_built(entry, f"{where}[{i}]") for i, entry in enumerate(value))
    name = value.pop("type", None)
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"recipe: {where} has the unknown type {name!r}; import the module that defines it first")
    named = {key: _built(entry, f"{where}.{key}") for key, entry in value.items()}
    try:
        return RECIPES[name](**named)
    except TypeError as problem:
        raise ValueError(f"recipe: {where}, a {name}: {problem}") from problem
