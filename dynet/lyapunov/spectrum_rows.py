"""Rows of the table of a Lyapunov spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet.errors import InputError
from dynet.lyapunov.dimension import (
    count_zero_exponents,
    entropy_rate,
    error_of_sum,
    half_width,
    interval_widths,
    kaplan_yorke_dimension,
    memory_time,
)
from dynet.lyapunov.rows import bounds_about, row, scalar_bounds
from dynet.lyapunov.verdicts import convergence_verdict, plural, short_time, sign_verdict

__all__ = ["spectrum_rows"]


def spectrum_rows(spectrum: xr.Dataset, level: float) -> list[list[Any]]:
    """Return what a spectrum says: exponents, dimension, entropy, memory, and what was lost."""
    exponents = spectrum["lyapunov_exponent"].values
    errors, widths = spectrum["standard_error"].values, interval_widths(spectrum, level)
    k, n = exponents.size, spectrum.sizes["unit"]
    time_unit = spectrum.attrs["time_unit"]
    unit = f"nat / {time_unit}"
    state = convergence_verdict(spectrum, level=level)
    leading = int(np.argmax(exponents))
    largest, error, width = float(exponents[leading]), float(errors[leading]), float(widths[leading])
    rows = [
        row("largest exponent", largest, error, bounds_about(largest, width), unit, sign_verdict(largest, width)),
    ]
    finite = np.isfinite(exponents)
    if finite.any():
        label = "mean exponent" if finite.all() and k == n else f"mean of {finite.sum()} exponents"
        mean = float(exponents[finite].mean())
        spread, degrees = error_of_sum(spectrum, finite / finite.sum())
        bounds = bounds_about(mean, float(half_width(level, degrees)) * spread)
        rows.append(row(label, mean, spread, bounds, unit, _volume(k, n, int(finite.sum()))))
    zeros = count_zero_exponents(spectrum, level=level)
    words, known = f"{zeros} of {k} exponents hold zero in their {100 * level:g} % interval", (zeros, zeros)
    if np.isinf(errors[finite]).any():
        words, known = "unknown: too few steps for error bars", (0, int(finite.sum()))
    rows.append(row("zero exponents", zeros, 0.0, known, "1", words))
    for quantity, function, name, verdict in (
        ("Kaplan-Yorke dimension", kaplan_yorke_dimension, "dimension", f"of {n} dimensions"),
        ("entropy rate", entropy_rate, "entropy_rate", "upper bound: equality needs an SRB measure"),
    ):
        try:
            scalar = function(spectrum)
        except InputError:
            words = f"unknown from {k} of {n} exponents: ask for more (n_exponents)"
            rows.append(row(quantity, np.nan, np.nan, (np.nan, np.nan), "1", words))
            continue
        value, spread = float(scalar[name]), float(scalar["standard_error"])
        rows.append(
            row(quantity, value, spread, scalar_bounds(scalar, value, level), scalar[name].attrs["units"], verdict)
        )
    memory = memory_time(spectrum, level=level)
    low, high = memory["interval"].values
    value = float(memory["memory_time"])
    words = f"memory {short_time(value)} {plural(time_unit)} [{short_time(low)}, {short_time(high)}], {state}"
    if np.isinf(low):
        words = f"does not forget: perturbations do not fade, {state}"
    rows.append(row("memory time", value, float(memory["standard_error"]), (low, high), time_unit, words))
    lost = int(spectrum["below_resolution"].sum())
    if lost:
        words = f"{lost} of {k} exponents are -inf: {_why_lost(spectrum)}"
        rows.append(row("below resolution", lost, 0.0, (lost, lost), "1", words))
    if "tolerance" in spectrum.attrs:
        steps = spectrum.attrs["n_steps"]
        rows.append(row("steps", steps, 0.0, (steps, steps), "step", _ending(spectrum)))
    return rows


def _ending(spectrum: xr.Dataset) -> str:
    """Return what ended a run that was given a tolerance."""
    tolerance = spectrum.attrs["tolerance"]
    if spectrum.attrs["tolerance_reached"] == "True":
        return f"ended by tolerance: every standard error is below {tolerance:g}"
    largest = float(spectrum["standard_error"].max())
    return f"ended by n_steps: the largest standard error is {largest:.2g}, the tolerance was {tolerance:g}"


def _volume(k: int, n: int, finite: int) -> str:
    if finite < k:
        return f"of those that are finite; {k - finite} are -inf"
    return "rate of change of log volume, per unit" if k == n else f"of the {k} leading of {n}"


def _why_lost(spectrum: xr.Dataset) -> str:
    """Return why exponents are -inf: singular Jacobians from the first block on, or from a time on."""
    lost = np.isneginf(spectrum["growth"].values[..., spectrum["below_resolution"].values])
    since = ""
    if not lost.all():
        first = int(lost.any(axis=(0, 2)).argmax())
        since = f"gone by time {spectrum['growth']['time'].values[first]:g}, by a "
    wider = " of float32, which float64 may resolve" if spectrum.attrs.get("dtype") == "float32" else ""
    return f"{since}singular Jacobian, or contraction beyond rounding{wider}"
