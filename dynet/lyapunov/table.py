"""A result as a table that reads itself: quantity, value, error, unit and a verdict in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dynet._validate import shown
from dynet.errors import InputError
from dynet.lyapunov.convergence import SEQUENCES_FOR_SCATTER
from dynet.lyapunov.diagnosis import drift, independent_parts
from dynet.lyapunov.dimension import (
    are_independent,
    count_zero_exponents,
    entropy_rate,
    error_of_sum,
    half_width,
    interval_widths,
    kaplan_yorke_dimension,
    memory_time,
    require_leading,
)

__all__ = ["summary"]

COLUMNS = ["quantity", "value", "standard_error", "lower", "upper", "unit", "verdict"]
#: A quantity has settled when its interval is this fraction of the spectrum's own scale, or less.
_SETTLED = 0.1
#: Fewer blocks say nothing about drift and correlation.
_FEWEST_BLOCKS = 10
#: An error bar from fewer independent parts than this is a guess.
_FEWEST_PARTS = 5
_DRIFT_LEVEL = 0.99
#: Results with tables of their own.
_KINDS = (
    "lyapunov_spectrum",
    "two_trajectory_exponent",
    "compare",
    "spectrum_distance",
    "kaplan_yorke_dimension",
    "entropy_rate",
    "memory_time",
    "torch.LyapunovMonitor",
)


def summary(result: xr.Dataset, *, level: float = 0.95) -> pd.DataFrame:
    """Return what a result says, as a table with a verdict in words.

    Parameters
    ----------
    result : Dataset
        From `lyapunov_spectrum`, `two_trajectory_exponent`, `compare`, `spectrum_distance`, `kaplan_yorke_dimension`,
        `entropy_rate` or `memory_time`, or recorded by a `torch.LyapunovMonitor`. Of other results the single numbers
        and labels are listed, with their standard errors where they have them.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        Columns quantity, value, standard_error, lower, upper, unit, verdict.

    Raises
    ------
    InputError
        If ``result`` is not a result of dynet, or holds arrays alone.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.zoo.linear_map(np.diag([0.98, 0.5]))
    >>> ds = dynet.lyapunov_spectrum(system, [0.0, 0.0], 500, initial_frame=np.eye(2))
    >>> print(dynet.summary(ds).set_index("quantity").verdict["memory time"])
    memory 49 steps [49, 49], converged
    """
    if isinstance(result, xr.Dataset):
        if "lyapunov_exponent" in result and "growth" in result and "exponent" in result.coords:
            require_leading(result)
            rows = _spectrum_rows(result, level)
        elif "lyapunov_exponent" in result and "epoch" in result.dims:
            rows = _training_rows(result, level)
        elif "difference" in result and "comparison" in result.dims:
            rows = _comparison_rows(result, level)
        else:
            rows = _scalar_rows(result, level) or _plain_rows(result, level)
        if rows:
            return pd.DataFrame(rows, columns=COLUMNS)
        if "dynet_version" in result.attrs:
            raise InputError(
                f"result={shown(result.attrs.get('title', 'Dataset'))}: it has no table yet: it holds arrays alone; "
                f"results of {', '.join(_KINDS)} have one, and those that hold single numbers"
            )
    raise InputError(f"result={shown(type(result).__name__)}: give a Dataset that an analysis of dynet returned")


def _row(quantity: str, value: float, error: float, bounds: Any, unit: str, verdict: str) -> list[Any]:
    return [quantity, value, error, float(bounds[0]), float(bounds[1]), unit, verdict]


def _bounds(value: float, width: float) -> tuple[float, float]:
    return (value - width, value + width) if np.isfinite(value) else (value, value)


def convergence_verdict(spectrum: xr.Dataset, *, level: float = 0.95) -> str:
    """Return "converged", or what to do: correlation, drift and the interval of the leading exponent decide."""
    exponents = spectrum["lyapunov_exponent"].values
    leading = int(np.argmax(exponents))
    value, width = exponents[leading], interval_widths(spectrum, level)[leading]
    if not np.isfinite(value):
        return "below resolution"
    finite = exponents[np.isfinite(exponents)]
    scale = max(abs(value), 0.1 * (finite.max() - finite.min()), 1e-300)
    growth, durations = spectrum["growth"].values[..., [leading]], spectrum["duration"].values
    rounding = 1e-12 / spectrum.attrs["dt"]
    independent = are_independent(spectrum)
    if growth.shape[1] >= _FEWEST_BLOCKS and np.isfinite(width):
        change, error, degrees = drift(growth, durations, independent=independent)
        if abs(change[0]) > half_width(_DRIFT_LEVEL, degrees)[0] * error[0] + 1e-9 * scale + rounding:
            # a slow wave in the growth looks the same, and a longer run tells them apart
            return "drifting: give a longer transient, or run longer"
        error, degrees = (spectrum[name].values[[leading]] for name in ("standard_error", "degrees_of_freedom"))
        parts = float(independent_parts(growth, durations, error, degrees, independent=independent)[0])
        # where an error bar several times as long would do as well, it does not matter
        scattered = independent and len(growth) >= SEQUENCES_FOR_SCATTER
        if parts < _FEWEST_PARTS and not scattered and width > 0.2 * _SETTLED * scale:
            total = durations.sum() if independent else durations.sum(axis=1).max()
            time_unit = _plural(spectrum.attrs["time_unit"])
            return (
                f"not converged: growth is correlated over about {_short(total / parts)} {time_unit}, "
                "run longer or with more sequences"
            )
    if width > 10 * _SETTLED * scale:
        return "not converged: run longer or with more sequences"
    return "converged" if width <= 2 * _SETTLED * scale else "roughly converged"


def _spectrum_rows(spectrum: xr.Dataset, level: float) -> list[list[Any]]:
    exponents = spectrum["lyapunov_exponent"].values
    errors, widths = spectrum["standard_error"].values, interval_widths(spectrum, level)
    k, n = exponents.size, spectrum.sizes["unit"]
    time_unit = spectrum.attrs["time_unit"]
    unit = f"nat / {time_unit}"
    state = convergence_verdict(spectrum, level=level)
    leading = int(np.argmax(exponents))
    largest, error, width = float(exponents[leading]), float(errors[leading]), float(widths[leading])
    rows = [
        _row("largest exponent", largest, error, _bounds(largest, width), unit, _sign_verdict(largest, width)),
    ]
    finite = np.isfinite(exponents)
    if finite.any():
        label = "mean exponent" if finite.all() and k == n else f"mean of {finite.sum()} exponents"
        mean = float(exponents[finite].mean())
        spread, degrees = error_of_sum(spectrum, finite / finite.sum())
        bounds = _bounds(mean, float(half_width(level, degrees)) * spread)
        rows.append(_row(label, mean, spread, bounds, unit, _volume(k, n, int(finite.sum()))))
    zeros = count_zero_exponents(spectrum, level=level)
    words, known = f"{zeros} of {k} exponents hold zero in their {100 * level:g} % interval", (zeros, zeros)
    if np.isinf(errors[finite]).any():
        words, known = "unknown: too few steps for error bars", (0, int(finite.sum()))
    rows.append(_row("zero exponents", zeros, 0.0, known, "1", words))
    for quantity, function, name, verdict in (
        ("Kaplan-Yorke dimension", kaplan_yorke_dimension, "dimension", f"of {n} dimensions"),
        ("entropy rate", entropy_rate, "entropy_rate", "upper bound: equality needs an SRB measure"),
    ):
        try:
            scalar = function(spectrum)
        except InputError:
            words = f"unknown from {k} of {n} exponents: ask for more (n_exponents)"
            rows.append(_row(quantity, np.nan, np.nan, (np.nan, np.nan), "1", words))
            continue
        value, spread = float(scalar[name]), float(scalar["standard_error"])
        rows.append(
            _row(quantity, value, spread, _scalar_bounds(scalar, value, level), scalar[name].attrs["units"], verdict)
        )
    memory = memory_time(spectrum, level=level)
    low, high = memory["interval"].values
    value = float(memory["memory_time"])
    words = f"memory {_short(value)} {_plural(time_unit)} [{_short(low)}, {_short(high)}], {state}"
    if np.isinf(low):
        words = f"does not forget: perturbations do not fade, {state}"
    rows.append(_row("memory time", value, float(memory["standard_error"]), (low, high), time_unit, words))
    lost = int(spectrum["below_resolution"].sum())
    if lost:
        words = f"{lost} of {k} exponents are -inf: {_why_lost(spectrum)}"
        rows.append(_row("below resolution", lost, 0.0, (lost, lost), "1", words))
    if "tolerance" in spectrum.attrs:
        steps = spectrum.attrs["n_steps"]
        rows.append(_row("steps", steps, 0.0, (steps, steps), "step", _ending(spectrum)))
    return rows


def _ending(spectrum: xr.Dataset) -> str:
    """Return what ended a run that was given a tolerance."""
    tolerance = spectrum.attrs["tolerance"]
    if spectrum.attrs["tolerance_reached"] == "True":
        return f"ended by tolerance: every standard error is below {tolerance:g}"
    largest = float(spectrum["standard_error"].max())
    return f"ended by n_steps: the largest standard error is {largest:.2g}, the tolerance was {tolerance:g}"


def _scalar_bounds(scalar: xr.Dataset, value: float, level: float) -> tuple[float, float]:
    degrees = scalar.attrs["degrees_of_freedom"]
    return _bounds(value, float(half_width(level, degrees)) * float(scalar["standard_error"]))


def _sign_verdict(value: float, width: float) -> str:
    if not np.isfinite(value):
        return "every perturbation dies at once"
    if np.isinf(width):
        return "unknown: too few steps for an error bar"
    if value - width > 0:
        return "chaotic: perturbations grow"
    if value + width < 0:
        return "stable: perturbations fade"
    return "marginal: zero lies in the interval"


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


def _short(value: float) -> str:
    """Return a time with the digits that its error leaves it, two or so."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _plural(unit: str) -> str:
    return {"step": "steps", "layer": "layers"}.get(unit, f"[{unit}]" if unit != "time" else "time units")


