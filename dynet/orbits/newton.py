"""Zeros of many residuals at once: damped least squares, then Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

Residual = Callable[[np.ndarray], np.ndarray]
Linearized = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

__all__ = ["Minima", "find_zeros", "settle_minima"]

_MOST_ITERATIONS = 200
_FIRST_DAMPING, _MOST_DAMPING, _LEAST_DAMPING = 1e-2, 1e10, 1e-14
#: Where the gradient is this much smaller than it could be, |J| |g|, the residual has no way down.
_FLAT = 1e-9
_POLISHING = 4


class Minima(NamedTuple):
    """Where each start has led to."""

    x: np.ndarray  # (s, n)
    size: np.ndarray  # (s,), norm of the residual
    is_flat: np.ndarray  # (s,), whether it is a minimum of the norm (zeros included)


def find_zeros(residual: Residual, linearized: Linearized, x: np.ndarray, tolerance: float) -> Minima:
    """Return where the norm of the residual is smallest near each of ``x`` (s, n).

    ``residual(x)`` gives (s, n), ``linearized(x)`` that and its derivatives (s, n, n).
    """
    s = len(x)
    x = x.copy()
    damping = np.full(s, _FIRST_DAMPING)
    active, is_flat = np.ones(s, dtype=bool), np.zeros(s, dtype=bool)
    g, J = linearized(x)
    size = np.linalg.norm(g, axis=1)
    for _ in range(_MOST_ITERATIONS):
        rows = np.flatnonzero(active)
        if not rows.size:
            break
        steps = _damped_steps(g[rows], J[rows], damping[rows])
        trial = x[rows] + steps
        with np.errstate(over="ignore", invalid="ignore"):
            lower = np.linalg.norm(residual(trial), axis=1) < size[rows]
        better = rows[lower]
        x[better] = trial[lower]
        damping[better] = np.maximum(damping[better] / 10, _LEAST_DAMPING)
        damping[rows[~lower]] *= 10
        if better.size:
            g[better], J[better] = linearized(x[better])
            size[better] = np.linalg.norm(g[better], axis=1)
        slope = np.linalg.norm(np.einsum("sji,sj->si", J[rows], g[rows]), axis=1)
        steepest = np.linalg.norm(J[rows], axis=(1, 2)) * size[rows]
        small = np.linalg.norm(steps, axis=1) <= 1e-14 * (1 + np.linalg.norm(x[rows], axis=1))
        is_zero = size[rows] <= tolerance
        is_flat[rows] = is_zero | (slope <= _FLAT * steepest)
        is_stuck = (damping[rows] > _MOST_DAMPING) | small
        active[rows[is_flat[rows] | is_stuck]] = False
    return _polished(residual, linearized, Minima(x, size, is_flat), tolerance)


def _damped_steps(g: np.ndarray, J: np.ndarray, damping: np.ndarray) -> np.ndarray:
    n = g.shape[1]
    transposed = J.transpose(0, 2, 1)
    A = transposed @ J
    scale = np.trace(A, axis1=1, axis2=2) / n
    A += (damping * np.where(scale > 0, scale, 1.0))[:, None, None] * np.eye(n)
    b = -(transposed @ g[..., None])
    try:
        return np.linalg.solve(A, b)[..., 0]
    except np.linalg.LinAlgError:
        return np.stack([np.linalg.lstsq(a, c, rcond=None)[0][:, 0] for a, c in zip(A, b, strict=True)])


def _polished(residual: Residual, linearized: Linearized, found: Minima, tolerance: float) -> Minima:
    """Take a few steps of Newton's method from what is nearly zero: normal equations halve the digits."""
    x, size, is_flat = (array.copy() for array in found)
    rows = np.flatnonzero(np.isfinite(size))
    for _ in range(_POLISHING):
        if not rows.size:
            break
        g, J = linearized(x[rows])
        steps = np.stack([np.linalg.lstsq(a, -b, rcond=1e-12)[0] for a, b in zip(J, g, strict=True)])
        trial = x[rows] + steps
        with np.errstate(over="ignore", invalid="ignore"):
            after = np.linalg.norm(residual(trial), axis=1)
        better = (after < size[rows]) & (np.linalg.norm(steps, axis=1) < 1e-2 * (1 + np.linalg.norm(x[rows], axis=1)))
        x[rows[better]], size[rows[better]] = trial[better], after[better]
        rows = rows[better]
    return Minima(x, size, is_flat | (size <= tolerance))


def settle_minima(residual: Residual, linearized: Linearized, found: Minima, rows: np.ndarray) -> Minima:
    """Go on from some points to minima that are no zeros.

    There the derivative is singular, and only the curvature that least squares leave out tells the way.
    """
    x, size, is_flat = (array.copy() for array in found)
    for i in rows:
        unit = size[i]

        def half_square(state: np.ndarray, unit: float = unit) -> tuple[float, np.ndarray]:
            g, J = (array[0] / unit for array in linearized(state[None, :]))
            return float(g @ g) / 2, J.T @ g

        with np.errstate(over="ignore", invalid="ignore"):
            result = minimize(half_square, x[i], jac=True, method="BFGS", options={"gtol": 1e-6})
        after = float(np.linalg.norm(residual(result.x[None, :])))
        if after <= size[i]:
            x[i], size[i] = result.x, after
            is_flat[i] = float(np.linalg.norm(result.jac)) <= 1e-4
    return Minima(x, size, is_flat)
