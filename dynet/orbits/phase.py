"""Phase of oscillators: its response to small and to finite perturbations, and the phase that a state comes to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._validate import Faults
from dynet.errors import ConvergenceError
from dynet.orbits.floquet import floquet_multipliers
from dynet.systems.flow import Flow
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike
from dynet.variational.field import Field, checked_field, require_system
from dynet.variational.integration import integrate

__all__ = ["asymptotic_phase", "phase_response", "phase_shift"]

REFERENCES = "Winfree (1974) doi:10.1007/BF02339491; Brown, Moehlis & Holmes (2004) doi:10.1162/089976604322860668"
#: A response that is off by more in Z . f = 1, or other multipliers as close to 1, give no phase.
_TRUSTED = 1e-5
#: Off the cycle by more, relative to its size, the linear response does not tell the phase.
_NEAR = 1e-2
_SETTLED = 1e-9
_MOST_PERIODS = 300
_MOST_ITERATIONS = 25
_ELSEWHERE = 0.381
_EXACT = 1e-12


def phase_response(flow: Flow, cycle: xr.Dataset) -> xr.Dataset:
    r"""Return the infinitesimal phase response of a limit cycle.

    The periodic solution of the adjoint equation :math:`\dot Z = -J(\varphi(t))^T Z` with :math:`Z \cdot f = 1`: a
    small kick d at a phase moves the oscillation ahead in time by :math:`Z \cdot d`.

    Parameters
    ----------
    flow : Flow
        What the cycle belongs to.
    cycle : Dataset
        From `find_limit_cycle`.

    Returns
    -------
    xarray.Dataset
        ``phase_response(phase, unit)`` in units of time per unit of the state, ``normalisation_error``, the largest
        distance of Z . f from 1 along the cycle, and ``period``.

    Raises
    ------
    InputError
        If ``cycle`` is none, or is of another system.
    ConvergenceError
        If the multiplier 1 is not simple, so that the cycle is one of a family and phases of states have no limit.
    DivergenceError
        If the Jacobian is not finite along the cycle.

    References
    ----------
    Brown, Moehlis & Holmes (2004), doi:10.1162/089976604322860668.

    See Also
    --------
    asymptotic_phase : Phase of any state.
    phase_shift : Response to kicks of finite size.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau(1.0, 2.0, 0.5)
    >>> ds = dynet.phase_response(flow, dynet.find_limit_cycle(flow, [1.0, 0.0]))
    >>> bool(ds.normalisation_error < 1e-8)
    True
    """
    flow = require_system(flow, Flow, "flow")
    Z, field, orbit, period = _adjoint(flow, cycle)
    speeds = np.array([field(0.0, x) for x in orbit])
    error = float(np.abs((Z * speeds).sum(axis=1) - 1.0).max())
    if not error <= _TRUSTED:
        raise ConvergenceError(
            f"no phase response: Z . f differs from 1 by {error:.2g} along the cycle; give the cycle of this flow, or "
            "look at the check sums of floquet_multipliers",
            residual=error,
        )
    time_unit = flow.time_unit
    return dataset(
        {
            "phase_response": (("phase", "unit"), Z, "advance in time per size of a kick", time_unit),
            "normalisation_error": ((), error, "largest distance of Z . f from 1", "1"),
            "period": ((), period, "period", time_unit),
        },
        {"phase": np.arange(len(Z)) / len(Z), **unit_coordinates(unit_coords(flow.units, field.n))},
        {
            "title": "Phase response",
            "method": "periodic solution of the adjoint equation",
            "references": REFERENCES,
            "tolerance": field.tolerance,
            "time_unit": time_unit,
        },
    )


def asymptotic_phase(flow: Flow, cycle: xr.Dataset, states: ArrayLike) -> xr.Dataset:
    """Return the phase at which each state comes to oscillate: the phase of its isochron.

    Parameters
    ----------
    flow : Flow
        What the cycle belongs to.
    cycle : Dataset
        A stable cycle from `find_limit_cycle`.
    states : array (n,) or (point, n)
        States in the basin of the cycle.

    Returns
    -------
    xarray.Dataset
        ``asymptotic_phase(point)`` in turns, in [0, 1), on the scale of the cycle's ``phase``; ``uncertainty(point)``,
        the change in the last period; ``n_periods(point)``, after how many periods it was read. ``point`` has length 1
        for a single state.

    Raises
    ------
    InputError
        If an argument cannot be used.
    ConvergenceError
        If a trajectory does not come to the cycle.
    DivergenceError
        If a trajectory is unbounded.

    References
    ----------
    Winfree (1974), doi:10.1007/BF02339491.

    Examples
    --------
    Without shear the phase of a Stuart-Landau oscillator is its angle:

    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau()
    >>> cycle = dynet.find_limit_cycle(flow, [1.0, 0.0])
    >>> ds = dynet.asymptotic_phase(flow, cycle, [[0.5, 0.0], [0.0, 2.0]])
    >>> round(float(ds.asymptotic_phase.diff("point").item()), 6)
    0.25
    """
    flow = require_system(flow, Flow, "flow")
    faults = Faults()
    points = np.atleast_2d(faults.real_array("states", states, finite=True))
    if not faults and (points.ndim != 2 or points.size == 0):
        faults.add("states", points, "give one state (n,) or several (point, n)")
    faults.raise_if_any()
    clock = _Clock(flow, cycle)
    if points.shape[1] != clock.field.n:
        faults.add("states", points, f"the system has {clock.field.n} units: give shape (point, {clock.field.n})")
        faults.raise_if_any()
    readings = [clock.read(x, f"state {number}") for number, x in enumerate(points)]
    dims = ("point",)
    return dataset(
        {
            "asymptotic_phase": (dims, np.array([r.phase for r in readings]), "phase of the isochron, in turns", "1"),
            "uncertainty": (dims, np.array([r.uncertainty for r in readings]), "change in the last period", "1"),
            "n_periods": (dims, np.array([r.n_periods for r in readings]), "periods until the phase was read", "1"),
        },
        {"point": np.arange(len(points))},
        {**clock.attrs(), "title": "Asymptotic phase", "method": "states followed to the cycle, linear response there"},
    )


def phase_shift(flow: Flow, cycle: xr.Dataset, kick: ArrayLike, *, n_phases: int = 24) -> xr.Dataset:
    """Return the shift of phase that a kick of finite size leaves for good, against the phase at which it comes.

    Parameters
    ----------
    flow : Flow
        What the cycle belongs to.
    cycle : Dataset
        A stable cycle from `find_limit_cycle`.
    kick : array (n,)
        What is added to the state.
    n_phases : int, default 24
        Phases at which it is added; it must divide the number of phases of the cycle.

    Returns
    -------
    xarray.Dataset
        ``phase_shift(phase)`` in turns, in [-1/2, 1/2), positive if the kick advances; ``linear_response(phase)``, the
        shift that Z . kick predicts; ``uncertainty(phase)``.

    Raises
    ------
    InputError
        If an argument cannot be used.
    ConvergenceError
        If a kick leads out of the basin of the cycle.
    DivergenceError
        If a trajectory is unbounded.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.van_der_pol(1.0)
    >>> ds = dynet.phase_shift(flow, dynet.find_limit_cycle(flow, [2.0, 0.0]), [0.001, 0.0], n_phases=4)
    >>> bool(abs(ds.phase_shift - ds.linear_response).max() < 1e-5)
    True
    """
    flow = require_system(flow, Flow, "flow")
    faults = Faults()
    step = faults.real_array("kick", kick, finite=True)
    faults.integer("n_phases", n_phases, 1)
    faults.raise_if_any()
    clock = _Clock(flow, cycle)
    P = len(clock.orbit)
    if step.shape != (clock.field.n,):
        faults.add("kick", step, f"give what is added to the state, shape ({clock.field.n},)")
    if P % n_phases:
        faults.add("n_phases", n_phases, f"give a divisor of the {P} phases of the cycle")
    faults.raise_if_any()
    at = np.arange(n_phases) * (P // n_phases)
    readings = [clock.read(clock.orbit[k] + step, f"the state kicked at phase {k / P:.4g}") for k in at]
    shifts = np.array([_wrapped(reading.phase - k / P) for reading, k in zip(readings, at, strict=True)])
    dims = ("phase",)
    return dataset(
        {
            "phase_shift": (dims, shifts, "shift of phase after the kick, in turns", "1"),
            "linear_response": (dims, clock.Z[at] @ step / clock.period, "shift by the infinitesimal response", "1"),
            "uncertainty": (dims, np.array([r.uncertainty for r in readings]), "change in the last period", "1"),
        },
        {"phase": at / P},
        {
            **clock.attrs(),
            "title": "Phase shift",
            "method": "kicked states followed to the cycle",
            "kick": " ".join(f"{value:g}" for value in step),
        },
    )


class _Reading(NamedTuple):
    phase: float
    uncertainty: float
    n_periods: float


class _Clock:
    """A cycle with its response, by which the phase of states close to it is read."""

    def __init__(self, flow: Flow, cycle: xr.Dataset) -> None:
        self.Z, self.field, self.orbit, self.period = _adjoint(flow, cycle)
        self.size = float(np.linalg.norm(self.orbit - self.orbit[0], axis=1).max())
        self.scale = float(np.abs(self.orbit).max())

    def read(self, x: np.ndarray, who: str) -> _Reading:
        """Return the phase that the state ``x`` comes to."""
        before, elapsed = np.nan, 0.0
        while elapsed <= _MOST_PERIODS:
            there, away = self._close_to(x)
            phase = (there - elapsed) % 1.0
            change = abs(_wrapped(phase - before))
            if away <= _NEAR and change <= _SETTLED:
                return _Reading(phase, max(change, self.field.tolerance * elapsed), elapsed)
            before = phase
            # where the cycle is too steep to be read, the next attempt comes at another phase
            part = _ELSEWHERE if away <= _NEAR and np.isnan(there) else 1.0
            x, elapsed = self._followed(x, part * self.period), elapsed + part
        raise ConvergenceError(
            f"{who} has no phase: after {_MOST_PERIODS} periods it is {away:.2g} of the size of the cycle away from "
            "it, or still drifts along it; give states in the basin of a stable cycle",
            residual=away,
        )

    def _followed(self, x: np.ndarray, duration: float) -> np.ndarray:
        scale = max(self.scale, float(np.abs(x).max()))
        y, _ = integrate(self.field, 0.0, x, duration, self.field.tolerance, 0.1 * self.field.tolerance * scale)
        return y

    def _close_to(self, x: np.ndarray) -> tuple[float, float]:
        """Return the phase by the linear response, and the distance off the cycle relative to its size.

        The state is taken on to the next phase at which the cycle is known, so that nothing is interpolated: the
        error is of second order in the distance off the cycle.
        """
        P = len(self.orbit)
        distances = np.linalg.norm(self.orbit - x, axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] > 0.5 * self.size:
            return np.nan, float(distances[nearest]) / self.size
        away = float(distances[nearest]) / self.size
        for step in (1, 2, 3):
            target = (nearest + step) % P
            y, taken = self._taken_on(x, target)
            if y is not None:
                away = float(np.linalg.norm(y - self.orbit[target])) / self.size
                return (target / P - taken / self.period) % 1.0, away
        return np.nan, away

    def _taken_on(self, x: np.ndarray, target: int) -> tuple[np.ndarray | None, float]:
        """Return the state when it is in the phase of a target that lies ahead, and the time that it took."""
        y, taken, most = x, 0.0, 6 * self.period / len(self.orbit)
        for _ in range(_MOST_ITERATIONS):
            ahead = float(self.Z[target] @ (self.orbit[target] - y))
            if abs(ahead) <= _EXACT * self.period:
                return y, taken + ahead
            move = min(max(ahead, -0.9 * taken), most - taken)
            if move == 0:
                break
            # never back in time, where a stable cycle repels
            y = self._followed(*((y, move) if move > 0 else (x, taken + move)))
            taken += move
        return None, taken

    def attrs(self) -> dict[str, Any]:
        """Return what the attributes of readings say."""
        return {
            "references": REFERENCES,
            "period": self.period,
            "tolerance": self.field.tolerance,
            "time_unit": self.field.system.time_unit,
        }


def _adjoint(flow: Flow, cycle: xr.Dataset) -> tuple[np.ndarray, Field, np.ndarray, float]:
    """Return Z (phase, unit), the field, the orbit (phase, unit) and the period."""
    floquet = floquet_multipliers(flow, cycle)
    orbit, period = np.asarray(cycle["orbit"].values, dtype=np.float64), float(cycle["period"])
    field, _, _ = checked_field(flow, orbit[0], 0)
    if floquet["stability"].item() == "fixed_point":
        raise ConvergenceError("no phase: the cycle is a fixed point")
    trivial = int(floquet.attrs["trivial_index"]) - 1
    trivial_error = float(floquet["trivial_error"])
    if not trivial_error <= _TRUSTED:
        raise ConvergenceError(
            f"no phase: the nearest multiplier is {trivial_error:.2g} away from 1, so this is no cycle of the flow",
            residual=trivial_error,
        )
    distances = np.delete(np.abs(floquet["multiplier"].values - 1.0), trivial)
    if (distances <= max(_TRUSTED, 10 * trivial_error)).any():
        raise ConvergenceError(
            "no phase: the multiplier 1 is not simple (floquet_multipliers), so the cycle is one of a family, and "
            "kicks lead from one to the other",
            residual=float(distances.min()),
        )
    Z = floquet["cycle_adjoint_mode"].values[..., trivial]
    return np.ascontiguousarray(Z.real), field, orbit, period


def _wrapped(turns: float) -> float:
    """Return a difference of phases in [-1/2, 1/2)."""
    return (turns + 0.5) % 1.0 - 0.5
