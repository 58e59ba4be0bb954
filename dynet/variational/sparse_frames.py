"""The variational equations of systems with sparse Jacobians: stages of the state first, then those of the frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853
from scipy.sparse import csr_array

from dynet.kernels.sparse_frames import columns_at_once, frame_step
from dynet.variational.dormand_prince import FIRST, SLOTS, Rate, StepControl, error_norm, squared_errors, stages
from dynet.variational.field import Field

__all__ = ["SparseVariational"]

_A, _B = np.ascontiguousarray(DOP853.A[:12, :12]), np.ascontiguousarray(DOP853.B)
# the slope at the end of a step has no weight in the errors
_ERRORS = np.ascontiguousarray(np.stack([DOP853.E5, DOP853.E3])[:, :12])


class _Linearization(NamedTuple):
    """The rate of change (n,), and the Jacobian in compressed rows."""

    rate: np.ndarray
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


class SparseVariational(StepControl):
    """An integration of state (n,), frame (n, n) and the integral of the trace, one behind the other in ``y``.

    It takes the steps of `DormandPrince`. Since the frame does not act on the state, the Jacobians of all stages are
    known before the frame is touched, which then goes through them in blocks that stay in the cache.
    """

    def __init__(
        self,
        field: Field,
        fun: Rate,
        t0: float,
        y0: np.ndarray,
        t1: float,
        rtol: np.ndarray,
        atol: np.ndarray,
        first_step: float | None = None,
    ) -> None:
        self.field = field
        self._columns = min(field.n, columns_at_once(len(_B), field.n))
        self._start: tuple[np.ndarray, _Linearization] | None = None
        super().__init__(fun, t0, y0, t1, rtol, atol, first_step)

    def _linearized(self, t: float, x: np.ndarray) -> _Linearization:
        rate, tangent = self.field.linearized(t, x)
        J = tangent.J if getattr(tangent.J, "format", "") == "csr" else csr_array(tangent.J)
        # copies: a function may return one matrix again and again, with other entries
        return _Linearization(rate, J.data.copy(), J.indices.copy(), J.indptr.copy())

    def _attempt(self, t_new: float, h: float) -> tuple[np.ndarray, np.ndarray, float]:
        t, y, n = self.t, self.y, self.field.n
        if self._start is None or self._start[0] is not y:
            self._start = y, self._linearized(t, y[:n])
        known = [self._start[1]]

        def rate(at: float, x: np.ndarray) -> np.ndarray:
            known.append(self._linearized(at, x))
            return known[-1].rate

        K = np.empty((SLOTS, n))
        K[FIRST] = known[0].rate
        y_new, traces = np.empty_like(y), np.empty(len(_B))
        y_new[:n] = stages(rate, t, y[:n], h, K)
        sums = [squared_errors(K, y[:n], y_new[:n], self.rtol[:n], self.atol[:n])]
        starts = np.cumsum([0] + [len(J.data) for J in known[:-1]])
        sums.append(
            frame_step(
                np.concatenate([J.data for J in known], dtype=np.float64),
                np.concatenate([J.indices for J in known], dtype=np.int64),
                np.stack([J.indptr for J in known]).astype(np.int64) + starts[:, None],
                y[n:-1].reshape(n, n),
                h,
                _A,
                _B,
                _ERRORS,
                self.rtol[n],
                self.atol[n],
                self._columns,
                y_new[n:-1].reshape(n, n),
                traces,
            )
        )
        y_new[-1] = y[-1] + h * (_B @ traces)
        scale = self.atol[-1] + self.rtol[-1] * max(abs(y[-1]), abs(y_new[-1]))
        sums.append(tuple((_ERRORS @ traces / scale) ** 2))
        fifth, third = np.sum(sums, axis=0)
        error = error_norm(h, float(fifth), float(third), y.size)
        end = self._linearized(t_new, y_new[:n])
        if error < 1:
            self._start = y_new, end
        return y_new, end.rate, error
