"""Kinetics of adaptation: onset, steady state and time constant of a response to a step."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.adaptation.exponential import ExponentialFit, fit_exponential, near_one
from dynet.adaptation.series import series_along

__all__ = ["fit_adaptation"]

_NAMES = ("onset", "steady_state", "time_constant")
_LEVEL = 0.95
_REFERENCES = "Benda & Herz (2003) doi:10.1162/089976603322385063; Liu & Wang (2001) doi:10.1023/A:1008916026143"


def fit_adaptation(trace: xr.DataArray, *, dim: str = "time", window: float = 0.1) -> xr.Dataset:
    r"""Fit an exponential approach to a steady state, and return indices of adaptation.

    :math:`r(t) = r_\infty + (r_0 - r_\infty) e^{-(t - t_0) / \tau}`, :math:`t_0` being the first time of the trace.

    Parameters
    ----------
    trace : DataArray (..., time)
        Responses, gains or saturations from the onset of a step on; at least 6 different times. Other dimensions are
        fitted one by one.
    dim : str, default "time"
        Dimension of time.
    window : float, default 0.1
        Part of the trace that counts as early, and as late, for the contrast index.

    Returns
    -------
    xarray.Dataset
        ``parameter(name)``: "onset", "steady_state" and "time_constant"; ``interval(name, bound)`` of 95 %;
        ``residual(<dim>)``; ``r_squared``; two indices: ``contrast_index``, (early - late) / (early + late) of means
        over the windows, and ``liu_wang_index``, (onset - steady state) / onset of the fit. Both are positive for
        responses that adapt, and NaN where they have no meaning: for means of unlike sign or both zero, for an onset
        that is not positive, or without a steady state. Other dimensions of ``trace`` stand in front.

    Raises
    ------
    InputError
        If there are too few times, or values are not finite.

    Warns
    -----
    UserWarning
        If the trace does not tell a steady state: the time constant then has no upper bound.

    Notes
    -----
    Intervals are projections of the likelihood region for independent errors of one unknown variance: errors that
    are correlated in time make them too short. If the trace bends away from a steady state, time constant and steady
    state are NaN.

    References
    ----------
    Benda & Herz (2003), doi:10.1162/089976603322385063; Liu & Wang (2001), doi:10.1023/A:1008916026143.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> t = np.arange(100.0)
    >>> trace = xr.DataArray(2 + 3 * np.exp(-t / 12), dims="time", coords={"time": t})
    >>> ds = dynet.fit_adaptation(trace)
    >>> ds.parameter.values.round(6), float(ds.liu_wang_index.round(6))
    (array([ 5.,  2., 12.]), 0.6)
    """
    faults = Faults()
    if not (is_number(window) and 0 < window <= 0.5):
        faults.add("window", window, "give a part of the trace in (0, 0.5]")
    faults.raise_if_any()
    series = series_along("trace", trace, dim, least=6, why="three parameters with intervals need at least 6")
    fits = [fit_exponential(series.points, row, _LEVEL) for row in series.values]
    parameters = np.array([_parameters(fit) for fit in fits])
    intervals = np.array([_intervals(fit) for fit in fits])
    lost = np.isinf(intervals[:, 2, 1]) | np.isnan(parameters[:, 2])
    if lost.any():
        count = f" in {int(lost.sum())} of {len(fits)} traces" if len(fits) > 1 else ""
        warnings.warn(
            f"the trace tells no steady state{count}: the time constant has no upper bound; record longer",
            UserWarning,
            stacklevel=2,
        )
    near = [near_one(row) for row in series.values]
    scaled = np.array([row for row, _ in near])
    explained = np.array([_explained(row, power, fit) for (row, power), fit in zip(near, fits, strict=True)])
    order = np.argsort(series.points, kind="stable")
    width = max(1, round(window * order.size))
    early, late = (scaled[:, chosen].mean(axis=1) for chosen in (order[:width], order[-width:]))
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = np.where((early * late < 0) | (early + late == 0), np.nan, (early - late) / (early + late))
        onset, steady = parameters[:, 0], parameters[:, 1]
        relative = np.where(onset > 0, (onset - steady) / onset, np.nan)
    lead = series.dims
    time_unit = series.point_units
    variables = {
        "parameter": ((*lead, "name"), series.labelled(list(parameters)), "onset, steady state, time constant", "1"),
        "interval": ((*lead, "name", "bound"), series.labelled(list(intervals)), "95 % interval", "1"),
        "residual": ((*lead, dim), series.labelled([fit.residual for fit in fits]), "trace less fit", series.units),
        "r_squared": (lead, series.labelled(list(explained)), "part of the variance that the fit explains", "1"),
        "contrast_index": (lead, series.labelled(list(contrast)), "(early - late) / (early + late)", "1"),
        "liu_wang_index": (lead, series.labelled(list(relative)), "(onset - steady state) / onset", "1"),
    }
    units = ("name", [series.units, series.units, time_unit])
    coords = {**series.coords, "name": list(_NAMES), "parameter_units": units, "bound": ["lower", "upper"]}
    attrs = {
        "title": "Kinetics of adaptation",
        "method": "least squares; projections of the profile likelihood region",
        "references": _REFERENCES,
        "level": _LEVEL,
        "window": float(window),
    }
    return dataset(variables, coords, attrs)


def _explained(scaled: np.ndarray, power: int, fit: ExponentialFit) -> float:
    """Return the part of the variance of a trace, divided by a power of two, that its fit explains."""
    if np.isnan(fit.rate):
        return np.nan
    left = np.ldexp(fit.residual, -power)
    return float(1 - np.sum(left**2) / np.sum((scaled - scaled.mean()) ** 2))


def _parameters(fit: ExponentialFit) -> tuple[float, float, float]:
    if np.isnan(fit.rate):
        return fit.offset, fit.offset, np.nan
    if fit.rate <= 0:
        return fit.start, np.nan, np.nan
    return fit.start, fit.offset, 1 / fit.rate


def _intervals(fit: ExponentialFit) -> np.ndarray:
    if np.isnan(fit.rate):
        return np.array([fit.offset_interval, fit.offset_interval, [np.nan, np.nan]])
    low, high = fit.rate_interval
    slowest = 1 / low if low > 0 else np.inf
    fastest = 1 / high if high > 0 else np.inf
    return np.array([fit.start_interval, fit.offset_interval, [fastest, slowest]])
