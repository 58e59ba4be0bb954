"""Times, inputs and states of a run, and what its derivatives become from one time to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import trajectory_dataset, unit_coordinates
from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.parameters import parameter_names
from dynet.systems.unit_names import unit_coords
from dynet.variational.field import Field, checked_field, require_system
from dynet.variational.integration import integrate

#: Times at which flows are given when no inputs set them.
N_INTERVALS = 100
_NOT_FINITE = (
    "the {what} is not finite at step {k}: check the Jacobian there; if derivatives grow beyond all numbers, take "
    "fewer steps, or lyapunov_spectrum, which returns their logarithms"
)

#: ``running(t, x) -> (value, derivative)``
Running = Callable[[float, np.ndarray], tuple[Any, Any]]


class Path(NamedTuple):
    """A run between given times; the states there are stored, those between are integrated again when needed."""

    field: Field
    times: np.ndarray  # (K + 1,)
    states: np.ndarray  # (K + 1, n)
    rows: Any  # (K, channel) inputs, each held until the next time, or None
    least_scale: float = 0.0  # size of the states of the run that are not among these

    @property
    def is_flow(self) -> bool:
        """Tell flows from maps."""
        return isinstance(self.field.system, Flow)

    @property
    def scale(self) -> float:
        """Size of the states."""
        return max(float(np.abs(self.states).max()), self.least_scale) or 1.0

    def row(self, k: int) -> Any:
        """Return the input of interval ``k``."""
        return None if self.rows is None else self.rows[k, ...]


def start_path(system: Any, x0: Any, duration: Any, inputs: Any, *, with_states: bool = True) -> Path:
    """Return the path of a run that is checked but not yet run: all its states are the start, or it has no other."""
    system = require_system(system)
    faults = Faults()
    if isinstance(system, Map):
        faults.integer("duration", duration, 1, why=", the number of steps")
        faults.raise_if_any()
        n_intervals, dt = int(duration), system.dt
    else:
        faults.positive("duration", duration)
        faults.raise_if_any()
        n_intervals = N_INTERVALS if getattr(inputs, "ndim", 0) != 2 else max(len(inputs), 1)
        if inputs is not None and not hasattr(inputs, "ndim"):
            n_intervals = max(len(inputs), 1)
        dt = float(duration) / n_intervals
    field, x, rows = checked_field(system, x0, n_intervals, inputs)
    times = np.arange(n_intervals + 1) * dt
    return Path(field, times, np.repeat(x[None, :], n_intervals + 1 if with_states else 1, axis=0), rows)


def states_until(path: Path, k: int) -> xr.Dataset:
    """Return the states up to the start of interval ``k``, labelled: what there is of a run that cannot go on."""
    system = path.field.system
    units = unit_coords(system.units, path.field.n)
    attrs = {"title": "Trajectory until it cannot be followed", "time_unit": system.time_unit}
    return trajectory_dataset(
        path.times[: k + 1], path.states[None, : k + 1].copy(), None, units, system.time_unit, False, attrs
    )  # fmt: skip


def advanced(path: Path, k: int, x: np.ndarray, V: np.ndarray, S: np.ndarray | None) -> tuple[Any, Any, Any]:
    """Return state (n,), tangents (n, m) and parameter sensitivity (n, n_params) or None after interval ``k``.

    Raises
    ------
    DivergenceError
        If they are not finite; its result are the states up to the start of the interval.
    """
    try:
        return _advanced(path, k, x, V, S)
    except DivergenceError as error:
        error.result = states_until(path, k)
        raise


def _advanced(path: Path, k: int, x: np.ndarray, V: np.ndarray, S: np.ndarray | None) -> tuple[Any, Any, Any]:
    field, u = path.field, path.row(k)
    t0, t1 = float(path.times[k]), float(path.times[k + 1])
    n, m = V.shape
    if not path.is_flow:
        with np.errstate(over="ignore", invalid="ignore"):
            y, J = field.linearized(t0, x, u)
            if not np.isfinite(y).all():
                raise DivergenceError(f"the state is not finite after step {k}: check x0 and the parameters", step=k)
            W = J @ V
            after = None if S is None else J @ S + field.parameter_jacobian(t0, x, u).matrix()
        if not (np.isfinite(W).all() and (after is None or np.isfinite(after).all())):
            raise DivergenceError(_NOT_FINITE.format(what="derivative of the state", k=k), step=k)
        return y, W, after
    blocks = V if S is None else np.concatenate([V, S], axis=1)

    def fun(t: float, z: np.ndarray) -> np.ndarray:
        rate, J = field.linearized(t, z[:n], u)
        product = J @ z[n:].reshape(n, -1)
        if S is not None:
            product[:, m:] += field.parameter_jacobian(t, z[:n], u).matrix()
        return np.concatenate([rate, product.ravel()])

    sizes = np.maximum(np.abs(blocks).max(axis=0), 1e-3 * np.abs(blocks).max(initial=1e-300))
    sizes[m:] = np.maximum(sizes[m:], t1 - t0)
    atol = 0.1 * field.tolerance * np.concatenate([np.full(n, path.scale), np.tile(sizes, n)])
    z, _ = integrate(fun, t0, np.concatenate([x, blocks.ravel()]), t1, field.tolerance, atol, short=True)
    after = z[n:].reshape(n, -1)
    return z[:n], after[:, :m], None if S is None else after[:, m:]


def pulled_back(
    path: Path, k: int, psi: np.ndarray, running: Running | None = None, *, with_params: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the adjoint at the start of interval ``k``, and the gradient with respect to the parameters from it.

    ``psi`` is that at its end, with the loss there counted for maps already. Flows add the running loss on the way.
    """
    field, u, x = path.field, path.row(k), path.states[k]
    t0, t1 = float(path.times[k]), float(path.times[k + 1])
    n = field.n
    if not path.is_flow:
        gradient = np.empty(0)
        with np.errstate(over="ignore", invalid="ignore"):
            _, J = field.linearized(t0, x, u)
            if with_params:
                gradient = field.parameter_jacobian(t0, x, u).pulled_back(psi[:, None])[:, 0]
            before = J.pulled_back(psi[:, None])[:, 0]
        if not (np.isfinite(before).all() and np.isfinite(gradient).all()):
            raise DivergenceError(_NOT_FINITE.format(what="adjoint", k=k), step=k)
        return before, gradient
    forward = integrate(
        lambda t, y: field(t, y, u),
        t0,
        x,
        t1,
        field.tolerance,
        0.1 * field.tolerance * path.scale,
        dense=True,
        short=True,
    )[1]
    assert forward is not None
    solution = forward

    def fun(t: float, z: np.ndarray) -> np.ndarray:
        at = solution(t)
        column = z[:n, None]
        rate = -field.jacobian(t, at, u).pulled_back(column)[:, 0]
        if running is not None:
            rate -= np.asarray(running(t, at)[1], dtype=np.float64)
        if not with_params:
            return rate
        return np.concatenate([rate, -field.parameter_jacobian(t, at, u).pulled_back(column)[:, 0]])

    n_params = field.parameter_jacobian(t0, x, u).J.shape[-1] if with_params else 0
    size = max(float(np.abs(psi).max()), 1e-300)
    y, _ = integrate(
        fun,
        t1,
        np.concatenate([psi, np.zeros(n_params)]),
        t0,
        field.tolerance,
        0.1 * field.tolerance * size,
        short=True,
    )
    return y[:n], y[n:]


def coordinates(path: Path) -> dict[str, Any]:
    """Return the coordinates time and unit."""
    system = path.field.system
    return {
        "time": ("time", path.times, {"units": system.time_unit}),
        **unit_coordinates(unit_coords(system.units, path.field.n)),
    }


def names_of_parameters(path: Path, count: int) -> list[str]:
    """Return the names of the parameters, or numbers where the system counts them in its own way."""
    names = parameter_names(path.field.system.params)
    return names if len(names) == count else [str(i) for i in range(count)]
