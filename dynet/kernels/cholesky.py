"""Orthonormal frames of many units and few columns: V = Q R with R from the Cholesky factor of V^T V.

That squares the condition of V: where its columns are far from orthogonal, or one may be lost, Householder's
reflections take over. What a factor misses of orthogonality the next one counts, so that growth does not drift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs
from scipy.linalg.blas import get_blas_funcs

from dynet.kernels.householder import HouseholderFrame

#: Below this ratio of its diagonal the factor is not used: 8 digits of orthogonality are left there.
_SAFE = 1e-4
#: Frames with this many numbers and more rows a column are factored so.
_LARGE, _TALL = 2**16, 32


def suits(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether frames of this kind are worth a Cholesky factor."""
    n, k = shape[-2:]
    return dtype == np.float64 and n * k >= _LARGE and n >= _TALL * k


class CholeskyFrame(HouseholderFrame):
    """A tall orthonormal frame in float64."""

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        (self._potrf,) = get_lapack_funcs(("potrf",), dtype=V.dtype)
        self._syrk, self._trsm = get_blas_funcs(("syrk", "trsm"), dtype=V.dtype)
        self._is_own = False

    def multiply(self, J: Any) -> None:
        product = J @ self.V
        # what multiplies may give back the frame that it was given, which snapshots hold
        self._is_own = not np.may_share_memory(product, self.V)
        self.V = product

    def replace(self, product: Any) -> None:
        self._is_own = False
        self.V = product

    def factor(self) -> None:
        super().factor()
        self._is_own = False

    def _factor_one(self, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        R, info = self._potrf(self._syrk(1.0, V, trans=1), lower=0, clean=1, overwrite_a=1)
        pivots = R.diagonal().copy()
        if info != 0 or not pivots.min() > _SAFE * pivots.max():
            return super()._factor_one(V)
        return self._trsm(1.0, R, V, side=1, overwrite_b=self._is_own), pivots
