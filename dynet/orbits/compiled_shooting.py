"""Newton's method on the cycles of a family of small compiled flows: thousands of steps cost less than a call.

Steps have a fixed length; what half the length changes is the error.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dynet.kernels.periodic_schur import split_product
from dynet.systems.compiled import TUPLES_UP_TO, CompiledParts, compiled_parts, for_loops, with_tuples
from dynet.systems.flow import Flow

#: Of the step and the largest norm of the Jacobian.
_STEP_TIMES_NORM = 0.04
#: Logarithm of the condition number of one piece, about.
_MOST_CONTRACTION = 5.0
_MOST_ITERATIONS = 20
_TOLERANCE = 1e-11
#: The errors of Runge-Kutta steps fall by 2^4 when their length is halved.
_RICHARDSON = 15.0


class ShotCycle(NamedTuple):
    """A cycle with its multipliers."""

    x: np.ndarray  # (n,), a state on it
    period: float
    period_error: float
    log_modulus: np.ndarray  # (n,), of the multipliers, in falling order
    log_error: np.ndarray  # (n,), of these
    trivial_error: float  # distance of the nearest multiplier from 1
    residual: float  # by how much the flow misses its start


class CompiledShooting:
    """Shooting for one compiled flow at many parameters."""

    def __init__(self, parts: CompiledParts, u: np.ndarray, n: int) -> None:
        # functions that are part of loops cannot be called from outside
        self._rhs, self._parts, self._u, self._n = parts.f, for_loops(parts), u, n

    @classmethod
    def of(cls, flow: Flow, x: np.ndarray) -> CompiledShooting | None:
        """Return what shoots for a flow, or None if it is not compiled, or too large, for states in registers."""
        from numba.core.errors import NumbaError

        parts = compiled_parts(flow.to_map(1.0)) if x.size <= TUPLES_UP_TO else None
        if parts is None:
            return None
        parts = with_tuples(parts)
        u = np.empty(0) if parts.row is None else np.asarray(parts.row, dtype=np.float64)
        try:
            rate = parts.f(0.0, tuple(x.tolist()), u, flow.params)
        except NumbaError:
            return None  # it wants an array
        return cls(parts, u, x.size) if isinstance(rate, tuple) else None

    def shoot(self, params: Any, x: np.ndarray, period: float, norm: float, contraction: float) -> ShotCycle | None:
        """Return the cycle near ``x`` and ``period``, or None if Newton's method does not converge.

        ``norm`` is the largest norm of the Jacobian, ``contraction`` the fastest rate of decay.
        """
        n_pieces = max(int(np.ceil(contraction * period / _MOST_CONTRACTION)), 1)
        n_steps = max(int(np.ceil(norm * period / (_STEP_TIMES_NORM * n_pieces))), 8)
        coarse = self._newton(params, x, period, n_pieces, n_steps)
        fine = None if coarse is None else self._newton(params, coarse[0], coarse[1], n_pieces, 2 * n_steps)
        if coarse is None or fine is None:
            return None
        logs, trivial_error = logarithms(fine[2])
        error = np.abs(logs - logarithms(coarse[2])[0]) / _RICHARDSON
        return ShotCycle(
            fine[0], fine[1], abs(fine[1] - coarse[1]) / _RICHARDSON, logs, error, trivial_error, fine[3]
        )  # fmt: skip

    def _newton(
        self, params: Any, x: np.ndarray, period: float, n_pieces: int, n_steps: int
    ) -> tuple[np.ndarray, float, np.ndarray, float] | None:
        """Return state, period, fundamental matrices and residual."""
        n, scale = self._n, float(np.abs(x).max())
        last = np.inf
        for _ in range(_MOST_ITERATIONS):
            ends, matrices = self._matrices(params, x, period, n_pieces, n_steps)
            miss = ends[-1] - x
            residual = float(np.abs(miss).max())
            if not np.isfinite(residual):
                return None
            if residual <= _TOLERANCE * scale and residual >= 0.5 * last:
                return x, period, matrices, residual
            last = residual
            M = np.eye(n)
            for piece in matrices:
                M = piece @ M
            f = np.asarray(self._rhs(0.0, tuple(ends[-1].tolist()), self._u, params))
            A = np.zeros((n + 1, n + 1))
            A[:n, :n], A[:n, n], A[n, :n] = M - np.eye(n), f * period, f
            step = np.linalg.lstsq(A, -np.append(miss, 0.0), rcond=1e-13)[0]
            change = min(abs(step[n]), 0.5) * np.sign(step[n])
            x, period = x + step[:n], period * (1 + change)
        return None

    def _matrices(
        self, params: Any, x: np.ndarray, period: float, n_pieces: int, n_steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        from dynet.kernels.cycles import fundamental_matrices, identity_columns

        ends, matrices = np.empty((n_pieces, self._n)), np.empty((n_pieces, self._n, self._n))
        columns = identity_columns(self._n)
        fundamental_matrices(
            self._parts.f, self._parts.df, tuple(x.tolist()), columns, self._u, params, period, n_steps, ends, matrices
        )  # fmt: skip
        return ends, matrices


def logarithms(matrices: np.ndarray) -> tuple[np.ndarray, float]:
    """Return logarithms of the moduli of the eigenvalues of a product, falling, and the distance of one from 1."""
    split = split_product(matrices)
    logs = split.log_modulus
    trivial_error = float(np.abs(np.expm1(logs + 1j * split.phase)).min())
    return np.sort(logs)[::-1], trivial_error
