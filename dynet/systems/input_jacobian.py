"""The derivative of a step with respect to its input: a network's own, a function given, or by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.kernels.namespace import as_array, namespace
from dynet.systems.difference import DifferenceOperator, FiniteDifference
from dynet.systems.map import Map
from dynet.typing import Array


def input_jacobian(faults: Faults, system: Map, jac_input: Any) -> Callable[..., Any] | None:
    """Return ``J_u(t, x, u, p)`` (n, m), anything that multiplies, or note why there is none."""
    known: Any = getattr(system.step, "input_jacobian", None)
    if jac_input is None and known is None:
        faults.say(
            "jac_input is missing: give jac_input(t, x, u, p) -> J_u (n, m), the derivative of the step with respect "
            'to the input; or jac_input="finite_difference"'
        )
    check_derivative(faults, "jac_input", jac_input)
    if isinstance(jac_input, str):
        return InputDifference(system.step, system.vectorized)
    return known if jac_input is None else jac_input


def check_derivative(faults: Faults, name: str, value: Any) -> None:
    """Note a derivative that is neither a function nor the name of a way to find one."""
    if value is not None and not callable(value) and not (isinstance(value, str) and value == "finite_difference"):
        faults.add(name, value, 'give a function or "finite_difference"')


class RectangularDifference(DifferenceOperator):
    """Differences of a function whose result is of another length than its argument."""

    def __init__(self, jac: FiniteDifference, t: float, x: Array, u: Array, p: Any, result: Array) -> None:
        super().__init__(jac, t, x, u, p)
        self.shape = (*result.shape, x.shape[-1])


class InputDifference:
    """The derivative of a step with respect to its input, by central differences."""

    kind = "finite_difference"

    def __init__(self, step: Any, vectorized: bool) -> None:
        self.step, self.vectorized = step, vectorized

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Any:
        """Return the derivative, anything that multiplies."""
        return RectangularDifference(FiniteDifference(self._of_input, 1.0, self.vectorized), t, u, x, p, x)

    def _of_input(self, t: float, u: Array, x: Array, p: Any) -> Array:
        xp = namespace(x)
        # differences shift many inputs at once: the states go with them
        shape = np.broadcast_shapes(tuple(u.shape[:-1]), tuple(x.shape[:-1]))
        return as_array(self.step(t, xp.broadcast_to(x, (*shape, x.shape[-1])), u, p), x)
