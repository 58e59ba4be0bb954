"""LU frames on the array namespace alone: all sequences in one batched factorisation, for tensors on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.kernels.frame import EliminatedFrame
from dynet.kernels.namespace import namespace, placed, to_numpy


class BatchedLUFrame(EliminatedFrame):
    """A frame ``P L``, explicit; nothing here waits for the device but `collect`."""

    name = "lu"

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        self._F = V
        self._log_R = np.zeros((*self.shape[:-2], self.shape[-1]))

    def multiply(self, J: Any) -> None:
        self._F = J @ self._F

    def replace(self, product: Any) -> None:
        self._F = product

    def factor(self) -> None:
        xp = namespace(self._F)
        # lu_factor raises on an exact zero pivot, which dead units make
        packed, swaps, _ = xp.linalg.lu_factor_ex(self._F, check_errors=False)
        P, L, U = xp.lu_unpack(packed, swaps)
        pivots, largest = xp.linalg.diagonal(U), xp.amax(xp.abs(U), dim=(-2, -1))
        # without a look at the columns that each is told from: see `is_rounding`
        rounding = xp.abs(pivots) <= 4 * self.shape[-2] * self.epsilon * largest[..., None]
        self._pivots.append(xp.where(rounding, xp.zeros_like(pivots), pivots))
        # row i of P holds its one in column rows[i]: gathering rows is cheaper than the dense product P L
        rows = xp.argmax(P, axis=-1)
        self._F = xp.take_along_dim(L, rows[..., None], dim=-2)

    def collect(self) -> np.ndarray:
        growth = super().collect()
        xp = namespace(self._F)
        R = xp.linalg.qr(self._F, mode="r")[1]
        log_R = np.log(np.abs(to_numpy(xp.linalg.diagonal(R)).astype(np.float64)))
        growth += log_R - self._log_R
        self._log_R = log_R
        return growth

    def snapshot(self) -> Any:
        return self._F, self._log_R, self.lost

    def restore(self, saved: Any) -> None:
        self._F, self._log_R, self.lost = saved
        self._pivots.clear()

    def basis(self) -> Any:
        return self._F

    def saved(self) -> dict[str, np.ndarray]:
        return {"F": to_numpy(self._F), "log_R": self._log_R, "lost": self.lost}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self._F, self._log_R = placed(saved["F"], self._F), saved["log_R"]
        self.lost = saved["lost"]
