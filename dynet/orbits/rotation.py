"""Rotation numbers of maps by weighted Birkhoff averages, and whether the rotation is locked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.autonomous import require_autonomous
from dynet.orbits.periodic_orbit import find_periodic_orbit
from dynet.orbits.returns import Return, closest_period
from dynet.systems.map import Map
from dynet.systems.trajectory import simulate
from dynet.typing import ArrayLike
from dynet.variational.field import Field, checked_field, require_system

__all__ = ["rotation_number"]

REFERENCES = "Das, Saiki, Sander & Yorke (2017) doi:10.1088/1361-6544/aa84c2"
#: Returns that miss by less, relative to the size of the orbit, are those of floating point numbers.
_CLOSED = 1e-11
#: Newton's method looks for a periodic orbit where returns miss by less and come closer.
_NEARLY_CLOSED = 1e-2
_NEARBY = 10.0
#: An average that is less certain belongs to no smooth rotation.
_SMOOTH = 1e-6
_ROUNDS = 2.0
#: Steps back in the order of points on a circle, in turns, that rounding and the last of the transient may make.
_BACK = 1e-3


def rotation_number(
    map: Map,
    x0: ArrayLike,
    n_steps: int = 10_000,
    *,
    n_transient: int = 2_000,
    centre: ArrayLike | None = None,
    max_period: int = 64,
) -> xr.Dataset:
    r"""Return the mean number of turns a step on an invariant circle of a map, and whether it is locked.

    The angle about ``centre`` turns by :math:`\Delta_t`; the average :math:`\sum_t w_t \Delta_t` with the weights
    :math:`w_t \propto \exp(-1 / (s (1 - s)))`, :math:`s = t / T`, converges faster than any power of T where the
    rotation is smooth.

    Parameters
    ----------
    map : Map
        Autonomous. The state of a map of one unit is the angle itself, in turns, with or without ``% 1``; of two units
        it is a plane; of more, the two leading principal components of the orbit are taken.
    x0 : array (n,)
        A start in the basin of the circle.
    n_steps : int, default 10_000
        Steps that are averaged.
    n_transient : int, default 2_000
        Steps before, in which the state settles on the circle.
    centre : array (n,), optional
        What the circle goes round (two units or more); the mean of the orbit if not given.
    max_period : int, default 64
        Longest period that is looked for.

    Returns
    -------
    xarray.Dataset
        ``rotation``, turns a step in [0, 1); ``locked_period``, the period of the orbit that the state has settled on,
        0 if there is none up to ``max_period``; ``uncertainty`` of the rotation, the largest difference between the
        averages of the run and of its halves, at least 1 / n_steps for a label "unknown" and 0 where it is locked and a
        fraction; ``recurrence``, the closest return
        up to ``max_period`` steps, relative to the size of the orbit; ``label``: "locked", "quasi-periodic" (no
        fraction up to ``max_period`` within the uncertainty, which is below 1e-6, and enough turns relative to each of
        them) or "unknown".

    Raises
    ------
    InputError
        If an argument cannot be used, or the map depends on time.
    ConvergenceError
        If the orbit does not keep its order around ``centre`` (chaos, a torus, a circle that does not go round it), or
        settles on a fixed point that it may have wound into.
    DivergenceError
        If the orbit is unbounded.

    Notes
    -----
    No orbit of finite length tells a fraction with a large denominator from an irrational number. On a fixed point
    whose leading multiplier is positive the rotation is 0, locked with period 1.

    References
    ----------
    Das, Saiki, Sander & Yorke (2017), doi:10.1088/1361-6544/aa84c2.

    Examples
    --------
    The two-unit tanh map turns by an eighth at theta = pi / 4, where it is locked, and near it elsewhere:

    >>> import dynet, numpy as np
    >>> ds = dynet.rotation_number(dynet.networks.rotation_rnn(1.5, np.pi / 4), [0.5, 0.1])
    >>> float(ds.rotation), int(ds.locked_period)
    (0.125, 8)
    >>> dynet.rotation_number(dynet.networks.rotation_rnn(1.5, 0.5), [0.5, 0.1]).label.item()
    'quasi-periodic'
    """
    map = require_system(map, Map, "map")
    faults = Faults()
    faults.integer("n_steps", n_steps, 100)
    faults.integer("n_transient", n_transient, 0)
    faults.integer("max_period", max_period, 1, max(int(n_steps) // 4, 1) if isinstance(n_steps, int) else None)
    faults.raise_if_any()
    field, x, _ = checked_field(map, x0, 0)
    require_autonomous(field, x, "map")
    middle = None if centre is None else _checked_centre(centre, field.n)
    trajectory = simulate(map, x0, int(n_steps) + int(n_transient))
    states = np.asarray(trajectory["state"].values, dtype=np.float64)[int(n_transient) :]
    scale = float(np.abs(trajectory["state"].values).max())
    found = _Found(*_measured(map, field, states, scale, middle, int(max_period)))
    time_unit = map.time_unit
    return dataset(
        {
            "rotation": ((), found.rotation, "turns a step, modulo 1", "1"),
            "locked_period": ((), found.period, "period of the orbit in steps, 0 if there is none", "1"),
            "uncertainty": (
                (),
                found.uncertainty,
                "largest difference between averages of the run and its halves",
                "1",
            ),
            "recurrence": ((), found.recurrence, "closest return relative to the size of the orbit", "1"),
            "label": ((), found.label, "kind of rotation", "1"),
        },
        {},
        {
            "title": "Rotation number",
            "method": "weighted Birkhoff average of the turns of the angle",
            "references": REFERENCES,
            "n_steps": int(n_steps),
            "n_transient": int(n_transient),
            "max_period": int(max_period),
            "centre": "given" if centre is not None else "mean of the orbit",
            "dt": map.dt,
            "time_unit": time_unit,
        },
    )


class _Found(NamedTuple):
    rotation: float
    period: int
    uncertainty: float
    recurrence: float
    label: str


def _checked_centre(centre: ArrayLike, n: int) -> np.ndarray:
    faults = Faults()
    point = faults.real_array("centre", centre, finite=True)
    if n == 1:
        faults.say("centre is given, but the state of a map of one unit is the angle itself: leave it out")
    elif not faults and point.shape != (n,):
        faults.add("centre", point, f"give one state of shape ({n},)")
    faults.raise_if_any()
    return point


def _measured(
    map: Map, field: Field, states: np.ndarray, scale: float, centre: np.ndarray | None, max_period: int
) -> tuple[float, int, float, float, str]:
    on_circle = np.exp(2j * np.pi * states).view(np.float64).reshape(len(states), -1) if field.n == 1 else states
    back = closest_period(on_circle, max_period, scale if field.n > 1 else 1.0)
    orbit, period = _closed_orbit(map, field, states, back)
    if period == 1 and centre is None and field.n > 1:
        _require_no_winding(field, orbit[0])
        return 0.0, 1, 0.0, back.miss, "locked"
    if period:
        angles = _angles(orbit, orbit, centre)
        turns = _lifted_turns(angles, np.roll(angles, -1))
        whole = round(float(turns.sum())) % period
        # points in order on a circle have the shortest period that their turns allow: longer ones are rounding
        return whole / period, period // math.gcd(whole, period), 0.0, back.miss, "locked"
    angles = _angles(states, states, centre)
    turns = _lifted_turns(angles[:-1], angles[1:])
    half = len(turns) // 2
    rotation = _smooth_average(turns)
    parts = [_smooth_average(turns[:half]), _smooth_average(turns[half:])]
    uncertainty = max(abs(part - rotation) for part in parts) + np.finfo(float).eps
    q = np.arange(1, max_period + 1)
    away = np.abs(rotation * q - np.round(rotation * q)) / q
    # a slow passage looks smooth: each half of the run must go round often enough relative to every fraction
    if uncertainty < min(_SMOOTH, away.min()) and (half * q * away).min() >= _ROUNDS:
        return rotation % 1.0, 0, float(uncertainty), back.miss, "quasi-periodic"
    # what holds for every orbit that keeps its order
    return rotation % 1.0, 0, float(max(uncertainty, 1.0 / len(turns))), back.miss, "unknown"


def _closed_orbit(map: Map, field: Field, states: np.ndarray, back: Return) -> tuple[np.ndarray, int]:
    """Return the periodic orbit that the states have settled on and its period, 0 if there is none."""
    if back.period and back.miss <= _CLOSED and back.drift <= _CLOSED:
        return states[-back.period :], back.period
    if field.n == 1 or not back.period or back.miss > _NEARLY_CLOSED or not back.approaches:
        return states[:0], 0
    # it still comes closer: Newton's method tells a slow approach from a passage
    try:
        orbit = find_periodic_orbit(map, states[-1], back.period)["orbit"].values
    except (ConvergenceError, DivergenceError):
        return states[:0], 0
    size = back.size
    near = np.linalg.norm(orbit - states[-1], axis=1).min() <= _NEARBY * size
    J = np.eye(field.n)
    for x in orbit:
        J = field.jacobian(0.0, x).matrix() @ J
    is_stable = np.abs(np.linalg.eigvals(J)).max() < 1
    return (orbit, back.period) if near and is_stable else (states[:0], 0)


def _require_no_winding(field: Field, x: np.ndarray) -> None:
    values = np.linalg.eigvals(field.jacobian(0.0, x).matrix())
    leading = values[np.argmax(np.abs(values))]
    if abs(leading.imag) > 1e-9 * abs(leading) or leading.real < 0:
        place = ", ".join(f"{value:.6g}" for value in x[:6] + 0.0)
        raise ConvergenceError(
            f"the orbit of x0 winds into a fixed point at ({place}{', ...' if field.n > 6 else ''}), where no rotation "
            "is left: start elsewhere, or give the centre that the circle goes round"
        )


def _angles(points: np.ndarray, orbit: np.ndarray, centre: np.ndarray | None) -> np.ndarray:
    """Return the angles of the points, in turns."""
    n = orbit.shape[1]
    if n == 1:
        return points[:, 0] % 1.0
    middle = orbit.mean(axis=0) if centre is None else centre
    away = points - middle
    if n > 2:
        away = away @ np.linalg.svd(orbit - orbit.mean(axis=0), full_matrices=False)[2][:2].T
    radius = np.hypot(away[:, 0], away[:, 1])
    if radius.min() <= 1e-12 * max(np.abs(orbit).max(), np.abs(middle).max()):
        raise ConvergenceError("the orbit of x0 runs into the centre, about which it then has no angle: give another")
    return np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) % 1.0


def _lifted_turns(angles: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return by how much each angle turns: the lift of an order-preserving map of the circle.

    Along the points in their order the images must go round exactly once; that fixes the whole turns that angles alone
    leave open, up to one number for all.
    """
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order], append=angles[order[0]] + 1.0)
    order = np.roll(order, -1 - int(gaps.argmax()))  # a widest gap inside might be taken for a step back
    ahead = np.diff(images[order]) % 1.0
    ahead = np.where(ahead > 1.0 - _BACK, ahead - 1.0, ahead)
    if not -_BACK <= ahead.sum() <= 1.0 + _BACK:
        raise ConvergenceError(
            "the orbit of x0 does not keep its order around the centre, so it has no rotation number: it is chaotic or "
            "on a torus, has not settled (n_transient), or its circle goes round another point (centre)"
        )
    lifted = images[order[0]] + np.append(0.0, np.cumsum(ahead))
    start = angles[order[0]]
    turns = np.empty_like(angles)
    turns[order] = lifted - (start + (angles[order] - start) % 1.0)
    return turns


def _smooth_average(values: np.ndarray) -> float:
    s = (np.arange(len(values)) + 0.5) / len(values)
    weights = np.exp(-1.0 / (s * (1.0 - s)))
    return float(weights @ values / weights.sum())
