"""The phase that a state comes to, and the phase that a kick of finite size leaves."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.orbits.clock import Clock, wrapped
from dynet.systems.flow import Flow
from dynet.typing import ArrayLike
from dynet.variational.field import require_system

__all__ = ["asymptotic_phase", "phase_shift"]


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
    clock = Clock(flow, cycle)
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
    clock = Clock(flow, cycle)
    P = len(clock.orbit)
    if step.shape != (clock.field.n,):
        faults.add("kick", step, f"give what is added to the state, shape ({clock.field.n},)")
    if P % n_phases:
        faults.add("n_phases", n_phases, f"give a divisor of the {P} phases of the cycle")
    faults.raise_if_any()
    at = np.arange(n_phases) * (P // n_phases)
    readings = [clock.read(clock.orbit[k] + step, f"the state kicked at phase {k / P:.4g}") for k in at]
    shifts = np.array([wrapped(reading.phase - k / P) for reading, k in zip(readings, at, strict=True)])
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
