"""The largest singular value of operators that only multiply, by Golub-Kahan-Lanczos bidiagonalisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_LOOK_EVERY = 5


def largest_singular_value(
    forward: Callable[[np.ndarray], np.ndarray],
    backward: Callable[[np.ndarray], np.ndarray],
    v: np.ndarray,
    tolerance: float,
    most_steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest singular values (sequence,) and the length of their residuals.

    ``forward`` and ``backward`` multiply (sequence, n, 1) by the operators and their transposes; ``v`` (sequence, n, 1)
    is the start. The residual ``|A^T u - sigma v|`` bounds the distance to a singular value. Full reorthogonalisation:
    the vectors are few.
    """
    right = [_unit(v)[0]]
    u, length = _unit(forward(right[0]))
    left, diagonal, above = [u], [length], []
    while True:
        w = _without(backward(left[-1]), right)
        w, beta = _unit(w)
        above.append(beta)
        m = len(diagonal)
        if m % _LOOK_EVERY == 0 or m == most_steps:
            B = np.zeros((len(v), m, m))
            B[:, np.arange(m), np.arange(m)] = np.stack(diagonal, axis=-1)
            if m > 1:
                B[:, np.arange(m - 1), np.arange(1, m)] = np.stack(above[:-1], axis=-1)
            P, sigma, _ = np.linalg.svd(B)
            residual = beta * np.abs(P[:, -1, 0])
            if m == most_steps or (residual <= tolerance * sigma[:, 0]).all():
                return sigma[:, 0], residual
        right.append(w)
        u, alpha = _unit(_without(forward(w), left))
        left.append(u)
        diagonal.append(alpha)


def _unit(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of unit length and their lengths; zero stays zero."""
    length = np.linalg.norm(v, axis=(-2, -1))
    return v / np.where(length > 0, length, 1.0)[:, None, None], length


def _without(v: np.ndarray, basis: list[np.ndarray]) -> np.ndarray:
    """Return what of ``v`` is orthogonal to the basis, twice for safety."""
    Q = np.concatenate(basis, axis=-1)
    for _ in range(2):
        v = v - Q @ (Q.mT @ v)
    return v
