"""Small tuples of numbers in the memory of arrays: read and written number by number, in strides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba import types

from dynet.kernels.traced import as_intrinsic, is_tuple


def _peek(array: Any, first: int, stride: int, like: Any) -> Any:
    """Return a tuple of the kind of ``like`` from contiguous memory: its numbers from ``first`` in strides."""


def _peek_definition(array: Any, first: Any, stride: Any, like: Any) -> Any:
    return like(array, types.int64, types.int64, like), load_tuple


def load_tuple(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Write the instructions of `peek`."""
    places = _places(context, builder, signature, values)

    def load(t: Any) -> Any:
        if is_tuple(t):
            return context.make_tuple(builder, t, [load(entry) for entry in t])
        return context.cast(builder, builder.load(next(places)), signature.args[0].dtype, t)

    return load(signature.args[3])


def _poke(array: Any, first: int, stride: int, value: Any) -> None:
    """Write the numbers of a tuple into contiguous memory, from ``first`` in strides."""


def _poke_definition(array: Any, first: Any, stride: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = _places(context, builder, signature, values)

        def store(t: Any, v: Any) -> None:
            if is_tuple(t):
                for i, entry in enumerate(t):
                    store(entry, builder.extract_value(v, i))
            else:
                builder.store(context.cast(builder, v, t, array.dtype), next(places))

        store(signature.args[3], values[3])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, value), generate


def _places(context: Any, builder: Any, signature: Any, values: Any) -> Iterator[Any]:
    """Yield pointers to one number after the other."""
    pointer = context.make_array(signature.args[0])(context, builder, values[0]).data
    index = values[1]
    while True:
        # plain pointers: bounds and negative indices are looked at by nobody, which is what lanes need
        yield builder.gep(pointer, [index], inbounds=True)
        index = builder.add(index, values[2])


peek: Any = as_intrinsic(_peek, _peek_definition)
poke: Any = as_intrinsic(_poke, _poke_definition)
