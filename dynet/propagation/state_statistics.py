"""What states themselves say of dimension and memory, to stand beside what exponents say."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults

__all__ = ["autocorrelation_time", "participation_ratio"]

#: Pieces of a trajectory from whose scatter error bars are made, at least.
_PIECES = 10
#: States that differ by less, relative to their mean, do not move.
_ROUNDING = 1e-14


def participation_ratio(trajectory: xr.Dataset) -> xr.Dataset:
    r"""Return the number of principal components that the states fill, :math:`(\sum_i c_i)^2 / \sum_i c_i^2`.

    The c are the variances along the principal components. This is the dimension of a cloud of states; that of the
    attractor, from its exponents (`kaplan_yorke_dimension`), may be smaller or larger.

    Parameters
    ----------
    trajectory : Dataset
        From `simulate`, without its transient (``trajectory.isel(time=slice(n_transient, None))``).

    Returns
    -------
    Dataset
        ``participation_ratio``, 0 if the states do not move; ``standard_error``, by the jackknife over pieces of time
        and sequences; ``variance_fraction(component)``.

    Raises
    ------
    InputError
        If ``trajectory`` is not one, or too short.

    References
    ----------
    Abbott, Rajan & Sompolinsky (2011), in The Dynamic Brain, Oxford University Press; Gao et al. (2017),
    doi:10.1101/214262.

    Examples
    --------
    >>> import dynet
    >>> circle = dynet.simulate(dynet.zoo.stuart_landau(), [1.0, 0.0], duration=200.0, dt=0.05)
    >>> float(dynet.participation_ratio(circle).participation_ratio.round(2))
    2.0
    """
    pieces = _pieces(trajectory)
    mean = np.concatenate(pieces).mean(axis=0)
    pieces = [piece - mean for piece in pieces]  # large means would take digits from small variances
    largest = max(np.abs(piece).max() for piece in pieces)
    if largest <= _ROUNDING * np.abs(mean).max():
        pieces = [np.zeros_like(piece) for piece in pieces]
    counts = np.array([len(piece) for piece in pieces])
    sums = np.stack([piece.sum(axis=0) for piece in pieces])
    squares = np.stack([piece.T @ piece for piece in pieces])
    variances = np.linalg.eigvalsh(_covariance(counts, sums, squares))[::-1]
    variances = np.maximum(variances, 0.0)
    total = variances.sum()
    left_out = [
        _ratio(_covariance(*(np.delete(array, k, axis=0) for array in (counts, sums, squares))))
        for k in range(len(pieces))
    ]
    value = _ratio(_covariance(counts, sums, squares))
    return dataset(
        {
            "participation_ratio": ((), value, "participation ratio of the states", "1"),
            "standard_error": ((), _jackknife(left_out), "standard error", "1"),
            "variance_fraction": (
                ("component",),
                variances / total if total > 0 else np.zeros(variances.size),
                "fraction of the variance along each principal component",
                "1",
            ),
        },
        {"component": np.arange(1, variances.size + 1)},
        {
            "title": "Participation ratio",
            "method": "principal components, jackknife over pieces",
            "references": "Abbott, Rajan & Sompolinsky (2011) in The Dynamic Brain",
            "n_pieces": len(pieces),
        },
    )


def autocorrelation_time(trajectory: xr.Dataset) -> xr.Dataset:
    r"""Return the time in which the autocorrelation of the states falls to 1/e.

    The autocorrelation is that of the whole state, :math:`\sum_i \langle \delta x_i(t) \delta x_i(t + \tau) \rangle`
    over its value at zero. Of a linear system of one rate under white noise it falls as :math:`e^{\lambda_1 \tau}`, and
    the time is that of `memory_time`, :math:`-1/\lambda_1`; in general the two differ.

    Parameters
    ----------
    trajectory : Dataset
        From `simulate`, without its transient.

    Returns
    -------
    Dataset
        ``autocorrelation(lag)``; ``autocorrelation_time``, infinite if 1/e is not reached within a piece of the
        trajectory (a tenth of it, or a sequence); ``standard_error``, by the jackknife over pieces.

    Raises
    ------
    InputError
        If ``trajectory`` is not one, or too short.

    References
    ----------
    Toyoizumi & Abbott (2011), doi:10.1103/PhysRevE.84.051908.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> noise = np.random.default_rng(0).standard_normal((20_000, 1))
    >>> net = dynet.networks.random_tanh(1, 1e-6, 0.1, W_xh=[[1.0]])
    >>> slow = dynet.simulate(net, [0.0], 20_000, inputs=noise)
    >>> ds = dynet.autocorrelation_time(slow)
    >>> bool(abs(ds.autocorrelation_time + 1 / np.log(0.9)) < 3 * ds.standard_error)
    True
    """
    pieces = _pieces(trajectory)
    mean = np.concatenate(pieces).mean(axis=0)
    n_lags = min(len(piece) for piece in pieces) // 2 + 1
    products = np.stack([_lagged(piece - mean, n_lags) for piece in pieces])
    counts = np.stack([len(piece) - np.arange(n_lags) for piece in pieces])
    times = trajectory["time"].values
    dt = float(times[1] - times[0])

    def correlation(keep: Any) -> np.ndarray:
        covariance = products[keep].sum(axis=0) / counts[keep].sum(axis=0)
        return covariance / covariance[0] if covariance[0] > 0 else np.ones(n_lags)

    whole = correlation(slice(None))
    value = dt * _crossing(whole)
    left_out = [dt * _crossing(correlation(np.arange(len(pieces)) != k)) for k in range(len(pieces))]
    unit = str(trajectory["time"].attrs.get("units", "step"))
    return dataset(
        {
            "autocorrelation": (("lag",), whole, "autocorrelation of the state", "1"),
            "autocorrelation_time": ((), value, "time in which the autocorrelation falls to 1/e", unit),
            "standard_error": ((), _jackknife(left_out), "standard error", unit),
        },
        {"lag": ("lag", dt * np.arange(n_lags), {"units": unit})},
        {
            "title": "Autocorrelation time",
            "method": "autocorrelation of the whole state, jackknife over pieces",
            "references": "Toyoizumi & Abbott (2011) doi:10.1103/PhysRevE.84.051908",
            "n_pieces": len(pieces),
            "time_unit": unit,
        },
    )


def _pieces(trajectory: Any) -> list[np.ndarray]:
    """Return the states (time, unit) of pieces of time of every sequence."""
    faults = Faults()
    if not isinstance(trajectory, xr.Dataset) or not {"time", "unit"} <= set(
        trajectory.get("state", xr.DataArray()).dims
    ):
        faults.add("trajectory", type(trajectory).__name__, "give a result of dynet.simulate")
        faults.raise_if_any()
    state = trajectory["state"]
    series = state.transpose(*(d for d in state.dims if d not in ("time", "unit")), "time", "unit").values
    series = series.reshape(-1, *series.shape[-2:]).astype(np.float64)
    each = -(-_PIECES // series.shape[0])
    if series.shape[1] < 4 * each:
        faults.say(f"trajectory has {series.shape[1]} times: give at least {4 * each}")
    if not np.isfinite(series).all():
        faults.say("trajectory: some states are not finite")
    faults.raise_if_any()
    return [piece for one in series for piece in np.array_split(one, each)]


def _covariance(counts: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> np.ndarray:
    mean = sums.sum(axis=0) / counts.sum()
    covariance: np.ndarray = squares.sum(axis=0) / counts.sum() - np.outer(mean, mean)
    return covariance


def _ratio(covariance: np.ndarray) -> float:
    total = np.trace(covariance)
    return float(total**2 / (covariance**2).sum()) if total > 0 else 0.0


def _lagged(series: np.ndarray, n_lags: int) -> np.ndarray:
    """Return the sums over time and units of products at each lag."""
    size = 2 * len(series)
    power = (np.abs(np.fft.rfft(series, size, axis=0)) ** 2).sum(axis=1)
    products: np.ndarray = np.fft.irfft(power, size)[:n_lags]
    return products


def _crossing(correlation: np.ndarray) -> float:
    """Return the lag of the first fall to 1/e, between lags as if it were exponential there."""
    below = np.flatnonzero(correlation <= np.exp(-1))
    if not below.size:
        return np.inf
    k = int(below[0])
    high, low = correlation[k - 1], correlation[k]
    if low <= 0:  # no exponential passes through zero
        return k - 1 + float((high - np.exp(-1)) / (high - low))
    return k - 1 + float((np.log(high) + 1) / (np.log(high) - np.log(low)))


def _jackknife(left_out: list[float]) -> float:
    """Return the standard error from estimates that leave out one piece each."""
    values = np.array(left_out)
    if not np.isfinite(values).all():
        return np.inf
    return float(np.sqrt((values.size - 1) * values.var()))
