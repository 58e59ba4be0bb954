"""Noise through one unit: what comes out of it, and where linear theory puts the boundary of amplification."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.errors import InputError
from dynet.systems.gamma import check_gamma, gamma_activation, gamma_parts, gamma_value, plain
from dynet.typing import ArrayLike

__all__ = ["noise_gain", "stability_boundary"]

_REFERENCE = "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567"
_ESTIMATES = ("linear", "quadrature")
#: The normal density beyond is below rounding.
_REACH = 9.0
_NODES, _FEWER = 20, 16
#: Units whose panels are in memory together.
_AT_ONCE = 1000


def noise_gain(n: ArrayLike, s: ArrayLike, *, mu: ArrayLike = 0.0, sigma: ArrayLike = 1.0) -> xr.Dataset:
    r"""Return the variance that Gaussian noise has after the activation of a unit.

    Noise :math:`\eta \sim N(\mu, \sigma^2)` becomes :math:`\gamma(\eta; n, s)`. For unitary weights its variance along
    a direction v is :math:`v^T W D W^T v` with the variances of the units on the diagonal of D.

    Parameters
    ----------
    n : array, DataArray or float
        Gain of `dynet.gamma_activation`, positive.
    s : array, DataArray or float
        Saturation.
    mu : array, DataArray or float, default 0.0
        Mean of the noise: the drive.
    sigma : array, DataArray or float, default 1.0
        Standard deviation of the noise, positive.

    Returns
    -------
    xarray.Dataset
        With the dimensions of the arguments broadcast (arrays without names: ``unit``; two axes: ``row``, ``unit``)
        and ``estimate``, "linear" or "quadrature":
        ``variance_out(..., estimate)``; ``variance_ratio(..., estimate)``, variance out over variance in, which tells
        amplification if above 1; ``quadrature_error``, the difference to fewer nodes. And what the paper's
        Proposition 1 asks: ``paper_value``, :math:`\sigma |\gamma'(\mu)|`, and ``paper_condition``, whether it is
        below 1.

    Raises
    ------
    InputError
        If n or sigma is not positive.

    Warns
    -----
    UserWarning
        If s leaves [0, 1].

    Notes
    -----
    The paper's condition bounds the variance out by 1 to first order; it is no criterion of amplification: a unit of
    slope a amplifies if its magnitude is above 1, whatever sigma is. To first order means :math:`n \sigma` well below
    1: beyond, the linear variances fail first (in the example: 1.82 instead of 0.25).

    The expectation is taken by Gauss-Legendre rules on panels that shorten towards the bend at 0; Gauss-Hermite rules
    miss the bend when n sigma is large.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567, Proposition 1.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.noise_gain(10.0, 0.5, mu=0.1)
    >>> ds.variance_ratio.values.round(2)
    array([1.82, 0.25])
    >>> weak = dynet.noise_gain(10.0, 0.5, mu=0.1, sigma=0.1)
    >>> float(weak.variance_ratio.sel(estimate="quadrature").round(3)), bool(weak.paper_condition)
    (1.557, True)
    """
    check_gamma(n, s, s_outside="warn")
    faults = Faults()
    positive_deviations(faults, sigma)
    faults.real_array("mu", plain(mu), finite=True)
    faults.raise_if_any()
    named = named_arguments("n, s, mu and sigma", n, s, mu, sigma)
    gains, saturations, means, widths = (part.values for part in named)
    slope = gamma_activation(means, gains, saturations, derivative="x")
    linear = (widths * slope) ** 2
    exact, error = _quadrature((gains, saturations, means, widths))
    variance = np.stack((linear, exact), axis=-1)
    ratio = variance / widths[..., None] ** 2
    lead = tuple(map(str, named[0].dims))
    variables = {
        "variance_out": ((*lead, "estimate"), variance, "variance after the activation", "1"),
        "variance_ratio": (
            (*lead, "estimate"),
            ratio,
            "variance out over variance in",
            "1",
        ),
        "quadrature_error": (lead, error, "difference of the variance to that of fewer nodes", "1"),
        "paper_value": (lead, widths * np.abs(slope), "sigma |gamma'(mu)|", "1"),
        "paper_condition": (lead, widths * np.abs(slope) < 1, "sigma |gamma'(mu)| < 1", "1"),
    }
    attrs = {
        "title": "Noise through one unit",
        "method": f"linear: first order; quadrature: Gauss-Legendre on graded panels, {_NODES} nodes each",
        "references": _REFERENCE + ", Proposition 1",
    }
    coords = {str(name): coord for name, coord in named[0].coords.items()}
    return dataset(variables, {**coords, "estimate": list(_ESTIMATES)}, attrs)


def named_arguments(names: str, *arguments: Any) -> tuple[xr.DataArray, ...]:
    """Return the arguments as DataArrays of one shape; axes without names are called from the last one on."""
    values = [plain(value) for value in arguments]
    unnamed = [i for i, value in enumerate(values) if not isinstance(value, xr.DataArray)]
    try:
        same = np.broadcast_arrays(*(np.asarray(values[i], dtype=np.float64) for i in unnamed))
        for i, value in zip(unnamed, same, strict=True):
            dims = ("row", "unit")[2 - value.ndim :] if value.ndim <= 2 else None
            values[i] = xr.DataArray(value, dims=dims)
        return xr.broadcast(*xr.align(*(value.astype(np.float64) for value in values), join="exact"))
    except ValueError as error:
        raise InputError(f"{names} do not fit together: {error}") from error


def _quadrature(values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return variances and their errors, for a bounded number of units at once."""
    flat = [np.ascontiguousarray(value).reshape(-1) for value in values]
    variance, error = np.empty(flat[0].size), np.empty(flat[0].size)
    for first in range(0, variance.size, _AT_ONCE):
        rows = slice(first, first + _AT_ONCE)
        n, s, mu, sigma = (value[rows] for value in flat)
        variance[rows], rounding = _variance(n, s, mu, sigma, _NODES)
        error[rows] = np.abs(variance[rows] - _variance(n, s, mu, sigma, _FEWER)[0]) + rounding
    return variance.reshape(values[0].shape), error.reshape(values[0].shape)


