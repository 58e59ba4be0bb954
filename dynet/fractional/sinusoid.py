"""The fractional order seen by sinusoids: phase lead and slope of the gain."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.fractional.series import broadcast_values, matched_spacing, named_series

__all__ = ["sinusoid_order"]

_FEWEST = 3
#: An amplitude that is smaller than this, relative to the largest sample, is rounding.
_ABSENT = 1e-10


def sinusoid_order(
    response: xr.DataArray,
    stimulus: xr.DataArray,
    *,
    dim: str = "time",
    frequency: str = "frequency",
    after: float | None = None,
    level: float = 0.95,
) -> xr.Dataset:
    r"""Return the fractional order of responses to sinusoids of several frequencies.

    A fractional derivative leads its sinusoid by :math:`a \pi / 2` at all frequencies, and its gain grows as
    :math:`f^a`: two estimates of one number, which agree if the response is one.

    Parameters
    ----------
    response : DataArray
        Responses, with a dimension of time and one of frequency, whose coordinate holds the frequencies, in cycles per
        unit of time.
    stimulus : DataArray
        The sinusoids, with both dimensions, of any amplitude, phase and offset.
    dim : str, default "time"
        Dimension of time.
    frequency : str, default "frequency"
        Dimension of the frequencies; three at least.
    after : float, optional
        Time from which on samples count, when the onset has faded; all of them if not given.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    xarray.Dataset
        ``phase_order`` from the mean phase lead and ``gain_order`` from the slope of the log gain, with
        ``phase_order_interval(bound)`` and ``gain_order_interval(bound)`` from the scatter over frequencies; ``gain``
        and ``phase_lead`` (in radians, from -pi to pi) of every frequency; ``residual``, the share of the response's
        variance that is no sinusoid of its frequency; ``message``, empty or why orders are NaN. All have the other
        dimensions of ``response`` in front.

    Raises
    ------
    InputError
        If an argument cannot be used, or a record is shorter than a cycle.

    Notes
    -----
    Phases count as the lead nearest to zero, so that orders beyond 2 either way cannot be told; a gain that is
    negative reads as a phase of pi.

    References
    ----------
    Lundstrom, Higgs, Spain & Fairhall (2008), doi:10.1038/nn.2212.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> t = xr.DataArray(np.arange(1000) / 1000, dims="time", coords={"time": np.arange(1000) / 1000})
    >>> f = xr.DataArray([2.0, 4.0, 8.0], dims="frequency", coords={"frequency": [2.0, 4.0, 8.0]})
    >>> stimulus = np.sin(2 * np.pi * f * t)
    >>> response = dynet.fractional_derivative(stimulus, 0.2, method="fourier")
    >>> fit = dynet.sinusoid_order(response, stimulus)
    >>> round(float(fit.phase_order), 6), round(float(fit.gain_order), 6)
    (0.2, 0.2)
    """
    faults = Faults()
    for name, given in (("response", response), ("stimulus", stimulus)):
        if not isinstance(given, xr.DataArray) or {dim, frequency} - set(given.dims):
            faults.add(name, type(given).__name__, f"give a DataArray with the dimensions {dim} and {frequency}")
    if not (is_number(level) and 0 < level < 1):
        faults.add("level", level, "give a level in (0, 1), such as 0.95")
    if after is not None and not is_number(after):
        faults.add("after", after, "give a time, or None for all samples")
    faults.raise_if_any()
    r, s = (named_series(faults, name, x, dim, None) for name, x in (("response", response), ("stimulus", stimulus)))
    step = matched_spacing(faults, r, s, dim, None)
    r, s = r.transpose(..., frequency, dim), s.transpose(..., frequency, dim)
    f = faults.real_array(frequency, r[frequency].values, finite=True)
    if frequency not in r.coords or not ((f > 0) & (f < 0.5 / step)).all() or np.unique(f).size < _FEWEST:
        least = f"three different ones between 0 and half the sampling rate, {0.5 / step:g}, as its coordinate"
        faults.add(frequency, f, f"give {least}")
    faults.raise_if_any()
    t = r[dim].values.astype(float) if dim in r.coords else np.arange(r.sizes[dim]) * step
    kept = t >= (t[0] if after is None else after)
    if kept.sum() * step * f.min() < 1 - 1e-9:
        left = f"{kept.sum() * step:g} of time are left"
        faults.add("after", after, f"{left}, less than a cycle of frequency {f.min():g}")
    faults.raise_if_any()
    drive, _ = _components(broadcast_values(s, r)[..., kept], t[kept], f)
    absent = np.abs(drive) <= _ABSENT * np.abs(s.values).max()
    if absent.any():
        at = f[np.argwhere(absent)[0][-1]]
        faults.say(f"stimulus: it has no sinusoid of frequency {at:g} where frequency is {at:g}")
    faults.raise_if_any()
    answer, share = _components(r.values[..., kept], t[kept], f)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = answer / drive
        lead, gain = np.angle(ratio), np.abs(ratio)
        phase = _phase_order(lead, level)
        slope = _gain_order(np.log(gain), np.log(f), level)
    silent = (np.abs(answer) <= _ABSENT * np.abs(r.values).max(axis=-1)).any(axis=-1)
    orders = {"phase": phase, "gain": slope}
    for name, (order, ends) in orders.items():
        orders[name] = np.where(silent, np.nan, order), np.where(silent[..., None], np.nan, ends)
    return _label(r, dim, frequency, orders, gain, lead, share, silent, level)


def _components(values: np.ndarray, t: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the complex amplitude of each frequency (..., frequency) and the share of variance that is left."""
    amplitudes, shares = [], []
    for i, one in enumerate(f):
        angle = 2 * np.pi * one * t
        basis = np.stack([np.cos(angle), np.sin(angle), np.ones_like(t)], axis=1)
        rows = values[..., i, :]
        coefficients = rows @ np.linalg.pinv(basis).T
        amplitudes.append(coefficients[..., 0] - 1j * coefficients[..., 1])
        variance = rows.var(axis=-1)
        left = ((rows - coefficients @ basis.T) ** 2).mean(axis=-1)
        shares.append(np.divide(left, variance, out=np.full_like(left, np.nan), where=variance > 0))
    return np.stack(amplitudes, axis=-1), np.stack(shares, axis=-1)


