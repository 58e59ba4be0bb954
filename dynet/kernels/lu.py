"""LU factorisation with partial pivoting, in place, at the speed of the matrix product.

The right-looking algorithm of LAPACK's getrf with its recursion unrolled: blocks of 8 columns by vector loops, blocks
of 16 and more by products. Triangular solves of those sizes run at a tenth of the product's speed in BLAS and are
written out here. Matrices are given by columns: an array ``A[column, row]``.
"""

from __future__ import annotations

from numba import njit, uint64

from dynet.kernels.blas import gemm
from dynet.kernels.caching import CACHE
from dynet.kernels.vectors import solve_eight

#: Columns of the innermost block, and of the blocks by which everything to the right is updated, at most.
INNER, OUTER = 8, 64
#: Fewer columns than this are updated by blocks of half that size.
_WIDE_FROM = 400
_FREE = {"nnan", "nsz", "contract", "reassoc"}  # rounding may differ; infinities stay what they are


@njit(error_model="numpy", nogil=True, cache=CACHE)
def lu(A, n, keys, swaps, triangle, letters, sizes, scalars, gemm_at):  # type: ignore[no-untyped-def]
    """Factor the first ``n`` rows of ``A[column, row]``, k <= n columns, into L (unit diagonal, below) and U, in place.

    ``keys`` is the memory of ``A`` seen as integers of its width, ``swaps`` (k,) receives the row that each row was
    exchanged with, ``triangle`` (64, 64) is scratch, as are ``sizes`` and ``scalars`` of `gemm`.
    """
    k, apart = A.shape
    outer = OUTER if k >= _WIDE_FROM else OUTER // 2
    for left in range(0, k, INNER):
        right = min(left + INNER, k)
        start = left // outer * outer
        end = min(start + outer, k)
        _factor_block(A, n, keys, swaps, left, right)
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
                _solve(A, triangle, first, right, until)
                _subtract_eight(A, n, first, right, until)
            else:
                _solve(A, triangle, first, right, until)
                if right < n:
                    at, item = A.ctypes.data, A.itemsize
                    below = at + (first * apart + right) * item
                    block = at + (right * apart + first) * item
                    rest = at + (right * apart + right) * item
                    gemm(gemm_at, letters, sizes, scalars, below, apart, block, apart, rest, apart,
                         n - right, until - right, width, -1.0, 1.0)  # fmt: skip


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


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _exchange(A, swaps, first, last, left, right):  # type: ignore[no-untyped-def]
    """Exchange rows ``first`` to ``last`` with their partners in the columns from ``left`` to ``right``."""
    for column in range(left, right):
        c = uint64(column)
        for row in range(first, last):
            i, b = uint64(row), uint64(swaps[row])
            A[c, i], A[c, b] = A[c, b], A[c, i]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _solve(A, triangle, first, right, until):  # type: ignore[no-untyped-def]
    """Replace the rows ``first`` to ``right`` of some columns by the inverse triangle times them."""
    w, o = uint64(right - first), uint64(first)
    # columns of A may all fall into the same few lines of the cache
    for s in range(uint64(0), w):
        for i in range(s + uint64(1), w):
            triangle[s, i] = A[o + s, o + i]
    item, one = A.itemsize, A.dtype.type(1)
    at, lower = A.ctypes.data + first * item, triangle.ctypes.data
    for column in range(right, until):
        for block in range(0, right - first, INNER):
            below = (right - first - block) // INNER - 1
            place = at + (column * A.shape[1] + block) * item
            solve_eight(place, lower + block * (OUTER + 1) * item, OUTER * item, below, one)  # type: ignore[call-arg]


@njit(error_model="numpy", nogil=True, fastmath=_FREE, cache=CACHE)
def _subtract_eight(A, n, first, right, until):  # type: ignore[no-untyped-def]
    """Subtract eight columns below the triangle, times the block row above, in one pass."""
    n, s, r = uint64(n), uint64(first), uint64(right)
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