def _variance(
    n: np.ndarray, s: np.ndarray, mu: np.ndarray, sigma: np.ndarray, n_nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of gamma under N(mu, sigma^2), by rules on panels, and what rounding leaves uncertain."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    edges = _panels(n, mu, sigma)
    half = np.diff(edges, axis=-1) / 2
    x = (edges[:, :-1] + half)[:, :, None] + half[:, :, None] * nodes
    z = (x - mu[:, None, None]) / sigma[:, None, None]
    w = half[:, :, None] * weights * np.exp(-(z**2) / 2)
    w /= w.sum(axis=(-2, -1), keepdims=True)
    n, s = n[:, None, None], s[:, None, None]
    y = gamma_value(gamma_parts(x, n), n, s)
    mean = np.sum(w * y, axis=(-2, -1), keepdims=True)
    variance = np.sum(w * (y - mean) ** 2, axis=(-2, -1))
    return variance, 8 * np.finfo(np.float64).eps * (np.abs(mean[:, 0, 0]) * np.sqrt(variance) + variance)


def _panels(n: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return sorted edges (unit, panel): every half deviation, and doubling distances from the bend at 0."""
    low, high = mu - _REACH * sigma, mu + _REACH * sigma
    normal = mu[:, None] + sigma[:, None] * np.linspace(-_REACH, _REACH, 37)
    farthest = np.maximum(np.abs(low), np.abs(high))
    doublings = max(0, int(np.ceil(np.log2(np.max(n * farthest))))) + 1
    distances = 2.0 ** np.arange(doublings) / n[:, None]
    bend = np.concatenate((-distances, np.zeros_like(distances[:, :1]), distances), axis=-1)
    edges = np.concatenate((normal, bend), axis=-1)
    return np.sort(np.clip(edges, low[:, None], high[:, None]), axis=-1)


def stability_boundary(n: ArrayLike, *, xi: ArrayLike, sigma: ArrayLike = 1.0, margin: float = 0.0) -> Any:
    r"""Return the saturation at which :math:`\sigma \gamma'(\xi; n, s) = 1 - \mathrm{margin}`.

    It is :math:`((1 - \mathrm{margin}) / \sigma - p) / (p (n (1 - p) - 1))` with :math:`p = 1 / (1 + e^{-n \xi})`: the
    edge of the region in the plane of (n, s) that the condition of Proposition 1 bounds (see `noise_gain`).

    Parameters
    ----------
    n : array, DataArray or float
        Gain of `dynet.gamma_activation`, positive.
    xi : array, DataArray or float
        Drive: the mean input of the unit.
    sigma : array, DataArray or float, default 1.0
        Standard deviation of the noise, positive.
    margin : float, default 0.0
        Distance to 1 that is kept, below 1. The paper's figures have sigma = 1 and margin 0.013.

    Returns
    -------
    array, DataArray or float
        Saturation s, of the type that was given; also outside [0, 1], where no unit of the paper is. NaN where the
        slope does not depend on s: at n (1 - p) = 1 the curve is singular; and where p is below the least number.

    Raises
    ------
    InputError
        If n or sigma is not positive, or margin not below 1.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet
    >>> s = float(dynet.stability_boundary(5.0, xi=0.1))
    >>> round(s, 6), round(float(dynet.gamma_activation(0.1, 5.0, s, derivative="x")), 12)
    (0.683258, 1.0)
    """
    check_gamma(n, 0.0, s_outside="error")
    faults = Faults()
    check_boundary(faults, xi, sigma, margin)
    faults.raise_if_any()
    result = xr.apply_ufunc(boundary_saturation, *map(plain, (n, xi, sigma)), kwargs={"margin": float(margin)})
    if isinstance(result, xr.DataArray):
        result = result.rename(None).assign_attrs(long_name="saturation at the boundary", units="1")
    return result


def boundary_saturation(n: Any, xi: Any, sigma: Any, *, margin: float) -> Any:
    """Return the saturation at the boundary, NaN where none is."""
    n, xi, sigma = (np.asarray(value, dtype=np.float64) for value in (n, xi, sigma))
    # p and 1 - p, neither by a difference
    p, q = gamma_activation(xi, n, 1.0), gamma_activation(-xi, n, 1.0)
    wanted = (1 - margin) / sigma
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        s = np.where(p > 0.5, (wanted - 1) + q, wanted - p) / (p * (n * q - 1))
    return np.where(np.isfinite(s), s, np.nan)[()]


def check_boundary(faults: Faults, xi: Any, sigma: Any, margin: Any) -> None:
    """Note what no boundary can be computed for."""
    positive_deviations(faults, sigma)
    faults.real_array("xi", plain(xi), finite=True)
    if not (is_number(margin) and -np.inf < margin < 1):
        faults.add("margin", margin, "give a number below 1, such as 0.013")


def positive_deviations(faults: Faults, sigma: Any) -> None:
    """Check standard deviations."""
    deviations = faults.real_array("sigma", plain(sigma), finite=True)
    if not (deviations > 0).all():
        faults.add("sigma", float(deviations[~(deviations > 0)][0]), "give positive standard deviations")
