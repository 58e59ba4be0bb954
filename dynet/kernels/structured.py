"""The steps of an LU frame under Jacobians that have structure: products without a matrix built, and factorisations.

A Jacobian is ``diag(d) + sum_g diag(left_g) W_g diag(right_g)``, where matrices with fewer columns than rows tell that
only the first units act through them, and a cell with a memory has two more diagonals. A product with a frame ``P L``
needs the columns of the sum in the order of ``rows``, and the zeros of L are skipped.

Both factors are laid out in the order in which they are read: the triangle as a whole, six columns side by side, and
the sum sliver by sliver, which are as many rows as fill a line of the cache, column by column. Some slivers stay close
by while the whole triangle passes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64

from dynet.kernels.caching import CACHE
from dynet.kernels.lu import settle
from dynet.kernels.memory_order import line_zeros
from dynet.kernels.packed import factor
from dynet.kernels.vectors import combine_lines, fetch_line, lanes, product_tile

#: Slivers that are laid out at once. Each product with six columns fetches an eighth of a line a number, and so six of
#: them the next six columns.
_SLIVERS = 6


class Parts(NamedTuple):
    """What Jacobians are made of, for each sequence and step."""

    matrices: np.ndarray  # (gate, sliver, column, row)
    lefts: np.ndarray  # (sequence, step, gate, row), zeros for what slivers have beyond the last row
    rights: np.ndarray  # (sequence, step, gate, column)
    diagonal: np.ndarray  # (sequence, step, n), or (sequence, step, 0) where there is none
    forget: np.ndarray  # (sequence, step, n / 2), from a memory to itself, or (sequence, step, 0)
    output: np.ndarray  # the same, from a memory to its unit


class Memory(NamedTuple):
    """Memory in which factors are laid out."""

    slivers: np.ndarray  # (thread, sliver, column, row)
    triangle: np.ndarray


def memory_for(n: int, m: int, dtype: np.dtype[Any], threads: int = 1) -> Memory:
    """Return memory for products with (n, m) matrices by some threads."""
    # an odd number of lines, so that the same column of all slivers does not compete for one place in the cache
    slivers = line_zeros((threads, _SLIVERS, m | 1, lanes(dtype.itemsize)), dtype)
    return Memory(slivers, line_zeros((sum(min(n - c // 6 * 6, m) for c in range(n)),), dtype))


def slivers_of(matrices: np.ndarray) -> np.ndarray:
    """Return matrices (gate, n, m) as slivers (gate, sliver, m, row), with zeros where the last one has no rows."""
    (gates, n, m), line = matrices.shape, lanes(matrices.itemsize)
    slivers = line_zeros((gates, -(-n // line), m, line), matrices.dtype)
    for s in range(slivers.shape[1]):
        rows = matrices[:, s * line : (s + 1) * line]
        slivers[:, s, :, : rows.shape[1]] = rows.swapaxes(1, 2)
    return slivers


@njit(error_model="numpy", nogil=True, cache=CACHE)
def run(parts, s, buffers, keys, rows, pivots, memory, work):  # type: ignore[no-untyped-def]
    """Multiply by the Jacobians of sequence ``s``, step after step, and factor after each.

    The frame starts in ``buffers[0]`` and moves from one to the other at every step; without memories they may be one
    and the same. ``pivots`` (step, k) is written.
    """
    n_steps = len(pivots)
    for step in range(n_steps):
        source, target = step % 2, 1 - step % 2
        multiply(parts, s, step, buffers[source], rows, buffers[target], memory, work)
        factor(buffers[target], keys[target], rows, pivots[step], work)
    settle(buffers[n_steps % 2], work)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def multiply(parts, s, step, packed, rows, target, memory, work):  # type: ignore[no-untyped-def]
    """Write the product of a Jacobian and the frame ``P L`` in ``packed`` into ``target``, rows in their own order.

    Rows of ``packed`` stand where ``work.order`` says. Where there are no memories, ``target`` may be ``packed``.
    """
    units, starts = lay_out(parts.matrices.shape[2], packed, rows, memory, work)
    multiply_slivers(parts, s, step, units, starts, target, memory, 0, parts.matrices.shape[1], 0)
    if parts.forget.shape[2]:
        add_memories(parts.forget[s, step], parts.output[s, step], packed, work, rows, target)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def lay_out(m, packed, rows, memory, work):  # type: ignore[no-untyped-def]
    """Lay the triangle out; return the units in the order of its rows, and how many stand before each place."""
    units, places, starts = _active(rows, m)
    _lay_out_triangle(packed, work, places, starts, memory.triangle)
    return units, starts


@njit(error_model="numpy", nogil=True, cache=CACHE)
def multiply_slivers(parts, s, step, units, starts, target, memory, begin, end, thread):  # type: ignore[no-untyped-def]
    """Write the rows of slivers ``begin`` to ``end`` of the product with what was laid out."""
    slivers = memory.slivers[thread]
    for top in range(begin, end, _SLIVERS):
        count = min(_SLIVERS, end - top)
        for i in range(count):
            _lay_out_sliver(parts, s, step, units, top + i, slivers[i])
        _times_triangle(slivers, memory.triangle, count, len(units), starts, target, top)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _active(rows, m):  # type: ignore[no-untyped-def]
    """Return the units below ``m`` in the order of ``rows``, their places, and how many stand before each place."""
    units, places, starts = np.empty(m, np.int64), np.empty(m, np.int64), np.empty(len(rows), np.int64)
    count = 0
    for p in range(len(rows)):
        starts[p] = count
        if rows[p] < m:
            units[count], places[count] = rows[p], p
            count += 1
    return units, places, starts


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _lay_out_triangle(packed, work, places, starts, triangle):  # type: ignore[no-untyped-def]
    """Copy the rows of L at ``places``: six columns side by side from the start of the first, the last ones alone."""
    n, m, to = len(packed), uint64(len(places)), uint64(0)
    one, zero, between = packed.dtype.type(1), packed.dtype.type(0), packed.shape[1] * packed.itemsize
    for left in range(0, n, 6):
        order = work.order[left // work.panel.shape[1]]
        width = 6 if left + 6 <= n else 1
        for first in range(left, min(left + 6, n), width):
            columns = range(uint64(first), uint64(first + width))
            line, ahead = 0, packed.ctypes.data + (left + 6) * between + left * packed.itemsize
            for q in range(uint64(starts[left]), m):
                p = uint64(places[q])
                k = uint64(order[p])
                # rows are read in any order: the next columns are fetched line by line, which are fewer than rows
                fetch_line(ahead + line * between)  # type: ignore[call-arg]
                line += 1
                if line == 6:
                    line, ahead = 0, ahead + 64
                for c in columns:
                    triangle[to] = packed[c, k] if p > c else (one if p == c else zero)
                    to += uint64(1)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _lay_out_sliver(parts, s, step, units, sliver, out):  # type: ignore[no-untyped-def]
    """Write a sliver of the sum, its columns in the order of ``units``."""
    matrices, lefts, rights = parts.matrices, parts.lefts[s, step], parts.rights[s, step]
    gates, m, line, item, one = len(matrices), len(units), out.shape[1], out.itemsize, out.dtype.type(1)
    length, between = m * 64, matrices.shape[1] * m * 64
    start, rows = matrices.ctypes.data + sliver * length, lefts.shape[1] * item
    lefts_at, rights_at = lefts.ctypes.data + sliver * 64, rights.ctypes.data
    ahead = start + length if sliver + 1 < matrices.shape[1] else start
    for q in range(m):
        of, right, to = start + units[q] * 64, rights_at + units[q] * item, out.ctypes.data + q * 64
        combine_lines(of, between, lefts_at, rows, right, m * item, gates, to, ahead + q * 64, one)  # type: ignore[call-arg]
    if parts.diagonal.shape[2]:
        diagonal, top = parts.diagonal[s, step], sliver * line
        for q in range(m):
            if top <= units[q] < top + line:
                out[q, units[q] - top] += diagonal[units[q]]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _times_triangle(slivers, triangle, count, m, starts, target, top):  # type: ignore[no-untyped-def]
    """Write the product of ``count`` slivers, of which ``top`` is the first, with the triangle."""
    n, apart = target.shape
    item, one = target.itemsize, target.dtype.type(1)
    length, between = slivers.shape[1] * 64, apart * item
    columns = np.int64(triangle.ctypes.data)
    for c in range(0, n, 6):
        rest = m - starts[c]
        size = rest * min(n - c, 6) * item
        for i in range(count):
            rows = slivers.ctypes.data + i * length + starts[c] * 64
            to = target.ctypes.data + (top + i) * 64 + c * between
            if c + 6 <= n:
                ahead = columns + size + i * (size // _SLIVERS)
                product_tile(rows, columns, rest, to, between, 6, ahead, one)  # type: ignore[call-arg]
            else:
                for j in range(n - c):
                    column = columns + j * rest * item
                    product_tile(rows, column, rest, to + j * between, between, 1, column, one)  # type: ignore[call-arg]
        columns += size


@njit(error_model="numpy", nogil=True, cache=CACHE)
def add_memories(forget, output, packed, work, rows, target):  # type: ignore[no-untyped-def]
    """Add what memories do: that of unit i, which is unit H + i of the frame, to itself and to i."""
    n, H, one = len(packed), len(forget), packed.dtype.type(1)
    for c in range(n):
        order = work.order[c // work.panel.shape[1]]
        for p in range(c, n):
            i = rows[p] - H
            if i >= 0:
                kept = forget[i] * (packed[c, order[p]] if p > c else one)
                target[c, H + i] += kept
                target[c, i] += output[i] * kept
