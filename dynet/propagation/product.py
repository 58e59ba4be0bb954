"""Singular values of a growing product of matrices, each to its own relative accuracy."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr

from dynet.errors import ConvergenceError
from dynet.kernels.jacobi import orthogonalise_columns
from dynet.kernels.rank import lost_pivots
from dynet.typing import Array

_MOST_SWEEPS = 60


class SingularProduct:
    r"""The left half of a singular value decomposition, ``P = U exp(D) V^T``, under multiplication from the left.

    Notes
    -----
    The product is never formed. A new factor gives :math:`J U e^D`; its QR decomposition is backward stable column by
    column, so :math:`e^D`, however graded, does not enter the error, which is one of ``J`` of relative size
    :math:`n \epsilon`. The triangular factor, graded by rows, is diagonalised by one-sided Jacobi rotations of its
    rows: their error is a factor :math:`1 + O(n \epsilon)` times the condition number of its rows at unit length. The
    values are therefore those of a product whose factors each carry an error of rounding, whatever their ratio.

    References
    ----------
    Demmel & Veselić (1992), doi:10.1137/0613074; Drmač & Veselić (2008), doi:10.1137/050639193.
    """

    def __init__(self, n: int) -> None:
        #: how many values there are, as many as the least of all sizes
        self.n = n
        self._U = np.eye(n)
        self._log = np.zeros(n)  # finite ones, descending
        self.log_volume = 0.0  # log of the absolute determinant, by LU factors: independent of the values

    @property
    def log_values(self) -> np.ndarray:
        """Log singular values (n,), descending; -inf for those that are zero."""
        return np.concatenate([self._log, np.full(self.n - self._log.size, -np.inf)])

    def multiply(self, J: Array, epsilon: float, log_determinant: float = 0.0) -> None:
        """Multiply the product by the dense matrix ``J``, square or not, whose entries are known to ``epsilon``.

        A pivot that is rounding (`is_rounding`) is a direction that is lost: its value is zero from now on.
        """
        self.n = min(self.n, J.shape[0])
        self.log_volume += log_determinant
        if not self._log.size:
            return
        Q, R, order = _ranked_qr(J @ self._U, epsilon)
        logs = self._log[order]
        with np.errstate(divide="ignore"):
            entries = np.log(np.abs(R)) + logs
        scale = entries.max(axis=1, initial=-np.inf)
        Y = np.sign(R) * np.exp(entries - scale[:, None])
        V = np.eye(len(R))
        tolerance = max(self.n, 4) * np.finfo(float).eps
        if not orthogonalise_columns(Y, scale, V, tolerance, _MOST_SWEEPS):
            raise ConvergenceError(f"the singular values did not settle in {_MOST_SWEEPS} sweeps of rotations")
        down = np.argsort(-scale)
        self._log = scale[down]
        self._U = Q @ V[down].T


def _ranked_qr(B: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Q (n, r), R (r, k) and an order of columns with ``B[:, order] = Q R``, r the numerical rank.

    Columns keep their order as far as they are independent: they are graded by it.
    """
    k = B.shape[1]
    order = np.arange(k)
    Q, R = qr(B, mode="economic", check_finite=False)
    lost = np.ones(k, dtype=bool)
    lost[: len(R)] = lost_pivots(R, epsilon)
    if not lost[: len(R)].any():
        return Q, R, order
    order = np.concatenate([order[~lost], order[lost]])
    kept = int((~lost).sum())
    Q, R = qr(B[:, order], mode="economic", check_finite=False)
    # what is left of the others may still hold independent ones
    q, r, among = qr(R[kept:, kept:], mode="economic", pivoting=True, check_finite=False)
    order[kept:] = order[kept:][among]
    top = np.concatenate([R[:kept, :kept], R[:kept, kept:][:, among]], axis=1)
    bottom = np.concatenate([np.zeros((len(r), kept)), r], axis=1)
    R = np.concatenate([top, bottom])
    # pivots descend: the first one that is lost is the end of all
    rank = kept + int(np.logical_and.accumulate(~lost_pivots(R, epsilon, kept)).sum())
    Q = np.concatenate([Q[:, :kept], Q[:, kept:] @ q], axis=1)[:, :rank]
    return Q, R[:rank], order
