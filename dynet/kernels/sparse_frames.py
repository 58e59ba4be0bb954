"""A Runge-Kutta step of many tangent vectors through sparse Jacobians, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from dynet.kernels.caching import CACHE

#: Numbers that the slopes of a block of columns take: they stay in the cache.
_BLOCK = 2**17


def columns_at_once(n_stages: int, n: int) -> int:
    """Return how many columns of frames (n, k) are carried through all stages together."""
    return max(32, _BLOCK // (n_stages * n))


@njit(error_model="numpy", nogil=True, cache=CACHE)
def frame_step(data, indices, indptr, V, h, A, B, errors, rtol, atol, columns, out, traces):  # type: ignore[no-untyped-def]
    """Write the frame (n, k) after a step of size ``h`` to ``out``; return the sums of its squared relative errors.

    The Jacobians of the stages are those in compressed rows: rows (stage, n + 1) ``indptr`` of one ``data`` and
    ``indices`` for all; their traces (stage,) are written as well. ``A`` (stage, stage), ``B`` (stage,) and ``errors``
    (2, stage) are the weights of the method.
    """
    n, k = V.shape
    n_stages = len(B)
    K = np.empty((n_stages, n, columns))
    Y = np.empty((n, columns))
    total, fifth, third = np.empty(columns), np.empty(columns), np.empty(columns)
    fifth_sum, third_sum = 0.0, 0.0
    traces[:] = 0.0
    for s in range(n_stages):
        for i in range(n):
            for entry in range(indptr[s, i], indptr[s, i + 1]):
                if indices[entry] == i:
                    traces[s] += data[entry]
    for first in range(0, k, columns):
        width = min(columns, k - first)
        for s in range(n_stages):
            for i in range(n):
                for c in range(width):
                    Y[i, c] = V[i, first + c]
                for j in range(s):
                    weight = h * A[s, j]
                    if weight != 0.0:
                        for c in range(width):
                            Y[i, c] += weight * K[j, i, c]
            for i in range(n):
                for c in range(width):
                    K[s, i, c] = 0.0
                for entry in range(indptr[s, i], indptr[s, i + 1]):
                    value, row = data[entry], indices[entry]
                    for c in range(width):
                        K[s, i, c] += value * Y[row, c]
        for i in range(n):
            total[:], fifth[:], third[:] = 0.0, 0.0, 0.0
            for j in range(n_stages):
                if B[j] != 0.0 or errors[0, j] != 0.0 or errors[1, j] != 0.0:
                    for c in range(width):
                        slope = K[j, i, c]
                        total[c] += B[j] * slope
                        fifth[c] += errors[0, j] * slope
                        third[c] += errors[1, j] * slope
            for c in range(width):
                before = V[i, first + c]
                after = before + h * total[c]
                out[i, first + c] = after
                scale = atol + rtol * max(abs(before), abs(after))
                fifth_sum += (fifth[c] / scale) ** 2
                third_sum += (third[c] / scale) ** 2
    return fifth_sum, third_sum
