"""How far activation parameters are from the boundary of amplified noise, along the path that a unit takes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.adaptation.stability import boundary_saturation, check_boundary, named_arguments
from dynet.systems.gamma import check_gamma, gamma_activation
from dynet.typing import ArrayLike

__all__ = ["boundary_distance"]

_REFERENCE = "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567"
#: Points of the curve that are compared at once, and how often the search narrows down.
_POINTS, _ROUNDS = 129, 14
#: Gains of the first look, relative to the one of the unit.
_FARTHEST = 1e4
#: Points of a path that are in memory together.
_AT_ONCE = 2000


def boundary_distance(
    n: ArrayLike, s: ArrayLike, *, xi: ArrayLike, sigma: ArrayLike = 1.0, margin: float = 0.0
) -> xr.Dataset:
    r"""Return the distance of activation parameters to the boundary :math:`\sigma \gamma'(\xi; n, s) = 1 - margin`.

    The boundary is the curve of `stability_boundary` in the plane of gain n and saturation s.

    Parameters
    ----------
    n : array, DataArray or float
        Gain, positive; along time it is the path of a unit.
    s : array, DataArray or float
        Saturation.
    xi : array, DataArray or float
        Drive: the mean input of the unit.
    sigma : array, DataArray or float, default 1.0
        Standard deviation of the noise, positive.
    margin : float, default 0.0
        Distance to 1 that is kept, below 1.

    Returns
    -------
    xarray.Dataset
        With the dimensions of the arguments broadcast (arrays without names: ``unit``; two axes: ``row``, ``unit``):
        ``distance``, Euclidean in the plane of (n, s), positive where the condition holds and negative beyond the
        boundary; ``slack``, how far :math:`\sigma \gamma'` is below 1 - margin; the nearest point of the boundary,
        ``nearest_gain`` and ``nearest_saturation``; ``residual``, by how much the condition is missed there; and
        ``gain``, ``saturation`` and ``drive`` as they were given.

    Raises
    ------
    InputError
        If n or sigma is not positive, or margin not below 1.

    Warns
    -----
    UserWarning
        If s leaves [0, 1].

    Notes
    -----
    A gain of 5 and a saturation of 0.5 have different scales, and a distance adds them up: it is mostly one of
    saturation, in which the boundary is near. The curve counts also where its saturation leaves [0, 1]. Distances are
    NaN where no gain has a boundary.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.boundary_distance([5.0, 5.0], [0.4, 0.9], xi=0.1)
    >>> ds.distance.values.round(3)
    array([ 0.274, -0.209])
    """
    check_gamma(n, s, s_outside="warn")
    faults = Faults()
    check_boundary(faults, xi, sigma, margin)
    faults.raise_if_any()
    named = named_arguments("n, s, xi and sigma", n, s, xi, sigma)
    dims, shape = tuple(map(str, named[0].dims)), named[0].shape
    flat = [np.ascontiguousarray(part.values).reshape(-1) for part in named]
    nearest = np.empty((2, flat[0].size))
    for first in range(0, flat[0].size, _AT_ONCE):
        rows = slice(first, first + _AT_ONCE)
        nearest[:, rows] = _nearest(flat[0][rows], flat[1][rows], flat[2][rows], flat[3][rows], float(margin))
    gain, saturation, drive, deviation = flat
    slack = 1 - margin - deviation * _slope(drive, gain, saturation)
    length = np.hypot(nearest[0] - gain, nearest[1] - saturation)
    there = nearest[0] > 0
    slope = np.full(gain.shape, np.nan)
    slope[there] = _slope(drive[there], nearest[0][there], nearest[1][there])
    numbers = {
        "distance": (np.copysign(length, slack), "distance to the boundary in the plane of gain and saturation"),
        "slack": (slack, "1 - margin - sigma gamma'(xi)"),
        "nearest_gain": (nearest[0], "gain of the nearest point of the boundary"),
        "nearest_saturation": (nearest[1], "saturation of the nearest point of the boundary"),
        "residual": (np.abs(1 - margin - deviation * slope), "miss of the condition at the nearest point"),
        "gain": (gain, "gain"),
        "saturation": (saturation, "saturation"),
        "drive": (drive, "drive"),
        "deviation": (deviation, "standard deviation of the noise"),
    }
    return dataset(
        {name: (dims, values.reshape(shape), words, "1") for name, (values, words) in numbers.items()},
        {str(name): coord for name, coord in named[0].coords.items()},
        {
            "title": "Distance to the boundary of amplified noise",
            "method": "nearest point of the curve, by a search that narrows down",
            "references": _REFERENCE,
            "margin": float(margin),
        },
    )


def _slope(xi: np.ndarray, n: np.ndarray, s: np.ndarray) -> np.ndarray:
    p, q = gamma_activation(xi, n, 1.0), gamma_activation(-xi, n, 1.0)
    slope: np.ndarray = (1 - s) * p + s * n * p * q
    return slope


def _nearest(n: np.ndarray, s: np.ndarray, xi: np.ndarray, sigma: np.ndarray, margin: float) -> np.ndarray:
    """Return the nearest points of the curve (2, unit) to points (unit,); NaN where there is no curve."""
    n, s, xi, sigma = (x[:, None] for x in (n, s, xi, sigma))
    # gains on either side, close to the own one and far from it
    steps = np.geomspace(1e-6, 1.0, _POINTS // 2)
    candidates = np.concatenate(
        [n * np.geomspace(1 / _FARTHEST, _FARTHEST, 4 * _POINTS), n * (1 + steps), n * (1 - steps[:-1]), n], axis=1
    )
    candidates = np.sort(candidates, axis=1)
    for _ in range(_ROUNDS):
        on_curve = boundary_saturation(candidates, xi, sigma, margin=margin)
        with np.errstate(over="ignore"):
            squares = np.where(np.isnan(on_curve), np.inf, (candidates - n) ** 2 + (on_curve - s) ** 2)
        best = squares.argmin(axis=1)[:, None]
        ends = [
            np.take_along_axis(candidates, np.clip(best + side, 0, candidates.shape[1] - 1), axis=1) for side in (-1, 1)
        ]
        middle = np.take_along_axis(candidates, best, axis=1)
        found = np.concatenate([middle, np.take_along_axis(on_curve, best, axis=1)], axis=1)
        # the best one stays among the next ones
        share = np.linspace(0, 1, _POINTS // 4)
        candidates = np.concatenate(
            [ends[0] + share * (middle - ends[0]), middle + share[1:] * (ends[1] - middle)], axis=1
        )
    found[np.isinf(squares.min(axis=1))] = np.nan
    return found.T
