"""A system for every value of one of its parameters, and its derivatives along states and that parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dynet._validate import Faults, is_number, shown
from dynet.errors import DynetError, InputError
from dynet.kernels.namespace import as_array, move_like, to_numpy
from dynet.orbits.autonomous import require_autonomous
from dynet.systems.flow import Flow
from dynet.systems.jitted import cached, is_jitted
from dynet.systems.map import Map
from dynet.systems.operators import assemble
from dynet.systems.parameters import flattened, parameter_names, replaced
from dynet.systems.runge_kutta import as_multiplier
from dynet.variational.field import Field, checked_field, require_system

#: Fewer states are not worth a second of compiling.
_WORTH_COMPILING = 40
#: ``make(value)`` returns the system at a value of the parameter.
Maker = Callable[[float], Map | Flow]


class Family:
    """Systems that differ in one parameter.

    Parameters
    ----------
    make : callable
        ``make(value)`` returns the system.
    field : Field
        That of the system at one value.
    column : int, optional
        Place of the parameter among all of them, where the derivative with respect to them is known.
    """

    def __init__(self, make: Maker, field: Field, column: int | None) -> None:
        self._make, self.field, self._column = make, field, column
        self.n, self.is_map = field.n, isinstance(field.system, Map)
        #: time of a step of maps
        self.dt = field.system.dt if isinstance(field.system, Map) else np.nan
        self.precision = field.tolerance
        self._last: tuple[float, Field] | None = None
        self._refused: set[Any] = set()

    def system(self, value: float) -> Any:
        """Return the system at a value."""
        return self.at(value).system

    def at(self, value: float) -> Field:
        """Return the field at a value."""
        if self._last is None or self._last[0] != value:
            try:
                system = self._make(value)
            except DynetError:
                raise
            except Exception as error:  # whatever a user's function may raise
                raise InputError(
                    f"system failed with {type(error).__name__}: {error} at the value {value:g} of the parameter: "
                    "keep bounds where it is defined"
                ) from error
            self._last = value, Field(system, self.field.prototype)
        return self._last[1]

    def values(self, value: float, x: np.ndarray) -> np.ndarray:
        """Return rates of change, or next states, of states (s, n)."""
        field = self.at(value)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if field.system.vectorized:
                states = move_like(x, field.prototype)
                batch = field.function(0.0, states, states[:, :0], field.system.params)
                return np.asarray(to_numpy(as_array(batch, field.prototype)), dtype=np.float64)
            if (compiled := self._compiled(field, field.function, len(x))) is not None:
                out: np.ndarray = compiled(x, field.system.params)
                return out
            return np.array([field(0.0, state) for state in x])

    def jacobians(self, value: float, x: np.ndarray) -> np.ndarray:
        """Return the Jacobians (s, n, n), assembled from products with the identity where they are operators."""
        field = self.at(value)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if field.system.vectorized:
                states = move_like(x, field.prototype)
                J = assemble(as_multiplier(field.jac(0.0, states, states[:, :0], field.system.params), field.prototype))
                J = np.asarray(to_numpy(J), dtype=np.float64)
                return np.array(np.broadcast_to(J, (len(x), *J.shape[-2:])))
            if (compiled := self._compiled(field, field.jac, len(x))) is not None:
                out: np.ndarray = compiled(x, field.system.params)
                return out
            return np.array([field.jacobian(0.0, state).matrix() for state in x])

    def _compiled(self, field: Field, function: Any, n_rows: int) -> Any:
        """Return a compiled loop over rows, or None where there is nothing to gain or numba cannot make it."""
        if n_rows < _WORTH_COMPILING or not is_jitted(function) or field.tuples or function in self._refused:
            return None
        from numba.core.errors import NumbaError

        from dynet.kernels.rows import matrices_of_rows, values_of_rows

        factory = values_of_rows if function is field.function else matrices_of_rows
        loop = cached(function, factory, lambda: factory(function))
        try:
            loop(np.zeros((1, self.n)), field.system.params)
        except NumbaError:
            self._refused.add(function)
            return None
        return loop

    def parameter_derivatives(self, value: float, x: np.ndarray) -> np.ndarray:
        """Return the derivatives (s, n) with respect to the parameter: central differences where none are given."""
        field = self.at(value)
        if self._column is not None and field.has_parameters:
            one = np.zeros((flattened(field.system.params).size, 1))
            one[self._column] = 1.0
            return np.array([(field.parameter_jacobian(0.0, state) @ one)[:, 0] for state in x])
        # the residual is solved exactly: this only sets how fast, and the directions of branches
        h = max(self.precision / 30, np.finfo(float).eps) ** (1 / 3) * max(abs(value), 1e-3)
        return (self.values(value + h, x) - self.values(value - h, x)) / (2 * h)


def checked_family(
    system: Any, parameter: Any, value: Any, states: np.ndarray, known: tuple[str, float] | None = None
) -> tuple[Family, str, float]:  # fmt: skip
    """Return the family, the name of its parameter and its value at the start, whose states are (s, n).

    ``known`` is the parameter's name and value that the start itself brings.
    """
    faults = Faults()
    if isinstance(system, Map | Flow):
        make, name, own, column = _addressed(faults, system, parameter)
        start = own
    elif callable(system) and not hasattr(system, "state_dict"):
        make, column, start = system, None, None
        name = parameter if isinstance(parameter, str) else "parameter"
        if not isinstance(parameter, str):
            faults.add("parameter", parameter, "give a name for what the function system(value) takes")
        if value is None and (known is None or known[0] != name):
            faults.say("value: give the parameter's value at start, as system is a function of it")
    else:
        require_system(system)
    if value is not None:
        start = value
    elif known is not None and known[0] == name:
        start = known[1]
    if not faults and not (is_number(start) and np.isfinite(start)):
        faults.add("value", start, "give a finite number")
    faults.raise_if_any()
    try:
        at_start = make(float(start))
    except DynetError:
        raise
    except Exception as error:  # whatever a user's function may raise
        raise InputError(f"system({start:g}) failed with {type(error).__name__}: {error}") from error
    if not isinstance(at_start, Map | Flow):
        raise InputError(f"system({start:g}) returned {shown(type(at_start).__name__)}: it must return a Map or a Flow")
    try:
        field, _, _ = checked_field(at_start, states[0], 0)
    except InputError as error:
        raise InputError(str(error).replace("x0", "start")) from error
    require_autonomous(field, states[0], "system")
    return Family(make, field, column), name, float(start)


def _addressed(faults: Faults, system: Map | Flow, parameter: Any) -> tuple[Maker, str, Any, int | None]:
    """Return the systems, the name, the value now and the place of a parameter that is given by name or number."""
    p = system.params
    names, numbers = parameter_names(p), flattened(p)
    is_place = isinstance(parameter, int | np.integer) and not isinstance(parameter, bool)
    if is_place and -len(names) <= parameter < len(names):
        place = int(parameter) % len(names)
    elif isinstance(parameter, str) and parameter in names:
        place = names.index(parameter)
    else:
        known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        way_out = f"the parameters are {known}" if names else "the system has no parameters"
        faults.add("parameter", parameter, f"{way_out}; or give as system a function of the value")
        return (lambda value: system), str(parameter), 0.0, None

    def make(value: float) -> Map | Flow:
        if names[place] in getattr(p, "_fields", ()) or (isinstance(p, dict) and names[place] in p):
            return system.with_params(**{names[place]: value})  # leaves what is no float as it is
        moved = numbers.copy()
        moved[place] = value
        return replace(system, params=replaced(p, moved))

    name = names[place] if not names[place].isdigit() else f"parameter {names[place]}"
    return make, name, float(numbers[place]), place
