"""The method of Dormand and Prince of order 8, a step at a time and with its continuous extension."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import DOP853

__all__ = [
    "FIRST",
    "SLOTS",
    "DormandPrince",
    "Interpolant",
    "StepControl",
    "error_norm",
    "one_step",
    "squared_errors",
    "stages",
]

Rate = Callable[[float, np.ndarray], np.ndarray]

_STAGES = 12
#: Where the slope of each stage is kept: from the fifth stage on the second and third are no longer read, and what is
#: read lies together, with the state between: then a stage is one product of a row with a matrix.
_SLOT = [3, 1, 0, *range(4, _STAGES + 5)]
_STATE, FIRST, _LAST = 2, _SLOT[0], _SLOT[_STAGES]
SLOTS = _STAGES + 5
_NODES = [float(c) for c in DOP853.C[:_STAGES]]
_EXTRA_NODES = [float(c) for c in DOP853.C_EXTRA]


def _by_slot(weights: np.ndarray) -> np.ndarray:
    """Return weights (..., stage) in the order in which slopes are kept."""
    count = weights.shape[-1]
    out = np.zeros((*weights.shape[:-1], SLOTS))
    out[..., _SLOT[:count]] = weights
    return out


def _read(row: np.ndarray) -> tuple[slice, np.ndarray]:
    """Return which slots a stage reads, and with which weights."""
    used = np.flatnonzero(row)
    where = slice(int(used[0]), int(used[-1]) + 1)
    return where, np.ascontiguousarray(row[where])


def _with_state(row: np.ndarray) -> slice:
    """Return which slots a stage reads, that of the state among them."""
    used = np.append(np.flatnonzero(row), _STATE)
    return slice(int(used.min()), int(used.max()) + 1)


_STAGE_WEIGHTS = _by_slot(DOP853.A[1:_STAGES, :_STAGES])
_STAGE_SLOTS = [_with_state(row) for row in _STAGE_WEIGHTS]
_STAGE_READS = [_read(row) for row in _STAGE_WEIGHTS]
_EXTRA_READS = [_read(row) for row in _by_slot(DOP853.A_EXTRA)]
_END = _read(_by_slot(DOP853.B))
_FIFTH, _THIRD = (_read(_by_slot(row)) for row in (DOP853.E5, DOP853.E3))
_DENSE = _by_slot(DOP853.D)
_SAFETY, _SMALLEST, _LARGEST = 0.9, 0.2, 10.0


class StepControl(ABC):
    """An integration from ``t0`` towards ``t1``, with steps of errors below ``atol + rtol |y|`` (root mean square).

    Parameters
    ----------
    fun : callable
        ``fun(t, y) -> dy/dt`` of float64 arrays (m,), which must not write to y.
    t0, t1 : float
        Times; ``t1`` may lie before ``t0``, or be infinite.
    y0 : array (m,)
        Start.
    rtol, atol : float or array (m,)
        Relative and absolute tolerance.
    first_step : float, optional
        Size of the first attempt; estimated if not given.
    """

    def __init__(
        self, fun: Rate, t0: float, y0: np.ndarray, t1: float, rtol: Any, atol: Any, first_step: float | None = None
    ) -> None:
        self.fun, self.t_bound, self.rtol, self.atol = fun, t1, rtol, atol
        self.direction = 1.0 if t1 >= t0 else -1.0
        self.t, self.y = float(t0), np.array(y0, dtype=np.float64)
        self.t_old, self.y_old = self.t, self.y
        self.f = fun(self.t, self.y)
        self.h_abs = self._first_step() if first_step is None else float(first_step)
        #: whether a step would have to be shorter than the spacing of times
        self.failed = False

    @property
    def finished(self) -> bool:
        """Whether the end has been reached."""
        return self.direction * (self.t - self.t_bound) >= 0

    def step(self) -> None:
        """Take one step whose error is small enough, or set ``failed``."""
        t, y = self.t, self.y
        least = 10 * abs(np.nextafter(t, self.direction * np.inf) - t)
        h_abs, rejected = max(self.h_abs, least), False
        while True:
            if not h_abs >= least:
                self.failed = True
                return
            t_new = t + self.direction * h_abs
            if self.direction * (t_new - self.t_bound) > 0:
                t_new = self.t_bound
            h = t_new - t
            h_abs = abs(h)
            y_new, f_new, error = self._attempt(t_new, h)
            if error < 1:
                factor = _LARGEST if error == 0 else min(_LARGEST, _SAFETY * error**-0.125)
                h_next = h_abs * (min(factor, 1.0) if rejected else factor)
                break
            factor = _SAFETY * error**-0.125 if np.isfinite(error) else 0.0
            h_abs, rejected = h_abs * max(_SMALLEST, factor), True
        self.t_old, self.y_old, self.t, self.y, self.f, self.h_abs = t, y, t_new, y_new, f_new, h_next

    def restart(self, y: np.ndarray) -> None:
        """Go on from another state, at the present time and with the present step size."""
        self.y = y
        self.f = self.fun(self.t, y)

    @abstractmethod
    def _attempt(self, t_new: float, h: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Return state and slope at the end of a step of size ``h``, and its error relative to the tolerance."""

    def _first_step(self) -> float:
        """Return a first step size by a step of Euler's method (Hairer, Nørsett & Wanner, section II.4)."""
        span = abs(self.t_bound - self.t)
        scale = self.atol + self.rtol * np.abs(self.y)
        root = np.sqrt(self.y.size)
        d0, d1 = (float(np.linalg.norm(value / scale) / root) for value in (self.y, self.f))
        h0 = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, span)
        after = self.fun(self.t + h0 * self.direction, self.y + h0 * self.direction * self.f)
        d2 = float(np.linalg.norm((after - self.f) / scale) / root) / h0
        h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** 0.125
        return min(100 * h0, h1, span)


