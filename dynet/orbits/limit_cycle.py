"""Limit cycles of flows: where a trajectory settles, made exact by shooting."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.autonomous import require_autonomous
from dynet.orbits.recurrence import ROUNDS, Visit, visits
from dynet.orbits.shooting import Cycle, shoot
from dynet.systems.flow import Flow
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike
from dynet.variational.dormand_prince import one_step
from dynet.variational.field import Field, checked_field, require_system
from dynet.variational.integration import integration_steps

__all__ = ["find_limit_cycle"]

REFERENCES = "Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7; Keller (1976) doi:10.1137/1.9781611970449"
#: Phases at which the orbit is given; divisible by many numbers, so that multiples of the period show.
N_PHASES = 240
#: What is smaller, relative to the trajectory that led there, is a fixed point.
_SMALLEST = 1e-5
_STANDS_STILL = 1e-7
_CLOSER = 0.2
#: States closer than this part of the size of the orbit are one state.
_SAME = 1e-7
#: Parts of a period that are tried: composite ones are found one prime after the other.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
#: Periods this much shorter than the guess are on the way to zero.
_SHORTEST = 0.02
#: How far Newton may move the start, relative to the size of the orbit.
_NEARBY = 0.2


def find_limit_cycle(
    flow: Flow, x0: ArrayLike, *, period_guess: float | None = None, progress: bool = False
) -> xr.Dataset:
    r"""Return the limit cycle that the trajectory from ``x0`` settles on, and its period.

    The trajectory is followed until it returns to a plane across the flow where it was before; from there Newton's
    method solves :math:`\varphi_T(x) = x` for x and T, with several shooting points when the cycle contracts by
    more than e^20 on the way.

    Parameters
    ----------
    flow : Flow
        Autonomous, with a Jacobian; constant inputs enter by ``flow.with_input(row)``.
    x0 : array (n,)
        A start in the basin of the cycle; with ``period_guess`` a state near it.
    period_guess : float, optional
        Start Newton's method at ``x0`` with this period at once: the way to unstable cycles.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``orbit(phase, unit)`` at 240 equal parts of the period, ``period``, ``residual`` (largest distance by which
        the flow misses the next shooting point, in units of the state) and ``n_iterations``.

    Raises
    ------
    InputError
        If an argument cannot be used, or the flow depends on time.
    ConvergenceError
        If there is no cycle: the message says what the trajectory settled on, ``.result`` holds the best iterate.
    DivergenceError
        If the trajectory is unbounded, or cannot be followed: the step size underflows, or the vector field or its
        Jacobian is not finite. ``.result`` holds the last state that was reached, as an orbit of one point.

    Notes
    -----
    The vector field is integrated by the method of Dormand and Prince of order 8 with a relative tolerance of 1e-12
    (of 30 roundings if it computes in float32). A chaotic trajectory may come close to one of its unstable cycles,
    which is then found: `floquet_multipliers` tells.

    References
    ----------
    Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7, section 10.1; Keller (1976), doi:10.1137/1.9781611970449;
    Hairer, Nørsett & Wanner (1993), doi:10.1007/978-3-540-78862-1.

    See Also
    --------
    find_periodic_orbit : Periodic orbits of maps.
    floquet_multipliers : Their stability.

    Examples
    --------
    >>> import dynet
    >>> cycle = dynet.find_limit_cycle(dynet.zoo.van_der_pol(1.0), [2.0, 0.0])
    >>> round(float(cycle.period), 9)
    6.663286859
    """
    flow = require_system(flow, Flow, "flow")
    if period_guess is not None:
        faults = Faults()
        faults.positive("period_guess", period_guess)
        faults.raise_if_any()
    field, start, _ = checked_field(flow, x0, 0)
    require_autonomous(field, start, "flow")
    try:
        if period_guess is not None:
            return _from_guess(field, start, float(period_guess))
        return _settled(field, start, progress)
    except DivergenceError as error:
        x = error.result if isinstance(error.result, np.ndarray) else start
        error.result = _as_dataset(field, x)
        raise


def _settled(field: Field, start: np.ndarray, progress: bool) -> xr.Dataset:
    """Return the cycle that the trajectory from ``start`` comes to."""
    before: Visit | None = None
    last: Visit | None = None
    failure: ConvergenceError | None = None
    for visit in progress_over(visits(field, start), "ever longer runs", progress, ROUNDS):
        before, last = last, visit
        travelled = max(float(np.linalg.norm(visit.x - start)), visit.size)
        if visit.speed < _STANDS_STILL or visit.size <= _SMALLEST * travelled:
            _raise_if_fixed(field, visit, before)
        if not np.isfinite(visit.period):
            continue
        try:
            cycle = shoot(field, visit.x, visit.period)
        except ConvergenceError as error:
            failure = error
            continue
        except DivergenceError as error:
            error.result = visit.x
            raise
        states = _states_along(field, cycle)
        size = _size(states)
        if size > _SMALLEST * visit.size and _distance(cycle.points[0], visit.x) <= _NEARBY * visit.size:
            return _finished(field, cycle, states, visit.miss)
        if size <= _SMALLEST * visit.size:
            _raise_if_fixed(field, visit, before)
    assert last is not None
    _raise_if_fixed(field, last, before)
    best = None if failure is None or failure.result is None else failure.result
    raise ConvergenceError(
        f"no limit cycle found: after {last.time:.4g} {field.system.time_unit} the trajectory from x0 neither repeats "
        f"itself (closest return {last.miss:.2g} of its size) nor stands still: it may be quasi-periodic or chaotic, "
        "or settle very slowly; give a later state as x0, or a period_guess",
        residual=np.nan if best is None else best.residual,
        result=_as_dataset(field, last.x) if best is None else _known_points(field, best),
    )


def _from_guess(field: Field, x: np.ndarray, period: float) -> xr.Dataset:
    try:
        cycle = shoot(field, x, period)
    except ConvergenceError as error:
        best = error.result
        result = _known_points(field, best) if isinstance(best, Cycle) else None
        raise ConvergenceError(
            f"no limit cycle near x0 with a period near period_guess={period:g}: Newton's method stops at a residual "
            f"of {error.residual:.2g}; give a state closer to the cycle, another period_guess, or none",
            residual=error.residual,
            result=result,
        ) from error
    if cycle.period < _SHORTEST * period:
        raise ConvergenceError(
            f"no limit cycle near x0 with a period near period_guess={period:g}: the period of Newton's iterates "
            f"shrinks to {cycle.period:.2g}, where every state is its own image; give a state closer to the cycle, "
            "another period_guess, or none",
            residual=cycle.residual,
            result=_known_points(field, cycle),
        )
    states = _states_along(field, cycle)
    if _size(states) <= _SMALLEST * (1 + np.abs(x).max()):
        raise _fixed_point_error(field, cycle.points[0], "Newton's method")
    return _finished(field, cycle, states, np.nan)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))


def _size(states: np.ndarray) -> float:
    """Return how far a cycle leads away from its first point."""
    return float(np.linalg.norm(states - states[0], axis=1).max())


def _states_along(field: Field, cycle: Cycle, phases: np.ndarray | None = None) -> np.ndarray:
    """Return states at phases (equal parts of the period if not given), each from the shooting point before it."""
    scale = float(np.abs(cycle.points).max()) or 1.0
    times, states, start = [], [], 0.0
    for point, part in zip(cycle.points, cycle.parts, strict=True):
        rtol = field.tolerance
        for solver in integration_steps(field, 0.0, point, part * cycle.period, rtol, 0.1 * rtol * scale):
            times.append(start + solver.t_old)
            states.append(solver.y_old)
        start += part * cycle.period
    at = (np.arange(N_PHASES) / N_PHASES if phases is None else phases) * cycle.period
    before = np.maximum(np.searchsorted(times, at, side="right") - 1, 0)
    # shorter than the steps that were taken, and so at least as accurate
    return one_step(field.each, np.array(states)[before], (at - np.array(times)[before])[:, None])


def _finished(field: Field, cycle: Cycle, states: np.ndarray, miss: float) -> xr.Dataset:
    """Return the labelled cycle, its period the shortest one."""
    same = max(_SAME, 100 * field.tolerance) * _size(states)
    later = _states_along(field, cycle, 1 / np.array(_PRIMES))
    repeats = [k for k, x in zip(_PRIMES, later, strict=True) if _distance(x, states[0]) < same]
    if repeats:
        cycle = shoot(field, cycle.points[0], cycle.period / repeats[0])
        return _finished(field, cycle, _states_along(field, cycle), miss)
    attrs = {**_attrs(len(cycle.points)), "closest_return": miss}
    return _labelled(field, states, cycle.period, cycle.residual, cycle.n_iterations, attrs)


def _known_points(field: Field, cycle: Cycle) -> xr.Dataset:
    """Label an iterate, at its shooting points alone."""
    attrs = _attrs(len(cycle.points))
    return _labelled(field, cycle.points, cycle.period, cycle.residual, cycle.n_iterations, attrs)


def _attrs(n_points: int) -> dict[str, Any]:
    return {
        "title": "Limit cycle",
        "method": f"return to a plane across the flow, then Newton's method with {n_points} shooting point(s)",
        "references": REFERENCES,
        "n_shooting_points": n_points,
    }


def _labelled(
    field: Field, states: np.ndarray, period: float, residual: float, n_iterations: int, attrs: dict[str, Any]
) -> xr.Dataset:
    time_unit = field.system.time_unit
    coords = {
        "phase": np.arange(len(states)) / len(states),
        **unit_coordinates(unit_coords(field.system.units, field.n)),
    }
    variables = {
        "orbit": (("phase", "unit"), states, "state along the orbit", "1"),
        "period": ((), period, "period", time_unit),
        "residual": ((), residual, "largest distance from closing", "1"),
        "n_iterations": ((), n_iterations, "iterations of Newton's method", "1"),
    }
    return dataset(variables, coords, {**attrs, "tolerance": field.tolerance, "time_unit": time_unit})


def _as_dataset(field: Field, x: np.ndarray) -> xr.Dataset:
    with np.errstate(over="ignore", invalid="ignore"):
        residual = float(np.linalg.norm(field(0.0, x)))
    return _labelled(field, x[None, :], np.nan, residual, 0, _attrs(1))


def _raise_if_fixed(field: Field, visit: Visit, before: Visit | None) -> None:
    """Raise if the trajectory stands still, or winds into a stable point nearby."""
    x = visit.x
    for _ in range(30):
        f = field(0.0, x)
        step = np.linalg.lstsq(field.jacobian(0.0, x).matrix(), -f, rcond=1e-13)[0]
        x = x + step
        if np.linalg.norm(step) <= 1e-10 * (1 + np.linalg.norm(x)):
            break
    if np.isfinite(x).all() and (visit.speed < _STANDS_STILL or _winds_into(field, visit, before, x)):
        raise _fixed_point_error(field, x, "the trajectory from x0")


def _winds_into(field: Field, visit: Visit, before: Visit | None, x: np.ndarray) -> bool:
    """Tell whether ``x`` is a stable point to which the trajectory has come much closer since the last round."""
    closer = before is not None and _distance(visit.x, x) <= _CLOSER * _distance(before.x, x)
    return closer and bool(np.linalg.eigvals(field.jacobian(0.0, x).matrix()).real.max() < 0)


def _fixed_point_error(field: Field, x: np.ndarray, who: str) -> ConvergenceError:
    names = unit_coords(field.system.units, field.n)["unit"]
    shown = ", ".join(f"{name}={value:.6g}" for name, value in zip(names[:6], x + 0.0, strict=False))
    more = ", ..." if field.n > 6 else ""
    speed = float(np.linalg.norm(field(0.0, x)))
    return ConvergenceError(
        f"no limit cycle found: {who} settled on a fixed point at ({shown}{more}), where the speed is {speed:.2g}; "
        "start elsewhere, or analyse it with find_fixed_points",
        residual=speed,
        result=_as_dataset(field, x),
    )
