"""Smallest singular values of ``z I - T`` for a triangular T, at many points z at once.

Inverse Lanczos iteration: the largest eigenvalue of ``((z I - T)^H (z I - T))^-1``, two triangular solves a step, with
every point its own right-hand side of one blocked substitution.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 48
_MOST_STEPS = 60
_POINTS_AT_ONCE = 512


def smallest_singular_values(T: np.ndarray, z: np.ndarray, *, tolerance: float = 1e-8) -> np.ndarray:
    """Return sigma_min(z I - T) for an upper triangular complex T (n, n) and points z (point,)."""
    out = np.empty(z.size)
    for start in range(0, z.size, _POINTS_AT_ONCE):
        part = slice(start, start + _POINTS_AT_ONCE)
        out[part] = _lanczos(T, z[part], tolerance)
    return out


def _lanczos(T: np.ndarray, z: np.ndarray, tolerance: float) -> np.ndarray:
    n, points = T.shape[0], z.size
    scale = max(float(np.abs(T).max()), float(np.abs(z).max()), np.finfo(float).tiny)
    # a zero pivot stands for one that rounding could have left
    pivots = z[:, None] - np.diagonal(T)
    pivots = np.where(np.abs(pivots) < np.finfo(float).eps * scale, np.finfo(float).eps * scale, pivots)
    random = np.random.default_rng(0)
    q = random.standard_normal((points, n)) + 1j * random.standard_normal((points, n))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    previous = np.zeros_like(q)
    steps = min(_MOST_STEPS, n)
    alpha, beta = np.zeros((points, steps)), np.zeros((points, steps))
    result, active = np.zeros(points), np.arange(points)
    for step in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):
            v = _solve(T, pivots[active], _solve_adjoint(T, pivots[active], q))
            sizes = np.linalg.norm(v, axis=1)
        lost = ~np.isfinite(sizes)
        if lost.any():  # the resolvent itself is beyond the range of numbers
            result[active[lost]] = np.inf
            active, v, q, previous = active[~lost], v[~lost], q[~lost], previous[~lost]
            if not active.size:
                break
        if step:
            v -= beta[active, step - 1, None] * previous
        alpha[active, step] = np.einsum("gi,gi->g", q.conj(), v).real
        v -= alpha[active, step, None] * q
        beta[active, step] = np.linalg.norm(v, axis=1)
        top = _largest(alpha[active, : step + 1], beta[active, :step])
        settled = np.abs(top - result[active]) <= tolerance * top
        result[active] = top
        # an invariant subspace: nothing is left to be found
        settled |= beta[active, step] <= 1e-14 * top
        left = ~settled if step else ~(beta[active, step] <= 1e-14 * top)
        if not left.any():
            break
        previous, q = q[left], v[left] / beta[active[left], step, None]
        active = active[left]
    return 1 / np.sqrt(result)


def _largest(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the largest eigenvalue of each tridiagonal matrix."""
    points, m = alpha.shape
    H = np.zeros((points, m, m))
    index = np.arange(m)
    H[:, index, index] = alpha
    H[:, index[1:], index[:-1]] = beta
    top: np.ndarray = np.linalg.eigvalsh(H)[:, -1]
    return top


def _solve(T: np.ndarray, pivots: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve ``(z I - T) x = b`` for every point: substitution backwards, by blocks of columns."""
    n = T.shape[0]
    x = b.copy()
    for stop in range(n, 0, -_BLOCK):
        start = max(stop - _BLOCK, 0)
        for i in range(stop - 1, start - 1, -1):
            x[:, i] += x[:, i + 1 : stop] @ T[i, i + 1 : stop]
            x[:, i] /= pivots[:, i]
        if start:
            x[:, :start] += x[:, start:stop] @ T[:start, start:stop].T
    return x


def _solve_adjoint(T: np.ndarray, pivots: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Solve ``(z I - T)^H x = b`` for every point: substitution forwards."""
    n = T.shape[0]
    conjugate, below = pivots.conj(), T.conj()
    x = b.copy()
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        for i in range(start, stop):
            x[:, i] += x[:, start:i] @ below[start:i, i]
            x[:, i] /= conjugate[:, i]
        if stop < n:
            x[:, stop:] += x[:, start:stop] @ below[start:stop, stop:]
    return x
