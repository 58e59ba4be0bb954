"""Which pivots of a factorisation are rounding: there the rank of a product falls."""

from __future__ import annotations

import numpy as np
from numba import njit

from dynet.kernels.caching import CACHE


@njit(error_model="numpy", nogil=True, cache=CACHE)
def is_rounding(R, j, largest, epsilon):  # type: ignore[no-untyped-def]
    """Return whether pivot ``j`` of a triangular factor is no more than rounding; zero pivots before it are lost ones.

    Column j is told from ``c = R[:j, :j]^-1 R[:j, j]``, a combination of the columns before it, which brings the
    rounding of each of them along: what is left of it has an error of ``eps max|R| sqrt(1 + |c|^2)``, at all sizes.
    """
    pivot = abs(R[j, j])
    if pivot == 0.0 or not pivot <= doubtful(epsilon) * largest:
        return pivot == 0.0
    c = np.zeros(j)
    total = 1.0
    for i in range(j - 1, -1, -1):
        if R[i, i] != 0.0:
            rest = R[i, j]
            for m in range(i + 1, j):
                rest -= R[i, m] * c[m]
            c[i] = rest / R[i, i]
            total += c[i] * c[i]
    return pivot <= 4.0 * np.sqrt(total) * epsilon * largest


@njit(error_model="numpy", nogil=True, cache=CACHE)
def doubtful(epsilon):  # type: ignore[no-untyped-def]
    """Return the ratio to the largest entry of a triangular factor from which on a pivot is taken as it is."""
    return epsilon**0.6
