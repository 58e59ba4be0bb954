"""How far two spectra lie apart, also of networks of different size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.lyapunov.convergence import error_bars
from dynet.lyapunov.dimension import are_independent, require_leading

__all__ = ["spectrum_distance"]


class Distance(NamedTuple):
    """A root mean square difference, its error, and what noise alone would make of equal spectra."""

    value: float
    error: float
    degrees: float
    noise: float
    n_compared: int
    n_lost: int
    paired: bool


def spectrum_distance(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    r"""Return the root mean square difference of two spectra, as curves over :math:`i/N`.

    Exponent i of N units stands at :math:`(i - 1/2)/N`. Networks of equal size are compared exponent by exponent; of
    different size, at the points of the smaller one, between which the larger one's are interpolated.

    Parameters
    ----------
    first, second : Dataset
        From `lyapunov_spectrum`. If they have different numbers of exponents, the part of :math:`i/N` that both have
        is compared.

    Returns
    -------
    Dataset
        ``spectrum_distance`` and ``standard_error`` (to first order; paired by sequences and blocks where the runs
        share them), and ``noise``: the distance that runs with these error bars would show if their spectra were the
        same. A distance is never negative, so read it beside ``noise``. ``n_compared`` and ``n_lost`` count points;
        lost are those where one spectrum alone is -inf, and they are left out of the mean.

    Raises
    ------
    InputError
        If something else than spectra is given, they differ in time unit or state, or share no part of :math:`i/N`.

    References
    ----------
    Engelken, Wolf & Abbott (2023), doi:10.1103/PhysRevResearch.5.043044 (spectra over :math:`i/N`).

    See Also
    --------
    compare : Differences exponent by exponent.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> runs = [dynet.lyapunov_spectrum(dynet.zoo.linear_map(a * np.eye(4)), np.zeros(4), 100) for a in (0.5, 0.4)]
    >>> round(float(dynet.spectrum_distance(*runs).spectrum_distance), 6)  # log(0.5 / 0.4)
    0.223144
    """
    for spectrum in (first, second):
        require_leading(spectrum)
    faults = Faults()
    for attribute, what in (("time_unit", "time unit"), ("state", "state")):
        pair = [spectrum.attrs.get(attribute) for spectrum in (first, second)]
        if pair[0] != pair[1]:
            faults.say(
                f"first and second differ in {what} ({shown(pair[0])} against {shown(pair[1])}): their exponents are "
                "not the same quantities"
            )
    faults.raise_if_any()
    found = distance(first, second)
    unit = EXPONENT_UNITS.format(time_unit=first.attrs["time_unit"])
    return dataset(
        {
            "spectrum_distance": ((), found.value, "root mean square difference of exponents over i/N", unit),
            "standard_error": ((), found.error, "standard error of the distance", unit),
            "noise": ((), found.noise, "distance of equal spectra with these error bars", unit),
            "n_compared": ((), found.n_compared, "points compared", "1"),
            "n_lost": ((), found.n_lost, "points where one spectrum alone is -inf", "1"),
        },
        {},
        {
            "title": "Distance of two Lyapunov spectra",
            "references": "Engelken, Wolf & Abbott (2023) doi:10.1103/PhysRevResearch.5.043044",
            "time_unit": first.attrs["time_unit"],
            "degrees_of_freedom": found.degrees,
            "paired": found.paired,
        },
    )


def distance(first: xr.Dataset, second: xr.Dataset) -> Distance:
    """Return the distance of two checked spectra."""
    A, B = _at_common_points(first, second)
    exponents = [spectrum["lyapunov_exponent"].values for spectrum in (first, second)]
    curves = [_interpolated(M, values) for M, values in zip((A, B), exponents, strict=True)]
    same = np.isneginf(curves[0]) & np.isneginf(curves[1])
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, curves[0] - curves[1])
    finite = np.isfinite(difference)
    m, lost = int(finite.sum()), int((~finite).sum())
    paired = _share_blocks(first, second)
    if not m:
        return Distance(np.inf, np.inf, np.inf, np.inf, 0, lost, paired)
    A, B = (np.where(same[:, None], 0.0, M)[finite] for M in (A, B))
    difference = difference[finite]
    value = float(np.sqrt(np.mean(difference**2)))
    noise = float(np.sqrt(np.mean(_errors(first, second, A, B, paired)[0] ** 2)))
    if value == 0:
        return Distance(0.0, noise, np.inf, noise, m, lost, paired)
    slopes = difference[None] / (m * value)
    error, degrees = _errors(first, second, slopes @ A, slopes @ B, paired)
    return Distance(value, float(error[0]), float(degrees[0]), noise, m, lost, paired)


def _at_common_points(first: xr.Dataset, second: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrices (point, exponent) that take each spectrum's exponents to the points of comparison."""
    n, k = ([spectrum.sizes[name] for spectrum in (first, second)] for name in ("unit", "exponent"))
    if n[0] == n[1]:
        m = min(k)
        return np.eye(m, k[0]), np.eye(m, k[1])
    places = [(np.arange(count) + 0.5) / size for size, count in zip(n, k, strict=True)]
    small = int(n[1] < n[0])
    points = places[small][places[small] <= places[1 - small][-1] + 1e-12]
    if not points.size:
        raise InputError(
            f"first and second share no part of i/N: they hold exponents up to i/N = {k[0] / n[0]:.3g} and "
            f"{k[1] / n[1]:.3g}: compute more (n_exponents)"
        )
    matrices = [np.eye(points.size, k[small]), _interpolation(places[1 - small], points)]
    return matrices[small], matrices[1 - small]


def _interpolation(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the matrix (point, place) of linear interpolation between ascending places."""
    columns = [np.interp(points, places, unit) for unit in np.eye(places.size)]
    return np.stack(columns, axis=1)


def _interpolated(M: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Return ``M @ exponents``, -inf where an entry that counts is."""
    lost = np.isneginf(exponents)
    values = M @ np.where(lost, 0.0, exponents)
    return np.where((M[:, lost] != 0).any(axis=1), -np.inf, values)


def _errors(
    first: xr.Dataset, second: xr.Dataset, A: np.ndarray, B: np.ndarray, paired: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard errors of the rows of ``A first - B second``, and their degrees of freedom."""
    # what is -inf has no weight here
    growth = [
        np.where(np.isneginf(spectrum["growth"].values), 0.0, spectrum["growth"].values) @ M.T
        for spectrum, M in ((first, A), (second, B))
    ]
    durations = [spectrum["duration"].values for spectrum in (first, second)]
    if paired:
        independent = are_independent(first) and are_independent(second)
        return error_bars(growth[0] - growth[1], durations[0], independent=independent)
    (a, a_degrees), (b, b_degrees) = (
        error_bars(one, weights, independent=are_independent(spectrum))
        for one, weights, spectrum in zip(growth, durations, (first, second), strict=True)
    )
    error = np.hypot(a, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Welch and Satterthwaite
        degrees = 1 / ((a / error) ** 4 / a_degrees + (b / error) ** 4 / b_degrees)
    return error, np.where(np.isnan(degrees), np.inf, degrees)


def _share_blocks(first: xr.Dataset, second: xr.Dataset) -> bool:
    """Return whether block for block and sequence for sequence the runs cover the same time."""
    return bool(
        first.attrs.get("initial_frame") == second.attrs.get("initial_frame")
        and np.array_equal(first["duration"].values, second["duration"].values)
    )
