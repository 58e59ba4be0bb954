"""Orthonormal frames in the compiled loops: by Gram and Schmidt, which can do without columns that are lost."""

from __future__ import annotations

import numpy as np
from numba import njit

from dynet.kernels.caching import CACHE
from dynet.kernels.rounding import is_rounding
from dynet.kernels.small import PLAIN_LOOPS_UP_TO


@njit(error_model="numpy", nogil=True)
def orthonormalise(V, pivots):  # type: ignore[no-untyped-def]
    """Replace ``V`` (n, k) by its orthonormal factor and write diag R >= 0 into ``pivots``.

    Returns the smallest non-zero pivot over the largest: how much of the frame's resolution was used up.
    A pivot that is rounding (`is_rounding`) is written as zero, and so is its column: what is lost stays lost.
    Rows of zeros stay zero to the last bit: they are what a product lost its rank to, if more of it is to follow.
    """
    if V.shape[0] > PLAIN_LOOPS_UP_TO:
        return orthonormalise_lapack(V, pivots)
    return orthonormalise_plain(V, pivots)


@njit(error_model="numpy", nogil=True, cache=CACHE)
def orthonormalise_plain(V, pivots):  # type: ignore[no-untyped-def]
    """`orthonormalise` by Gram and Schmidt, in plain loops; columns of zeros are no trouble."""
    n, k = V.shape
    R = np.zeros((k, k))
    largest = 0.0
    for j in range(k):
        largest = max(largest, squared_length(V, j))
    largest = np.sqrt(largest)
    epsilon = np.finfo(V.dtype).eps
    smallest_pivot = np.inf
    largest_pivot = 0.0
    for j in range(k):
        before = np.sqrt(squared_length(V, j))
        pivot = remove_earlier(V, j, R)
        while epsilon * largest < pivot < 0.5 * before:
            # half of the length was cancelled: only another pass makes what is left orthogonal to rounding
            before = pivot
            pivot = remove_earlier(V, j, R)
        R[j, j] = pivot
        if is_rounding(R, j, largest, epsilon):
            pivots[j] = 0.0
            R[j, j] = 0.0
            for i in range(n):
                V[i, j] = 0.0
        else:
            pivots[j] = pivot
            smallest_pivot = min(smallest_pivot, pivot)
            largest_pivot = max(largest_pivot, pivot)
            inverse = 1.0 / pivot
            for i in range(n):
                V[i, j] *= inverse
    return smallest_pivot / largest_pivot if largest_pivot > 0.0 else 1.0


@njit(error_model="numpy", nogil=True)
def squared_length(V, j):  # type: ignore[no-untyped-def]
    """Return that of column ``j``."""
    total = 0.0
    for i in range(V.shape[0]):
        total += V[i, j] * V[i, j]
    return total


@njit(error_model="numpy", nogil=True)
def remove_earlier(V, j, R):  # type: ignore[no-untyped-def]
    """Take from column ``j`` its parts along the columns before it, add them to R; return the length of the rest."""
    n = V.shape[0]
    for m in range(j):
        overlap = 0.0
        for i in range(n):
            overlap += V[i, m] * V[i, j]
        for i in range(n):
            V[i, j] -= overlap * V[i, m]
        R[m, j] += overlap
    return np.sqrt(squared_length(V, j))


@njit(error_model="numpy", nogil=True, cache=CACHE)
def orthonormalise_lapack(V, pivots):  # type: ignore[no-untyped-def]
    """`orthonormalise` by Householder reflections, for sizes where LAPACK is faster."""
    n, k = V.shape
    rows_in_use = 0
    for i in range(n):
        rows_in_use += V[i].any()
        for j in range(k):
            if not np.isfinite(V[i, j]):
                # LAPACK must not see it; the caller finds the step and the unit
                pivots[:] = np.nan
                return 1.0
    if rows_in_use < k:
        return orthonormalise_plain(V, pivots)
    Q, R = np.linalg.qr(V)
    largest = 0.0
    for i in range(k):
        for j in range(i, k):
            largest = max(largest, abs(R[i, j]))
    smallest_pivot = np.inf
    largest_pivot = 0.0
    for j in range(k):
        pivot = abs(R[j, j])
        if is_rounding(R, j, largest, np.finfo(V.dtype).eps):
            # reflections put an arbitrary direction in the place of what is lost, and take it from later columns
            return orthonormalise_plain(V, pivots)
        smallest_pivot = min(smallest_pivot, pivot)
        largest_pivot = max(largest_pivot, pivot)
        pivots[j] = pivot
    for i in range(n):
        in_use = V[i].any()
        for j in range(k):
            sign = -1.0 if R[j, j] < 0.0 else 1.0
            V[i, j] = sign * Q[i, j] if in_use else 0.0
    return smallest_pivot / largest_pivot
