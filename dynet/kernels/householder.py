"""Orthonormal frames: V = Q R in every factorisation. The reference for all others."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from dynet.kernels.frame import Frame
from dynet.kernels.namespace import is_numpy, namespace, placed, to_numpy


class HouseholderFrame(Frame):
    """An orthonormal frame, by LAPACK's geqrf and orgqr (numpy) or the namespace's own QR."""

    name = "qr"

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        self.V = V
        if is_numpy(V):
            self._geqrf, self._orgqr = get_lapack_funcs(("geqrf", "orgqr"), dtype=V.dtype)
            n, k = V.shape[-2:]
            lwork = get_lapack_funcs(("geqrf_lwork",), dtype=V.dtype)[0](n, k)[0]
            self._lwork = int(lwork)  # the default workspace is unblocked and twice as slow
            self._upper = np.triu(np.ones((k, k), dtype=V.dtype))

    def multiply(self, J: Any) -> None:
        self.V = J @ self.V

    def replace(self, product: Any) -> None:
        self.V = product

    def factor(self) -> None:
        V = self.V
        if not is_numpy(V):
            xp = namespace(V)
            Q, R = xp.linalg.qr(V)
            pivots = xp.linalg.diagonal(R)
            self._largest.append(xp.max(xp.abs(R), axis=(-2, -1)))
            self.V = Q * xp.where(pivots < 0, -xp.ones_like(pivots), xp.ones_like(pivots))[..., None, :]
        elif V.ndim == 2:
            self.V, pivots, largest = self._factor_one(V)
            self._largest.append(largest)
        else:
            batch, (n, k) = V.shape[:-2], V.shape[-2:]
            factored = [self._factor_one(one) for one in V.reshape(-1, n, k)]
            self.V = np.stack([Q for Q, _, _ in factored]).reshape(V.shape)
            pivots = np.stack([p for _, p, _ in factored]).reshape(*batch, k)
            self._largest.append(np.array([m for _, _, m in factored]).reshape(batch))
        self._pivots.append(pivots)

    def _factor_one(self, V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = V.shape[1]
        packed, tau, _, _ = self._geqrf(V, lwork=self._lwork)
        pivots = packed.diagonal()[:k].copy()
        largest = np.abs(packed[:k] * self._upper).max()
        Q, _, _ = self._orgqr(packed, tau, lwork=self._lwork, overwrite_a=1)
        Q *= np.where(pivots < 0, -1, 1).astype(V.dtype)
        return Q, pivots, largest

    def snapshot(self) -> Any:
        return self.V

    def restore(self, saved: Any) -> None:
        self.V = saved
        self._pivots.clear()
        self._largest.clear()

    def basis(self) -> Any:
        return self.V

    def saved(self) -> dict[str, np.ndarray]:
        return {"V": to_numpy(self.V)}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self.V = placed(saved["V"], self.V)
