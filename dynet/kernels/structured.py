"""The steps of an LU frame: products with Jacobians that have structure, and the factorisation, without a temporary.

The frame is ``P L``: row ``p`` of the unit lower triangle ``L`` belongs to unit ``rows[p]``. A product with a sum of
gates, ``sum_g diag(left_g) W_g diag(right_g)``, then needs only the columns of the W_g in the order of ``rows``, and
the zeros of L are skipped. All matrices are given by columns, ``A[column, row]``; ``packed`` is L with U above it, in
rows as long as `apart` says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64

from dynet.kernels.blas import LETTERS, address, gemm
from dynet.kernels.caching import CACHE
from dynet.kernels.lu import lu
from dynet.kernels.rounding import doubtful, is_rounding
from dynet.kernels.vectors import copy_line, lanes, product_tile, times_triangle

_FREE = {"nnan", "nsz", "contract", "reassoc"}
_PANEL = 64
#: Above this size the factors of a product are laid out in the order in which they are read: the caches are too small
#: for anything else.
_LAID_OUT = 192
#: Columns of gates that are laid out at once, and those of a triangle, a multiple of 6.
_GATES, _TOGETHER = 8, 48


class SumLayout(NamedTuple):
    """Memory in which the factors of a large product are laid out; empty for a small one."""

    #: as many rows as fill a line of the cache, place by place, and then the next rows (sliver, place, row)
    slivers: np.ndarray
    gates: np.ndarray
    columns: np.ndarray


def sum_layout(n: int, dtype: np.dtype[Any]) -> SumLayout:
    """Return what `multiply_sum` needs for (n, n) matrices."""
    m = n if n > _LAID_OUT else 0
    line = lanes(dtype.itemsize)
    shapes = (-(-m // line), apart(m, dtype), line), (_GATES, apart(m, dtype)), _TOGETHER * m
    return SumLayout(*(np.zeros(shape, dtype) for shape in shapes))


class MemoryLayout(NamedTuple):
    """Memory and addresses that `multiply_memory` works with."""

    block: np.ndarray  # (H, 2 H)
    upper: np.ndarray  # (2 H, H)
    letters: np.ndarray
    sizes: np.ndarray
    scalars: np.ndarray
    gemm_at: int


def memory_layout(n: int, dtype: np.dtype[Any]) -> MemoryLayout:
    """Return what `multiply_memory` needs for n = 2 H."""
    block, upper = np.empty((n // 2, n), dtype), np.empty((n, n // 2), dtype)
    return MemoryLayout(block, upper, LETTERS, np.zeros(6, np.int32), np.zeros(2, dtype), address("gemm", dtype))


def in_place(layout: SumLayout) -> bool:
    """Return whether `multiply_sum` may write the product where the frame is."""
    return len(layout.slivers) > 0


def apart(n: int, dtype: np.dtype[Any]) -> int:
    """Return how many numbers apart columns of ``n`` are kept: whole lines of the cache, and not a power of two.

    There the same row of all columns would compete for one place in the cache.
    """
    line = lanes(dtype.itemsize)
    width = -(-n // line) * line
    return width + line if width % (4 * line) == 0 else width


def keys_of(A: np.ndarray) -> np.ndarray:
    """Return the memory of ``A`` as integers of its width, by which pivots are compared."""
    return A.view(np.int64 if A.itemsize == 8 else np.int32)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def factor(A, keys, rows, pivots, work):  # type: ignore[no-untyped-def]
    """Factor ``A`` in place and set ``rows``: row p of the result was row ``rows[p]``.

    Writes the pivots, those that are rounding as zero.
    """
    n = len(rows)
    lu(A, n, keys, work)
    for i in range(n):
        rows[i] = i
    for i in range(A.shape[0]):
        j = work.swaps[i]
        rows[i], rows[j] = rows[j], rows[i]
        pivots[i] = A[i, i]
    largest, epsilon = _largest(A, keys), np.finfo(A.dtype).eps
    for j in range(A.shape[0]):
        if abs(pivots[j]) <= doubtful(epsilon) * largest and is_rounding(A.T, j, largest, epsilon):
            pivots[j] = 0.0
            A[j, j] = 0.0  # columns after it do not count on it


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _largest(A, keys):  # type: ignore[no-untyped-def]
    """Return the largest magnitude in U; as integers, because maxima of floats are not made vectors of."""
    magnitude = (1 << (8 * A.itemsize - 1)) - 1
    top = np.zeros(1, keys.dtype)
    best = 0
    for column in range(A.shape[0]):
        c = uint64(column)
        for i in range(uint64(0), c + uint64(1)):
            best = max(best, keys[c, i] & magnitude)
    top[0] = best
    return top.view(A.dtype)[0]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def multiply_sum(matrices, lefts, rights, diagonal, packed, rows, target, layout):  # type: ignore[no-untyped-def]
    """Write ``(diag(diagonal) + sum_g diag(left_g) W_g diag(right_g)) P L`` into ``target``.

    ``matrices`` (gate, column, row), ``lefts`` and ``rights`` (gate, n), ``diagonal`` (n,) or empty. ``target`` is
    ``packed`` itself if `in_place`.
    """
    n = packed.shape[0]
    if len(layout.slivers) == 0:
        for p in range(n):
            _combine(matrices, lefts, rights, rows[p], target[p])
            if len(diagonal):
                target[p, rows[p]] += diagonal[rows[p]]
        _times_triangle(packed, target)
        return
    gates = layout.gates
    for left in range(0, n, len(gates)):
        count = min(len(gates), n - left)
        for j in range(count):
            unit = rows[left + j]
            _combine(matrices, lefts, rights, unit, gates[j])
            if len(diagonal):
                gates[j, unit] += diagonal[unit]
        _lay_out(gates, count, layout.slivers, left)
    _slivers_times_triangle(layout.slivers, packed, target, layout.columns)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _times_triangle(packed, target):  # type: ignore[no-untyped-def]
    """Multiply ``target`` by ``L`` in place, some rows after the other."""
    n, apart = packed.shape
    item, one = packed.itemsize, packed.dtype.type(1)
    between = apart * item
    whole = n // 6 * 6
    for row in range(0, n, lanes(item)):
        at = target.ctypes.data + row * item
        for c in range(0, whole, 6):
            times_triangle(at + c * between, packed.ctypes.data + c * (between + item), between, n - c, 6, one)  # type: ignore[call-arg]
        for c in range(whole, n):
            times_triangle(at + c * between, packed.ctypes.data + c * (between + item), between, n - c, 1, one)  # type: ignore[call-arg]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _slivers_times_triangle(slivers, packed, target, columns):  # type: ignore[no-untyped-def]
    """Write the product of what `_lay_out` made with ``L`` into ``target``, some columns after the other."""
    n, apart = packed.shape
    item, one = packed.itemsize, packed.dtype.type(1)
    line, length = slivers.shape[2] * item, slivers.shape[1] * slivers.shape[2] * item
    whole = n // 6 * 6
    for first in range(0, whole, _TOGETHER):
        last = min(first + _TOGETHER, whole)
        # these columns of L are not read again, but as they are laid out: the product may take their place
        _lay_out_triangle(packed, first, last, 6, columns)
        for s in range(slivers.shape[0]):
            rows_at = slivers.ctypes.data + s * length
            at = target.ctypes.data + s * line
            done = 0
            for c in range(first, last, 6):
                lower, place = columns.ctypes.data + done * item, at + c * apart * item
                product_tile(rows_at + c * line, lower, n - c, place, apart * item, 6, one)  # type: ignore[call-arg]
                done += (n - c) * 6
    for c in range(whole, n):
        _lay_out_triangle(packed, c, c + 1, 1, columns)
        for s in range(slivers.shape[0]):
            rows_at = slivers.ctypes.data + s * length
            place = target.ctypes.data + s * line + c * apart * item
            product_tile(rows_at + c * line, columns.ctypes.data, n - c, place, apart * item, 1, one)  # type: ignore[call-arg]


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _combine(matrices, lefts, rights, unit, column):  # type: ignore[no-untyped-def]
    """Write column ``unit`` of the sum of gates into ``column``."""
    n, c, zero, one, two, three = uint64(lefts.shape[1]), uint64(unit), uint64(0), uint64(1), uint64(2), uint64(3)
    gates = matrices.shape[0]
    # several at a time: what takes long is to fetch them, and that goes on at once
    if gates == 4:
        a, b, d, e = rights[zero, c], rights[one, c], rights[two, c], rights[three, c]
        for i in range(zero, n):
            column[i] = (
                (a * lefts[zero, i] * matrices[zero, c, i] + b * lefts[one, i] * matrices[one, c, i])
                + (d * lefts[two, i] * matrices[two, c, i] + e * lefts[three, i] * matrices[three, c, i])
            )  # fmt: skip
        return
    odd = gates % 2
    if odd:
        f = rights[zero, c]
        for i in range(zero, n):
            column[i] = f * lefts[zero, i] * matrices[zero, c, i]
    else:
        for i in range(zero, n):
            column[i] = 0
    for gate in range(odd, gates, 2):
        g, h = uint64(gate), uint64(gate + 1)
        f, e = rights[g, c], rights[h, c]
        for i in range(zero, n):
            column[i] += f * lefts[g, i] * matrices[g, c, i] + e * lefts[h, i] * matrices[h, c, i]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _lay_out(gates, count, slivers, left):  # type: ignore[no-untyped-def]
    """Copy some columns into all slivers, from place ``left`` on."""
    item, one = gates.itemsize, gates.dtype.type(1)
    between, sliver = gates.shape[1] * item, slivers.shape[1] * 64
    for s in range(slivers.shape[0]):
        source, target = gates.ctypes.data + s * 64, slivers.ctypes.data + s * sliver + left * 64
        for j in range(count):
            copy_line(source + j * between, target + j * 64, one)  # type: ignore[call-arg]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _lay_out_triangle(packed, first, last, width, columns):  # type: ignore[no-untyped-def]
    """Copy the columns ``first`` to ``last`` of L, ``width`` of them side by side, from their diagonal on."""
    n, w, to = uint64(packed.shape[0]), uint64(width), uint64(0)
    one, zero = packed.dtype.type(1), packed.dtype.type(0)
    for left in range(uint64(first), uint64(last), w):
        for k in range(left, n):
            for c in range(left, left + w):
                columns[to] = packed[c, k] if k > c else (one if k == c else zero)
                to += uint64(1)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def multiply_memory(matrices, lefts, output, forget, packed, rows, target, layout):  # type: ignore[no-untyped-def]
    """Write the product for a cell with a memory (LSTM): ``dc' = f dc + M dh``, ``dh' = E dh + s dc'``.

    ``matrices`` (1 + gate, column, row) with E first and ``lefts`` (1 + gate, H) its diagonals; ``output`` is s (H,),
    ``forget`` f (H,).
    """
    n, apart = packed.shape
    block, upper = layout.block, layout.upper
    H = n // 2
    # the rows of L that belong to h, in the order of L: row r of `upper` starts with zeros up to its position
    first = np.empty(n + 1, np.int64)  # of those rows, how many stand above a position
    count = 0
    for p in range(n):
        first[p] = count
        if rows[p] < H:
            _gate_column(matrices, lefts, output, rows[p], block, count)
            count += 1
    first[n] = count
    for c in range(n):
        r = 0
        for p in range(n):
            if rows[p] < H:
                upper[c, r] = packed[c, p] if p > c else (1.0 if p == c else 0.0)
                r += 1
    at, item = target.ctypes.data, target.itemsize
    for c in range(0, n, _PANEL):
        width = min(_PANEL, n - c)
        skip = first[c]
        left, right = block.ctypes.data + skip * n * item, upper.ctypes.data + (c * H + skip) * item
        gemm(layout.gemm_at, layout.letters, layout.sizes, layout.scalars, left, n, right, H,
             at + c * apart * item, apart, n, width, H - skip, 1.0, 0.0)  # fmt: skip
    for c in range(n):
        for p in range(c, n):
            i = rows[p] - H
            if i >= 0:
                kept = forget[i] * (packed[c, p] if p > c else packed.dtype.type(1))
                target[c, H + i] += kept
                target[c, i] += output[i] * kept


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _gate_column(matrices, lefts, output, unit, block, r):  # type: ignore[no-untyped-def]
    """Write what unit ``unit`` of h does to the new (h, c) into column ``r`` of ``block``."""
    H = uint64(lefts.shape[1])
    c, to, zero = uint64(unit), uint64(r), uint64(0)
    for i in range(zero, H):
        block[to, H + i] = lefts[1, i] * matrices[1, c, i]
    for gate in range(2, matrices.shape[0]):
        g = uint64(gate)
        for i in range(zero, H):
            block[to, H + i] += lefts[g, i] * matrices[g, c, i]
    for i in range(zero, H):
        block[to, i] = lefts[zero, i] * matrices[zero, c, i] + output[i] * block[to, H + i]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def run_sum(matrices, lefts, rights, diagonals, buffers, keys, rows, pivots, layout, work):  # type: ignore[no-untyped-def]
    """Multiply by sums of gates, step after step, and factor after each.

    ``lefts`` and ``rights`` (step, gate, n), ``diagonals`` (step, n), or (step, 0). The frame starts in ``buffers[0]``
    and moves from one to the other at every step; they are one and the same if `in_place`. ``pivots`` (step, k) is
    written.
    """
    for step in range(len(pivots)):
        source, target = step % 2, 1 - step % 2
        multiply_sum(matrices, lefts[step], rights[step], diagonals[step], buffers[source], rows, buffers[target],
                     layout)  # fmt: skip
        factor(buffers[target], keys[target], rows, pivots[step], work)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def run_memory(matrices, lefts, outputs, forgets, buffers, keys, rows, pivots, layout, work):  # type: ignore[no-untyped-def]
    """Do what `run_sum` does for a cell with a memory; ``outputs`` and ``forgets`` (step, H)."""
    for step in range(len(pivots)):
        source, target = step % 2, 1 - step % 2
        multiply_memory(matrices, lefts[step], outputs[step], forgets[step], buffers[source], rows, buffers[target],
                        layout)  # fmt: skip
        factor(buffers[target], keys[target], rows, pivots[step], work)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def unpack(packed, rows, F):  # type: ignore[no-untyped-def]
    """Write ``P L`` into ``F``, all by columns."""
    for c in range(packed.shape[0]):
        for p in range(c):
            F[c, rows[p]] = 0
        F[c, rows[c]] = 1
        for p in range(c + 1, len(rows)):
            F[c, rows[p]] = packed[c, p]