class DormandPrince(StepControl):
    """The integration of any function."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._K = np.empty((SLOTS, self.y.size))

    def _attempt(self, t_new: float, h: float) -> tuple[np.ndarray, np.ndarray, float]:
        y, K = self.y, self._K
        K[FIRST] = self.f
        y_new = stages(self.fun, self.t, y, h, K)
        f_new = K[_LAST] = self.fun(t_new, y_new)
        return y_new, f_new, error_norm(h, *squared_errors(K, y, y_new, self.rtol, self.atol), y.size)

    def dense_output(self) -> Interpolant:
        """Return the solution in the last step, of order 7; it takes three more values of ``fun``."""
        K, h = self._K, self.t - self.t_old
        for s, ((where, weights), c) in enumerate(zip(_EXTRA_READS, _EXTRA_NODES, strict=True), start=_STAGES + 1):
            K[_SLOT[s]] = self.fun(self.t_old + c * h, self.y_old + h * (weights @ K[where]))
        F = np.empty((7, self.y.size))
        change = self.y - self.y_old
        F[0] = change
        F[1] = h * K[FIRST] - change
        F[2] = 2 * change - h * (K[_LAST] + K[FIRST])
        F[3:] = h * (_DENSE @ K)
        return Interpolant(self.t_old, self.t, self.y_old, F)


def stages(fun: Rate, t: float, y: np.ndarray, h: float, K: np.ndarray) -> np.ndarray:
    """Fill in the slopes (slot, m) of a step from ``y``, the first of which is there already; return its end."""
    K[_STATE] = y
    weights = h * _STAGE_WEIGHTS
    weights[:, _STATE] = 1.0
    for s, where in enumerate(_STAGE_SLOTS, start=1):
        K[_SLOT[s]] = fun(t + _NODES[s] * h, weights[s - 1, where] @ K[where])
    where, row = _END
    out: np.ndarray = y + h * (row @ K[where])
    return out


def squared_errors(K: np.ndarray, y: np.ndarray, y_new: np.ndarray, rtol: Any, atol: Any) -> tuple[float, float]:
    """Return the sums of the squares of both error estimates of a step of unit size, relative to the tolerance."""
    scale = np.abs(y)
    np.maximum(scale, np.abs(y_new), out=scale)
    scale *= rtol
    scale += atol
    fifth, third = ((weights @ K[where]) / scale for where, weights in (_FIFTH, _THIRD))
    return float(fifth @ fifth), float(third @ third)


def error_norm(h: float, fifth: float, third: float, size: int) -> float:
    """Return the error of a step of size ``h`` from the sums of squares over ``size`` entries."""
    if fifth == 0 and third == 0:
        return 0.0
    return float(abs(h) * fifth / np.sqrt((fifth + 0.01 * third) * size))


class Interpolant:
    """The solution between two times."""

    def __init__(self, t_old: float, t: float, y_old: np.ndarray, F: np.ndarray) -> None:
        self.t_old, self.t, self.y_old, self.F = t_old, t, y_old, F

    def __call__(self, t: float) -> np.ndarray:
        """Return the state (m,) at a time."""
        s = (t - self.t_old) / (self.t - self.t_old)
        out = np.zeros_like(self.y_old)
        for i, row in enumerate(self.F[::-1]):
            out += row
            out *= s if i % 2 == 0 else 1 - s
        out += self.y_old
        return out


def one_step(rate: Callable[[np.ndarray], np.ndarray], y: np.ndarray, h: Any) -> np.ndarray:
    """Return the states (..., m) one step of size ``h`` (a number, or (..., 1)) after the states ``y``."""
    K = np.empty((SLOTS, *y.shape))
    K[_STATE], K[FIRST] = y, rate(y)
    for s, (where, weights) in enumerate(_STAGE_READS, start=1):
        K[_SLOT[s]] = rate(y + h * np.tensordot(weights, K[where], 1))
    where, weights = _END
    out: np.ndarray = y + h * np.tensordot(weights, K[where], 1)
    return out
