"""Adaptive integration (Dormand & Prince, order 8) of states and of what is carried along with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy.integrate import OdeSolution
from scipy.sparse import issparse

from dynet.errors import ConvergenceError, DivergenceError
from dynet.kernels.conditioning import condition_number
from dynet.variational.dormand_prince import DormandPrince, StepControl
from dynet.variational.field import Field
from dynet.variational.sparse_frames import SparseVariational

__all__ = ["Piece", "fundamental_pieces", "integrate", "integration_steps"]

REFERENCE = "Hairer, Nørsett & Wanner (1993) doi:10.1007/978-3-540-78862-1"
_MOST_STEPS = 200_000

Solver = TypeVar("Solver", bound=StepControl)


def integration_steps(
    fun: Callable[[float, np.ndarray], np.ndarray],
    t0: float,
    y0: np.ndarray,
    t1: float,
    rtol: Any,
    atol: Any,
    first_step: float | None = None,
) -> Iterator[DormandPrince]:
    """Yield the solver after each accepted step from ``t0`` to ``t1`` (which may lie before ``t0``).

    Raises
    ------
    DivergenceError
        If the step size underflows or the state stops being finite.
    ConvergenceError
        If it takes more steps than any non-stiff problem does.
    """
    return _followed(partial(DormandPrince, fun), t0, y0, t1, rtol, atol, first_step)


def _followed(
    kind: Callable[..., Solver], t0: float, y0: np.ndarray, t1: float, rtol: Any, atol: Any, first_step: float | None
) -> Iterator[Solver]:
    if t1 == t0:
        return
    span = abs(t1 - t0)
    first = None if first_step is None else min(first_step, span)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        solver = kind(t0, y0, t1, rtol, atol, first)
        for _ in range(_MOST_STEPS):
            solver.step()
            if solver.failed or not np.isfinite(solver.y).all():
                raise DivergenceError(
                    f"the integration stops at time {solver.t:.6g}, where the state cannot be followed (largest entry "
                    f"{np.abs(solver.y).max():.3g}): it grows without bound, or the vector field or its Jacobian is "
                    "not finite or not smooth there",
                )
            yield solver
            if solver.finished:
                return
    raise ConvergenceError(
        f"{_MOST_STEPS} steps have covered only {abs(solver.t - t0):.3g} of {span:.3g} units of time: "
        "the system is too stiff for an explicit method"
    )


def integrate(
    fun: Callable[[float, np.ndarray], np.ndarray],
    t0: float,
    y0: np.ndarray,
    t1: float,
    rtol: float,
    atol: Any,
    *,
    dense: bool = False,
    short: bool = False,
) -> tuple[np.ndarray, OdeSolution | None]:
    """Return the solution at ``t1`` and, on demand, its continuous extension; ``short``: try a single step first."""
    y, times, pieces = y0, [t0], []
    for solver in integration_steps(fun, t0, y0, t1, rtol, atol, abs(t1 - t0) if short else None):
        y = solver.y
        if dense:
            times.append(solver.t)
            pieces.append(solver.dense_output())
    return y, OdeSolution(times, pieces) if dense and pieces else None


class Piece(NamedTuple):
    """The fundamental matrix over a stretch of a trajectory."""

    M: np.ndarray  # (n, n), from its start to its end
    end: np.ndarray  # (n,), the state at its end
    duration: float
    trace: float  # integral of tr J
    step: float  # size of step with which the integrator would go on


def fundamental_pieces(
    field: Field,
    x: np.ndarray,
    duration: float,
    scale: float,
    most_condition: float = np.inf,
    *,
    tolerance: float | None = None,
    first_step: float | None = None,
) -> list[Piece]:
    """Return fundamental matrices along the trajectory from ``x``, a new one whenever one gets ill conditioned.

    ``scale`` is the size of the states, against which absolute errors are measured; ``tolerance`` of the integrator,
    if not that of the field. The flow must not depend on time.
    """
    n = field.n

    def fun(t: float, y: np.ndarray) -> np.ndarray:
        # the trace needs the entries, and with them the product with a whole frame is one of arrays
        rate, tangent = field.linearized(t, y[:n])
        J = tangent.entries()
        out = np.empty_like(y)
        out[:n], out[n:-1], out[-1] = rate, (J @ y[n:-1].reshape(n, n)).ravel(), J.trace()
        return out

    rtol = np.full(n + n * n + 1, field.tolerance if tolerance is None else tolerance)
    rtol[n:-1] /= np.sqrt(n)  # most entries are small, and the error is a mean over all of them
    atol = 0.1 * rtol
    atol[:n] *= scale
    identity = np.eye(n).ravel()
    pieces: list[Piece] = []
    start = 0.0
    y0 = np.concatenate([x, identity, [0.0]])
    is_sparse = issparse(field.jacobian(0.0, x).J)
    kind = partial(SparseVariational, field, fun) if is_sparse else partial(DormandPrince, fun)
    for solver in _followed(kind, 0.0, y0, duration, rtol, atol, first_step):
        M = solver.y[n:-1].reshape(n, n)
        if solver.finished or (np.isfinite(most_condition) and condition_number(M) > most_condition):
            end = solver.y[:n].copy()
            pieces.append(Piece(M.copy(), end, solver.t - start, float(solver.y[-1]), solver.h_abs))
            start = solver.t
            if not solver.finished:
                solver.restart(np.concatenate([end, identity, [0.0]]))
    return pieces
