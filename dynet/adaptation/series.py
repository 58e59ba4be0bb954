"""What the fits take: a DataArray with one dimension to fit along and any others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._validate import Faults

__all__ = ["Series", "series_along"]


class Series(NamedTuple):
    """Values (row, m) at coordinates (m,), and the other dimensions that the rows stand for."""

    values: np.ndarray
    points: np.ndarray
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: dict[str, Any]
    units: str
    point_units: str

    def labelled(self, results: list[Any]) -> np.ndarray:
        """Return one result a row in the shape of the other dimensions."""
        array = np.asarray(results)
        return array.reshape((*self.shape, *array.shape[1:]))


def series_along(name: str, value: Any, dim: str, *, least: int, why: str, positive: bool = False) -> Series:
    """Check a DataArray and return its rows along ``dim``, which must have at least ``least`` points."""
    faults = Faults()
    if not isinstance(value, xr.DataArray):
        faults.add(name, value, f"give a DataArray with the dimension '{dim}'")
        faults.raise_if_any()
    if dim not in value.dims:
        faults.add("dim", dim, f"{name} has the dimensions {', '.join(map(str, value.dims)) or 'none'}")
        faults.raise_if_any()
    if dim not in value.coords:
        faults.say(f"{name} has no coordinate '{dim}': assign one with {name}.assign_coords({dim}=...)")
        faults.raise_if_any()
    points = faults.real_array(dim, value[dim].values, finite=True).astype(np.float64)
    values = faults.real_array(name, value.transpose(..., dim).values, finite=True).astype(np.float64)
    faults.raise_if_any()
    if np.unique(points).size < least:
        faults.add(dim, value[dim].values, f"{name} has {np.unique(points).size} different points: {why}")
    if positive and not (points > 0).all():
        faults.add(dim, float(points.min()), "give positive levels")
    faults.raise_if_any()
    others = value.isel({dim: 0}, drop=True)
    return Series(
        values.reshape(-1, points.size),
        points,
        tuple(str(d) for d in others.dims),
        others.shape,
        {str(key): coord for key, coord in value.coords.items() if set(coord.dims) <= {*others.dims, dim}},
        str(value.attrs.get("units", "1")),
        str(value[dim].attrs.get("units", "1")),
    )
