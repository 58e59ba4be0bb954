"""Gain scaling: the stimulus that shows it, and how steady gains depend on the amplitude of the stimulus."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.stats
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.adaptation.exponential import corrected_information, fit_exponential, logarithm, near_one, rounding_floor
from dynet.adaptation.series import series_along
from dynet.typing import ArrayLike, Rng

__all__ = ["fit_gain_scaling", "gain_scaling_stimulus"]

_MODELS = ("power", "exponential", "constant")
_NAMES = ("a", "b", "c")
_LEVEL = 0.95
#: A law whose AICc is higher than that of the other one by more has no support (Burnham & Anderson).
_NO_SUPPORT = 10.0
_REFERENCE = "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567; Hurvich & Tsai (1989) doi:10.1093/biomet/76.2.297"


def gain_scaling_stimulus(
    levels: ArrayLike = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0),
    *,
    n_steps: int = 200,
    background: float = 0.01,
    rng: Rng = None,
) -> xr.DataArray:
    """Return white noise that is weak, then of each level, then weak again.

    Parameters
    ----------
    levels : array (level,)
        Standard deviations xi of the middle part, positive.
    n_steps : int, default 200
        Length of each of the three parts.
    background : float, default 0.01
        Standard deviation of the first and the last part.
    rng : Generator or int, optional
        Source of the noise, independent for each level; None means ``default_rng(0)``.

    Returns
    -------
    xarray.DataArray
        Stimulus ``(level, time)``; the coordinate ``part`` is "before", "during" or "after" along ``time``.

    Raises
    ------
    InputError
        If a level is not positive, or the length is not a positive whole number.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567; Fairhall et al. (2001), doi:10.1038/35090500.

    Examples
    --------
    >>> import dynet
    >>> stimulus = dynet.gain_scaling_stimulus([1.0, 30.0], rng=1)
    >>> stimulus.sizes["time"], bool(stimulus.sel(level=30.0)[stimulus.part == "during"].std() > 20)
    (600, True)
    """
    faults = Faults()
    xi = np.atleast_1d(faults.real_array("levels", levels, finite=True))
    if xi.ndim != 1 or xi.size == 0 or not (xi > 0).all():
        faults.add("levels", levels, "give one or more positive standard deviations")
    faults.integer("n_steps", n_steps, 1)
    faults.positive("background", background)
    faults.raise_if_any()
    parts = np.repeat(["before", "during", "after"], n_steps)
    deviation = np.where(parts == "during", xi[:, None], background)
    noise = np.random.default_rng(0 if rng is None else rng).standard_normal(deviation.shape)
    return xr.DataArray(
        deviation * noise,
        dims=("level", "time"),
        coords={
            "level": ("level", xi, {"long_name": "standard deviation of the middle part"}),
            "time": ("time", np.arange(parts.size), {"units": "step"}),
            "part": ("time", parts),
        },
        attrs={"long_name": "stimulus", "units": "1"},
    )


def fit_gain_scaling(gain: xr.DataArray, *, dim: str) -> xr.Dataset:
    r"""Fit a power law, an exponential and a constant to steady gains (or saturations) against stimulus levels.

    Power law :math:`a \xi^{-b} + c`, exponential :math:`a e^{-b \xi} + c`, constant c.

    Parameters
    ----------
    gain : DataArray (..., level)
        Steady values; the coordinate ``dim`` holds the levels, positive, at least 6 different ones. Other dimensions
        are fitted one by one.
    dim : str
        Dimension of the levels.

    Returns
    -------
    xarray.Dataset
        ``parameter(model, name)`` of the models "power", "exponential" and "constant", with the names a, b, c;
        ``interval(model, name, bound)`` of 95 %; ``residual(model, <dim>)``; ``aicc(model)``, the least of which
        names ``best_model``. Other dimensions of ``gain`` stand in front.

    Raises
    ------
    InputError
        If there are too few levels, or values are not finite.

    Warns
    -----
    UserWarning
        If the interval of b spans 0, in a law that the other one does not beat by more than 10 in AICc: the levels do
        not tell a fall from a rise, or a bend from a straight line (for the power law against the logarithm of the
        level), and a and c have no bound.

    Notes
    -----
    With few levels a, b and c trade against each other, so the intervals are projections of the likelihood region
    (least squares with independent errors of one unknown variance, t with the degrees of freedom left), neither
    symmetric nor always finite. A gain that does not change with the level leaves a and b NaN.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567; Hurvich & Tsai (1989), doi:10.1093/biomet/76.2.297.

    Examples
    --------
    >>> import dynet, xarray as xr, numpy as np
    >>> xi = np.array([1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0])
    >>> noise = 0.01 * np.array([1, -1, 0, 1, -1, 1, -1])
    >>> gain = xr.DataArray(4 * xi**-0.8 + 1 + noise, dims="level", coords={"level": xi})
    >>> ds = dynet.fit_gain_scaling(gain, dim="level")
    >>> str(ds.best_model.values), ds.parameter.sel(model="power").values.round(1)
    ('power', array([4. , 0.8, 1. ]))
    """
    series = series_along(
        "gain", gain, dim, least=6, why="AICc of three parameters and a variance needs at least 6", positive=True
    )
    fits = [_fits(series.points, row) for row in series.values]
    parameters, intervals, residuals, information = (series.labelled([fit[i] for fit in fits]) for i in range(4))
    _warn_of_flat_rates(intervals, information)
    lead = series.dims
    units = series.units
    variables = {
        "parameter": ((*lead, "model", "name"), parameters, "parameter of the model", "1"),
        "interval": ((*lead, "model", "name", "bound"), intervals, "95 % interval of the parameter", "1"),
        "residual": ((*lead, "model", dim), residuals, "gain less model", units),
        "aicc": ((*lead, "model"), information, "corrected Akaike information criterion", "1"),
        "best_model": (lead, np.array(_MODELS)[np.argmin(information, axis=-1)], "model of least AICc", "1"),
    }
    coords = {**series.coords, "model": list(_MODELS), "name": list(_NAMES), "bound": ["lower", "upper"]}
    attrs = {
        "title": "Gain scaling",
        "method": "least squares; projections of the profile likelihood region",
        "references": _REFERENCE,
        "level": _LEVEL,
        "n_levels": series.points.size,
    }
    return dataset(variables, coords, attrs)


def _fits(xi: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters (model, 3), intervals (model, 3, 2), residuals (model, m) and AICc (model,)."""
    m = xi.size
    parameters, intervals = np.full((3, 3), np.nan), np.full((3, 3, 2), np.nan)
    residuals, information = np.empty((3, m)), np.empty(3)
    for i, points in enumerate((np.log(xi), xi)):
        fit = fit_exponential(points, gain, _LEVEL)
        parameters[i] = fit.amplitude, fit.rate, fit.offset
        intervals[i] = fit.amplitude_interval, fit.rate_interval, fit.offset_interval
        residuals[i], information[i] = fit.residual, corrected_information(fit.log_sum_of_squares, m, 3)
    scaled, power = near_one(gain)
    mean = scaled.mean()
    squares = max(float(np.sum((scaled - mean) ** 2)), rounding_floor(scaled))
    half = scipy.stats.t.ppf((1 + _LEVEL) / 2, m - 1) * np.sqrt(squares / (m - 1) / m)
    with np.errstate(over="ignore"):
        residuals[2], parameters[2, 2] = np.ldexp(scaled - mean, power), np.ldexp(mean, power)
        intervals[2, 2] = np.ldexp([mean - half, mean + half], power)
    information[2] = corrected_information(logarithm(squares) + 2 * power * np.log(2), m, 1)
    return parameters, intervals, residuals, information


def _warn_of_flat_rates(intervals: np.ndarray, information: np.ndarray) -> None:
    ends = intervals[..., :2, 1, :].reshape(-1, 2, 2)
    laws = information[..., :2].reshape(-1, 2)
    supported = laws - laws.min(axis=-1, keepdims=True) <= _NO_SUPPORT
    spans = supported & (ends[..., 0] <= 0) & (ends[..., 1] >= 0)
    for i, model in enumerate(_MODELS[:2]):
        if spans[:, i].any():
            count = f" for {int(spans[:, i].sum())} of {len(spans)} gains" if len(spans) > 1 else ""
            warnings.warn(
                f"the interval of b of the {model} model spans 0{count}: the levels do not settle b, and neither a nor "
                "c; give more levels or less noise",
                UserWarning,
                stacklevel=3,
            )
