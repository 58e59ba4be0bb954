"""Packed frames ``P L``: row ``p`` of the unit lower triangle ``L`` belongs to unit ``rows[p]``.

They are given by columns, ``packed[column, row]``, L with U above it; columns are as long as `apart` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dynet.kernels.caching import CACHE
from dynet.kernels.lu import largest_of, lu, permutation
from dynet.kernels.memory_order import line_zeros
from dynet.kernels.rounding import doubtful, is_rounding
from dynet.kernels.vectors import lanes


def apart(n: int, dtype: np.dtype[Any]) -> int:
    """Return how many numbers apart columns of ``n`` are kept: whole lines of the cache, and not a power of two.

    There the same row of all columns would compete for one place in the cache.
    """
    line = lanes(dtype.itemsize)
    width = -(-n // line) * line
    return width + line if width % (4 * line) == 0 else width


def packed_zeros(n: int, k: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return memory for a packed frame of ``n`` units and ``k`` columns."""
    return line_zeros((k, apart(n, dtype)), dtype)


def keys_of(A: np.ndarray) -> np.ndarray:
    """Return the memory of ``A`` as integers of its width, by which pivots are compared."""
    return A.view(np.int64 if A.itemsize == 8 else np.int32)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def factor(A, keys, rows, pivots, work):  # type: ignore[no-untyped-def]
    """Factor ``A`` in place as `lu` does and set ``rows``: row p of the result was row ``rows[p]``.

    Writes the pivots, those that are rounding as zero.
    """
    lu(A, len(rows), keys, work)
    read_factors(A, rows, pivots, work)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def read_factors(A, rows, pivots, work):  # type: ignore[no-untyped-def]
    """Set ``rows`` and write the pivots after `lu`, those that are rounding as zero."""
    permutation(work.swaps, 0, rows)
    for j in range(A.shape[0]):
        pivots[j] = A[j, j]
    largest, epsilon = largest_of(A, work), np.finfo(A.dtype).eps
    for j in range(A.shape[0]):
        if abs(pivots[j]) <= doubtful(epsilon) * largest and is_rounding(A.T, j, largest, epsilon):
            pivots[j] = 0.0
            A[j, j] = 0.0  # columns after it do not count on it


@njit(error_model="numpy", nogil=True, cache=CACHE)
def unpack(packed, rows, F):  # type: ignore[no-untyped-def]
    """Write ``P L`` into ``F``, all by columns."""
    for c in range(packed.shape[0]):
        for p in range(c):
            F[c, rows[p]] = 0
        F[c, rows[c]] = 1
        for p in range(c + 1, len(rows)):
            F[c, rows[p]] = packed[c, p]
