"""The response of oscillators to small kicks: of their phase, and of their amplitudes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._validate import Faults
from dynet.errors import ConvergenceError
from dynet.orbits.floquet_modes import floquet_modes
from dynet.systems.flow import Flow
from dynet.systems.unit_names import unit_coords
from dynet.variational.field import Field, checked_field, require_system

__all__ = ["amplitude_response", "phase_response"]

REFERENCES = "Winfree (1974) doi:10.1007/BF02339491; Brown, Moehlis & Holmes (2004) doi:10.1162/089976604322860668"
#: A response that is off by more in Z . f = 1, or other multipliers as close to 1, give no phase.
_TRUSTED = 1e-5


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
    Z, field, orbit, period = response_along(flow, cycle)
    speeds = field.each(orbit)
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


def amplitude_response(flow: Flow, cycle: xr.Dataset, *, index: int | None = None) -> xr.Dataset:
    r"""Return the infinitesimal response of an amplitude of a limit cycle (isostable response).

    A small kick d at a phase adds :math:`I \cdot d` to the amplitude of a Floquet mode, which from there on decays or
    grows with the rate of the mode: :math:`\dot I = (\lambda - J^T) I`. It is the adjoint mode that vanishes along the
    flow: :math:`I \cdot f = 0`.

    Parameters
    ----------
    flow : Flow
        What the cycle belongs to.
    cycle : Dataset
        From `find_limit_cycle`.
    index : int, optional
        Which mode, counted as in `floquet_multipliers`; the slowest to decay, apart from the trivial one, if not given.

    Returns
    -------
    xarray.Dataset
        ``amplitude_response(phase, unit)``, complex for modes that turn; amplitudes count in lengths of the mode at
        phase 0. ``growth_rate`` and ``frequency`` of the mode, ``normalisation_error``, the largest size of I . f
        relative to the lengths, and ``period``.

    Raises
    ------
    InputError
        If an argument cannot be used.
    ConvergenceError
        If the multiplier 1 is not simple, or the modes are no basis.
    DivergenceError
        If the Jacobian is not finite along the cycle.

    References
    ----------
    Wilson & Moehlis (2016), doi:10.1103/PhysRevE.94.052213.

    See Also
    --------
    phase_response : The same of the phase.

    Examples
    --------
    A kick outwards changes the radius of a Stuart-Landau oscillator, one along the circle does not:

    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau(1.0, 2.0)
    >>> ds = dynet.amplitude_response(flow, dynet.find_limit_cycle(flow, [1.0, 0.0]))
    >>> round(float(ds.growth_rate), 6), bool(ds.normalisation_error < 1e-8)
    (-2.0, True)
    """
    flow = require_system(flow, Flow, "flow")
    modes, field, orbit, period = _modes(flow, cycle)
    n, trivial = field.n, int(modes.attrs["trivial_index"])
    faults = Faults()
    if n < 2:
        faults.say("flow has a single unit: no amplitude is left beside the phase")
    elif index is not None:
        faults.integer("index", index, 1, n, ", the number of units")
        if not faults and index == trivial:
            faults.add("index", index, "this is the trivial mode, whose adjoint is the phase_response")
    faults.raise_if_any()
    wanted = index if index is not None else next(i for i in range(1, n + 1) if i != trivial)
    mode = modes.sel(index=wanted)
    response = mode["adjoint_mode"].values
    if float(mode["frequency"]) == 0:
        response = np.ascontiguousarray(response.real)
    if not np.isfinite(response).all():
        raise ConvergenceError(
            "no amplitude response: the modes of the cycle are no basis, or a multiplier is zero (floquet_multipliers)"
        )
    speeds = field.each(orbit)
    sizes = np.linalg.norm(response, axis=1) * np.linalg.norm(speeds, axis=1)
    error = float((np.abs((response * speeds).sum(axis=1)) / np.maximum(sizes, 1e-300)).max())
    time_unit = flow.time_unit
    return dataset(
        {
            "amplitude_response": (("phase", "unit"), response, "change of the amplitude per size of a kick", "1"),
            "growth_rate": ((), float(mode["growth_rate"]), "growth rate of the mode", f"nat / {time_unit}"),
            "frequency": ((), float(mode["frequency"]), "turns of the mode", f"1 / {time_unit}"),
            "normalisation_error": ((), error, "largest size of I . f, relative", "1"),
            "period": ((), period, "period", time_unit),
        },
        {"phase": np.arange(len(orbit)) / len(orbit), **unit_coordinates(unit_coords(flow.units, n))},
        {
            "title": "Amplitude response",
            "method": "adjoint Floquet mode",
            "references": "Wilson & Moehlis (2016) doi:10.1103/PhysRevE.94.052213",
            "mode_index": wanted,
            "tolerance": field.tolerance,
            "time_unit": time_unit,
        },
    )


def response_along(flow: Flow, cycle: xr.Dataset) -> tuple[np.ndarray, Field, np.ndarray, float]:
    """Return Z (phase, unit), the field, the orbit (phase, unit) and the period."""
    modes, field, orbit, period = _modes(flow, cycle)
    Z = modes["adjoint_mode"].sel(index=int(modes.attrs["trivial_index"])).values
    return np.ascontiguousarray(Z.real), field, orbit, period


def _modes(flow: Flow, cycle: xr.Dataset) -> tuple[xr.Dataset, Field, np.ndarray, float]:
    """Return the modes of a cycle whose multiplier 1 is simple, the field, the orbit (phase, unit) and the period."""
    modes = floquet_modes(flow, cycle)
    orbit, period = np.asarray(cycle["orbit"].values, dtype=np.float64), float(cycle["period"])
    field, _, _ = checked_field(flow, orbit[0], 0)
    distances = np.abs(modes["multiplier"].values - 1.0)
    trivial = int(modes.attrs["trivial_index"]) - 1
    trivial_error = float(distances[trivial])
    if not trivial_error <= _TRUSTED:
        raise ConvergenceError(
            f"no phase: the nearest multiplier is {trivial_error:.2g} away from 1, so this is no cycle of the flow",
            residual=trivial_error,
        )
    others = np.delete(distances, trivial)
    if (others <= max(_TRUSTED, 10 * trivial_error)).any():
        raise ConvergenceError(
            "no phase: the multiplier 1 is not simple (floquet_multipliers), so the cycle is one of a family, and "
            "kicks lead from one to the other",
            residual=float(others.min()),
        )
    return modes, field, orbit, period
