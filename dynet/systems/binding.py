"""Callables that a system is made of: pairs of step and Jacobian, bound inputs. They pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.errors import InputError
from dynet.kernels.namespace import move_like
from dynet.typing import Array, Input, JacobianFunction, StepFunction

MISSING_JACOBIAN = (
    "jac is missing: give jac(t, x, u, p) -> J (an array, a sparse array or anything with J @ V); or "
    'jac="finite_difference" for central differences (approximate; the result says so); or, for a function '
    "written in torch, let dynet.torch.from_module or dynet.torch.from_vector_field derive it"
)


class Linearization:
    """``(step(t, x, u, p), jac(t, x, u, p))`` in one call."""

    def __init__(self, step: StepFunction, jac: JacobianFunction | None) -> None:
        self.step, self.jac = step, jac

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> tuple[Array, Any]:
        if self.jac is None:
            raise InputError(MISSING_JACOBIAN)
        return self.step(t, x, u, p), self.jac(t, x, u, p)


class JacobianOf:
    """The second half of a ``linearize``."""

    def __init__(self, linearize: Any) -> None:
        self.linearize = linearize
        if hasattr(linearize, "kind"):
            self.kind = linearize.kind

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Any:
        return self.linearize(t, x, u, p)[1]


class BoundInput:
    """A function of ``(t, x, u, p)`` whose ``u`` is fixed: a row (channel,) or a function of time."""

    def __init__(self, function: Any, signal: Input) -> None:
        self.function, self.signal = function, signal
        # what the function tells of itself still holds; the width of its input does not matter any more
        for name in ("limits", "recurrence", "description", "kind"):
            if hasattr(function, name):
                setattr(self, name, getattr(function, name))

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Any:
        return self.function(t, x, self._row(t, x), p)

    def _row(self, t: float, x: Array) -> Array:
        row = self.signal(t) if callable(self.signal) else self.signal
        row = row.reshape(1) if hasattr(row, "reshape") and not row.shape else row
        return move_like(np.atleast_1d(row) if np.isscalar(row) else row, x)


class BoundForward(BoundInput):
    """A ``linearize`` with bound input whose Jacobians may be taken later, of many steps at once."""

    def forward(self, t: float, x: Array, u: Array, p: Any) -> tuple[Array, Any]:
        """Return the next state and what the Jacobian is made of."""
        return self.function.forward(t, x, self._row(t, x), p)

    def jacobians(self, steps: list[Any], p: Any) -> Any:
        """Return the Jacobians (step, ..., n, n) of steps that kept ``steps``, as one operator."""
        return self.function.jacobians(steps, p)


class OdeFunction:
    """scipy's ``fun(t, y, *args)`` as ``f(t, x, u, p)`` with ``p = args``."""

    def __init__(self, fun: Any) -> None:
        self.fun = fun

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> np.ndarray:
        return np.asarray(self.fun(t, x, *p))


def bind_input(function: Any, signal: Input) -> Any:
    """Return ``function`` with its input bound; functions that are not there stay so."""
    if function is None:
        return None
    return (BoundForward if hasattr(function, "jacobians") else BoundInput)(function, signal)


def has_bound_input(step: Any) -> bool:
    """Return whether the input of a step, or of the vector field behind it, is bound."""
    return isinstance(step, BoundInput) or isinstance(getattr(step, "rhs", None), BoundInput)
