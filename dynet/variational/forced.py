"""Linear response to forcing along a trajectory: the formula of the variation of constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.typing import ArrayLike
from dynet.variational.field import require_system
from dynet.variational.forward import sensitivity
from dynet.variational.gradients import gradient

__all__ = ["forced_response"]


def forced_response(
    system: Map | Flow,
    x0: ArrayLike,
    duration: float,
    forcing: Callable[[float, np.ndarray], ArrayLike],
    *,
    z0: ArrayLike | None = None,
    inputs: ArrayLike | None = None,
) -> xr.Dataset:
    r"""Return the solution of the forced variational equation along a trajectory.

    :math:`z' = J z + w(t, x)`, for maps :math:`z_{t+1} = J_t z_t + w(t, x_t)`: to first order what a small forcing w
    does to the trajectory. :math:`z(t) = Y(t) z_0 + \int_0^t Y(t) Y^{-1}(\tau) w\,d\tau`.

    Parameters
    ----------
    system : Map or Flow
        With a Jacobian.
    x0 : array (n,)
        Start of the trajectory.
    duration : float
        Time to cover, or the number of steps of a map.
    forcing : callable
        ``forcing(t, x) -> (n,)``.
    z0 : array (n,), optional
        Displacement at the start; none if not given.
    inputs : array (time, channel), optional
        Inputs of the trajectory, as in `sensitivity`.

    Returns
    -------
    xarray.Dataset
        ``response(time, unit)``, ``state(time, unit)`` and ``formula_error``: what the formula, with the adjoint in
        place of the inverse, differs by at the last time along a random direction, relative to the largest response.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    Hartman (2002), doi:10.1137/1.9780898719222, chapter IV.

    Examples
    --------
    Forced along its own velocity, the neutral mode of a cycle integrates its input:

    >>> import dynet, numpy as np
    >>> from dynet.variational.forced import forced_response
    >>> flow = dynet.zoo.stuart_landau()
    >>> ds = forced_response(flow, [1.0, 0.0], 20.0, lambda t, x: [-x[1], x[0]])
    >>> round(float(np.linalg.norm(ds.response.isel(time=-1))), 6)
    20.0
    """
    system = require_system(system)
    faults = Faults()
    faults.callable("forcing", forcing, "forcing(t, x) -> (n,)")
    start = np.zeros(0) if z0 is None else faults.real_array("z0", z0, finite=True)
    faults.raise_if_any()

    def column(t: float, x: Any, u: Any, p: Any) -> np.ndarray:
        return np.asarray(forcing(t, np.asarray(x)), dtype=np.float64).reshape(-1, 1)

    forced = replace(system, jac_params=column)
    forward = sensitivity(forced, x0, duration, inputs=inputs)
    if z0 is not None and start.shape != forward["state"].shape[1:]:
        faults.add("z0", start, f"give shape ({forward.sizes['unit']},)")
        faults.raise_if_any()
    start = np.zeros(forward.sizes["unit"]) if z0 is None else start
    response = forward["sensitivity"].values @ start + forward["parameter_sensitivity"].values[..., 0]
    psi = np.random.default_rng(0).standard_normal(start.size)
    backward = gradient(forced, x0, duration, terminal=lambda x: (psi @ x, psi), inputs=inputs)
    by_formula = float(backward["gradient_x0"].values @ start + backward["gradient_params"].values[0])
    largest = float(np.linalg.norm(psi) * np.linalg.norm(response, axis=1).max())
    error = abs(by_formula - float(psi @ response[-1])) / largest if largest > 0 else 0.0
    variables = {
        "response": (("time", "unit"), response, "response to the forcing", "1"),
        "state": (("time", "unit"), forward["state"].values, "state", "1"),
        "formula_error": ((), error, "relative difference from the formula", "1"),
    }
    coords = {str(name): forward.coords[name] for name in forward["state"].coords}
    attrs = {
        "title": "Forced response",
        "method": "variational equation, checked by the adjoint",
        "references": "Hartman (2002) doi:10.1137/1.9780898719222",
        "time_unit": system.time_unit,
    }
    return dataset(variables, coords, attrs)
