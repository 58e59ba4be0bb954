"""Forward sensitivity: the fundamental matrix of a trajectory, and what its parameters do to it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet.errors import InputError
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.typing import ArrayLike
from dynet.variational.integration import REFERENCE
from dynet.variational.path import advanced, coordinates, names_of_parameters, pulled_back, start_path

__all__ = ["sensitivity"]

#: Numbers that are held at once.
_MOST_ENTRIES = 2**27


def sensitivity(
    system: Map | Flow, x0: ArrayLike, duration: float, *, inputs: ArrayLike | None = None
) -> xr.Dataset:  # fmt: skip
    r"""Return the derivative of the trajectory with respect to its start and to the parameters.

    :math:`Y' = J Y`, :math:`Y(0) = I` (the fundamental matrix), and :math:`S' = J S + \partial f / \partial\theta`,
    :math:`S(0) = 0`, beside the state; for maps :math:`S_{t+1} = J_t S_t + \partial F / \partial\theta`, which is
    real-time recurrent learning.

    Parameters
    ----------
    system : Map or Flow
        With a Jacobian; with ``jac_params`` the sensitivity to the parameters is there as well.
    x0 : array (n,)
        Start.
    duration : float
        Time to cover, or the number of steps of a map.
    inputs : array (time, channel), optional
        One row a step; for flows rows that share the duration equally, each held.

    Returns
    -------
    xarray.Dataset
        ``sensitivity(time, unit, unit_0)``, ``parameter_sensitivity(time, unit, param)`` (no params without
        ``jac_params``), ``state(time, unit)``, at every step of a map, every row of the inputs or else 101 times; and
        ``invariant_drift``: an adjoint solution psi is run backwards along the stored states, and this is the largest
        change of ``psi^T Y v`` for a random v, relative to the largest ``|psi| |Y v|``.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If the state or a derivative stops being finite, or the step size underflows; ``.result`` holds the states up
        to there.

    References
    ----------
    Hairer, Nørsett & Wanner (1993), doi:10.1007/978-3-540-78862-1, section I.14; Williams & Zipser (1989),
    doi:10.1162/neco.1989.1.2.270.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ds = dynet.sensitivity(dynet.zoo.henon(), [0.1, 0.2], 3)
    >>> round(float(abs(np.linalg.det(ds.sensitivity.isel(time=-1)))), 12)  # 0.3 to the power of 3
    0.027
    """
    path = start_path(system, x0, duration, inputs)
    field = path.field
    n, K = field.n, len(path.times) - 1
    x, Y = path.states[0], np.eye(n)
    S = None
    if field.has_parameters:
        count = int(field.parameter_jacobian(0.0, x, path.row(0)).J.shape[-1])
        _require_room(K + 1, n, count)
        S = np.zeros((n, count))
    matrices, parameter = [Y], [S]
    for k in range(K):
        x, Y, S = advanced(path, k, x, Y, S)
        path.states[k + 1] = x
        matrices.append(Y)
        parameter.append(S)
    fundamental = np.array(matrices)
    from_parameters = np.zeros((K + 1, n, 0)) if S is None else np.array(parameter)
    random = np.random.default_rng(0)
    v, psi = random.standard_normal(n), random.standard_normal(n)
    deltas = fundamental @ v
    adjoints = np.empty((K + 1, n))
    adjoints[K] = psi
    for k in range(K - 1, -1, -1):
        adjoints[k] = psi = pulled_back(path, k, psi)[0]
    time_unit = field.system.time_unit
    variables = {
        "sensitivity": (("time", "unit", "unit_0"), fundamental, "derivative with respect to the start", "1"),
        "parameter_sensitivity": (
            ("time", "unit", "param"),
            from_parameters,
            "derivative with respect to the parameters",
            "1",
        ),
        "state": (("time", "unit"), path.states, "state", "1"),
        "invariant_drift": ((), drift(adjoints, deltas), "largest relative change of psi . delta", "1"),
    }
    coords = coordinates(path)
    coords["unit_0"] = coords["unit"][1]
    coords["param"] = names_of_parameters(path, from_parameters.shape[-1])
    attrs = {
        "title": "Sensitivity",
        "method": "variational equations, Dormand-Prince of order 8" if path.is_flow else "variational equations",
        "references": f"{REFERENCE}; Williams & Zipser (1989) doi:10.1162/neco.1989.1.2.270",
        "duration": float(path.times[-1]),
        "time_unit": time_unit,
        "tolerance": field.tolerance if path.is_flow else None,
        "parameters": "by jac_params" if field.has_parameters else "none: the system has no jac_params",
    }
    return dataset(variables, coords, attrs)


def _require_room(n_times: int, n: int, count: int) -> None:
    if n_times * n * count > _MOST_ENTRIES:
        raise InputError(
            f"system has {n} units and {count} parameters: what each of them does to each unit at {n_times} times is "
            f"{8e-9 * n_times * n * count:.1f} GB; take gradient, which goes back from one loss, or leave the "
            "parameters out by dataclasses.replace(system, jac_params=None)"
        )


def drift(psi: np.ndarray, delta: np.ndarray) -> float:
    """Return the largest change of ``psi . delta`` (both (time, n)), relative to the largest product of lengths."""
    lengths = np.linalg.norm(psi, axis=-1) * np.linalg.norm(delta, axis=-1)
    return relative_drift((psi * delta).sum(axis=-1), lengths)


def relative_drift(products: np.ndarray, lengths: np.ndarray) -> float:
    """Return the largest change of products (time,), relative to the largest product of lengths (time,)."""
    largest = lengths.max()
    return 0.0 if largest == 0 else float(np.abs(products - products[-1]).max() / largest)
