"""Orthonormal frames: V = Q R in every factorisation. The reference for all others.

A column that is lost, because its pivot is rounding, becomes zero and stays zero: the rank of a product never rises.
Rows of zeros, as dead units leave them, stay zero to the last bit, which reflections alone would not grant: the
rounding there would count as directions when the rank falls further.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from dynet.kernels.frame import Frame
from dynet.kernels.namespace import is_numpy, namespace, placed, to_numpy
from dynet.kernels.orthonormalise import orthonormalise_plain
from dynet.kernels.rounding import doubtful, is_rounding


class HouseholderFrame(Frame):
    """An orthonormal frame, by LAPACK's geqrf and orgqr (numpy) or the namespace's own QR."""

    name = "qr"

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        self.V = V
        n, k = self.shape[-2:]
        dtype = to_numpy(V[..., :0, :0]).dtype
        self._geqrf, self._orgqr = get_lapack_funcs(("geqrf", "orgqr"), dtype=dtype)
        lwork = get_lapack_funcs(("geqrf_lwork",), dtype=dtype)[0](n, k)[0]
        self._lwork = int(lwork)  # the default workspace is unblocked and twice as slow
        self._upper = np.triu(np.ones((k, k), dtype=dtype))

    def multiply(self, J: Any) -> None:
        self.V = J @ self.V

    def replace(self, product: Any) -> None:
        self.V = product

    def factor(self) -> None:
        if not is_numpy(self.V) and self._factor_together():
            return
        V = to_numpy(self.V)
        batch, (n, k) = V.shape[:-2], V.shape[-2:]
        factored = [self._factor_one(one) for one in V.reshape(-1, n, k)]
        Q = factored[0][0] if len(factored) == 1 else np.stack([one[0] for one in factored])
        self._pivots.append(np.stack([one[1] for one in factored]).reshape(*batch, k))
        self.V = placed(Q.reshape(V.shape), self.V)

    def _factor_together(self) -> bool:
        """Factor by the namespace's own QR; return False, with nothing done, if a column may be lost."""
        xp, k = namespace(self.V), self.shape[-1]
        in_use = xp.amax(xp.abs(self.V), dim=-1) != 0
        Q, R = xp.linalg.qr(self.V)
        signed, used = xp.linalg.diagonal(R), xp.sum(in_use, dim=-1)[..., None]
        # one transfer from a device
        told = to_numpy(xp.concat((signed, xp.amax(xp.abs(R), dim=(-2, -1))[..., None], used.to(R.dtype)), axis=-1))
        pivots, largest, used = told[..., :k], told[..., k], told[..., k + 1]
        in_doubt = np.abs(pivots) <= doubtful(self.epsilon) * largest[..., None]
        if in_doubt.any() or used.min() < k:
            return False
        self._pivots.append(pivots)
        Q *= xp.sign(signed)[..., None, :]
        self.V = Q if used.min() == self.shape[-2] else Q * in_use[..., None]
        return True

    def _factor_one(self, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, k = V.shape
        rows, columns = V.any(axis=1), V.any(axis=0)
        m, r = int(rows.sum()), int(columns.sum())
        if m < r or r == 0:
            return self._without_lost(V)
        in_part = np.ix_(rows, columns)
        packed, tau, _, _ = self._geqrf(V if m == n and r == k else V[in_part], lwork=self._lwork)
        pivots = packed.diagonal()[:r].copy()
        largest = np.abs(packed[:r] * self._upper[:r, :r]).max()
        in_doubt = np.flatnonzero(np.abs(pivots) <= doubtful(self.epsilon) * largest)
        if any(is_rounding(packed, j, largest, self.epsilon) for j in in_doubt):
            return self._without_lost(V)
        Q, _, _ = self._orgqr(packed, tau, lwork=self._lwork, overwrite_a=1)
        Q *= np.where(pivots < 0, -1, 1).astype(V.dtype)
        if m == n and r == k:
            return Q, pivots
        frame, all_pivots = np.zeros_like(V, order="F"), np.zeros(k, V.dtype)
        frame[in_part], all_pivots[columns] = Q, pivots
        return frame, all_pivots

    @staticmethod
    def _without_lost(V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor so that what is lost has no part in the columns after it: reflections cannot do that."""
        # squares of tiny numbers vanish: the largest is brought close to one, by a power of two that rounds nothing
        exponent = int(np.frexp(np.abs(V).max())[1])
        # columns one after the other in memory, which is how they are worked on
        columns, pivots = np.ascontiguousarray(np.ldexp(V.T, -exponent)), np.empty(V.shape[1], V.dtype)
        orthonormalise_plain(columns.T, pivots)
        return columns.T, np.ldexp(pivots, exponent)

    def snapshot(self) -> Any:
        return self.V

    def restore(self, saved: Any) -> None:
        self.V = saved
        self._pivots.clear()

    def basis(self) -> Any:
        return self.V

    def saved(self) -> dict[str, np.ndarray]:
        return {"V": to_numpy(self.V)}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self.V = placed(saved["V"], self.V)
