"""Controllers of adaptive units: principal components of their states, and where these settle."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, is_number

__all__ = ["controller_manifold"]

_REFERENCE = "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567"


def controller_manifold(
    states: xr.DataArray,
    *,
    dim: str = "time",
    controller: str = "controller",
    level: str = "level",
    n_components: int = 2,
    window: float = 0.1,
) -> xr.Dataset:
    """Return principal components of controller states, and the curve of their steady states over the levels.

    Parameters
    ----------
    states : DataArray (..., level, time, controller)
        States g of controllers under constant drives of several levels.
    dim : str, default "time"
        Dimension of time.
    controller : str, default "controller"
        Dimension of the states of one controller.
    level : str, default "level"
        Dimension of the levels of the drive; its coordinate says in which order the curve passes them.
    n_components : int, default 2
        Number of principal components.
    window : float, default 0.1
        Part of the time, at the end, over which a steady state is the mean.

    Returns
    -------
    xarray.Dataset
        ``direction(component, <controller>)`` of the components, unit vectors; ``explained(component)``, the share of
        the variance; ``center(<controller>)``; ``score(..., <level>, <time>, component)``, the states in components;
        ``steady_state(..., <level>, component)``; ``drift(..., <level>)``, how far the state still moves within the
        window, in the full space; ``arc_length(..., <level>)`` of the curve up to a level, in the full space;
        ``unexplained(..., <level>)``, how far steady states are from the plane of the components.

    Raises
    ------
    InputError
        If dimensions are missing, states not finite, or all the same.

    Notes
    -----
    Where ``drift`` is not small beside ``arc_length``, states have not settled.

    Components belong to the states of all levels, times and units together, so that all paths lie in one
    plane. The sign of a component is such that its largest entry is positive.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> levels = xr.DataArray([1.0, 2.0, 4.0], dims="level", coords={"level": [1.0, 2.0, 4.0]})
    >>> time = xr.DataArray(np.arange(100), dims="time")
    >>> direction = xr.DataArray([0.6, 0.8], dims="controller")
    >>> ds = dynet.controller_manifold(levels * (1 - np.exp(-time / 5.0)) * direction)
    >>> ds.explained.values.round(6), ds.arc_length.values.round(6)
    (array([1., 0.]), array([0., 1., 3.]))
    """
    faults = Faults()
    if not isinstance(states, xr.DataArray):
        faults.add("states", states, f"give a DataArray with the dimensions {level}, {dim} and {controller}")
    else:
        for name, given in (("dim", dim), ("controller", controller), ("level", level)):
            if not isinstance(given, str) or given not in states.dims:
                faults.add(name, given, f"states has the dimensions {', '.join(map(str, states.dims))}")
    faults.raise_if_any()
    g = states.transpose(..., level, dim, controller)
    if level in g.coords:
        g = g.sortby(level)
    values = faults.real_array("states", g.values, finite=True).astype(np.float64)
    if values.size == 0:
        faults.add("states", values, "there are no states")
    faults.integer("n_components", n_components, 1, g.sizes[controller], " (as many as states of a controller)")
    if not (is_number(window) and 0 < window <= 1):
        faults.add("window", window, "give a part of the time in (0, 1]")
    faults.raise_if_any()
    center = values.reshape(-1, values.shape[-1]).mean(axis=0)
    away = values - center
    flat = away.reshape(-1, values.shape[-1])
    if not flat.any():
        faults.say("states: they are all the same, so there are no components")
    faults.raise_if_any()
    # the squares of singular values, by the small matrix: states are many, controllers few
    _, singular, right = np.linalg.svd(np.linalg.qr(flat, mode="r"))
    components = right[:n_components]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.where(largest < 0, -1.0, 1.0)
    explained = np.zeros(n_components)
    explained[: singular.size] = (singular**2 / np.sum(singular**2))[:n_components]
    late = away[..., -max(1, round(window * g.sizes[dim])) :, :]
    steady = late.mean(axis=-2)
    scores = steady @ components.T
    steps = np.linalg.norm(np.diff(steady, axis=-2), axis=-1)
    arc = np.concatenate([np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    lead = tuple(str(d) for d in g.dims[:-3])
    each = (*lead, level)
    variables: dict[str, Any] = {
        "direction": (("component", controller), components, "principal component of the states", "1"),
        "explained": (("component",), explained, "share of the variance along the component", "1"),
        "center": ((controller,), center, "mean state", "1"),
        "score": ((*each, dim, "component"), away @ components.T, "state in components", "1"),
        "steady_state": ((*each, "component"), scores, "steady state in components", "1"),
        "drift": (each, np.linalg.norm(late[..., -1, :] - late[..., 0, :], axis=-1), "way within the window", "1"),
        "arc_length": (each, arc, "length of the curve of steady states", "1"),
        "unexplained": (
            each,
            np.linalg.norm(steady - scores @ components, axis=-1),
            "distance of the steady state from the components",
            "1",
        ),
    }
    return dataset(
        variables,
        {"component": np.arange(1, n_components + 1), **{str(name): coord for name, coord in g.coords.items()}},
        {
            "title": "States of controllers",
            "method": "principal components of all states; steady states by means over the end",
            "references": _REFERENCE,
            "window": float(window),
            "level_dimension": level,
            "time_dimension": dim,
        },
    )
