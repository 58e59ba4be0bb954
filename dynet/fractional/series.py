"""Signals at the door: which axis is time, and how far its samples are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._validate import Faults

#: A time coordinate counts as uniform if its steps differ by no more than this, relative to their mean.
_UNIFORM = 1e-6


def spacing(faults: Faults, name: str, x: xr.DataArray, dim: str, dt: float | None) -> float:
    """Return the time between samples: of the coordinate, or ``dt``, or 1; note a fault if they do not agree."""
    if dt is not None:
        faults.positive("dt", dt)
    if dim not in x.coords or x.sizes[dim] < 2 or len(faults):
        return 1.0 if dt is None or len(faults) else float(dt)
    times = x.coords[dim].values
    if times.dtype.kind not in "iuf":
        faults.say(f"{name}: its coordinate {dim} has no numbers ({times.dtype}): give times as floats")
        return 1.0
    steps = np.diff(times.astype(np.float64))
    mean = float(steps.mean())
    if not mean > 0 or not np.abs(steps - mean).max() <= _UNIFORM * mean:
        faults.say(
            f"{name}: its coordinate {dim} has steps from {steps.min():.6g} to {steps.max():.6g}: give samples "
            f"that are equally far apart, such as {name}.interp({dim}=...)"
        )
        return 1.0
    if dt is not None and abs(dt - mean) > _UNIFORM * mean:
        faults.add("dt", dt, f"the coordinate {dim} of {name} has steps of {mean:.6g}; leave dt out")
    return mean


def time_axis(faults: Faults, name: str, x: Any, axis: int | None) -> int:
    """Return the axis of time of an array, counted from the end; note a fault if it is not told."""
    n_axes = len(x.shape)
    if n_axes == 0:
        faults.add(name, x, "give a signal with an axis of time")
    elif axis is None and n_axes > 1:
        faults.say(f"axis: say which axis of {name}, of shape {tuple(x.shape)}, is time, or give a DataArray and dim")
    elif axis is not None and faults.integer("axis", axis, -n_axes, n_axes - 1):
        return int(axis) % n_axes - n_axes
    return -1


def named_series(faults: Faults, name: str, x: Any, dim: str, axis: int | None) -> xr.DataArray:
    """Return a signal, real, finite and float64, with time as its last dimension."""
    if not isinstance(x, xr.DataArray):
        values = faults.real_array(name, x.detach().cpu().numpy() if hasattr(x, "detach") else x)
        k = time_axis(faults, name, values, axis)
        if len(faults):
            return xr.DataArray(np.zeros(1), dims=[dim])
        values = np.moveaxis(values, k, -1)
        others = ["unit"] if values.ndim == 2 else [f"dim_{i}" for i in range(values.ndim - 1)]
        x = xr.DataArray(values, dims=[*others, dim])
    elif not isinstance(dim, str) or dim not in x.dims:
        faults.add("dim", dim, f"{name} has the dimensions {', '.join(map(str, x.dims))}")
        return xr.DataArray(np.zeros(1), dims=["time"])
    x = x.transpose(..., dim)
    if x.sizes[dim] == 0:
        faults.add(name, x.values, "there are no samples")
    values = faults.real_array(name, x.values, finite=True)
    return x.copy(data=values.astype(np.float64, copy=False)) if values.shape == x.shape else x


def unnamed_stimulus(faults: Faults, stimulus: Any, r: xr.DataArray, dim: str) -> xr.DataArray:
    """Return a stimulus that is an array beside a named response: one for all."""
    values = faults.real_array("stimulus", stimulus, finite=True)
    if values.ndim != 1:
        faults.add("stimulus", stimulus, "beside a DataArray give (time,), or a DataArray with its dimensions")
        values = np.zeros(1)
    return xr.DataArray(values.astype(np.float64), dims=[dim if dim in r.dims else r.dims[-1]])


def matched_spacing(faults: Faults, r: xr.DataArray, s: xr.DataArray, dim: str, dt: float | None) -> float:
    """Return the time between samples; note a fault if response and stimulus do not fit together."""
    step = spacing(faults, "response", r, dim, dt)
    if s.sizes[dim] != r.sizes[dim]:
        faults.say(f"stimulus has {s.sizes[dim]} samples, response {r.sizes[dim]}: give them the same times")
    elif dim in s.coords and dim in r.coords and not np.allclose(s[dim], r[dim], rtol=0, atol=1e-6 * step):
        faults.say(f"stimulus and response have different times along {dim}: give both on the same ones")
    for d in s.dims:
        if d not in r.dims:
            faults.say(f"stimulus has the dimension {d}, which response does not have ({', '.join(map(str, r.dims))})")
        elif d != dim and s.sizes[d] != r.sizes[d]:
            faults.say(f"stimulus has {s.sizes[d]} along {d}, response {r.sizes[d]}")
        elif d != dim and d in s.coords and d in r.coords and not np.array_equal(s[d].values, r[d].values):
            faults.say(f"stimulus and response have different labels along {d}")
    return step


def broadcast_values(x: xr.DataArray, like: xr.DataArray) -> np.ndarray:
    """Return values with the dimensions of another signal, in its order; labels have been compared before."""
    values: np.ndarray = (
        x.drop_vars(list(x.coords)).broadcast_like(like.drop_vars(list(like.coords))).transpose(*like.dims).values
    )
    return values
