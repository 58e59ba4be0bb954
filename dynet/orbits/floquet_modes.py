"""Floquet modes and their adjoints along the whole cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._validate import Faults
from dynet.errors import ConvergenceError
from dynet.orbits.floquet import REFERENCES, dual, modes_of, multipliers_of
from dynet.orbits.linearised import linearised, orbit_and_period
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.variational.field import checked_field, require_system

__all__ = ["floquet_modes"]


def floquet_modes(
    system: Map | Flow, cycle: xr.Dataset, *, n_modes: int | None = None, progress: bool = False
) -> xr.Dataset:
    r"""Return the modes and adjoint modes of a cycle at all its phases.

    A perturbation along mode i is, a time t later, along the mode of the later phase, grown by
    :math:`e^{\lambda_i t}` and turned by its frequency; :math:`\dot\psi = -J^T\psi` holds for
    :math:`e^{-\lambda_i t}` times adjoint mode i, so that a gradient along it decays on its way back if
    :math:`\lambda_i < 0`. The adjoint of the trivial mode is the phase response.

    Parameters
    ----------
    system : Map or Flow
        What the cycle belongs to.
    cycle : Dataset
        From `find_limit_cycle` or `find_periodic_orbit`.
    n_modes : int, optional
        Return so many of them, the slowest to decay; all if not given.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``mode(phase, unit, index)`` and ``adjoint_mode(phase, unit, index)``, complex, periodic in phase, in descending
        order of their growth, with ``multiplier(index)``, ``growth_rate(index)`` and ``frequency(index)`` as from
        `floquet_multipliers`. ``sum_unit adjoint_mode_i mode_j`` is 1 for i = j and 0 otherwise, without conjugation;
        ``biorthogonality_error`` is the largest distance from that relative to the lengths. At phase 0 modes have
        length one, the trivial one is the velocity.

    Raises
    ------
    InputError
        If ``cycle`` is not one, or is of another system.
    ConvergenceError
        If the cycle is a point.
    DivergenceError
        If the Jacobian is not finite along the cycle.

    References
    ----------
    Floquet (1883), doi:10.24033/asens.220; Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7.

    See Also
    --------
    phase_response, amplitude_response : The real adjoint modes of flows, in their units.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau()
    >>> ds = dynet.floquet_modes(flow, dynet.find_limit_cycle(flow, [0.5, 0.0]))
    >>> ds.growth_rate.values.round(6) + 0.0
    array([ 0., -2.])
    >>> bool(ds.biorthogonality_error < 1e-12)
    True
    """
    system = require_system(system)
    orbit, period = orbit_and_period(system, cycle)
    n = orbit.shape[1]
    if n_modes is not None:
        faults = Faults()
        faults.integer("n_modes", n_modes, 1, n, ", the number of units")
        faults.raise_if_any()
    field, _, _ = checked_field(system, orbit[0], 0)
    if isinstance(system, Flow) and np.ptp(orbit, axis=0).max() <= 1e-9 * max(float(np.abs(orbit).max()), 1e-300):
        raise ConvergenceError(
            "no modes along a cycle: it is a fixed point; floquet_multipliers gives those of a point"
        )
    along = linearised(field, orbit, period, at_each_phase=True, progress=progress)
    logs, angles, modes, trivial = modes_of(field, orbit, along, along.partials)
    adjoints, condition = dual(modes)
    kept = slice(0, n if n_modes is None else int(n_modes))
    modes, adjoints, logs, angles = modes[..., kept], adjoints[..., kept], logs[kept], angles[kept]
    products = np.einsum("pui,puj->pij", adjoints, modes) - np.eye(len(logs))
    sizes = np.linalg.norm(adjoints, axis=1)[:, :, None] * np.linalg.norm(modes, axis=1)[:, None, :]
    error = float((np.abs(products) / np.maximum(sizes, 1.0)).max())
    time_unit = system.time_unit
    index, dims = ("index",), ("phase", "unit", "index")
    variables: dict[str, Any] = {
        "mode": (dims, modes, "mode along the cycle", "1"),
        "adjoint_mode": (dims, adjoints, "adjoint mode along the cycle", "1"),
        "multiplier": (index, multipliers_of(logs, angles), "Floquet multiplier", "1"),
        "growth_rate": (index, logs / along.period, "real part of the Floquet exponent", f"nat / {time_unit}"),
        "frequency": (index, angles / (2 * np.pi * along.period), "turns of the mode", f"1 / {time_unit}"),
        "biorthogonality_error": ((), error, "largest relative error of biorthogonality", "1"),
        "orbit_error": ((), along.gap, "largest jump between system and given orbit, relative", "1"),
    }
    coords = {
        "index": np.arange(1, len(logs) + 1),
        "phase": np.arange(len(orbit)) / len(orbit),
        **unit_coordinates(unit_coords(system.units, n)),
    }
    attrs = {
        "title": "Floquet modes",
        "method": "fundamental matrices from phase to phase, periodic orthogonal iteration",
        "references": REFERENCES,
        "period": along.period,
        "time_unit": time_unit,
        "trivial_index": 0 if trivial is None else trivial + 1,
        "mode_condition": condition,
        "tolerance": field.tolerance,
    }
    return dataset(variables, coords, attrs)