def _comparison_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    rows = []
    for name in result["comparison"].values:
        one = result.sel(comparison=name)
        difference, error = one["difference"].values, one["standard_error"].values
        unit = one["difference"].attrs["units"]
        widths = half_width(level, one["degrees_of_freedom"].values) * error
        with np.errstate(invalid="ignore"):
            clear = int((np.abs(difference) > widths).sum())
        verdict = f"{clear} of {difference.size} exponents differ clearly"
        bounds = _bounds(float(difference[0]), float(widths[0]))
        rows.append(_row(f"first exponent, {name}", float(difference[0]), float(error[0]), bounds, unit, verdict))
        distance, spread, none = float(one["spectrum_distance"]), float(one["distance_error"]), (np.nan, np.nan)
        verdict = _distance_verdict(float(one["distance_noise"]))
        rows.append(_row(f"spectrum distance, {name}", distance, spread, none, unit, verdict))
    return rows


def _distance_verdict(noise: float) -> str:
    return f"root mean square; equal spectra would show {noise:.2g}"


def _training_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    """Return what the last epoch that was measured says, and what changed since the first."""
    measured = result.isel(epoch=np.flatnonzero(~np.isnan(result["largest"].values)))
    failed = result.sizes["epoch"] - measured.sizes["epoch"]
    counted = f"{measured.sizes['epoch']} of {result.sizes['epoch']} epochs measured"
    rows = [_row("epochs that failed", failed, 0.0, (failed, failed), "1", counted)]
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
    verdict = _sign_verdict(values[1], width)
    rows.append(
        _row(f"largest exponent, epoch {epochs[1]}", values[1], errors[1], _bounds(values[1], width), unit, verdict)
    )
    if len(measured["epoch"]) > 1 and np.isfinite(values).all():
        change, error = values[1] - values[0], float(np.hypot(errors[0], errors[1]))
        bounds = _bounds(change, float(half_width(level, min(degrees))) * error)
        rows.append(
            _row(f"its change since epoch {epochs[0]}", change, error, bounds, unit, "errors taken as independent")
        )
    k, n = measured.sizes["exponent"], int(result.attrs["n_units"])
    for name in ("mean", "variance"):
        value, error = float(last[name]), float(last[f"{name}_error"])
        label = f"{name} of {k} exponents, epoch {epochs[1]}"
        none = (np.nan, np.nan)
        rows.append(_row(label, value, error, none, last[name].attrs["units"], f"the {k} leading of {n}, if finite"))
    zeros = float(last["n_zero"])
    words = f"{zeros:.0f} of {k} exponents hold zero in their 95 % interval"
    rows.append(_row(f"zero exponents, epoch {epochs[1]}", zeros, 0.0, (zeros, zeros), "1", words))
    return rows


