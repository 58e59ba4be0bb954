"""What a long run has settled on, certified by Newton's method: a stable fixed point, periodic orbit or cycle."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.compiled_shooting import CompiledShooting, ShotCycle, logarithms
from dynet.orbits.floquet import floquet_multipliers
from dynet.orbits.limit_cycle import find_limit_cycle
from dynet.orbits.periodic_orbit import find_periodic_orbit
from dynet.orbits.returns import AT_REST, closest_period
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.variational.field import Field

#: By how much a state must have come closer to a point in half of the run, to wind into it.
_CLOSER = 0.2
#: How far the run may end from what Newton's method finds, and how closely it must return, relative to its size.
_NEARBY, _NEARLY_CLOSED = 0.2, 0.2
_TRIVIAL = 1e-5
_SMALLEST = 1e-5
_MOST_ITERATIONS = 30
_NORMS_FROM = 12


class Certificate(NamedTuple):
    """A stable orbit of the kind ``label``."""

    label: str
    exponents: np.ndarray  # (n,), in falling order, per unit of time
    errors: np.ndarray  # (n,), of these
    period: float  # in units of time; nan for fixed points


def certificate(
    system: Map | Flow,
    field: Field,
    states: np.ndarray,
    dt: float,
    fastest_decay: float,
    shooting: CompiledShooting | None,
    max_period: int,
) -> Certificate | None:
    """Return what the states (time, n), ``dt`` apart, have settled on, or None if Newton's method does not confirm it.

    ``fastest_decay`` is the modulus of the most negative exponent, ``shooting`` that of the family, if it is compiled.
    """
    size = float(np.linalg.norm(states - states[-1], axis=1).max())
    at_rest = size <= AT_REST * max(float(np.abs(states).max()), 1e-300)
    point = _fixed_point(field, states, at_rest)
    if point is not None or at_rest:
        return point
    if isinstance(system, Map):
        return _periodic_orbit(system, field, states, max_period)
    late = states[len(states) // 2 :]
    guess = _return_time(field, late, dt)
    if guess is None:
        return None
    if shooting is None:
        return _cycle(system, late, guess)
    samples = late[:: max(len(late) // _NORMS_FROM, 1)]
    norm = max(float(np.linalg.norm(field.jacobian(0.0, x).matrix(), 2)) for x in samples)
    shot = shooting.shoot(system.params, late[-1], guess, norm, fastest_decay)
    return None if shot is None else _of_shot(shot, late)


def _fixed_point(field: Field, states: np.ndarray, at_rest: bool) -> Certificate | None:
    is_flow = isinstance(field.system, Flow)
    x = states[-1]
    for _ in range(_MOST_ITERATIONS):
        value, J = field(0.0, x), field.jacobian(0.0, x).matrix()
        if not (np.isfinite(value).all() and np.isfinite(J).all()):
            return None
        residual, A = (value, J) if is_flow else (value - x, J - np.eye(field.n))
        step = np.linalg.lstsq(A, -residual, rcond=1e-13)[0]
        x = x + step
        if np.linalg.norm(step) <= 1e-12 * (1 + np.linalg.norm(x)):
            break
    else:
        return None
    before, after = (float(np.linalg.norm(state - x)) for state in (states[len(states) // 2], states[-1]))
    if not (at_rest or after <= _CLOSER * before):
        return None
    values = np.linalg.eigvals(field.jacobian(0.0, x).matrix())
    with np.errstate(divide="ignore"):
        rates = values.real if isinstance(field.system, Flow) else np.log(np.abs(values)) / field.system.dt
    rates = np.sort(rates)[::-1]
    if not rates[0] < 0:
        return None
    return Certificate("fixed point", rates, np.zeros(field.n), np.nan)


def _periodic_orbit(system: Map, field: Field, states: np.ndarray, max_period: int) -> Certificate | None:
    back = closest_period(states, max_period, float(np.abs(states).max()))
    if not back.period or back.miss > _NEARLY_CLOSED or not (back.approaches or back.miss < _SMALLEST):
        return None
    try:
        orbit = find_periodic_orbit(system, states[-1], back.period)["orbit"].values
    except (ConvergenceError, DivergenceError):
        return None
    if np.linalg.norm(orbit - states[-1], axis=1).min() > max(10 * back.miss, 1e-9) * back.size:
        return None
    logs, _ = logarithms(np.array([field.jacobian(0.0, x).matrix() for x in orbit]))
    if not logs[0] < 0:
        return None
    period = back.period * system.dt
    label = "fixed point" if back.period == 1 else f"period-{back.period} orbit"
    return Certificate(label, logs / period, np.zeros(field.n), period if back.period > 1 else np.nan)


def _return_time(field: Field, states: np.ndarray, dt: float) -> float | None:
    """Return the time since the latest of the closest returns to the plane through the last state across the flow."""
    away = states - states[-1]
    heights = away @ field(0.0, states[-1])
    at = np.flatnonzero((heights[:-2] < 0) & (heights[1:-1] >= 0))
    if not at.size:
        return None
    part = heights[at] / (heights[at] - heights[at + 1])
    misses = np.linalg.norm(away[at] + part[:, None] * (away[at + 1] - away[at]), axis=1)
    size = float(np.linalg.norm(away, axis=1).max())
    near = np.flatnonzero(misses <= max(3 * misses.min(), 1e-2 * size))
    if misses[near[-1]] > _NEARLY_CLOSED * size:
        return None
    return float((len(states) - 1 - at[near[-1]] - part[near[-1]]) * dt)


def _of_shot(shot: ShotCycle, states: np.ndarray) -> Certificate | None:
    away = np.linalg.norm(states - shot.x, axis=1)
    size = float(np.linalg.norm(states - states[-1], axis=1).max())
    trivial = int(np.argmin(np.abs(shot.log_modulus)))
    others = np.delete(shot.log_modulus, trivial)
    settled = shot.period > 0 and away[-1] <= _NEARBY * size and shot.trivial_error <= _TRIVIAL
    if not settled or (others >= -max(10 * shot.trivial_error, 1e-7)).any():
        return None
    return Certificate(
        "limit cycle",
        np.append(0.0, others) / shot.period,
        np.append(shot.trivial_error, np.delete(shot.log_error, trivial)) / shot.period,
        shot.period,
    )


def _cycle(flow: Flow, states: np.ndarray, guess: float) -> Certificate | None:
    try:
        cycle = find_limit_cycle(flow, states[-1], period_guess=guess)
    except (ConvergenceError, DivergenceError):
        return None
    found: Any = floquet_multipliers(flow, cycle)
    size = float(np.linalg.norm(states - states[-1], axis=1).max())
    near = np.linalg.norm(cycle["orbit"].values - states[-1], axis=1).min() <= _NEARBY * size
    if found["stability"].item() != "stable" or not near:
        return None
    period = float(cycle["period"])
    rates = np.delete(found["growth_rate"].values, found.attrs["trivial_index"] - 1)
    error = max(float(found["trivial_error"]), abs(float(found["liouville_error"]))) / period
    return Certificate("limit cycle", np.append(0.0, rates), np.full(rates.size + 1, error), period)
