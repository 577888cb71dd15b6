"""The two decorators that make a class of the library a pytree, what recipes were made with, checksums of arrays."""

import dataclasses
import functools
import hashlib
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np

__all__ = ["RECIPES", "arguments", "digest", "pytree", "recipe_name", "static"]

RECIPES: dict[str, type] = {}  # every class that `static` has made, by its name in files

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def pytree(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are pytree children.

    Fields declared with `dataclasses.field(metadata={"static": True})` become static.
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def static(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass without arrays, static under `jax.jit`: it hashes and compares by value.

    Rebuilding an equal one in a re-run notebook cell therefore compiles nothing again. Lists become
    tuples and numbers of NumPy Python's own.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
    init = made.__init__

    @functools.wraps(init)
    def frozen(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *map(_hashable, args), **{name: _hashable(value) for name, value in kwargs.items()})

    made.__init__ = frozen
    RECIPES[recipe_name(made)] = made
    return jax.tree_util.register_static(made)


def recipe_name(cls: type) -> str:
    """The name of a recipe's class in files: its package's part and its own name, not the file that it stands in."""
    return ".".join([*cls.__module__.split(".")[:2], cls.__qualname__])


def _hashable(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | jax.Array) and np.ndim(value) == 0:
        return value.item()
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) and type(value) in (list, tuple) else value


def arguments(recipe: Any) -> dict[str, Any]:
    """What a recipe was made with, by the names of its constructor: `type(recipe)(**arguments(recipe))` is equal.

    A field whose constructor calls it otherwise says so, `dataclasses.field(metadata={"argument": name})`.
    """
    fields = dataclasses.fields(recipe)
    return {field.metadata.get("argument", field.name): getattr(recipe, field.name) for field in fields}


def digest(tree: Any) -> str:
    """A checksum of the names, types, shapes and values of a tree of arrays: sha256, in hexadecimal."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        leaf = np.ascontiguousarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        total.update(leaf.tobytes())
    return total.hexdigest()
