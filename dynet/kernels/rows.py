"""Compiled functions of one state, called on rows of states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def values_of_rows(function: Any) -> Any:
    """Return ``(X, p) -> (s, n)``, what the compiled ``function`` gives for each row of X (s, n)."""

    @njit(error_model="numpy", nogil=True)
    def rows(X, p):  # type: ignore[no-untyped-def]
        out = np.empty_like(X)
        for s in range(X.shape[0]):
            y = function(0.0, X[s], X[s, :0], p)
            for i in range(X.shape[1]):
                out[s, i] = y[i]
        return out

    return rows


def matrices_of_rows(function: Any) -> Any:
    """Return ``(X, p) -> (s, n, n)``, the matrices that the compiled ``function`` gives for each row of X (s, n)."""

    @njit(error_model="numpy", nogil=True)
    def rows(X, p):  # type: ignore[no-untyped-def]
        n = X.shape[1]
        out = np.empty((X.shape[0], n, n))
        for s in range(X.shape[0]):
            J = function(0.0, X[s], X[s, :0], p)
            for i in range(n):
                row = J[i]
                for j in range(n):
                    out[s, i, j] = row[j]
        return out

    return rows
