"""LU factorisation with partial pivoting, in place, at the speed of the matrix product.

The right-looking algorithm of LAPACK's getrf with its recursion unrolled: as many columns as fill a line of the cache
by vector loops, twice as many and more by products of tiles, whose factors are laid out in the order in which they are
read. Matrices are given by columns: an array ``A[column, row]``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64

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
    largest: np.ndarray  # (row,) magnitudes in U above the blocks on its diagonal


def workspace(n: int, k: int, dtype: np.dtype[Any]) -> Workspace:
    """Return what matrices of ``n`` rows and ``k`` columns need."""
    line = lanes(dtype.itemsize)
    outer = _WIDE if k >= _WIDE_FROM or _WIDE // 2 % line else _WIDE // 2
    order = np.tile(np.arange(n), (-(-k // outer), 1))
    panel = line_zeros((-(-n // line), outer, line), dtype)
    return Workspace(np.zeros(k, np.int64), order, panel, line_zeros((line,), dtype))


@njit(error_model="numpy", nogil=True, cache=CACHE)
def lu(A, n, keys, work):  # type: ignore[no-untyped-def]
    """Factor the first ``n`` rows of ``A[column, row]``, k <= n columns, into L (unit diagonal, below) and U, in place.

    Columns are whole lines of the cache. ``keys`` is the memory of ``A`` seen as integers of its width; ``work.swaps``
    is written. What is exchanged after a block of columns was done is not exchanged in it: `settle` does that, or who
    reads A follows ``work.order``.
    """
    k, swaps = A.shape[0], work.swaps
    outer, inner = work.panel.shape[1:]
    work.largest[:] = 0
    for left in range(0, k, inner):
        right = min(left + inner, k)
        start = left // outer * outer
        end = min(start + outer, k)
        _factor_block(A, n, keys, swaps, left, right)
        _exchange(A, swaps, left, right, start, left)
        if right == end:
            width, until = end - start, k
        else:
            # the recursion in one line: after block b, as many columns as b has trailing zero bits ask for
            done = (right - start) // inner
            width = inner * (done & -done)
            until = min(right + width, end)
        if right < until:
            _update(A, n, work, right - width, right, until)
    for block in range(len(work.order)):
        permutation(swaps, min((block + 1) * outer, k), work.order[block])


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
def _update(A, n, work, first, right, until):  # type: ignore[no-untyped-def]
    """Bring the columns ``right`` to ``until`` to where the factored ones, ``first`` to ``right``, leave them."""
    _lay_out_panel(A, n, first, right, work.panel)
    column = right
    while column + 6 <= until:
        _update_six(A, n, work, first, right, column)
        column += 6
    while column + 2 <= until:
        _update_two(A, n, work, first, right, column)
        column += 2
    if column < until:
        _update_one(A, n, work, first, right, column)


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


def _exchange_of(width: int) -> Any:
    @njit(error_model="numpy", nogil=True, cache=CACHE)
    def exchange(A, swaps, first, last, column):  # type: ignore[no-untyped-def]
        item, one = A.itemsize, A.dtype.type(1)
        between = A.shape[1] * item
        start = A.ctypes.data + column * between
        for row in range(first, last):
            here, there = start + row * item, start + swaps[row] * item
            for j in range(width):
                exchange_numbers(here + j * between, there + j * between, one)  # type: ignore[call-arg]

    return exchange


_exchange_six, _exchange_two, _exchange_one = (_exchange_of(width) for width in (6, 2, 1))


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _exchange(A, swaps, first, last, left, right):  # type: ignore[no-untyped-def]
    """Exchange rows ``first`` to ``last`` with their partners in the columns from ``left`` to ``right``."""
    column = left
    while column + 6 <= right:
        _exchange_six(A, swaps, first, last, column)
        column += 6
    while column + 2 <= right:
        _exchange_two(A, swaps, first, last, column)
        column += 2
    if column < right:
        _exchange_one(A, swaps, first, last, column)


def _update_of(width: int, exchange: Any) -> Any:
    @njit(error_model="numpy", nogil=True, cache=CACHE)
    def update(A, n, work, first, right, column):  # type: ignore[no-untyped-def]
        """Exchange rows, solve by the triangle and subtract the product below, in ``width`` columns."""
        item, one, line = A.itemsize, A.dtype.type(1), work.panel.shape[2]
        w, between, sliver = right - first, A.shape[1] * item, work.panel.shape[1] * 64
        exchange(A, work.swaps, first, right, column)
        solved, largest = A.ctypes.data + column * between + first * item, work.largest.ctypes.data
        for s in range(-(-(n - first) // line)):
            rows, at = work.panel.ctypes.data + s * sliver, solved + s * 64
            if s * line < w:
                solve_tile(rows, solved, s * line, at, between, width, width * between, largest, one)  # type: ignore[call-arg]
            else:
                subtract_tile(rows, solved, w, at, between, width, width * between, one)  # type: ignore[call-arg]

    return update


_update_six, _update_two, _update_one = (
    _update_of(width, exchange) for width, exchange in ((6, _exchange_six), (2, _exchange_two), (1, _exchange_one))
)


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
