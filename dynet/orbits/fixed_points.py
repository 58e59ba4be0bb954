"""Fixed and slow points of maps and flows, from many starts at once, with their modes and stability."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._progress import progress_over
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.kernels.namespace import to_numpy
from dynet.orbits.autonomous import require_autonomous
from dynet.orbits.newton import Minima, find_zeros, settle_minima
from dynet.systems.arguments import start_and_inputs
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike
from dynet.variational.field import Field, require_system

__all__ = ["find_fixed_points"]

REFERENCES = "Sussillo & Barak (2013) doi:10.1162/NECO_a_00409; Golub & Sussillo (2018) doi:10.21105/joss.01003"
#: Entries of Jacobians that are held at once.
_MOST_ENTRIES = 2**24
#: Minima are sought from points that are at most so many times as fast as a slow point may be.
_WITHIN_REACH = 10
#: Growth within this of neutral has no sign.
_NEUTRAL = 1e-7


def find_fixed_points(
    system: Map | Flow,
    starts: ArrayLike,
    *,
    inputs: ArrayLike | None = None,
    tolerance: float = 1e-10,
    slow_tolerance: float | None = None,
    unique_distance: float | None = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Return the fixed points that Newton's method reaches from many starts, with their modes and stability.

    Damped least squares go down :math:`\|F(x) - x\|` (maps) or :math:`\|f(x)\|` (flows) from all starts at once, to
    zeros, or to the minima that are slow points; Newton's method then takes the last steps.

    Parameters
    ----------
    system : Map or Flow
        With a Jacobian.
    starts : array (start, n) or (n,)
        Where to start, such as `sample_states` of a trajectory.
    inputs : array (channel,), optional
        Constant input under which the points are fixed.
    tolerance : float, default 1e-10
        Points of at most this speed are fixed; never below the rounding of the functions (float32: 1e-5 or so).
    slow_tolerance : float, optional
        Return minima of the speed up to this as well, of ``kind`` "slow".
    unique_distance : float, optional
        Points closer than this are one; if not given, 1e-6 of the largest state, 1e-3 for slow points.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        In the order of the starts that led there: ``fixed_point(point, unit)``, ``speed(point)``,
        ``eigenvalue(point, index)`` of the Jacobian with the slowest to decay first, ``mode(point, unit, index)``, its
        unit eigenvectors, ``stability(point)`` ("stable", "saddle", "unstable", "undecided"), ``time_constant(point)``
        of the slowest mode (negative if it grows, inf if it is neutral), ``kind(point)`` ("fixed", "slow"),
        ``start(point)``, the number of the first start that led there, ``n_starts(point)``, how many did, and
        ``n_failed``, how many led nowhere.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    Speed is the length of ``F(x) - x`` or of ``f(x)``; the q of other software is half its square. A continuum of fixed
    points (a line attractor) gives as many points as starts, "undecided" by their neutral mode.

    References
    ----------
    Sussillo & Barak (2013), doi:10.1162/NECO_a_00409; Golub & Sussillo (2018), doi:10.21105/joss.01003.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> starts = np.random.default_rng(0).normal(size=(50, 2))
    >>> ds = dynet.find_fixed_points(dynet.zoo.henon(), starts)
    >>> np.sort(ds.fixed_point.sel(unit="x").values).round(6)
    array([-1.131354,  0.631354])
    >>> set(ds.stability.values.tolist())
    {'saddle'}
    """
    system = require_system(system)
    problem = _checked(system, starts, inputs, tolerance, slow_tolerance, unique_distance)
    chunks = progress_over(problem.chunks(), "starts", progress)
    parts = [problem.minima(rows, slow_tolerance) for rows in chunks]
    found = Minima(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    is_fixed = found.size <= problem.tolerance
    is_slow = np.zeros_like(is_fixed) if slow_tolerance is None else found.is_flat & (found.size <= slow_tolerance)
    is_slow &= ~is_fixed
    chosen = np.flatnonzero(is_fixed | is_slow)
    scale = float(max(np.abs(problem.starts).max(), np.abs(found.x[chosen]).max(initial=0.0))) or 1.0
    groups = _groups(found.x, is_fixed, chosen, scale, unique_distance)
    return _label(problem, found, is_fixed, groups, int((~(is_fixed | is_slow)).sum()), slow_tolerance, unique_distance)


class _Problem(NamedTuple):
    """What is searched: the starts, and the system on batches of states."""

    system: Map | Flow
    field: Field  # for systems that take one state at a time
    starts: np.ndarray  # (start, n)
    row: Any  # (channel,) or None
    tolerance: float

    def chunks(self) -> list[np.ndarray]:
        """Return the numbers of starts that are taken together."""
        count, n = self.starts.shape
        size = max(1, _MOST_ENTRIES // n**2)  # a Jacobian each
        return [np.arange(first, min(first + size, count)) for first in range(0, count, size)]

    def minima(self, rows: np.ndarray, slow_tolerance: float | None) -> Minima:
        """Return where some of the starts lead to."""
        found = find_zeros(self.residual, self.linearized, self.starts[rows], self.tolerance)
        if slow_tolerance is None:
            return found
        near = np.flatnonzero((found.size > self.tolerance) & (found.size <= _WITHIN_REACH * slow_tolerance))
        return settle_minima(self.residual, self.linearized, found, near)

    def residual(self, x: np.ndarray) -> np.ndarray:
        """Return ``F(x) - x`` or ``f(x)`` of states (s, n)."""
        values = self.field.each(x, self.row)
        return values - x if isinstance(self.system, Map) else values

    def linearized(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the residual (s, n) and its derivatives (s, n, n)."""
        J = self.jacobians(x)
        return self.residual(x), J - np.eye(x.shape[1]) if isinstance(self.system, Map) else J

    def jacobians(self, x: np.ndarray) -> np.ndarray:
        """Return the Jacobians (s, n, n) of the system itself."""
        return self.field.each_jacobian(x, self.row)


def _checked(
    system: Map | Flow, starts: Any, inputs: Any, tolerance: Any, slow_tolerance: Any, unique_distance: Any
) -> _Problem:
    faults = Faults()
    faults.positive("tolerance", tolerance)
    for name, value in (("slow_tolerance", slow_tolerance), ("unique_distance", unique_distance)):
        if value is not None:
            faults.positive(name, value)
    if starts is None:
        faults.add("starts", starts, "give states (start, n), for instance sample_states(trajectory, 100)")
    row = None if inputs is None else faults.real_array("inputs", to_numpy(inputs), finite=True)
    if row is not None and not faults and row.ndim != 1:
        faults.add("inputs", row, "give one constant row (channel,): points are fixed under one input")
    faults.raise_if_any()
    as_map = system if isinstance(system, Map) else Map(
        system.rhs, system.jac, params=system.params, vectorized=system.vectorized, units=system.units, like=system.like
    )  # fmt: skip
    if hasattr(as_map.step, "freeze"):
        raise InputError("system is the hidden state of an LSTM at memories run beforehand: give the full state")
    states, rows = start_and_inputs(faults, as_map, starts, None if row is None else row[None, :], 1, "a step")
    reads = getattr(as_map.step, "n_channels", lambda p: 0)(system.params)
    if row is None and reads:
        faults.say(f"inputs are missing: the network reads {reads} channels: give a constant row, such as zeros")
    faults.raise_if_any()
    row = None if rows is None else to_numpy(rows[0, 0, ...])
    prototype = states[0, :]
    field = Field(system, prototype, row)
    field.check(prototype, row)
    require_autonomous(field, to_numpy(prototype), "system", row)
    floor = 0.0 if field.tolerance < 1e-10 else 3 * field.tolerance
    return _Problem(system, field, np.array(to_numpy(states), dtype=np.float64), row, max(float(tolerance), floor))


def _groups(
    x: np.ndarray, is_fixed: np.ndarray, chosen: np.ndarray, scale: float, distance: float | None
) -> list[list[int]]:
    """Return the starts that led to the same point; fixed points are one group apart from slow ones."""
    groups: list[list[int]] = []
    for i in chosen:
        reach = distance if distance is not None else (1e-6 if is_fixed[i] else 1e-3) * scale
        for group in groups:
            if is_fixed[group[0]] == is_fixed[i] and np.linalg.norm(x[group[0]] - x[i]) <= reach:
                group.append(int(i))
                break
        else:
            groups.append([int(i)])
    return groups


def _label(
    problem: _Problem,
    found: Minima,
    is_fixed: np.ndarray,
    groups: list[list[int]],
    n_failed: int,
    slow_tolerance: float | None,
    unique_distance: float | None,
) -> xr.Dataset:
    system, n = problem.system, problem.starts.shape[1]
    best = [min(group, key=lambda i: float(found.size[i])) for group in groups]
    m = len(best)
    points = found.x[best]
    values, modes = np.empty((m, n), dtype=complex), np.empty((m, n, n), dtype=complex)
    for rows in [np.arange(i, min(i + 64, m)) for i in range(0, m, 64)]:
        values[rows], modes[rows] = np.linalg.eig(problem.jacobians(points[rows]))
    is_map = isinstance(system, Map)
    with np.errstate(divide="ignore"):
        growth = np.log(np.abs(values)) / system.dt if isinstance(system, Map) else values.real
    order = np.argsort(-growth, axis=1, kind="stable")
    values, growth = np.take_along_axis(values, order, 1), np.take_along_axis(growth, order, 1)
    modes = np.take_along_axis(modes, order[:, None, :], 2)
    slowest = growth[:, 0] if m else np.empty(0)
    with np.errstate(divide="ignore"):
        time_constant = np.where(np.abs(slowest) <= _NEUTRAL, np.inf, -1 / slowest) + 0.0
    variables: dict[str, Any] = {
        "fixed_point": (("point", "unit"), points.reshape(m, n), "fixed or slow point", "1"),
        "speed": (("point",), found.size[best], "speed there", "1" if is_map else f"1 / {system.time_unit}"),
        "eigenvalue": (
            ("point", "index"),
            values,
            "eigenvalue of the Jacobian",
            "1" if is_map else f"1 / {system.time_unit}",
        ),
        "mode": (("point", "unit", "index"), modes, "eigenvector of the Jacobian", "1"),
        "stability": (("point",), np.array([_stability(row) for row in growth], dtype=str), "stability", "1"),
        "time_constant": (("point",), time_constant, "time constant of the slowest mode", system.time_unit),
        "kind": (("point",), np.where(is_fixed[best], "fixed", "slow"), "kind of point", "1"),
        "start": (("point",), np.array([g[0] for g in groups], dtype=int), "first start that led there", "1"),
        "n_starts": (("point",), np.array([len(g) for g in groups], dtype=int), "starts that led there", "1"),
        "n_failed": ((), n_failed, "starts that led nowhere", "1"),
    }
    coords = {
        "point": np.arange(1, m + 1),
        "index": np.arange(1, n + 1),
        **unit_coordinates(unit_coords(system.units, n)),
    }
    attrs = {
        "title": "Fixed points",
        "method": "damped least squares, then Newton's method",
        "references": REFERENCES,
        "n_starts": len(problem.starts),
        "tolerance": problem.tolerance,
        "slow_tolerance": slow_tolerance,
        "unique_distance": unique_distance,
        "inputs": "none" if problem.row is None else shown(problem.row.tolist()),
        "time_unit": system.time_unit,
    }
    return dataset(variables, coords, attrs)


def _stability(growth: np.ndarray) -> str:
    """Return the label for growth rates (n,) in descending order."""
    if (growth > _NEUTRAL).any():
        return "saddle" if (growth < -_NEUTRAL).any() else "unstable"
    return "stable" if (growth < -_NEUTRAL).all() else "undecided"
