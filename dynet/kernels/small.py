"""Helpers of the compiled loops on states and frames that are tuples (small systems, no allocation) or arrays.

Each overloaded helper stands twice: as plain Python, which says what it does, and as what is compiled.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.cpython.unsafe.tuple import tuple_setitem as _tuple_setitem
from numba.extending import overload

from dynet.kernels.formulas import (
    combine_tuple,
    like_tuple,
    plus_scaled_entry,
    plus_scaled_tuple,
    product_tuple,
    runge_kutta_tuple,
)
from dynet.kernels.traced import as_intrinsic

#: Above this size BLAS and LAPACK beat plain loops.
PLAIN_LOOPS_UP_TO = 16

#: Helpers are part of the loops that call them, however long they are.
_overload = partial(overload, jit_options={"forceinline": True})

tuple_setitem: Any = _tuple_setitem  # an intrinsic: its signature is not the one that Python sees


# --- states --------------------------------------------------------------------------------------------------


def like_state(y: Any, x: Any) -> Any:
    """Return ``y`` in the kind (tuple or array), dtype and layout of the state ``x``."""
    return tuple(y) if isinstance(x, tuple) else np.asarray(y, dtype=x.dtype)


@_overload(like_state)
def _like_state(y, x):  # type: ignore[no-untyped-def]
    if isinstance(x, types.BaseTuple):
        return lambda y, x: like_tuple(x, y)
    if y == x:
        return lambda y, x: y

    def from_array(y, x):  # type: ignore[no-untyped-def]
        out = np.empty_like(x)
        for i in range(x.shape[0]):
            out[i] = y[i]
        return out

    return from_array


def shifted(x: Any, i: int, h: float) -> Any:
    """Return ``x`` with ``h`` added to entry ``i``."""
    moved = [entry + h if m == i else entry for m, entry in enumerate(x)]
    return like_state(moved, x)


@_overload(shifted)
def _shifted(x, i, h):  # type: ignore[no-untyped-def]
    if isinstance(x, types.BaseTuple):
        return lambda x, i, h: tuple_setitem(x, i, x[i] + h)

    def shift_array(x, i, h):  # type: ignore[no-untyped-def]
        out = x.copy()
        out[i] += h
        return out

    return shift_array


def plus_scaled(x: Any, a: float, k: Any) -> Any:
    """Return ``x + a k`` in the kind of ``x``."""
    return like_state([entry + a * slope for entry, slope in zip(x, k, strict=True)], x)


@_overload(plus_scaled)
def _plus_scaled(x, a, k):  # type: ignore[no-untyped-def]
    if isinstance(x, types.BaseTuple):
        return lambda x, a, k: plus_scaled_tuple(x, a, k)

    def add_array(x, a, k):  # type: ignore[no-untyped-def]
        out = np.empty_like(x)
        for i in range(x.shape[0]):
            out[i] = plus_scaled_entry(x[i], a, k[i])
        return out

    return add_array


def _input_row(inputs: Any, sequence: int, step: int) -> Any:
    """Return the input of a step: a row of (sequence, time, channel) or (time, channel), or the constant (channel,)."""


def _input_row_definition(inputs: Any, sequence: Any, step: Any) -> Any:
    kind = types.Array(inputs.dtype, 1, inputs.layout if inputs.ndim == 1 else "C")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # as the compiler's own indexing, without a check of bounds, and with counts of references that cancel here
        if inputs.ndim == 1:
            return impl_ret_borrowed(context, builder, kind, values[0])
        array = context.make_array(inputs)(context, builder, values[0])
        indices = values[1:] if inputs.ndim == 3 else values[2:]
        place = [*indices, context.get_constant(types.intp, 0)]
        row = context.make_array(kind)(context, builder)
        context.populate_array(
            row,
            data=cgutils.get_item_pointer(context, builder, inputs, array, place),
            shape=[builder.extract_value(array.shape, inputs.ndim - 1)],
            strides=[array.itemsize],
            itemsize=array.itemsize,
            meminfo=array.meminfo,
            parent=array.parent,
        )
        return impl_ret_borrowed(context, builder, kind, row._getvalue())

    return kind(inputs, types.intp, types.intp), generate


input_row: Any = as_intrinsic(_input_row, _input_row_definition)


# --- frames: tuples of columns, or arrays (n, k) that are written into ---------------------------------------


def product(V: Any, J: Any, out: Any) -> Any:
    """Return ``J V``; arrays are written into ``out``."""
    if isinstance(V, tuple):
        return product_tuple(V, J)
    return multiply(J, V, out)


@_overload(product)
def _product(V, J, out):  # type: ignore[no-untyped-def]
    if not isinstance(V, types.BaseTuple):
        return lambda V, J, out: multiply(J, V, out)
    if isinstance(J, types.BaseTuple):
        return lambda V, J, out: product_tuple(V, J)
    return lambda V, J, out: product_tuple(V, array_rows(J, V))


def combine(V: Any, a: float, K: Any, out: Any) -> Any:
    """Return ``V + a K``; arrays are written into ``out``."""
    return combine_tuple(V, a, K) if isinstance(V, tuple) else add_scaled(V, a, K, out)


@_overload(combine)
def _combine(V, a, K, out):  # type: ignore[no-untyped-def]
    if isinstance(V, types.BaseTuple):
        return lambda V, a, K, out: combine_tuple(V, a, K)
    return lambda V, a, K, out: add_scaled(V, a, K, out)


def runge_kutta_frame(V: Any, J1: Any, J2: Any, J3: Any, J4: Any, h: float, scratch: Any) -> Any:
    """Return the frame after a classical Runge-Kutta step with these Jacobians; arrays are written into ``scratch``."""


@_overload(runge_kutta_frame)
def _runge_kutta_frame(V, J1, J2, J3, J4, h, scratch):  # type: ignore[no-untyped-def]
    if isinstance(V, types.BaseTuple) and isinstance(J1, types.BaseTuple):
        return lambda V, J1, J2, J3, J4, h, scratch: runge_kutta_tuple(V, J1, J2, J3, J4, h)
    if isinstance(V, types.BaseTuple):

        def by_rows(V, J1, J2, J3, J4, h, scratch):  # type: ignore[no-untyped-def]
            A, B, C, D = array_rows(J1, V), array_rows(J2, V), array_rows(J3, V), array_rows(J4, V)
            return runge_kutta_tuple(V, A, B, C, D, h)

        return by_rows

    def by_stages(V, J1, J2, J3, J4, h, scratch):  # type: ignore[no-untyped-def]
        out, K, stage = scratch
        multiply(J1, V, K)
        add_scaled(V, h / 6, K, out)
        multiply(J2, add_scaled(V, 0.5 * h, K, stage), K)
        add_scaled(out, h / 3, K, out)
        multiply(J3, add_scaled(V, 0.5 * h, K, stage), K)
        add_scaled(out, h / 3, K, out)
        multiply(J4, add_scaled(V, h, K, stage), K)
        return add_scaled(out, h / 6, K, out)

    return by_stages


def _array_rows(J: Any, V: Any) -> Any:
    """Return an array (n, n) as a tuple of rows; n is known from the frame."""


def _array_rows_definition(J: Any, V: Any) -> Any:
    n = len(V[0]) if isinstance(V[0], types.BaseTuple) else len(V)
    entry_kind = J.dtype if isinstance(J.dtype, types.Float) else types.float64
    kind = types.UniTuple(types.UniTuple(entry_kind, n), n)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array_type = signature.args[0]
        array = context.make_array(array_type)(context, builder, values[0])

        def load(i: int, j: int) -> Any:
            place = [context.get_constant(types.intp, i), context.get_constant(types.intp, j)]
            pointer = cgutils.get_item_pointer(context, builder, array_type, array, place)
            return context.cast(builder, context.unpack_value(builder, array_type.dtype, pointer), J.dtype, entry_kind)

        rows = [context.make_tuple(builder, kind.dtype, [load(i, j) for j in range(n)]) for i in range(n)]
        return context.make_tuple(builder, kind, rows)

    return kind(J, V), generate


array_rows: Any = as_intrinsic(_array_rows, _array_rows_definition)


@njit(error_model="numpy", nogil=True, forceinline=True)
def add_scaled(V, a, K, out):  # type: ignore[no-untyped-def]
    """Write ``V + a K`` into ``out`` and return it."""
    for i in range(V.shape[0]):
        for j in range(V.shape[1]):
            out[i, j] = V[i, j] + a * K[i, j]
    return out


@njit(error_model="numpy", nogil=True, forceinline=True)
def multiply(J, V, out):  # type: ignore[no-untyped-def]
    """Write ``J V`` into ``out`` and return it."""
    n, k = V.shape
    if n > PLAIN_LOOPS_UP_TO:
        large_product(J, V, out)
        return out
    for i in range(n):
        for j in range(k):
            total = J[i, 0] * V[0, j]
            for m in range(1, n):
                total += J[i, m] * V[m, j]
            out[i, j] = total
    return out


def large_product(J: Any, V: np.ndarray, out: np.ndarray) -> None:
    """Write ``J V`` into ``out`` by BLAS."""
    out[...] = np.asarray(J) @ V


@_overload(large_product)
def _large_product(J, V, out):  # type: ignore[no-untyped-def]
    if J.dtype == V.dtype and J.layout == "C":
        return lambda J, V, out: np.dot(J, V, out)
    return lambda J, V, out: np.dot(np.ascontiguousarray(J).astype(V.dtype), V, out)
