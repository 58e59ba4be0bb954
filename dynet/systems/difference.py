"""Jacobians by central differences, asked for by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.errors import InputError
from dynet.kernels.namespace import as_array, device_of, machine_epsilon, namespace
from dynet.systems.operators import Operator
from dynet.typing import Array, StepFunction

__all__ = ["FiniteDifference", "finite_difference"]


def finite_difference(function: StepFunction, *, scale: float = 1.0, vectorized: bool = False) -> FiniteDifference:
    """Return a ``jac`` for ``function`` by central differences.

    The step of each unit is ``eps**(1/3) * max(|x_i|, scale)`` with the machine epsilon of the state's
    dtype; the relative error of a product ``J @ v`` is then near ``eps**(2/3)`` (4e-11 in float64, 2e-5 in
    float32). Results made with it say so in ``attrs["jacobian"]``.

    Parameters
    ----------
    function : callable
        ``step`` of a map or ``rhs`` of a flow: ``function(t, x, u, p)``.
    scale : float, default 1.0
        Typical size of a unit near zero, in the units of the state.
    vectorized : bool, default False
        Whether ``function`` takes states (..., n); then all columns are shifted in one call.

    Returns
    -------
    FiniteDifference
        ``jac(t, x, u, p) -> J``, matrix-free: ``J @ V`` costs two calls of ``function`` a column.

    Raises
    ------
    InputError
        If ``scale`` is not a positive number.

    References
    ----------
    Press et al., Numerical Recipes, 3rd ed., section 5.7.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> jac = dynet.finite_difference(lambda t, x, u, p: np.sin(x))
    >>> jac(0.0, np.array([0.0]), np.empty(0), None) @ np.eye(1)
    array([[1.]])
    """
    if not (isinstance(scale, int | float) and 0 < scale < float("inf")):
        raise InputError(f"scale={scale!r}: give the typical size of a unit, a positive number")
    return FiniteDifference(function, float(scale), vectorized)


class FiniteDifference:
    """A ``jac`` by central differences of ``function``; made by `finite_difference`."""

    kind = "finite_difference"

    def __init__(self, function: StepFunction, scale: float, vectorized: bool) -> None:
        self.function, self.scale, self.vectorized = function, scale, vectorized

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> DifferenceOperator:
        """Return the Jacobian at ``x`` as an operator."""
        return DifferenceOperator(self, t, x, u, p)


class DifferenceOperator(Operator):
    """``J @ V`` by one central difference a column."""

    def __init__(self, jac: FiniteDifference, t: float, x: Array, u: Array, p: Any) -> None:
        self.jac, self.t, self.x, self.u, self.p = jac, t, x, u, p
        self.shape = (*x.shape, x.shape[-1])

    @property
    def prototype(self) -> Array:
        return self.x

    def __matmul__(self, V: Array) -> Array:
        xp = namespace(self.x)
        # columns are measured in the size of each unit, so that no unit is shifted by more than its step
        sizes = xp.clip(xp.abs(self.x), min=self.jac.scale)
        lengths = xp.max(xp.abs(V) / sizes[..., None], axis=-2)
        lengths = xp.where(lengths == 0, xp.ones_like(lengths), lengths)
        h = machine_epsilon(self.x) ** (1 / 3) / lengths
        shifts = V * h[..., None, :]
        columns = self._all_columns(shifts) if self.jac.vectorized else self._each_column(shifts)
        return columns / (2 * h[..., None, :])

    def _all_columns(self, shifts: Array) -> Array:
        xp = namespace(shifts)
        function, t, u, p = self.jac.function, self.t, self.u, self.p
        moved = xp.moveaxis(shifts, -1, 0)  # (k, ..., n)
        return xp.moveaxis(function(t, self.x + moved, u, p) - function(t, self.x - moved, u, p), 0, -1)

    def _each_column(self, shifts: Array) -> Array:
        function, t, x, u, p = self.jac.function, self.t, self.x, self.u, self.p
        columns = []
        for j in range(shifts.shape[-1]):
            shift = shifts[:, j]
            columns.append(as_array(function(t, x + shift, u, p), x) - as_array(function(t, x - shift, u, p), x))
        return namespace(x).stack(columns, axis=-1)

    def assemble(self) -> Array:
        identity = np.eye(self.shape[-1])
        return self @ namespace(self.x).asarray(identity, dtype=self.x.dtype, **device_of(self.x))

    def transpose(self) -> Any:
        return self.assemble().mT