def _scalar_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    rows = []
    for name in ("dimension", "entropy_rate", "memory_time", "spectrum_distance"):
        if name in result and "standard_error" in result:
            variable = result[name]
            value, error = float(variable), float(result["standard_error"])
            bounds = result["interval"].values if "interval" in result else _scalar_bounds(result, value, level)
            title = str(variable.attrs.get("long_name", name))
            verdict = _distance_verdict(float(result["noise"])) if name == "spectrum_distance" else ""
            rows.append(_row(title, value, error, bounds, str(variable.attrs.get("units", "1")), verdict))
    return rows


def _plain_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
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
            rows.append(_row(title, np.nan, np.nan, none, unit, str(variable.item())))
            continue
        value, bounds, verdict = float(variable), none, ""
        error = scalars.get(f"{name}_error", scalars.get("standard_error") if not rows else None)
        spread = np.nan if error is None or error.attrs.get("units") != variable.attrs.get("units") else float(error)
        if "degrees_of_freedom" in scalars and not rows:
            width = float(half_width(level, scalars["degrees_of_freedom"].values)) * spread
            bounds = _bounds(value, width)
            verdict = _sign_verdict(value, width) if name == "lyapunov_exponent" else ""
        rows.append(_row(title, value, spread, bounds, unit, verdict))
    return rows
