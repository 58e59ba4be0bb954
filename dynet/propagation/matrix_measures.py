"""How far a matrix is from normal, and what that makes of its powers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, schur
from scipy.optimize import minimize_scalar

from dynet.kernels.resolvent import smallest_singular_values

_ANGLES, _REFINED = 24, 2
_KREISS_ANGLES = 32
#: Powers of two whose squares are beyond the range of numbers, or near it.
_LARGE = 400
_KREISS_DISTANCES = np.geomspace(1e-3, 3.0, 12)


class Schur(NamedTuple):
    """``A = Q T Q^H`` with T upper triangular, and what is left of A beyond it, relative to A."""

    T: np.ndarray
    residual: float


def complex_schur(A: np.ndarray) -> Schur:
    """Return the complex Schur form."""
    T, Q = schur(A, output="complex")
    size = np.linalg.norm(A)
    return Schur(T, float(np.linalg.norm(A - Q @ T @ Q.conj().T) / size) if size else 0.0)


def henrici_departure(T: np.ndarray) -> float:
    """Return Henrici's departure from normality of a Schur form: the Frobenius norm of what is above its diagonal."""
    return float(np.linalg.norm(np.triu(T, 1)))


def numerical_abscissa(A: np.ndarray) -> float:
    """Return the largest eigenvalue of the symmetric part: the fastest growth rate that ``x' = A x`` starts with."""
    return _top((A + A.T) / 2)


def numerical_radius(A: np.ndarray) -> float:
    """Return the largest modulus in the field of values, ``max |v^H A v|`` over unit v, of a real matrix.

    The best of 25 directions, refined: at most 0.2 % below the supremum, should another direction hide it.
    """

    def support(angle: float) -> float:
        turned = np.exp(1j * angle) * A
        return _top((turned + turned.conj().T) / 2)

    angles = np.linspace(0, np.pi, _ANGLES + 1)  # a real matrix: symmetric in the angle
    values = np.array([support(angle) for angle in angles])
    best, spacing = float(values.max()), angles[1]
    for k in np.argsort(-values)[:_REFINED]:
        bounds = (max(angles[k] - spacing, 0.0), min(angles[k] + spacing, np.pi))
        found = minimize_scalar(lambda angle: -support(angle), bounds=bounds, method="bounded", options={"xatol": 1e-6})
        best = max(best, -float(found.fun))
    return best


def _top(H: np.ndarray) -> float:
    n = H.shape[0]
    return float(eigh(H, eigvals_only=True, subset_by_index=[n - 1, n - 1])[0])


def log_power_norms(A: np.ndarray, n_powers: int) -> np.ndarray:
    """Return log ||A^k|| for k = 0 .. n_powers, in the spectral norm; -inf from where the power is zero on."""
    logs = np.full(n_powers + 1, -np.inf)
    power, total = np.eye(A.shape[0]), 0.0
    logs[0] = 0.0
    for k in range(1, n_powers + 1):
        power = power @ A
        size = float(np.linalg.norm(power, 2))
        if size == 0:
            break
        power /= size
        total += np.log(size)
        logs[k] = total
    return logs


def kreiss_bound(T: np.ndarray, exponent: int = 0) -> float:
    """Return a lower bound of ``sup_k ||A^k||`` from the Schur form of ``2**-exponent A``, by Kreiss' theorem.

    ``(|z| - 1) / sigma_min(z I - A)`` is one for every z outside the unit circle; the best of some hundred is returned,
    infinity if an eigenvalue lies outside.
    """
    if exponent < _LARGE:
        T, exponent = T * 2.0**exponent, 0
    one = 2.0**-exponent  # the unit circle at the scale of T
    moduli = np.abs(np.diagonal(T))
    if moduli.max() > (1 + T.shape[0] * np.finfo(float).eps) * one:
        return np.inf
    angles = np.exp(1j * np.linspace(0, np.pi, _KREISS_ANGLES + 1))
    z = ((1 + _KREISS_DISTANCES[:, None]) * angles).ravel()
    distances = (np.abs(z) - 1) * one
    return float(max((distances / smallest_singular_values(T, one * z, tolerance=1e-6)).max(), 1.0))
