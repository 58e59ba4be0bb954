"""LU factorisation with partial pivoting, in place, at the speed of the matrix product.

The right-looking algorithm of LAPACK's getrf with its recursion unrolled: as many columns as fill a line of the cache
by vector loops, twice as many and more by products of tiles, whose factors are laid out in the order in which they are
read. Matrices are given by columns: an array ``A[column, row]``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import literally, njit, uint64

from dynet.kernels.caching import CACHE
from dynet.kernels.memory_order import line_zeros
from dynet.kernels.vectors import copy_line, exchange_numbers, lanes, solve_tile, subtract_tile

#: Columns of the blocks by which everything to the right is updated: whole lines and sixes; half of them at first.
_WIDE, _WIDE_FROM = 48, 400
_FREE = {"nnan", "nsz", "contract", "reassoc"}  # rounding may differ; infinities stay what they are


class Workspace(NamedTuple):
    """Memory that factorisations work with."""

    swaps: np.ndarray  # (k,) the row that each row was exchanged with
    order: np.ndarray  # (block, n) where the rows stand in the columns of a block, once all are exchanged
    panel: np.ndarray  # (sliver, column, row): as many rows as fill a line of the cache, and then the next ones
    largest: np.ndarray  # (thread, row) magnitudes in U above the blocks on its diagonal


def workspace(n: int, k: int, dtype: np.dtype[Any], threads: int = 1) -> Workspace:
    """Return what matrices of ``n`` rows and ``k`` columns need."""
    line = lanes(dtype.itemsize)
    outer = _WIDE if k >= _WIDE_FROM or _WIDE // 2 % line else _WIDE // 2
    order = np.tile(np.arange(n), (-(-k // outer), 1))
    panel = line_zeros((-(-n // line), outer, line), dtype)
    return Workspace(np.zeros(k, np.int64), order, panel, line_zeros((threads, line), dtype))


@njit(error_model="numpy", nogil=True, cache=CACHE)
def lu(A, n, keys, work):  # type: ignore[no-untyped-def]
    """Factor the first ``n`` rows of ``A[column, row]``, k <= n columns, into L (unit diagonal, below) and U, in place.

    Columns are whole lines of the cache. ``keys`` is the memory of ``A`` seen as integers of its width; ``work.swaps``
    is written. What is exchanged after a block of columns was done is not exchanged in it: `settle` does that, or who
    reads A follows ``work.order``.
    """
    k, outer = len(A), work.panel.shape[1]
    for start in range(0, k, outer):
        end = min(start + outer, k)
        factor_columns(A, n, keys, work, start, end)
        if end < k:
            update_columns(A, n, work, start, end, end, k, 0)
    write_order(work)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def factor_columns(A, n, keys, work, start, end):  # type: ignore[no-untyped-def]
    """Factor the columns ``start`` to ``end`` by themselves and lay their L out for what it does to others."""
    if start == 0:
        work.largest[:] = 0
    inner = work.panel.shape[2]
    for left in range(start, end, inner):
        right = min(left + inner, end)
        _factor_block(A, n, keys, work.swaps, left, right)
        _exchange(A, work.swaps, left, right, start, left)
        if right < end:
            # the recursion in one line: after block b, as many columns as b has trailing zero bits ask for
            done = (right - start) // inner
            width = inner * (done & -done)
            _lay_out_panel(A, n, right - width, right, work.panel)
            update_columns(A, n, work, right - width, right, right, min(right + width, end), 0)
    if end < len(A):
        _lay_out_panel(A, n, start, end, work.panel)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def write_order(work):  # type: ignore[no-untyped-def]
    """Write where the rows stand in the columns of each block."""
    k, outer = len(work.swaps), work.panel.shape[1]
    for block in range(len(work.order)):
        permutation(work.swaps, min((block + 1) * outer, k), work.order[block])


@njit(error_model="numpy", nogil=True, cache=CACHE)
def largest_of(A, work):  # type: ignore[no-untyped-def]
    """Return the largest magnitude in U, which is not that of a factor with NaN in it."""
    largest, inner = work.largest.max(), work.panel.shape[2]
    for column in range(len(A)):
        for row in range(column // inner * inner, column + 1):
            largest = max(largest, abs(A[column, row]))
    return largest


@njit(error_model="numpy", nogil=True, cache=CACHE)
def settle(A, work):  # type: ignore[no-untyped-def]
    """Exchange the rows that `lu` left as they stood."""
    k, outer = A.shape[0], work.panel.shape[1]
    for block in range(len(work.order)):
        right = min((block + 1) * outer, k)
        _exchange(A, work.swaps, right, k, block * outer, right)
        permutation(work.swaps, k, work.order[block])


@njit(error_model="numpy", nogil=True, cache=CACHE)
def permutation(swaps, first, order):  # type: ignore[no-untyped-def]
    """Write where the rows stood before those from ``first`` on were exchanged with their partners."""
    for row in range(len(order)):
        order[row] = row
    for row in range(first, len(swaps)):
        other = swaps[row]
        order[row], order[other] = order[other], order[row]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def update_columns(A, n, work, first, right, begin, end, thread):  # type: ignore[no-untyped-def]
    """Bring the columns ``begin`` to ``end`` to where the factored ones, ``first`` to ``right``, leave them."""
    column, largest = begin, work.largest[thread]
    while column + 6 <= end:
        _update_some(A, n, work, first, right, column, largest, 6)
        column += 6
    while column + 2 <= end:
        _update_some(A, n, work, first, right, column, largest, 2)
        column += 2
    if column < end:
        _update_some(A, n, work, first, right, column, largest, 1)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _lay_out_panel(A, n, first, right, panel):  # type: ignore[no-untyped-def]
    """Copy L's columns ``first`` to ``right`` with zeros for their diagonal and what is above, sliver by sliver."""
    item, one, line = A.itemsize, A.dtype.type(1), panel.shape[2]
    sliver, between = panel.shape[1] * 64, A.shape[1] * item
    for left in range(first, right, line):
        for s in range(-(-(n - first) // line)):
            source = A.ctypes.data + left * between + first * item + s * 64
            target = panel.ctypes.data + s * sliver + (left - first) * 64
            for j in range(line):
                copy_line(source + j * between, target + j * 64, one)  # type: ignore[call-arg]
    for column in range(right - first):
        for row in range(column + 1):
            panel[row // line, column, row % line] = 0


# Functions of one name with other numbers in their closures must not be cached: code of one may be linked for another.
# A literal argument makes functions of its own.


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _exchange_some(A, swaps, first, last, column, width):  # type: ignore[no-untyped-def]
    """Exchange rows ``first`` to ``last`` with their partners in ``width`` (a literal) columns."""
    item, one = A.itemsize, A.dtype.type(1)
    between = A.shape[1] * item
    start = A.ctypes.data + column * between
    for row in range(first, last):
        here, there = start + row * item, start + swaps[row] * item
        for j in range(literally(width)):
            exchange_numbers(here + j * between, there + j * between, one)  # type: ignore[call-arg]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _exchange(A, swaps, first, last, left, right):  # type: ignore[no-untyped-def]
    """Exchange rows ``first`` to ``last`` with their partners in the columns from ``left`` to ``right``."""
    column = left
    while column + 6 <= right:
        _exchange_some(A, swaps, first, last, column, 6)
        column += 6
    while column + 2 <= right:
        _exchange_some(A, swaps, first, last, column, 2)
        column += 2
    if column < right:
        _exchange_some(A, swaps, first, last, column, 1)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _update_some(A, n, work, first, right, column, largest, width):  # type: ignore[no-untyped-def]
    """Exchange rows, solve by the triangle and subtract the product below, in ``width`` (a literal) columns."""
    item, one, line = A.itemsize, A.dtype.type(1), work.panel.shape[2]
    w, between, sliver = right - first, A.shape[1] * item, work.panel.shape[1] * 64
    _exchange_some(A, work.swaps, first, right, column, literally(width))
    solved, top = A.ctypes.data + column * between + first * item, largest.ctypes.data
    for s in range(-(-(n - first) // line)):
        rows, at = work.panel.ctypes.data + s * sliver, solved + s * 64
        if s * line < w:
            solve_tile(rows, solved, s * line, at, between, width, width * between, top, one)  # type: ignore[call-arg]
        else:
            subtract_tile(rows, solved, w, at, between, width, width * between, one)  # type: ignore[call-arg]


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _factor_block(A, n, keys, swaps, left, right):  # type: ignore[no-untyped-def]
    """Factor some columns by vector loops, exchanging rows inside them alone."""
    n = uint64(n)
    one = A.dtype.type(1)
    # the magnitude of a number grows with its bits read as an integer; the last ones give way to the row's number,
    # so that one maximum without branches finds the pivot (or one as large to within 2^-11 in float32)
    bits = 12
    while (1 << bits) < n:
        bits += 1
    place = (1 << bits) - 1
    size = ((1 << (8 * A.itemsize - 1)) - 1) & ~place
    for column in range(left, right):
        j = uint64(column)
        best = -1
        for i in range(j, n):
            key = (keys[j, i] & size) | i
            best = max(best, key)
        b = uint64(best & place)
        swaps[column] = b
        if b != j:
            for other in range(left, right):
                c = uint64(other)
                A[c, j], A[c, b] = A[c, b], A[c, j]
        pivot = A[j, j]
        if pivot != 0:
            inverted = one / pivot
            for i in range(j + uint64(1), n):
                A[j, i] *= inverted
        for other in range(column + 1, right):
            c = uint64(other)
            f = A[c, j]
            for i in range(j + uint64(1), n):
                A[c, i] -= f * A[j, i]
