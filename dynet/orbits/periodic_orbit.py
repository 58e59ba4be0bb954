"""Periodic orbits of maps, by Newton's method on all points at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._validate import Faults
from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.autonomous import require_autonomous
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike
from dynet.variational.field import Field, checked_field, require_system

__all__ = ["find_periodic_orbit"]

_MOST_ITERATIONS = 60
_LEAST_FRACTION = 1 / 256
_LEAST_SQUARES_UP_TO = 600
#: Newton's method starts at the orbit of x0, and again after so many steps if that leads nowhere.
_SETTLING = (0, 100, 1_000, 10_000)
#: Points of the orbit that are closer, relative to its size, are one and the same.
_SAME = 1e-7


class _Iterate(NamedTuple):
    points: np.ndarray  # (p, n)
    residual: float
    n_iterations: int


def find_periodic_orbit(map: Map, x0: ArrayLike, period: int) -> xr.Dataset:
    r"""Return an orbit of a map that repeats itself after ``period`` steps and no fewer.

    Newton's method solves :math:`F(x_k) = x_{k+1}`, :math:`F(x_{p-1}) = x_0` for all points at once, from the orbit
    of ``x0``, so that unstable orbits are found as well. If that fails it starts again after 100, 1000 and 10000 steps.

    Parameters
    ----------
    map : Map
        Autonomous, with a Jacobian; constant inputs enter by ``map.with_input(row)``.
    x0 : array (n,)
        A start near the orbit, or in its basin if it is stable.
    period : int
        Number of steps; 1 for a fixed point.

    Returns
    -------
    xarray.Dataset
        ``orbit(phase, unit)`` with as many phases as steps, ``period`` in the map's unit of time, ``residual`` (largest
        distance between a point's image and the next point) and ``n_iterations``.

    Raises
    ------
    InputError
        If an argument cannot be used.
    ConvergenceError
        If there is none; the message says what was found instead, ``.result`` holds the best iterate.
    DivergenceError
        If the orbit of ``x0`` is unbounded; ``.result`` holds its last finite state, as an orbit of one point.

    Examples
    --------
    >>> import dynet
    >>> orbit = dynet.find_periodic_orbit(dynet.zoo.logistic(3.2), [0.3], 2)
    >>> orbit.orbit.sel(unit="x").values.round(6)
    array([0.513045, 0.799455])
    """
    map = require_system(map, Map, "map")
    faults = Faults()
    faults.integer("period", period, 1)
    faults.raise_if_any()
    field, x, _ = checked_field(map, x0, 0)
    require_autonomous(field, x, "map")
    best: _Iterate | None = None
    shorter: int | None = None
    steps = 0
    for wait in _SETTLING:
        x = _iterated(field, x, wait - steps)[-1]
        steps = wait
        found = _newton(field, _iterated(field, x, int(period) - 1))
        if best is None or found.residual < best.residual:
            best = found
        if found.residual <= _wanted(field, found.points):
            least = _least_period(found.points)
            if least == period:
                return _label(field, found)
            shorter = least
    assert best is not None
    settled = f"Newton's method stops at a residual of {best.residual:.2g}"
    if shorter is not None:
        what = "a fixed point" if shorter == 1 else f"an orbit of period {shorter}"
        place = ", ".join(f"{value:.6g}" for value in best.points[0, :6])
        settled = f"x0 leads to {what} at ({place}{', ...' if field.n > 6 else ''})"
    raise ConvergenceError(
        f"no orbit of period {period} found: {settled}; give a start closer to it, or another period",
        residual=best.residual,
        result=_label(field, best),
    )


def _iterated(field: Field, x: np.ndarray, n_steps: int) -> np.ndarray:
    """Return ``x`` and its images (n_steps + 1, n)."""
    out = [x]
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(n_steps):
            x = field(0.0, x)
            if not np.isfinite(x).all():
                raise DivergenceError(
                    f"the orbit of x0 is not finite after {step + 1} steps: start inside the basin of an attractor",
                    step=step,
                    result=_label(field, _Iterate(out[-1][None, :], np.nan, 0)),
                )
            out.append(x)
    return np.array(out)


def _wanted(field: Field, points: np.ndarray) -> float:
    return 1e2 * field.tolerance * max(1.0, float(np.abs(points).max()))


def _misses(field: Field, points: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([field(0.0, x) for x in points]) - np.roll(points, -1, axis=0)


def _newton(field: Field, points: np.ndarray) -> _Iterate:
    """Return the best iterate from ``points`` (p, n)."""
    misses = _misses(field, points)
    best = _Iterate(points, float(np.abs(misses).max()), 0)
    for iteration in range(1, _MOST_ITERATIONS + 1):
        moves = _correction(field, points, misses)
        if not np.isfinite(moves).all():
            break
        fraction, norm = 1.0, np.linalg.norm(misses)
        trial = points + moves
        after = _misses(field, trial)
        while not np.linalg.norm(after) < norm and fraction > _LEAST_FRACTION:
            fraction /= 2
            trial = points + fraction * moves
            after = _misses(field, trial)
        if not np.linalg.norm(after) < norm:
            break
        points, misses = trial, after
        best = _Iterate(points, float(np.abs(misses).max()), iteration)
        if best.residual == 0:
            break
    return best


def _correction(field: Field, points: np.ndarray, misses: np.ndarray) -> np.ndarray:
    p, n = points.shape
    A = np.zeros((p * n, p * n))
    for k, x in enumerate(points):
        rows, after = slice(k * n, (k + 1) * n), (k + 1) % p
        A[rows, rows] += field.jacobian(0.0, x).matrix()
        A[rows, after * n : (after + 1) * n] -= np.eye(n)
    if not np.isfinite(A).all():
        return np.full_like(points, np.nan)
    if p * n <= _LEAST_SQUARES_UP_TO:
        return np.linalg.lstsq(A, -misses.ravel(), rcond=1e-13)[0].reshape(p, n)
    try:
        return np.linalg.solve(A, -misses.ravel()).reshape(p, n)
    except np.linalg.LinAlgError:
        return np.full_like(points, np.nan)


def _least_period(points: np.ndarray) -> int:
    p = len(points)
    size = max(float(np.linalg.norm(points - points[0], axis=1).max()), _SAME * float(np.abs(points).max()))
    for k in range(1, p):
        if p % k == 0 and np.abs(np.roll(points, -k, axis=0) - points).max() <= _SAME * size:
            return k
    return 1 if size == 0 else p


def _label(field: Field, found: _Iterate) -> xr.Dataset:
    system: Any = field.system
    p = len(found.points)
    time_unit = system.time_unit
    variables = {
        "orbit": (("phase", "unit"), found.points, "state along the orbit", "1"),
        "period": ((), p * system.dt, "period", time_unit),
        "residual": ((), found.residual, "largest distance from closing", "1"),
        "n_iterations": ((), found.n_iterations, "iterations of Newton's method", "1"),
    }
    coords = {"phase": np.arange(p) / p, **unit_coordinates(unit_coords(system.units, field.n))}
    attrs = {
        "title": "Periodic orbit",
        "method": "Newton's method on all points",
        "references": "Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7",
        "n_steps": p,
        "dt": system.dt,
        "time_unit": time_unit,
    }
    return dataset(variables, coords, attrs)
