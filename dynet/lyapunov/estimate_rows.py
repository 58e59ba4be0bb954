"""Rows of the table of estimates along axes: parameters of fits, orders, exponents of several networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet.lyapunov.rows import row

__all__ = ["estimate_rows", "without_estimates"]

#: Estimates that have intervals.
_WITH_INTERVAL = {
    "parameter": "interval",
    "order": "order_interval",
    "phase_order": "phase_order_interval",
    "gain_order": "gain_order_interval",
}


def estimate_rows(result: xr.Dataset) -> list[list[Any]]:
    """Return one row for each number of the estimates, with the interval that the result holds."""
    rows: list[list[Any]] = []
    for name, interval in _WITH_INTERVAL.items():
        if name in result and interval in result and "bound" in result[interval].dims:
            rows += _rows_of(result, result[name], result[interval].transpose(..., "bound"))
    if not rows and {"network", "exponent"} <= set(result.dims) and "lyapunov_exponent" in result:
        rows = _rows_of(result, result["lyapunov_exponent"], None)
    return rows


def without_estimates(result: xr.Dataset) -> xr.Dataset:
    """Return the rest of a result, less what the rows of its estimates say."""
    if not any(name in result for name in _WITH_INTERVAL):
        return result
    return result.drop_vars([*_WITH_INTERVAL, "paper_order", "message"], errors="ignore")


def _rows_of(result: xr.Dataset, values: xr.DataArray, ends: xr.DataArray | None) -> list[list[Any]]:
    # the name of a parameter says what it is
    title = "" if values.name == "parameter" else str(values.attrs.get("long_name", values.name))
    rows = []
    for index in np.ndindex(values.shape):
        at = dict(zip(values.dims, index, strict=True))
        one = values.isel(at)
        label = ", ".join(str(_label(values, dim, i)) for dim, i in at.items())
        unit = one.coords["parameter_units"].item() if "parameter_units" in one.coords else values.attrs.get("units")
        error = np.nan if ends is not None else float(result["standard_error"].isel(at))
        bounds = (np.nan, np.nan) if ends is None else ends.isel(at).values
        if values.name == "parameter" and "model" in at and np.isnan(one):
            continue  # one that this model does not have
        words = ", ".join(part for part in (title, label) if part)
        rows.append(row(words, float(one), error, bounds, str(unit or "1"), _verdict(result, values, at)))
    return rows


def _label(values: xr.DataArray, dim: Any, position: int) -> Any:
    value = values[dim].values[position] if dim in values.coords else position
    if dim in ("name", "model", "network"):
        return value
    return f"{dim} {value:g}" if np.issubdtype(type(value), np.number) else f"{dim} {value}"


def _verdict(result: xr.Dataset, values: xr.DataArray, at: dict[Any, int]) -> str:
    if "best_model" in result and "model" in at:
        best = result["best_model"].isel({d: i for d, i in at.items() if d in result["best_model"].dims}).item()
        return "least AICc" if values["model"].values[at["model"]] == best else ""
    if "message" in result:
        message = result["message"]
        return str(message.isel({d: i for d, i in at.items() if d in message.dims}).item())
    return ""
