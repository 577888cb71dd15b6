"""What every constructor of the zoo does with the shape of a datum."""

import operator

__all__ = ["sizes_of"]


def sizes_of(data_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a datum as a tuple of positive integers."""
    try:
        shape = tuple(map(operator.index, data_shape if isinstance(data_shape, tuple | list) else (data_shape,)))
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"data_shape: expected positive sizes, got {data_shape!r}")
    return shape