def _phase_order(lead: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    # around their mean direction, so that leads next to pi and -pi are neighbours
    around = np.exp(1j * lead)
    mean = np.angle(around.mean(axis=-1, keepdims=True))
    orders = (mean + np.angle(around * np.exp(-1j * mean))) / (np.pi / 2)
    n = lead.shape[-1]
    width = stats.t.ppf(0.5 + level / 2, n - 1) * orders.std(axis=-1, ddof=1) / np.sqrt(n)
    order = orders.mean(axis=-1)
    return order, np.stack([order - width, order + width], axis=-1)


def _gain_order(log_gain: np.ndarray, log_f: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    n = log_f.size
    x = log_f - log_f.mean()
    deviations = log_gain - log_gain.mean(axis=-1, keepdims=True)
    slope = deviations @ x / (x @ x)
    squares = ((deviations - slope[..., None] * x) ** 2).sum(axis=-1)
    width = stats.t.ppf(0.5 + level / 2, n - 2) * np.sqrt(squares / (n - 2) / (x @ x))
    return slope, np.stack([slope - width, slope + width], axis=-1)


def _label(
    r: xr.DataArray,
    dim: str,
    frequency: str,
    orders: dict[str, tuple[np.ndarray, np.ndarray]],
    gain: np.ndarray,
    lead: np.ndarray,
    share: np.ndarray,
    silent: np.ndarray,
    level: float,
) -> xr.Dataset:
    front = tuple(str(d) for d in r.dims[:-2])
    variables: dict[str, Any] = {}
    for name, what in (("phase", "mean phase lead"), ("gain", "slope of the log gain")):
        value, ends = orders[name]
        variables[f"{name}_order"] = (front, value, f"fractional order from the {what}", "1")
        variables[f"{name}_order_interval"] = ((*front, "bound"), ends, f"{100 * level:g} % interval", "1")
    each = (*front, frequency)
    variables["gain"] = (each, gain, "gain", "1")
    variables["phase_lead"] = (each, lead, "phase lead of the response", "rad")
    variables["residual"] = (each, share, "share of the variance that is no sinusoid of the frequency", "1")
    reason = "no response at some frequency: its order is not defined"
    variables["message"] = (front, np.where(silent, reason, ""), "why there is no order", "")
    coords: dict[Any, Any] = {name: c for name, c in r.coords.items() if dim not in c.dims}
    attrs = {
        "title": "Fractional order from sinusoids",
        "method": "least squares of sine, cosine and offset at every frequency",
        "references": "Lundstrom et al. (2008) doi:10.1038/nn.2212",
        "level": level,
    }
    return dataset(variables, {"bound": ["lower", "upper"], **coords}, attrs)
