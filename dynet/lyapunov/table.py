"""A result as a table that reads itself: quantity, value, error, unit and a verdict in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dynet._validate import shown
from dynet.errors import InputError
from dynet.lyapunov.dimension import (
    count_zero_exponents,
    entropy_rate,
    error_of_sum,
    half_width,
    kaplan_yorke_dimension,
    memory_time,
    require_leading,
)

__all__ = ["summary"]

COLUMNS = ["quantity", "value", "standard_error", "lower", "upper", "unit", "verdict"]
#: A quantity has settled when its interval is this fraction of the spectrum's own scale, or less.
_SETTLED = 0.1


def summary(result: xr.Dataset, *, level: float = 0.95) -> pd.DataFrame:
    """Return what a result says, as a table with a verdict in words.

    Parameters
    ----------
    result : Dataset
        From `lyapunov_spectrum`, `compare`, `kaplan_yorke_dimension`, `entropy_rate` or `memory_time`.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        Columns quantity, value, standard_error, lower, upper, unit, verdict.

    Raises
    ------
    InputError
        If ``result`` is not a result of dynet.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.zoo.linear_map(np.diag([0.98, 0.5]))
    >>> ds = dynet.lyapunov_spectrum(system, [0.0, 0.0], 500, initial_frame=np.eye(2))
    >>> print(dynet.summary(ds).set_index("quantity").verdict["memory time"])
    memory 49 steps [49, 49], converged
    """
    if isinstance(result, xr.Dataset):
        if "lyapunov_exponent" in result and "growth" in result:
            require_leading(result)
            rows = _spectrum_rows(result, level)
        elif "difference" in result and "comparison" in result.dims:
            rows = _comparison_rows(result, level)
        else:
            rows = _scalar_rows(result, level)
        if rows:
            return pd.DataFrame(rows, columns=COLUMNS)
    raise InputError(f"result={shown(type(result).__name__)}: give a Dataset that an analysis of dynet returned")


def _row(quantity: str, value: float, error: float, unit: str, verdict: str, bounds: Any, level: float) -> list[Any]:
    if bounds is None:
        width = half_width(level) * error
        bounds = (value - width, value + width) if np.isfinite(value) else (value, value)
    return [quantity, value, error, float(bounds[0]), float(bounds[1]), unit, verdict]


def convergence_verdict(spectrum: xr.Dataset, *, level: float = 0.95) -> str:
    """Return "converged", or what to do: the leading exponent's interval and drift decide."""
    exponents = spectrum["lyapunov_exponent"].values
    errors = spectrum["standard_error"].values
    leading = int(np.argmax(exponents))
    value, error = exponents[leading], errors[leading]
    if not np.isfinite(value):
        return "below resolution"
    width = half_width(level) * error
    finite = exponents[np.isfinite(exponents)]
    scale = max(abs(value), 0.1 * (finite.max() - finite.min()), 1e-300)
    if width > 10 * _SETTLED * scale:
        return "not converged: run longer or with more sequences"
    growth = spectrum["growth"].values[..., leading]
    durations = spectrum["duration"].values
    half = growth.shape[1] // 2
    if half >= 5:
        # a drift that outlasts the first half shows as halves that disagree beyond their error
        early = np.nansum(growth[:, :half]) / durations[:, :half].sum()
        late = np.nansum(growth[:, half:]) / durations[:, half:].sum()
        if abs(late - early) > 6 * error + 1e-9 * scale:
            return "drifting: give a longer transient"
    return "converged" if width <= 2 * _SETTLED * scale else "roughly converged"


