"""The adjoint of a stored trajectory: how a change at any earlier time reaches the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.typing import ArrayLike
from dynet.variational.field import checked_field, require_system
from dynet.variational.forward import relative_drift
from dynet.variational.integration import REFERENCE
from dynet.variational.path import Path, advanced, coordinates, pulled_back

__all__ = ["adjoint"]


def adjoint(system: Map | Flow, trajectory: xr.Dataset, terminal: ArrayLike) -> xr.Dataset:
    r"""Return the adjoint solution that ends at ``terminal``, along a stored trajectory.

    :math:`\psi' = -J^T \psi` for flows, :math:`\psi_t = J_t^T \psi_{t+1}` for maps. The state is never run backwards,
    which fails silently on stable cycles: between stored times it is integrated forwards again.

    Parameters
    ----------
    system : Map or Flow
        What the trajectory belongs to.
    trajectory : Dataset
        With ``state(time, unit)`` and perhaps ``input(time, channel)``, from `sensitivity` or `simulate`.
    terminal : array (n,)
        The adjoint at the last time, such as the gradient of a loss.

    Returns
    -------
    xarray.Dataset
        ``adjoint(time, unit)``; ``invariant_drift``, the largest change of ``psi . delta`` for a random solution delta
        of the forward equation, and ``velocity_drift``, that of ``psi . f`` (flows without inputs, else NaN), both
        relative to the largest product of lengths; ``trajectory_gap``, the largest jump between the system and the
        stored states, relative to the largest state.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If the adjoint stops being finite.

    References
    ----------
    Hairer, Nørsett & Wanner (1993), doi:10.1007/978-3-540-78862-1; Gholami, Keutzer & Biros (2019), arXiv:1902.10298
    (why the state is not reconstructed).

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau()
    >>> forward = dynet.sensitivity(flow, [1.0, 0.0], 5.0)
    >>> ds = dynet.adjoint(flow, forward, [1.0, 0.0])
    >>> bool(ds.invariant_drift < 1e-9)
    True
    """
    system = require_system(system)
    path, psi = _checked(system, trajectory, terminal)
    field, K = path.field, len(path.times) - 1
    is_free = path.is_flow and path.rows is None
    adjoints = np.empty((K + 1, field.n))
    adjoints[K] = psi
    for k in range(K - 1, -1, -1):
        adjoints[k] = psi = pulled_back(path, k, psi)[0]
    delta = np.random.default_rng(0).standard_normal((field.n, 1))
    along_delta, along_velocity = np.empty((2, K + 1)), np.empty((2, K + 1))
    along_delta[:, 0] = _product(adjoints[0], delta[:, 0])
    gap, scale = 0.0, path.scale
    for k in range(K):
        x, delta, _ = advanced(path, k, path.states[k], delta, None)
        gap = max(gap, float(np.linalg.norm(x - path.states[k + 1])) / scale)
        along_delta[:, k + 1] = _product(adjoints[k + 1], delta[:, 0])
    if is_free:  # unless the flow itself depends on time
        is_free = np.array_equal(field(path.times[0] + 0.377, path.states[0]), field(path.times[0], path.states[0]))
    if is_free:
        for k, (t, x) in enumerate(zip(path.times, path.states, strict=True)):
            along_velocity[:, k] = _product(adjoints[k], field(t, x))
    variables: dict[str, Any] = {
        "adjoint": (("time", "unit"), adjoints, "adjoint solution", "1"),
        "invariant_drift": ((), relative_drift(*along_delta), "largest relative change of psi . delta", "1"),
        "velocity_drift": (
            (),
            relative_drift(*along_velocity) if is_free else np.nan,
            "largest relative change of psi . f",
            "1",
        ),
        "trajectory_gap": ((), gap, "largest jump between system and stored states, relative", "1"),
    }
    attrs = {
        "title": "Adjoint solution",
        "method": "backwards along stored states" + (", integrated again between them" if path.is_flow else ""),
        "references": f"{REFERENCE}; Gholami, Keutzer & Biros (2019) arXiv:1902.10298",
        "time_unit": system.time_unit,
        "tolerance": field.tolerance if path.is_flow else None,
    }
    return dataset(variables, coordinates(path), attrs)


def _product(psi: np.ndarray, delta: np.ndarray) -> tuple[float, float]:
    """Return ``psi . delta`` and the product of the lengths."""
    return float(psi @ delta), float(np.linalg.norm(psi) * np.linalg.norm(delta))


def _checked(system: Any, trajectory: Any, terminal: Any) -> tuple[Path, np.ndarray]:
    faults = Faults()
    if not (isinstance(trajectory, xr.Dataset) and {"state", "time"} <= set(trajectory.variables)):
        faults.add("trajectory", type(trajectory), "give a Dataset from simulate or sensitivity")
        faults.raise_if_any()
    states = faults.real_array("trajectory.state", trajectory["state"].values, finite=True)
    if trajectory["state"].dims != ("time", "unit") or len(states) < 2:
        faults.add("trajectory.state", states, "give one trajectory (time, unit) of at least two times")
        faults.raise_if_any()
    times = np.asarray(trajectory["time"].values, dtype=np.float64)
    rows = None
    if "input" in trajectory:
        rows = trajectory["input"].values[:-1]  # no step starts at the last time
    if isinstance(system, Map) and not np.allclose(np.diff(times), system.dt, rtol=1e-9):
        faults.say(f"trajectory has other times than the steps of the map (dt = {system.dt:g}): give every step")
    elif not (np.diff(times) > 0).all():
        faults.say("trajectory.time does not increase: give times in order")
    psi = faults.real_array("terminal", terminal, finite=True).astype(np.float64)
    if psi.shape != states.shape[-1:]:
        faults.add("terminal", psi if psi.ndim else terminal, f"give shape ({states.shape[-1]},), one number a unit")
    faults.raise_if_any()
    field, _, moved = checked_field(system, states[0], len(states) - 1, rows, steps="trajectory")
    return Path(field, times, states.astype(np.float64), moved), psi
