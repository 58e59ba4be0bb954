"""What branches off at a bifurcation of a point, from derivatives of its Jacobian along the critical eigenvector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

#: Step of the differences, relative to the state: second ones of a Jacobian that is right to rounding.
_STEP = float(np.finfo(float).eps ** 0.25)


class NormalForm(NamedTuple):
    """The first coefficient of a normal form: what branches off is stable (within its plane) where it is negative."""

    coefficient: float
    error: float

    @property
    def criticality(self) -> str:
        """Return the word for the sign, if it has one."""
        if not np.isfinite(self.coefficient) or abs(self.coefficient) <= 3 * self.error:
            return "unknown"
        return "supercritical" if self.coefficient < 0 else "subcritical"


def normal_form(
    jacobian: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    kind: Literal["Hopf", "Neimark-Sacker", "flip"],
    eigenvalue: complex,
) -> NormalForm:
    """Return the coefficient at ``x`` (n,) by differences of two widths, whose difference is the error.

    For Hopf points it is the first Lyapunov coefficient with critical eigenvectors of length one, for Neimark-Sacker
    points its analogue; for flips the coefficient of the cube, negated.
    """
    A = jacobian(x)
    try:
        q, p = _eigenvectors(A, eigenvalue)
        coarse, fine = (_coefficient(jacobian, x, A, q, p, kind, eigenvalue, w * _STEP) for w in (2.0, 1.0))
    except np.linalg.LinAlgError:
        return NormalForm(np.nan, np.nan)
    return NormalForm(fine, abs(fine - coarse) + 1e-12 * abs(fine))


def _eigenvectors(A: np.ndarray, eigenvalue: complex) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvectors q of A and p of its adjoint, |q| = 1, p* q = 1."""
    U, _, Vh = np.linalg.svd(A - eigenvalue * np.eye(len(A)))
    q, p = Vh[-1].conj(), U[:, -1]
    product = np.vdot(p, q)
    if abs(product) < 1e-12:
        raise np.linalg.LinAlgError("the critical eigenvalue is defective")
    return q, p / product.conj()


def _coefficient(
    jacobian: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    A: np.ndarray,
    q: np.ndarray,
    p: np.ndarray,
    kind: str,
    eigenvalue: complex,
    step: float,
) -> float:
    a, b = q.real, q.imag
    first, second = zip(*(_along(jacobian, x, A, v, step) for v in (a, b)), strict=True)
    B = first[0] + 1j * first[1]  # B(q, .)
    one = np.eye(len(A))
    Bqq = B @ q
    if kind == "flip":
        cubic = p @ (second[0] @ a)
        return float(-(cubic / 6 + p @ B @ np.linalg.solve(one - A, Bqq) / 2).real)
    cubic = np.vdot(p, second[0] @ a + second[1] @ a + 1j * (second[0] @ b + second[1] @ b))  # C(q, q, conj q)
    Bq0 = B @ q.conj()
    if kind == "Hopf":
        omega = eigenvalue.imag
        mean = -2 * np.vdot(p, B @ np.linalg.solve(A, Bq0))
        double = np.vdot(p, B.conj() @ np.linalg.solve(2j * omega * one - A, Bqq))
        return float((cubic + mean + double).real / (2 * omega))
    turn = eigenvalue / abs(eigenvalue)
    mean = 2 * np.vdot(p, B @ np.linalg.solve(one - A, Bq0))
    double = np.vdot(p, B.conj() @ np.linalg.solve(turn**2 * one - A, Bqq))
    return float(((cubic + mean + double) / turn).real / 2)


def _along(
    jacobian: Callable[[np.ndarray], np.ndarray], x: np.ndarray, A: np.ndarray, v: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return first and second derivatives of the Jacobian along ``v``."""
    length = float(np.linalg.norm(v))
    if length == 0:
        return np.zeros_like(A), np.zeros_like(A)
    h = step * max(1.0, float(np.abs(x).max())) / length
    above, below = jacobian(x + h * v), jacobian(x - h * v)
    return (above - below) / (2 * h), (above - 2 * A + below) / h**2
