"""One step of a fixed-step method, and its exact derivative, on the array namespace."""

from __future__ import annotations

from typing import Any

from dynet.kernels.namespace import as_array
from dynet.systems.operators import RungeKutta
from dynet.typing import Array, JacobianFunction, StepFunction

#: Butcher tableaus: A (strictly lower triangular), b, c.
TABLEAUS: dict[str, tuple[tuple[tuple[float, ...], ...], tuple[float, ...], tuple[float, ...]]] = {
    "euler": (((),), (1.0,), (0.0,)),
    "rk4": (
        ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
        (1 / 6, 1 / 3, 1 / 3, 1 / 6),
        (0.0, 0.5, 0.5, 1.0),
    ),
}


class RungeKuttaStep:
    """``step(t, x, u, p)`` of a flow under a fixed-step method."""

    def __init__(self, rhs: StepFunction, dt: float, method: str) -> None:
        self.rhs, self.dt, self.method = rhs, dt, method

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Array:
        return _stages(self, t, x, u, p)[1]


class RungeKuttaLinearization(RungeKuttaStep):
    """``linearize(t, x, u, p)`` of a flow under a fixed-step method."""

    def __init__(self, rhs: StepFunction, jac: JacobianFunction, dt: float, method: str) -> None:
        super().__init__(rhs, dt, method)
        self.jac = jac

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> tuple[Array, RungeKutta]:
        states, x_next = _stages(self, t, x, u, p)
        A, b, c = TABLEAUS[self.method]
        jacobians = tuple(
            as_multiplier(self.jac(t + ci * self.dt, state, u, p), x) for ci, state in zip(c, states, strict=True)
        )
        return x_next, RungeKutta(jacobians, A, b, self.dt, x)


def _stages(step: RungeKuttaStep, t: float, x: Array, u: Array, p: Any) -> tuple[list[Array], Array]:
    """Return the states at which the stages are taken, and the next state."""
    A, b, c = TABLEAUS[step.method]
    h = step.dt
    slopes: list[Array] = []
    states = []
    for row, ci in zip(A, c, strict=True):
        state = x
        for weight, slope in zip(row, slopes, strict=False):
            if weight:
                state = state + (h * weight) * slope
        states.append(state)
        slopes.append(as_array(step.rhs(t + ci * h, state, u, p), x))
    x_next = x
    for weight, slope in zip(b, slopes, strict=True):
        x_next = x_next + (h * weight) * slope
    return states, x_next


def as_multiplier(J: Any, x: Array) -> Any:
    """Return what a ``jac`` gave as something that multiplies frames of the namespace of ``x``."""
    if isinstance(J, tuple | list) or (not isinstance(J, type(x)) and not hasattr(J, "__matmul__")):
        return as_array(J, x)
    return J
