"""The two decorators that make a class of the library a pytree."""

import dataclasses
from typing import TypeVar, dataclass_transform

import jax

__all__ = ["pytree", "static"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def pytree(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are pytree children.

    Fields declared with `dataclasses.field(metadata={"static": True})` become static.
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


@dataclass_transform(frozen_default=True)
def static(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass without arrays, static under `jax.jit`: it hashes and compares by value.

    Rebuilding an equal one in a re-run notebook cell therefore compiles nothing again.
    """
    return jax.tree_util.register_static(dataclasses.dataclass(frozen=True)(cls))
