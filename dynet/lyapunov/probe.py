"""The first calls of the user's functions: what they return, and whether Jacobian and step agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults, shown
from dynet.errors import DivergenceError, DynetError, InputError
from dynet.kernels.namespace import as_array, move_like, namespace, to_numpy
from dynet.systems.check import compare_jacobian, is_float_array
from dynet.systems.compiled import TUPLES_UP_TO, CompiledParts, with_tuples
from dynet.systems.jitted import is_jitted
from dynet.systems.map import Map
from dynet.systems.runge_kutta import as_multiplier


def settle(
    system: Map, parts: CompiledParts | None, start: Any, row: Any, names: list[str]
) -> tuple[Any, CompiledParts | None, bool, Any]:
    """Return the start in the dtype that the functions keep, functions that run best, if in tuples, frame dtype."""
    tuples = False
    n = start.shape[-1]
    for _ in range(2):
        x = start if system.vectorized else start[0, :]
        u = row if not system.vectorized else _spread(row, start)
        u = move_like(u, x)
        before = to_numpy(x).copy()
        if parts is not None:
            y, J, tuples = _call_compiled(parts, x, u, system)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                y, J = _call(system, x, u)
        if not np.array_equal(before, to_numpy(x)):
            raise InputError("step or jac writes into its argument x: return a new array")
        y, J = as_array(y, x), as_multiplier(J, x)
        _check_result(y, J, x, names)
        wanted = y.dtype if is_float_array(y) else start.dtype
        if wanted == start.dtype:
            break
        start = namespace(start).astype(start, wanted)
    xp = namespace(x)
    product = J @ xp.ones_like(x)[..., None]
    frame_dtype = xp.result_type(product.dtype, start.dtype)
    # numba hands float32 numbers of a tuple back as float64: only those runs can be told from arrays
    if parts is not None and n <= TUPLES_UP_TO and not tuples and start.dtype == np.float64 == frame_dtype:
        lean = with_tuples(parts)
        if lean != parts and _takes_tuples(lean, x, u, system):
            parts, tuples = lean, True
    return start, parts, tuples and n <= TUPLES_UP_TO, frame_dtype


def _takes_tuples(parts: CompiledParts, x: np.ndarray, u: np.ndarray, system: Map) -> bool:
    u = u if parts.row is None else parts.row
    try:
        y = parts.f(0.0, tuple(x), u, system.params)
        parts.df(0.0, tuple(x), u, system.params)
    except Exception:
        # it needs an array (for x @ W, for slices); what cannot be compiled fails in many ways, also inside of LLVM
        return False
    return isinstance(y, tuple)


def _spread(row: Any, start: Any) -> Any:
    return namespace(row).broadcast_to(row, (start.shape[0], row.shape[-1]))


def _call(system: Map, x: Any, u: Any) -> tuple[Any, Any]:
    """Call step and jac once; a fault of the user's functions is told with what they were given."""
    try:
        result = system.linearize(0.0, x, u, system.params)
    except DynetError:
        raise
    except Exception as error:
        raise InputError(
            f"step or jac failed with {type(error).__name__}: {error}. They are called as f(t, x, u, p), here with x "
            f"{type(x).__name__} of shape {tuple(x.shape)} and u of shape {tuple(u.shape)}: do x0 and inputs fit?"
        ) from error
    if not (isinstance(result, tuple) and len(result) == 2):
        raise InputError("linearize must return the pair (x_next, J)")
    return result


def _call_compiled(parts: CompiledParts, x: np.ndarray, u: np.ndarray, system: Map) -> tuple[Any, Any, bool]:
    """Call the compiled functions once, with an array first, then with a tuple."""
    from numba.core.errors import NumbaError

    if parts.row is not None:
        u = parts.row.astype(x.dtype)
    failure: Exception | None = None
    candidates: list[Any] = [x]
    if x.shape[-1] <= TUPLES_UP_TO:
        candidates.append(tuple(x))
    for state in candidates:
        try:
            first = parts.f(0.0, state, u, system.params)
            second = parts.df(0.0, state, u, system.params)
        except NumbaError as error:
            failure = failure or error
            continue
        pair = parts.f is parts.df  # a compiled linearize
        y, J = first if pair else (first, second)
        return y, J, isinstance(y, tuple)
    assert failure is not None
    raise _not_compilable("step or jac", failure) from failure


def _check_result(y: Any, J: Any, x: Any, names: list[str]) -> None:
    n = x.shape[-1]
    faults = Faults()
    if tuple(y.shape) != tuple(x.shape):
        faults.say(f"step returned shape {tuple(y.shape)} for a state of shape {tuple(x.shape)}: return x_next (n,)")
    shape = getattr(J, "shape", None)
    if shape is None or tuple(shape[-2:]) != (n, n):
        found = shown(J) if shape is None else f"shape {tuple(shape)}"
        faults.say(f"jac returned {found}: give something of shape ({n}, {n}) that multiplies")
    for name, value in (("step", y), ("jac", J)):
        if "complex" in str(getattr(value, "dtype", "")):
            faults.say(f"{name} returned complex numbers: split the state into real and imaginary parts")
    faults.raise_if_any()
    if not np.isfinite(to_numpy(y)).all():
        where = np.argwhere(~np.isfinite(to_numpy(y)))[0]
        raise DivergenceError(
            f"the first step is not finite in unit {names[where[-1]]}: check x0, the parameters and dt",
            step=0,
            unit=names[where[-1]],
        )
    if isinstance(J, np.ndarray) and not np.isfinite(J).all():
        where = np.argwhere(~np.isfinite(J))[0].tolist()
        raise DivergenceError(
            f"jac is not finite at the start, first in entry {where}: check jac, x0 and the parameters",
            step=0,
            unit=names[where[-2]],
        )


def first_inputs(system: Map, rows: Any, start: Any) -> Any:
    """Return the inputs of the first step, of all sequences or of the first one."""
    if rows is None:
        return start[..., :0] if system.vectorized else start[0, :0]
    return rows[:, 0, :] if system.vectorized else rows[0, 0, :]


def probe(system: Map, x: Any, u: Any) -> None:
    """Raise if the Jacobian disagrees with a difference of the step at ``x``."""
    with np.errstate(over="ignore", invalid="ignore"):
        way_out = "; check=False skips this test"
        compare_jacobian(_plain(system), x, u, 0.0, system.params, 1, way_out=way_out)


def _plain(system: Map) -> Any:
    """Return ``linearize`` for the probe; a compiled step that wants tuples gets tuples."""
    if not is_jitted(system.step) and not is_jitted(system.linearize):
        return system.linearize

    def linearize(t: float, x: Any, u: Any, p: Any) -> Any:
        from numba.core.errors import NumbaError

        try:
            return system.linearize(t, x, u, p)
        except NumbaError:
            return system.linearize(t, tuple(x), u, p)

    return linearize


def _not_compilable(name: str, error: Exception) -> InputError:
    """Return the error for a jitted function that numba cannot type with these arguments."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # the first line only names the pass that failed
    cause = next((line for line in lines if not line.startswith("Failed in")), "no cause given")
    return InputError(
        f"{name} is a numba function that does not compile for f(t: float, x: array, u: array, p): {cause} "
        "(call it once with the same arguments to see numba's full message)"
    )
