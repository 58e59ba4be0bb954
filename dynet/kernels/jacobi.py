"""One-sided Jacobi rotations of columns whose lengths may differ by any power of ten.

Column i of the matrix is ``exp(scale[i]) Y[i]``: the rows of ``Y`` are the columns, of lengths near one. Angles between
columns do not depend on the scales, and a rotation needs only the ratio of two of them, so nothing over- or
underflows.
"""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
from numba import njit

from dynet.kernels.caching import CACHE


@njit(cache=CACHE, error_model="numpy", nogil=True, fastmath={"reassoc", "contract"})
def orthogonalise_columns(Y, scale, V, tolerance, most_sweeps):  # type: ignore[no-untyped-def]
    """Rotate the columns until they are orthogonal; return whether they became so.

    ``Y`` (r, m) and ``scale`` (r,) are updated, ``Y`` to unit lengths and ``scale`` to the log singular values;
    ``V`` (r, r) is multiplied by the rotations, its rows being columns too. Columns of length zero get scale -inf.
    """
    r, m = Y.shape
    for _ in range(most_sweeps):
        _normalise(Y, scale)
        order = np.argsort(-scale)
        rotated = False
        for first in range(r - 1):
            for second in range(first + 1, r):
                p, q = order[first], order[second]
                if scale[q] > scale[p]:
                    p, q = q, p
                if scale[q] == -np.inf:
                    continue
                a = b = g = 0.0
                for i in range(m):
                    a += Y[p, i] * Y[p, i]
                    b += Y[q, i] * Y[q, i]
                    g += Y[p, i] * Y[q, i]
                if abs(g) <= tolerance * sqrt(a) * sqrt(b):
                    continue
                rotated = True
                # tangent of the angle divided by the ratio of scales, which may be too small for its square
                ratio = exp(scale[q] - scale[p])
                z = (ratio * ratio * b - a) / (2 * g)
                slope = (1.0 if z >= 0 else -1.0) / (abs(z) + sqrt(ratio * ratio + z * z))
                cosine = 1 / sqrt(1 + (ratio * slope) ** 2)
                sine = cosine * ratio * slope
                for i in range(m):
                    longer, shorter = Y[p, i], Y[q, i]
                    Y[p, i] = cosine * longer - sine * ratio * shorter
                    Y[q, i] = cosine * (slope * longer + shorter)
                for i in range(r):
                    longer, shorter = V[p, i], V[q, i]
                    V[p, i] = cosine * longer - sine * shorter
                    V[q, i] = sine * longer + cosine * shorter
        if not rotated:
            return True
    return False


@njit(cache=CACHE, error_model="numpy", nogil=True)
def _normalise(Y, scale):  # type: ignore[no-untyped-def]
    for p in range(Y.shape[0]):
        length = sqrt(np.sum(Y[p] * Y[p]))
        if length == 0:
            scale[p] = -np.inf
        else:
            scale[p] += np.log(length)
            Y[p] /= length
