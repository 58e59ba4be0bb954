"""A system as integrators need it: float64 arrays of the host in and out, products with its Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from dynet._validate import Faults, shown
from dynet.errors import DynetError, InputError
from dynet.kernels.namespace import as_array, machine_epsilon, move_like, to_numpy
from dynet.systems.arguments import start_and_inputs
from dynet.systems.binding import MISSING_JACOBIAN
from dynet.systems.check import compare_jacobian
from dynet.systems.flow import Flow
from dynet.systems.jitted import is_jitted
from dynet.systems.map import Map
from dynet.systems.operators import assemble, transpose
from dynet.systems.recurrent import RecurrentJacobian, RecurrentLinearization
from dynet.systems.runge_kutta import as_multiplier
from dynet.typing import ArrayLike

#: Tolerance of the integrator for functions that compute in float64.
FINEST = 1e-11


class Field:
    """The vector field of a flow, or the step of a map, with its derivatives along numpy states (n,).

    Parameters
    ----------
    system : Map or Flow
        Whose functions are called, in whatever namespace they want.
    prototype : array (n,)
        A state in the namespace, dtype and device that the functions work on.
    row : array (channel,), optional
        An input that the functions take.
    """

    def __init__(self, system: Map | Flow, prototype: Any, row: Any = None) -> None:
        self.system, self.prototype = system, prototype
        self.function: Any = system.step if isinstance(system, Map) else system.rhs
        self.jac: Any = system.jac
        self.pair: Any = RecurrentLinearization(self.jac.recurrence) if type(self.jac) is RecurrentJacobian else None
        self.n = int(prototype.shape[-1])
        self._is_plain = isinstance(prototype, np.ndarray) and prototype.dtype == np.float64
        self.tuples = is_jitted(self.function) and _wants_tuples(self.function, prototype, system.params)
        value = self._first_value(row)
        epsilon = max(machine_epsilon(value) if value.dtype.kind == "f" else 0.0, machine_epsilon(prototype))
        #: relative tolerance that the functions' own rounding lets integrators reach
        self.tolerance = max(FINEST, 30 * epsilon)

    def _first_value(self, row: Any) -> np.ndarray:
        """Return what the function gives at the prototype; a fault of it is told with what it was given."""
        x = self.prototype
        try:
            value = to_numpy(as_array(self._call(self.function, 0.0, to_numpy(x), row), x))
        except DynetError:
            raise
        except Exception as error:  # whatever a user's function may raise
            name = "step" if isinstance(self.system, Map) else "rhs"
            raise InputError(
                f"{name} failed with {type(error).__name__}: {error}. It is called as {name}(t, x, u, p), here with x "
                f"{type(x).__name__} of shape {tuple(x.shape)}: do x0, inputs and params fit?"
            ) from error
        if value.shape != tuple(x.shape):
            raise InputError(f"the system returned shape {value.shape} for a state of shape {tuple(x.shape)}")
        return value

    def __call__(self, t: float, x: np.ndarray, u: Any = None) -> np.ndarray:
        """Return the rate of change (flows) or the next state (maps)."""
        return _float64(as_array(self._call(self.function, t, x, u), self.prototype))

    def jacobian(self, t: float, x: np.ndarray, u: Any = None) -> Tangent:
        """Return the Jacobian with respect to the state."""
        return Tangent(as_multiplier(self._call(self.jac, t, x, u), self.prototype), self.prototype)

    def linearized(self, t: float, x: np.ndarray, u: Any = None) -> tuple[np.ndarray, Tangent]:
        """Return the rate of change (the next state) and the Jacobian."""
        if self.pair is None:
            return self(t, x, u), self.jacobian(t, x, u)
        y, J = self._call(self.pair, t, x, u)
        return _float64(y), Tangent(J, self.prototype)

    def each(self, x: np.ndarray, u: Any = None) -> np.ndarray:
        """Return the rates of change (the next states) of many states (s, n), at time 0."""
        if not self.system.vectorized:
            return np.array([self(0.0, state, u) for state in x]).reshape(x.shape)
        return _float64(as_array(self._batch(self.function, x, u), self.prototype))

    def each_jacobian(self, x: np.ndarray, u: Any = None) -> np.ndarray:
        """Return the Jacobians (s, n, n) at many states (s, n), at time 0."""
        if not self.system.vectorized:
            return np.array([self.jacobian(0.0, state, u).matrix() for state in x]).reshape(*x.shape, self.n)
        J = _float64(assemble(as_multiplier(self._batch(self.jac, x, u), self.prototype)))
        return np.array(np.broadcast_to(J, (*x.shape, self.n)))

    def parameter_jacobian(self, t: float, x: np.ndarray, u: Any = None) -> Tangent:
        """Return the derivative with respect to the parameters, (n, n_params)."""
        J = self._call(self.system.jac_params, t, x, u)
        return Tangent(as_multiplier(J, self.prototype), self.prototype)

    def check(self, x: Any, row: Any) -> None:
        """Raise if there is no Jacobian, or it disagrees with a difference of the function at ``x``."""
        if self.jac is None:
            raise InputError(MISSING_JACOBIAN)

        def linearize(t: float, x: Any, u: Any, p: Any) -> tuple[Any, Any]:
            return as_array(self._call(self.function, t, x, u), x), self._call(self.jac, t, x, u)

        u = x[:0] if row is None else move_like(row, x)
        with np.errstate(over="ignore", invalid="ignore"):
            compare_jacobian(linearize, x, u, 0.0, self.system.params, None)

    @property
    def has_parameters(self) -> bool:
        """Tell whether the derivative with respect to the parameters is known."""
        return self.system.jac_params is not None

    def _batch(self, function: Any, x: np.ndarray, u: Any) -> Any:
        states = move_like(x, self.prototype)
        rows = states[:, :0] if u is None else move_like(np.tile(to_numpy(u), (len(x), 1)), self.prototype)
        return function(0.0, states, rows, self.system.params)

    def _call(self, function: Any, t: float, x: np.ndarray, u: Any) -> Any:
        if self._is_plain and u is None:  # nothing to move: small systems spend most of their time on the way
            return function(t, tuple(x.tolist()) if self.tuples else x, x[:0], self.system.params)
        state = move_like(x, self.prototype)
        row = state[:0] if u is None else move_like(u, self.prototype)
        return function(t, tuple(state) if self.tuples else state, row, self.system.params)


class Tangent:
    """A Jacobian that multiplies numpy frames (n, k), from the left and transposed."""

    def __init__(self, J: Any, prototype: Any) -> None:
        self.J, self.prototype = J, prototype

    def __matmul__(self, V: np.ndarray) -> np.ndarray:
        return _float64(self.J @ move_like(V, self.prototype))

    def pulled_back(self, W: np.ndarray) -> np.ndarray:
        """Return the product of the transpose with ``W`` (n, k)."""
        return _float64(transpose(self.J) @ move_like(W, self.prototype))

    def matrix(self) -> np.ndarray:
        """Return the matrix."""
        return _float64(assemble(self.J))

    def entries(self) -> Any:
        """Return the matrix as an array, or as the sparse one that it is."""
        return self.J if issparse(self.J) else self.matrix()


def _float64(value: Any) -> np.ndarray:
    return np.asarray(to_numpy(value), dtype=np.float64)


def _wants_tuples(function: Any, x: Any, p: Any) -> bool:
    from numba.core.errors import NumbaError

    try:
        function(0.0, x, x[:0], p)
    except NumbaError:
        return True
    return False


def require_system(system: Any, kind: type[Map] | type[Flow] | None = None, name: str = "system") -> Any:
    """Return ``system`` if it is a Map or a Flow (of the ``kind`` that is asked for), or say what to give."""
    if kind is Flow and isinstance(system, Map):
        raise InputError(
            f"{name} is a Map: give the Flow (limit cycles); periodic orbits of maps are found by find_periodic_orbit"
        )
    if kind is Map and isinstance(system, Flow):
        raise InputError(f"{name} is a Flow: give a Map; the limit cycles of flows are found by find_limit_cycle")
    if isinstance(system, Map | Flow):
        return system
    if hasattr(system, "state_dict"):
        raise InputError(
            f"{name} is a torch module ({type(system).__name__}): give dynet.torch.from_module(model), or "
            "dynet.torch.from_vector_field(model) if it returns dx/dt"
        )
    raise InputError(f"{name}={shown(system)}: give a dynet.Map or dynet.Flow")


def checked_field(
    system: Map | Flow, x0: ArrayLike | None, n_rows: int, inputs: Any = None, *, steps: str = "duration"
) -> tuple[Field, np.ndarray, Any]:
    """Return the field, the start (n,) as float64, and the rows of input (time, channel) or None."""
    faults = Faults()
    as_map = system if isinstance(system, Map) else _as_map(system)
    if hasattr(as_map.step, "freeze"):
        faults.say("system is the hidden state of an LSTM at memories run beforehand: give the full state")
        faults.raise_if_any()
    start, rows = start_and_inputs(faults, as_map, x0, inputs, n_rows, steps)
    if start.shape[0] != 1:
        faults.add("x0", start, "give one start (n,)")
    faults.raise_if_any()
    state = np.array(to_numpy(start[0, :]), dtype=np.float64)
    row = None if rows is None else rows[0, ...]
    first = None if row is None else to_numpy(row[0, ...])
    field = Field(system, start[0, :], first)
    field.check(start[0, :], first)
    return field, state, row


def _as_map(flow: Flow) -> Map:
    """Return a map of the same functions, for checks that are those of maps."""
    return Map(
        flow.rhs, flow.jac, params=flow.params, vectorized=flow.vectorized, units=flow.units, like=flow.like
    )  # fmt: skip
