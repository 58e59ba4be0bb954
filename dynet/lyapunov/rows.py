"""Rows of the table of a result: of single numbers, of a comparison of spectra, of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet.lyapunov.dimension import half_width
from dynet.lyapunov.verdicts import sign_verdict

__all__ = ["bounds_about", "comparison_rows", "plain_rows", "row", "scalar_bounds", "scalar_rows", "training_rows"]


def row(quantity: str, value: float, error: float, bounds: Any, unit: str, verdict: str) -> list[Any]:
    """Return one row of the table."""
    return [quantity, value, error, float(bounds[0]), float(bounds[1]), unit, verdict]


def bounds_about(value: float, width: float) -> tuple[float, float]:
    """Return the ends of an interval, which of an infinite value are the value itself."""
    return (value - width, value + width) if np.isfinite(value) else (value, value)


def scalar_bounds(scalar: xr.Dataset, value: float, level: float) -> tuple[float, float]:
    """Return the interval of a single number at ``level``."""
    degrees = scalar.attrs["degrees_of_freedom"]
    return bounds_about(value, float(half_width(level, degrees)) * float(scalar["standard_error"]))


def scalar_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    """Return the row of a quantity that was computed from a spectrum."""
    rows = []
    for name in ("dimension", "entropy_rate", "memory_time", "spectrum_distance"):
        if name in result and "standard_error" in result:
            variable = result[name]
            value, error = float(variable), float(result["standard_error"])
            bounds = result["interval"].values if "interval" in result else scalar_bounds(result, value, level)
            title = str(variable.attrs.get("long_name", name))
            verdict = _distance_verdict(float(result["noise"])) if name == "spectrum_distance" else ""
            rows.append(row(title, value, error, bounds, str(variable.attrs.get("units", "1")), verdict))
    return rows


def plain_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    """Return the single numbers and labels of a result; the first number is the one that a standard error is of."""
    scalars = {str(name): variable for name, variable in result.data_vars.items() if variable.ndim == 0}
    known = {"standard_error", "degrees_of_freedom", *(f"{name}_error" for name in scalars)}
    rows: list[list[Any]] = []
    for name, variable in scalars.items():
        if name in known:
            continue
        unit, title = str(variable.attrs.get("units", "1")), str(variable.attrs.get("long_name", name))
        none = (np.nan, np.nan)
        if variable.dtype.kind not in "fiu":
            rows.append(row(title, np.nan, np.nan, none, unit, str(variable.item())))
            continue
        value, bounds, verdict = float(variable), none, ""
        error = scalars.get(f"{name}_error", scalars.get("standard_error") if not rows else None)
        spread = np.nan if error is None or error.attrs.get("units") != variable.attrs.get("units") else float(error)
        if "degrees_of_freedom" in scalars and not rows:
            width = float(half_width(level, scalars["degrees_of_freedom"].values)) * spread
            bounds = bounds_about(value, width)
            verdict = sign_verdict(value, width) if name == "lyapunov_exponent" else ""
        rows.append(row(title, value, spread, bounds, unit, verdict))
    return rows


def comparison_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    """Return what differs between spectra."""
    rows = []
    for name in result["comparison"].values:
        one = result.sel(comparison=name)
        difference, error = one["difference"].values, one["standard_error"].values
        unit = one["difference"].attrs["units"]
        widths = half_width(level, one["degrees_of_freedom"].values) * error
        with np.errstate(invalid="ignore"):
            clear = int((np.abs(difference) > widths).sum())
        verdict = f"{clear} of {difference.size} exponents differ clearly"
        bounds = bounds_about(float(difference[0]), float(widths[0]))
        rows.append(row(f"first exponent, {name}", float(difference[0]), float(error[0]), bounds, unit, verdict))
        distance, spread, none = float(one["spectrum_distance"]), float(one["distance_error"]), (np.nan, np.nan)
        verdict = _distance_verdict(float(one["distance_noise"]))
        rows.append(row(f"spectrum distance, {name}", distance, spread, none, unit, verdict))
    return rows


def training_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    """Return what the last epoch that was measured says, and what changed since the first."""
    measured = result.isel(epoch=np.flatnonzero(~np.isnan(result["largest"].values)))
    failed = result.sizes["epoch"] - measured.sizes["epoch"]
    counted = f"{measured.sizes['epoch']} of {result.sizes['epoch']} epochs measured"
    rows = [row("epochs that failed", failed, 0.0, (failed, failed), "1", counted)]
    if not measured.sizes["epoch"]:
        return rows
    first, last = measured.isel(epoch=0), measured.isel(epoch=-1)
    unit, epochs = last["largest"].attrs["units"], [int(one["epoch"]) for one in (first, last)]
    values, errors, degrees = [], [], []
    for one in (first, last):
        leading = int(np.argmax(one["lyapunov_exponent"].values))
        values.append(float(one["largest"]))
        errors.append(float(one["largest_error"]))
        degrees.append(float(one["degrees_of_freedom"][leading]))
    width = float(half_width(level, degrees[1])) * errors[1]
    verdict = sign_verdict(values[1], width)
    rows.append(
        row(f"largest exponent, epoch {epochs[1]}", values[1], errors[1], bounds_about(values[1], width), unit, verdict)
    )
    if len(measured["epoch"]) > 1 and np.isfinite(values).all():
        change, error = values[1] - values[0], float(np.hypot(errors[0], errors[1]))
        bounds = bounds_about(change, float(half_width(level, min(degrees))) * error)
        rows.append(
            row(f"its change since epoch {epochs[0]}", change, error, bounds, unit, "errors taken as independent")
        )
    k, n = measured.sizes["exponent"], int(result.attrs["n_units"])
    for name in ("mean", "variance"):
        value, error = float(last[name]), float(last[f"{name}_error"])
        label = f"{name} of {k} exponents, epoch {epochs[1]}"
        none = (np.nan, np.nan)
        rows.append(row(label, value, error, none, last[name].attrs["units"], f"the {k} leading of {n}, if finite"))
    zeros = float(last["n_zero"])
    words = f"{zeros:.0f} of {k} exponents hold zero in their 95 % interval"
    rows.append(row(f"zero exponents, epoch {epochs[1]}", zeros, 0.0, (zeros, zeros), "1", words))
    return rows


def _distance_verdict(noise: float) -> str:
    return f"root mean square; equal spectra would show {noise:.2g}"
