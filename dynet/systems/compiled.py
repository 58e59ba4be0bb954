"""What the compiled engine runs for a system, if every function of it is compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dynet.systems.binding import BoundInput, Linearization
from dynet.systems.difference import FiniteDifference
from dynet.systems.jitted import inlined, is_jitted, jitted_difference, jitted_with_input, returning_tuples
from dynet.systems.runge_kutta import RungeKuttaLinearization, RungeKuttaStep

#: Systems of up to this many units may return tuples, which the compiled loop keeps in registers.
TUPLES_UP_TO = 6


class CompiledParts(NamedTuple):
    """How a step is taken, the functions it takes, and the constant input row if one is bound."""

    kind: str
    f: Any
    df: Any
    row: np.ndarray | None


class _Resolved(NamedTuple):
    function: Any
    row: np.ndarray | None


def compiled_parts(system: Any, *, tangent: bool = True) -> CompiledParts | None:
    """Return the compiled parts of a map, or None if some function of it is a Python one.

    With ``tangent=False`` only the step has to be compiled (a trajectory without Jacobians).
    """
    function = system.linearize if tangent else system.step
    signal = None
    if isinstance(function, BoundInput):
        function, signal = _innermost(function)
    found = _tangent_parts(function) if tangent else _step_parts(function)
    if found is None:
        return None
    kind, f, df = found
    if signal is not None:
        if callable(signal) and kind in ("euler", "rk4"):
            return None  # bound to the map of a step, it is held over the step: not what the stages would read
        bound_f, bound_df = _bind(f, signal), _bind(df, signal)
        if bound_f is None or bound_df is None:
            return None
        f, df = bound_f, bound_df
    return CompiledParts(kind, f.function, df.function, f.row)


def for_loops(parts: CompiledParts) -> CompiledParts:
    """Return the parts with functions that become part of the loops that take them."""
    return parts._replace(f=inlined(parts.f), df=inlined(parts.df))


def with_tuples(parts: CompiledParts) -> CompiledParts:
    """Return the parts with functions that return tuples wherever theirs return array literals."""
    return parts._replace(f=returning_tuples(parts.f), df=returning_tuples(parts.df))


def _tangent_parts(function: Any) -> tuple[str, _Resolved, _Resolved] | None:
    if isinstance(function, RungeKuttaLinearization):
        kind, f, df = function.method, _resolve(function.rhs), _resolve(function.jac)
    elif isinstance(function, Linearization):
        kind, f, df = "map", _resolve(function.step), _resolve(function.jac)
    elif is_jitted(function):
        kind, f, df = "linearize", _Resolved(function, None), _Resolved(function, None)
    else:
        return None
    return None if f is None or df is None else (kind, f, df)


def _step_parts(function: Any) -> tuple[str, _Resolved, _Resolved] | None:
    kind = "map"
    if isinstance(function, RungeKuttaStep):
        kind, function = function.method, function.rhs
    f = _resolve(function)
    return None if f is None else (kind, f, f)


def _innermost(function: BoundInput) -> tuple[Any, Any]:
    """Return the function behind nested bindings and the input that reaches it: the first one bound."""
    while isinstance(function.function, BoundInput):
        function = function.function
    return function.function, function.signal


def _resolve(function: Any) -> _Resolved | None:
    if isinstance(function, BoundInput):
        inner, signal = _innermost(function)
        resolved = _resolve(inner)
        return None if resolved is None else _bind(resolved, signal)
    if isinstance(function, FiniteDifference):
        inner_resolved = _resolve(function.function)
        if inner_resolved is None:
            return None
        difference = jitted_difference(inner_resolved.function, function.scale)
        return _Resolved(difference, inner_resolved.row)
    return _Resolved(function, None) if is_jitted(function) else None


def _bind(resolved: _Resolved, signal: Any) -> _Resolved | None:
    if callable(signal):
        if not is_jitted(signal):
            return None
        return _Resolved(jitted_with_input(resolved.function, signal), resolved.row)
    return _Resolved(resolved.function, np.atleast_1d(np.asarray(signal, dtype=np.float64)))
