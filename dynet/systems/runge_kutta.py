"""One step of a fixed-step method, and its exact derivative, on the array namespace."""

from __future__ import annotations

from typing import Any

from dynet.kernels.namespace import as_array
from dynet.systems.operators import Operator, transpose
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


class RungeKutta(Operator):
    """The exact derivative of one explicit Runge-Kutta step, applied stage by stage.

    ``K_i = J_i (V + h sum_j A_ij K_j)``, ``out = V + h sum_i b_i K_i``: one product a stage forwards, one a
    stage backwards, where building the matrix would take products of Jacobians.

    Parameters
    ----------
    jacobians : sequence
        Jacobian of the vector field at each stage; anything that multiplies.
    A, b : nested tuple of float, tuple of float
        The Butcher tableau.
    h : float
        Time step.
    prototype : array (..., n)
        The state: it carries namespace, dtype, device and batch shape.
    """

    def __init__(
        self,
        jacobians: tuple[Any, ...],
        A: tuple[tuple[float, ...], ...],
        b: tuple[float, ...],
        h: float,
        prototype: Array,
    ) -> None:
        self.jacobians, self.A, self.b, self.h = jacobians, A, b, h
        self._prototype = prototype
        n = prototype.shape[-1]
        self.shape = (*prototype.shape[:-1], n, n)

    @property
    def prototype(self) -> Array:
        return self._prototype

    def __matmul__(self, V: Array) -> Array:
        stages: list[Array] = []
        for J, row in zip(self.jacobians, self.A, strict=True):
            stage = V
            for weight, K in zip(row, stages, strict=False):
                if weight:
                    stage = stage + (self.h * weight) * K
            stages.append(J @ stage)
        out = V
        for weight, K in zip(self.b, stages, strict=True):
            out = out + (self.h * weight) * K
        return out

    def transpose(self) -> Operator:
        return _TransposedRungeKutta(self)


class _TransposedRungeKutta(Operator):
    def __init__(self, step: RungeKutta) -> None:
        self.step = step
        self.shape = step.shape

    @property
    def prototype(self) -> Array:
        return self.step.prototype

    def __matmul__(self, V: Array) -> Array:
        step = self.step
        n_stages = len(step.b)
        # cotangent of stage i: J_i^T (h b_i V + sum over later stages j of h A_ji times their cotangents)
        cotangents: list[Array] = [None] * n_stages
        out = V
        for i in range(n_stages - 1, -1, -1):
            total = (step.h * step.b[i]) * V
            for j in range(i + 1, n_stages):
                if step.A[j][i]:
                    total = total + (step.h * step.A[j][i]) * cotangents[j]
            cotangents[i] = transpose(step.jacobians[i]) @ total
            out = out + cotangents[i]
        return out

    def transpose(self) -> RungeKutta:
        return self.step
