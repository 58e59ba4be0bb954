"""How close matrices are to singular ones."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgecon, dgetrf

__all__ = ["condition_number"]


def condition_number(M: np.ndarray) -> float:
    """Return an estimate of the condition number of ``M`` (n, n), float64, in the norm of column sums.

    It takes one factorisation, where singular values take ten times as long; inf if ``M`` is singular.
    """
    norm = float(np.abs(M).sum(axis=0).max())
    if not np.isfinite(norm):
        return np.inf
    lu, _, info = dgetrf(M)
    if info > 0:
        return np.inf
    reciprocal, _ = dgecon(lu, norm)
    return 1.0 / reciprocal if reciprocal > 0 else np.inf
