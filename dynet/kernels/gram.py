"""Orthonormal frames in single precision: V = Q R with R from the Cholesky factor of V^T V in double precision.

What the square of the condition costs is far below single precision, and Q = V R^-1 is as far from orthogonal as V
itself is uncertain. Where a column may be lost, Householder's reflections take over.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from dynet.kernels.caching import CACHE
from dynet.kernels.householder import HouseholderFrame
from dynet.kernels.namespace import on_host, placed, to_numpy

#: Where a pivot is a smaller part of the longest column the factor is not used.
_SAFE = 1e-4
#: Frames of this many numbers and few columns are factored so.
_LARGE, _FEW = 2**12, 32


def suits(V: Any) -> bool:
    """Return whether frames ``V`` (..., n, k) are worth it: in float32, in the memory of the host, of few columns."""
    return on_host(V) and str(V.dtype).endswith("float32") and V.shape[-1] <= _FEW and math.prod(V.shape) >= _LARGE


class GramFrame(HouseholderFrame):
    """An orthonormal frame in float32.

    References
    ----------
    Yamazaki, Tomov & Dongarra (2015), doi:10.1137/14M0973773.
    """

    def factor(self) -> None:
        columns = np.array(to_numpy(self.V).swapaxes(-2, -1), order="C")
        *batch, k, n = columns.shape
        pivots = np.empty((*batch, k))
        if not _orthonormalise(columns.reshape(-1, k, n), pivots.reshape(-1, k)):
            super().factor()
            return
        self._pivots.append(pivots)
        self.V = placed(columns, self.V).mT


@njit(error_model="numpy", nogil=True, fastmath={"contract", "reassoc"}, cache=CACHE)
def _orthonormalise(columns, pivots):  # type: ignore[no-untyped-def]
    """Replace frames (sequence, column, n) by orthonormal ones, unless one of them may have lost a column."""
    S, k, n = columns.shape
    R = np.empty((S, k, k))
    for s in range(S):
        frame, upper = columns[s], R[s]
        longest = 0.0
        for j in range(k):
            for i in range(j + 1):
                total = 0.0
                for m in range(n):
                    total += np.float64(frame[i, m]) * np.float64(frame[j, m])
                if i == j:
                    longest = max(longest, total)
                for m in range(i):
                    total -= upper[m, i] * upper[m, j]
                upper[i, j] = np.sqrt(total) if i == j else total / upper[i, i]
            pivots[s, j] = upper[j, j]
        for j in range(k):
            if not upper[j, j] > _SAFE * np.sqrt(longest):  # or it is not a number
                return False
    for s in range(S):
        frame = columns[s]
        for j in range(k):
            for i in range(j):
                along = columns.dtype.type(R[s, i, j])
                for m in range(n):
                    frame[j, m] -= along * frame[i, m]
            inverse = columns.dtype.type(1 / R[s, j, j])
            for m in range(n):
                frame[j, m] *= inverse
    return True