def _spectrum_rows(spectrum: xr.Dataset, level: float) -> list[list[Any]]:
    exponents = spectrum["lyapunov_exponent"].values
    errors = spectrum["standard_error"].values
    k, n = exponents.size, spectrum.sizes["unit"]
    time_unit = spectrum.attrs["time_unit"]
    unit = f"nat / {time_unit}"
    state = convergence_verdict(spectrum, level=level)
    leading = int(np.argmax(exponents))
    largest, error = float(exponents[leading]), float(errors[leading])
    rows = [
        _row("largest exponent", largest, error, unit, _sign_verdict(largest, error, level), None, level),
    ]
    finite = np.isfinite(exponents)
    if finite.any():
        label = "mean exponent" if finite.all() and k == n else f"mean of {finite.sum()} exponents"
        mean, spread = float(exponents[finite].mean()), error_of_sum(spectrum, finite / finite.sum())
        rows.append(_row(label, mean, spread, unit, _volume(k, n, int(finite.sum())), None, level))
    zeros = count_zero_exponents(spectrum, level=level)
    words = f"{zeros} of {k} exponents hold zero in their {100 * level:g} % interval"
    if np.isinf(errors[finite]).any():
        words = "unknown: too few steps for error bars"
    rows.append(_row("zero exponents", zeros, 0.0, "1", words, (zeros, zeros), level))
    for quantity, function, name, verdict in (
        ("Kaplan-Yorke dimension", kaplan_yorke_dimension, "dimension", f"of {n} dimensions"),
        ("entropy rate", entropy_rate, "entropy_rate", "upper bound: equality needs an SRB measure"),
    ):
        try:
            scalar = function(spectrum)
        except InputError:
            words = f"unknown from {k} of {n} exponents: ask for more (n_exponents)"
            rows.append(_row(quantity, np.nan, np.nan, "1", words, (np.nan, np.nan), level))
            continue
        value, spread = float(scalar[name]), float(scalar["standard_error"])
        rows.append(_row(quantity, value, spread, scalar[name].attrs["units"], verdict, None, level))
    memory = memory_time(spectrum, level=level)
    bounds = memory["interval"].values
    value = float(memory["memory_time"])
    words = f"memory {_short(value)} {_plural(time_unit)} [{_short(bounds[0])}, {_short(bounds[1])}], {state}"
    if np.isinf(bounds[0]):
        words = f"does not forget: perturbations do not fade, {state}"
    rows.append(_row("memory time", value, float(memory["standard_error"]), time_unit, words, bounds, level))
    lost = int(spectrum["below_resolution"].sum())
    if lost:
        words = f"{lost} of {k} exponents are -inf: {_why_lost(spectrum)}"
        rows.append(_row("below resolution", lost, 0.0, "1", words, (lost, lost), level))
    return rows


def _sign_verdict(value: float, error: float, level: float) -> str:
    width = half_width(level) * error
    if not np.isfinite(value):
        return "every perturbation dies at once"
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
    """Return why exponents are -inf: in every block, as singular Jacobians make them, or only in some."""
    lost = spectrum["growth"].values[..., spectrum["below_resolution"].values]
    if np.isneginf(lost).all():
        return "singular Jacobian, or contraction beyond rounding"
    wider = ", which float64 may resolve" if spectrum.attrs["dtype"] == "float32" else ""
    return f"some steps contract beyond the resolution of {spectrum.attrs['dtype']}{wider}"


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
        with np.errstate(invalid="ignore"):
            clear = int((np.abs(difference) > half_width(level) * error).sum())
        verdict = f"{clear} of {difference.size} exponents differ clearly"
        value, spread = float(difference[0]), float(error[0])
        rows.append(
            _row(
                f"first exponent, {name}",
                value,
                spread,
                one["difference"].attrs["units"],
                verdict,
                None,
                level,
            )
        )
        distance = float(one["spectrum_distance"])
        rows.append(
            _row(
                f"spectrum distance, {name}",
                distance,
                np.nan,
                one["difference"].attrs["units"],
                "root mean square",
                (np.nan, np.nan),
                level,
            )
        )
    return rows


def _scalar_rows(result: xr.Dataset, level: float) -> list[list[Any]]:
    rows = []
    for name in ("dimension", "entropy_rate", "memory_time"):
        if name in result and "standard_error" in result:
            variable = result[name]
            bounds = result["interval"].values if "interval" in result else None
            error = float(result["standard_error"])
            title = str(variable.attrs.get("long_name", name))
            rows.append(_row(title, float(variable), error, str(variable.attrs.get("units", "1")), "", bounds, level))
    return rows
