"""Fundamental matrices of small flows over pieces of a time span, in steps of fixed length, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dynet.kernels import rk


@njit(error_model="numpy", nogil=True)
def fundamental_matrices(f, df, x, V, u, p, duration, n_steps, ends, matrices):  # type: ignore[no-untyped-def]
    """Write the states (piece, n) and the fundamental matrices (piece, n, n) at the ends of equal pieces.

    ``V`` is the identity, as a tuple of columns, ``n_steps`` the number of steps of a piece.
    """
    n_pieces = len(ends)
    dt = duration / (n_pieces * n_steps)
    for piece in range(n_pieces):
        W = V
        for _ in range(n_steps):
            x, W = rk.rk4_tangent(f, df, 0.0, x, W, (W, W, W), u, p, dt)
        for i in range(len(x)):
            ends[piece, i] = x[i]
            for j in range(len(V)):
                matrices[piece, i, j] = W[j][i]


def identity_columns(n: int) -> Any:
    """Return the identity as a tuple of columns."""
    return tuple(map(tuple, np.eye(n)))
