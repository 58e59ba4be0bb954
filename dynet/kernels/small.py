"""Helpers on a state that is a tuple (small systems, no allocation) or an array.

Each overloaded helper stands twice: as plain Python, which says what it does, and as what is compiled.
Sizes travel as ``rows`` and ``cols``, things whose lengths are n and k: tuples for small systems, whose lengths
the compiler knows, so that it unrolls every loop; arrays otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.cpython.unsafe.tuple import tuple_setitem as _tuple_setitem
from numba.extending import overload

#: Above this size BLAS and LAPACK beat plain loops.
PLAIN_LOOPS_UP_TO = 16

tuple_setitem: Any = _tuple_setitem  # an intrinsic: its signature is not the one that Python sees


def like_state(y: Any, x: Any) -> Any:
    """Return ``y`` in the kind (tuple or array), dtype and layout of the state ``x``."""
    return tuple(y) if isinstance(x, tuple) else np.asarray(y, dtype=x.dtype)


@overload(like_state)
def _like_state(y, x):  # type: ignore[no-untyped-def]
    if isinstance(x, types.BaseTuple):

        def from_tuple(y, x):  # type: ignore[no-untyped-def]
            entries = floats(y)
            out = x
            for i in range(len(x)):
                out = tuple_setitem(out, i, entries[i])
            return out

        return from_tuple
    if y == x:
        return lambda y, x: y

    def from_array(y, x):  # type: ignore[no-untyped-def]
        out = np.empty_like(x)
        for i in range(x.shape[0]):
            out[i] = y[i]
        return out

    return from_array


def floats(row: Any) -> tuple[float, ...]:
    """Return a tuple of numbers as floats: ``(1.0, 0)`` mixes types, which a loop cannot index."""
    return tuple(float(entry) for entry in row)


_FLOATS: dict[int, Any] = {
    1: lambda row: (float(row[0]),),
    2: lambda row: (float(row[0]), float(row[1])),
    3: lambda row: (float(row[0]), float(row[1]), float(row[2])),
    4: lambda row: (float(row[0]), float(row[1]), float(row[2]), float(row[3])),
    5: lambda row: (float(row[0]), float(row[1]), float(row[2]), float(row[3]), float(row[4])),
    6: lambda row: (float(row[0]), float(row[1]), float(row[2]), float(row[3]), float(row[4]), float(row[5])),
}
_ROWS: dict[int, Any] = {
    1: lambda J: (floats(J[0]),),
    2: lambda J: (floats(J[0]), floats(J[1])),
    3: lambda J: (floats(J[0]), floats(J[1]), floats(J[2])),
    4: lambda J: (floats(J[0]), floats(J[1]), floats(J[2]), floats(J[3])),
    5: lambda J: (floats(J[0]), floats(J[1]), floats(J[2]), floats(J[3]), floats(J[4])),
    6: lambda J: (floats(J[0]), floats(J[1]), floats(J[2]), floats(J[3]), floats(J[4]), floats(J[5])),
}


@overload(floats)
def _floats(row):  # type: ignore[no-untyped-def]
    if isinstance(row, types.UniTuple) and isinstance(row.dtype, types.Float):
        return lambda row: row
    return _FLOATS.get(len(row))


def jacobian(J: Any) -> Any:
    """Return a Jacobian as the loops index it: an array as it is, tuples as tuples of floats."""
    return tuple(floats(row) for row in J) if isinstance(J, tuple) else J


@overload(jacobian)
def _jacobian(J):  # type: ignore[no-untyped-def]
    if not isinstance(J, types.BaseTuple):
        return lambda J: J
    return _ROWS.get(len(J))


def input_row(inputs: np.ndarray, step: int) -> np.ndarray:
    """Return the input of a step: a row of a series (time, channel), or the constant row (channel,)."""
    return inputs[step] if inputs.ndim == 2 else inputs


@overload(input_row)
def _input_row(inputs, step):  # type: ignore[no-untyped-def]
    if inputs.ndim == 2:
        return lambda inputs, step: inputs[step]
    return lambda inputs, step: inputs


def shifted(x: Any, i: int, h: float) -> Any:
    """Return ``x`` with ``h`` added to entry ``i``."""
    moved = [entry + h if m == i else entry for m, entry in enumerate(x)]
    return like_state(moved, x)


@overload(shifted)
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


@overload(plus_scaled)
def _plus_scaled(x, a, k):  # type: ignore[no-untyped-def]
    if isinstance(x, types.BaseTuple):

        def add_tuple(x, a, k):  # type: ignore[no-untyped-def]
            slopes = floats(k)
            out = x
            for i in range(len(x)):
                out = tuple_setitem(out, i, x[i] + a * slopes[i])
            return out

        return add_tuple

    def add_array(x, a, k):  # type: ignore[no-untyped-def]
        out = np.empty_like(x)
        for i in range(x.shape[0]):
            out[i] = x[i] + a * k[i]
        return out

    return add_array


def entry(J: Any, i: int, j: int) -> Any:
    """Return entry (i, j) of a Jacobian given as an array or as a tuple of rows."""
    return J[i][j]


@overload(entry)
def _entry(J, i, j):  # type: ignore[no-untyped-def]
    if isinstance(J, types.BaseTuple):
        return lambda J, i, j: J[i][j]
    return lambda J, i, j: J[i, j]


def large_product(J: Any, V: np.ndarray, out: np.ndarray, rows: Any) -> None:
    """Write ``J V`` into ``out`` by BLAS; small systems never get here, and do not compile it."""
    out[...] = np.asarray(J) @ V


@overload(large_product)
def _large_product(J, V, out, rows):  # type: ignore[no-untyped-def]
    if isinstance(rows, types.BaseTuple) or isinstance(J, types.BaseTuple):
        return lambda J, V, out, rows: None
    if J.dtype == V.dtype and J.layout == "C":
        return lambda J, V, out, rows: np.dot(J, V, out)
    return lambda J, V, out, rows: np.dot(np.ascontiguousarray(J).astype(V.dtype), V, out)


def large_qr(V: np.ndarray, pivots: np.ndarray, rows: Any) -> float:
    """`orthonormalise` by LAPACK; small systems never get here, and do not compile it."""
    return float(orthonormalise_lapack(V, pivots))


@overload(large_qr)
def _large_qr(V, pivots, rows):  # type: ignore[no-untyped-def]
    if isinstance(rows, types.BaseTuple):
        return lambda V, pivots, rows: 1.0
    return lambda V, pivots, rows: orthonormalise_lapack(V, pivots)


@njit(error_model="numpy", nogil=True, forceinline=True)
def multiply(J, V, out, rows, cols):  # type: ignore[no-untyped-def]
    """Write ``J V`` into ``out``."""
    if len(rows) > PLAIN_LOOPS_UP_TO:
        large_product(J, V, out, rows)
        return
    for i in range(len(rows)):
        for j in range(len(cols)):
            total = entry(J, i, 0) * V[0, j]
            for m in range(1, len(rows)):
                total += entry(J, i, m) * V[m, j]
            out[i, j] = total


@njit(error_model="numpy", nogil=True, forceinline=True)
def orthonormalise(V, rows, cols, pivots):  # type: ignore[no-untyped-def]
    """Replace ``V`` (n, k) by its orthonormal factor and write diag R >= 0 into ``pivots``.

    Returns the smallest non-zero pivot over the largest: how much of the frame's resolution was used up.
    A pivot below ``n eps max|R|`` is rounding and is written as zero; the frame is completed there.
    """
    if len(rows) > PLAIN_LOOPS_UP_TO:
        return large_qr(V, pivots, rows)
    threshold = (len(rows) * np.finfo(V.dtype).eps) ** 2
    largest = 0.0
    smallest_pivot = np.inf
    largest_pivot = 0.0
    for j in range(len(cols)):
        before = 0.0
        for i in range(len(rows)):
            before += V[i, j] * V[i, j]
        largest = max(largest, before)
        remaining = before
        if j > 0:
            remaining = _remove_earlier(V, rows, j)
            if remaining < 0.25 * before:
                # half of the length was cancelled: a second pass makes the column orthogonal to rounding
                remaining = _remove_earlier(V, rows, j)
        if remaining <= threshold * largest:
            pivots[j] = 0.0
            _complete(V, j)
        else:
            pivot = np.sqrt(remaining)
            pivots[j] = pivot
            smallest_pivot = min(smallest_pivot, pivot)
            largest_pivot = max(largest_pivot, pivot)
            inverse = 1.0 / pivot
            for i in range(len(rows)):
                V[i, j] *= inverse
    return smallest_pivot / largest_pivot if largest_pivot > 0.0 else 1.0


@njit(error_model="numpy", nogil=True, forceinline=True)
def _remove_earlier(V, rows, j):  # type: ignore[no-untyped-def]
    """Subtract from column ``j`` its parts along the columns before it; return the square of what is left."""
    for m in range(j):
        overlap = 0.0
        for i in range(len(rows)):
            overlap += V[i, m] * V[i, j]
        for i in range(len(rows)):
            V[i, j] -= overlap * V[i, m]
    remaining = 0.0
    for i in range(len(rows)):
        remaining += V[i, j] * V[i, j]
    return remaining


@njit(error_model="numpy", nogil=True)
def _complete(V, j):  # type: ignore[no-untyped-def]
    """Put into column ``j`` a unit vector orthogonal to the columns before it."""
    n = V.shape[0]
    # the axis that the earlier columns cover least keeps at least (n - j) / n of its squared length
    axis = 0
    least = np.inf
    for i in range(n):
        covered = 0.0
        for m in range(j):
            covered += V[i, m] * V[i, m]
        if covered < least:
            least = covered
            axis = i
    V[:, j] = 0.0
    V[axis, j] = 1.0
    _remove_earlier(V, V[:, 0], j)
    V[:, j] *= 1.0 / np.sqrt(_remove_earlier(V, V[:, 0], j))


@njit(error_model="numpy", nogil=True, cache=True)
def orthonormalise_lapack(V, pivots):  # type: ignore[no-untyped-def]
    """`orthonormalise` by Householder reflections, for sizes where LAPACK is faster."""
    n, k = V.shape
    for i in range(n):
        for j in range(k):
            if not np.isfinite(V[i, j]):
                # LAPACK must not see it; the caller finds the step and the unit
                pivots[:] = np.nan
                return 1.0
    Q, R = np.linalg.qr(V)
    largest = 0.0
    for i in range(k):
        for j in range(i, k):
            largest = max(largest, abs(R[i, j]))
    smallest_pivot = np.inf
    largest_pivot = 0.0
    for j in range(k):
        sign = -1.0 if R[j, j] < 0.0 else 1.0
        pivot = abs(R[j, j])
        if pivot <= n * np.finfo(V.dtype).eps * largest:
            pivot = 0.0
        else:
            smallest_pivot = min(smallest_pivot, pivot)
            largest_pivot = max(largest_pivot, pivot)
        pivots[j] = pivot
        for i in range(n):
            V[i, j] = sign * Q[i, j]
    return smallest_pivot / largest_pivot if largest_pivot > 0.0 else 1.0
