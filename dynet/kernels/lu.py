"""LU factorisation with partial pivoting, in place, at the speed of the matrix product.

The right-looking algorithm of LAPACK's getrf with its recursion unrolled: blocks of 8 columns by vector loops, blocks
of 16 and 32 by products. The block row of U comes from a product with the inverse of a 32 x 32 unit triangle, because
triangular solves of that size run at a tenth of the product's speed. Matrices are given by columns: an array
``A[column, row]``.
"""

from __future__ import annotations

from numba import njit, uint64

from dynet.kernels.blas import gemm
from dynet.kernels.caching import CACHE

#: Columns of the innermost block, and of the blocks by which everything to the right is updated.
INNER, OUTER = 8, 32
_FREE = {"nnan", "nsz", "contract", "reassoc"}  # rounding may differ; infinities stay what they are


@njit(error_model="numpy", nogil=True, cache=CACHE)
def lu(A, keys, swaps, inverse, copy, letters, sizes, scalars, gemm_at):  # type: ignore[no-untyped-def]
    """Factor ``A[column, row]`` (k, n) with k <= n into L (unit diagonal, below) and U, in place.

    ``keys`` is the memory of ``A`` seen as integers of its width, ``swaps`` (k,) receives the row that each row was
    exchanged with, ``inverse`` (32, 32) and ``copy`` (k, 32) are scratch, as are ``sizes`` and ``scalars`` of `gemm`.
    """
    k, n = A.shape
    for left in range(0, k, INNER):
        right = min(left + INNER, k)
        start = left // OUTER * OUTER
        end = min(start + OUTER, k)
        _factor_block(A, keys, swaps, left, right)
        _exchange(A, swaps, left, right, start, left)
        _exchange(A, swaps, left, right, right, end)
        if right == end:
            _exchange(A, swaps, start, end, 0, start)
            _exchange(A, swaps, start, end, end, k)
            width, until = end - start, k
        else:
            # the recursion in one line: after block b, as many columns as b has trailing zero bits ask for
            done = (right - start) // INNER
            width = INNER * (done & -done)
            until = min(right + width, end)
        if right < until:
            first = right - width
            if width == INNER:
                _solve(A, first, right, until)
                _subtract_eight(A, first, right, until)
            else:
                if until - right <= OUTER:
                    _solve(A, first, right, until)
                else:
                    _solve_by_inverse(A, first, right, until, inverse, copy, letters, sizes, scalars, gemm_at)
                if right < n:
                    at, item = A.ctypes.data, A.itemsize
                    below = at + (first * n + right) * item
                    block = at + (right * n + first) * item
                    rest = at + (right * n + right) * item
                    gemm(gemm_at, letters, sizes, scalars, below, n, block, n, rest, n,
                         n - right, until - right, width, -1.0, 1.0)  # fmt: skip


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _factor_block(A, keys, swaps, left, right):  # type: ignore[no-untyped-def]
    """Factor some columns by vector loops, exchanging rows inside them alone."""
    n = uint64(A.shape[1])
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


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _exchange(A, swaps, first, last, left, right):  # type: ignore[no-untyped-def]
    """Exchange rows ``first`` to ``last`` with their partners in the columns from ``left`` to ``right``."""
    for column in range(left, right):
        c = uint64(column)
        for row in range(first, last):
            i, b = uint64(row), uint64(swaps[row])
            A[c, i], A[c, b] = A[c, b], A[c, i]


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _solve(A, first, right, until):  # type: ignore[no-untyped-def]
    """Replace the rows ``first`` to ``right`` of some columns by the inverse triangle times them."""
    o, w = uint64(first), uint64(right - first)
    for column in range(right, until):
        c = uint64(column)
        for s in range(uint64(0), w):
            f = A[c, o + s]
            for i in range(s + uint64(1), w):
                A[c, o + i] -= f * A[o + s, o + i]


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _subtract_eight(A, first, right, until):  # type: ignore[no-untyped-def]
    """Subtract eight columns below the triangle, times the block row above, in one pass."""
    n, s, r = uint64(A.shape[1]), uint64(first), uint64(right)
    for column in range(right, until):
        c = uint64(column)
        f0, f1, f2, f3 = A[c, s], A[c, s + uint64(1)], A[c, s + uint64(2)], A[c, s + uint64(3)]
        f4, f5, f6, f7 = A[c, s + uint64(4)], A[c, s + uint64(5)], A[c, s + uint64(6)], A[c, s + uint64(7)]
        for i in range(r, n):
            A[c, i] -= (
                ((f0 * A[s, i] + f1 * A[s + uint64(1), i]) + (f2 * A[s + uint64(2), i] + f3 * A[s + uint64(3), i]))
                + ((f4 * A[s + uint64(4), i] + f5 * A[s + uint64(5), i])
                   + (f6 * A[s + uint64(6), i] + f7 * A[s + uint64(7), i]))
            )  # fmt: skip


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _solve_by_inverse(A, first, right, until, inverse, copy, letters, sizes, scalars, gemm_at):  # type: ignore[no-untyped-def]
    """Do what `_solve` does for many columns: invert the triangle, which is small, and multiply."""
    n, w, o = A.shape[1], uint64(right - first), uint64(first)
    for j in range(uint64(0), w):
        for i in range(uint64(0), w):
            inverse[j, i] = 0.0
        inverse[j, j] = 1.0
        for s in range(j, w):
            f = inverse[j, s]
            for i in range(s + uint64(1), w):
                inverse[j, i] -= f * A[o + s, o + i]
    for column in range(right, until):
        c, to = uint64(column), uint64(column - right)
        for i in range(uint64(0), w):
            copy[to, i] = A[c, o + i]
    target = A.ctypes.data + (right * n + first) * A.itemsize
    gemm(gemm_at, letters, sizes, scalars, inverse.ctypes.data, inverse.shape[1], copy.ctypes.data, copy.shape[1],
         target, n, right - first, until - right, right - first, 1.0, 0.0)  # fmt: skip
