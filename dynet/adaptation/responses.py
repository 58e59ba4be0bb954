"""Responses of units to stimuli: f-I curves, and whether responses stay alike while the stimulus grows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from dynet._labels import dataset
from dynet._validate import Faults, is_number

__all__ = ["response_curve", "response_distribution"]

#: Fewer samples than this say nothing about a distribution.
_FEWEST = 8
_REFERENCES = "Laughlin (1981) doi:10.1515/znc-1981-9-1040; Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567"


def response_curve(
    response: xr.DataArray, stimulus: xr.DataArray, *, dim: str = "time", n_bins: int = 20
) -> xr.Dataset:
    """Return the f-I curve of units: the mean response to stimuli of about the same size.

    Parameters
    ----------
    response : DataArray (..., time)
        Responses (rates).
    stimulus : DataArray (..., time)
        What they respond to (currents), with dimensions of ``response``.
    dim : str, default "time"
        Dimension over which samples are pooled.
    n_bins : int, default 20
        Number of bins, which hold equal numbers of samples.

    Returns
    -------
    xarray.Dataset
        With the other dimensions of ``response`` in front: ``current(..., bin)``, the mean stimulus of a bin;
        ``rate(..., bin)``, the mean response; ``standard_error(..., bin)`` of independent samples; ``slope(..., bin)``
        of the response against the stimulus within the bin, NaN where all stimuli of a bin are equal;
        ``n_samples(bin)``.

    Raises
    ------
    InputError
        If dimensions or sizes do not fit, samples are not finite or too few for the bins, or a stimulus is constant.

    References
    ----------
    Laughlin (1981), doi:10.1515/znc-1981-9-1040; Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> current = xr.DataArray(np.random.default_rng(0).normal(0, 1, 10_000), dims="time")
    >>> curve = dynet.response_curve(dynet.gamma_activation(current, 5.0, 0.5), current, n_bins=50)
    >>> error = curve.rate - dynet.gamma_activation(curve.current, 5.0, 0.5)
    >>> bool(abs(error).max() < 0.02)
    True
    """
    faults = Faults()
    r, s = (_samples(faults, name, x, dim) for name, x in (("response", response), ("stimulus", stimulus)))
    if not len(faults):
        _matching(faults, r, s)
    least = 2 * n_bins if faults.integer("n_bins", n_bins, 2) else 0
    if not len(faults) and r.sizes[dim] < least:
        faults.add("n_bins", n_bins, f"there are {r.sizes[dim]} samples: give at most {r.sizes[dim] // 2}")
    if not len(faults):
        _varying(faults, s, dim)
    faults.raise_if_any()
    currents, rates = s.broadcast_like(r).transpose(*r.dims).values, r.values
    order = np.argsort(currents, axis=-1, kind="stable")
    currents, rates = (np.take_along_axis(x, order, axis=-1) for x in (currents, rates))
    edges = np.linspace(0, r.sizes[dim], n_bins + 1).astype(int)
    counts = np.diff(edges)
    columns: dict[str, list[np.ndarray]] = {"current": [], "rate": [], "standard_error": [], "slope": []}
    for start, stop in pairwise(edges):
        x, y = currents[..., start:stop], rates[..., start:stop]
        away = x - x.mean(axis=-1, keepdims=True)
        # of equal stimuli rounding leaves squares that are not quite 0
        squares = np.where(np.ptp(x, axis=-1) > 0, np.sum(away**2, axis=-1), np.nan)
        columns["current"].append(x.mean(axis=-1))
        columns["rate"].append(y.mean(axis=-1))
        columns["standard_error"].append(y.std(axis=-1, ddof=1) / np.sqrt(stop - start))
        columns["slope"].append(np.sum(away * y, axis=-1) / squares)
    lead = tuple(str(d) for d in r.dims[:-1])
    words = {
        "current": "mean stimulus of the bin",
        "rate": "mean response",
        "standard_error": "standard error of the mean response",
        "slope": "slope of the response within the bin",
    }
    variables: dict[str, Any] = {
        name: ((*lead, "bin"), np.stack(values, axis=-1), words[name], "1") for name, values in columns.items()
    }
    variables["n_samples"] = (("bin",), counts, "samples of the bin", "1")
    return dataset(
        variables,
        {"bin": np.arange(n_bins), **_others(r, dim)},
        {
            "title": "f-I curve",
            "method": "means over bins of equally many samples",
            "references": _REFERENCES,
            "n_bins": n_bins,
        },
    )


def response_distribution(
    response: xr.DataArray, *, dim: str = "time", level: str = "level", share: float = 0.9, n_quantiles: int = 101
) -> xr.Dataset:
    """Compare the distributions of responses at several levels of the stimulus.

    A unit that scales its gain answers weak and strong stimuli with about the same distribution of responses.

    Parameters
    ----------
    response : DataArray (..., level, time)
        Responses.
    dim : str, default "time"
        Dimension over which samples are pooled.
    level : str, default "level"
        Dimension of the levels.
    share : float, default 0.9
        Share of the samples that the effective range holds, in its middle.
    n_quantiles : int, default 101
        Number of quantiles, from 0 to 1.

    Returns
    -------
    xarray.Dataset
        With the other dimensions of ``response`` in front: ``distance(..., <level>, <level>_2)``, the Wasserstein
        distance of two distributions; ``noise_floor(..., <level>)``, that of the two halves of one level, every other
        sample, which is what chance leaves; ``effective_range(..., <level>)``, the width that holds ``share`` of the
        samples; ``quantile(..., <level>, probability)``.

    Raises
    ------
    InputError
        If dimensions are missing, samples are not finite, or too few.

    Notes
    -----
    A half has half the samples, so that the floor is higher, by about the root of 2, than that of distances of whole
    levels. Samples that are correlated in time raise it further than the halves tell.

    References
    ----------
    Laughlin (1981), doi:10.1515/znc-1981-9-1040; Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567;
    Ramdas, Garcia Trillos & Cuturi (2017), doi:10.3390/e19020047.

    Examples
    --------
    >>> import dynet, xarray as xr
    >>> stimulus = dynet.gain_scaling_stimulus([1.0, 10.0]).isel(time=slice(200, 400))
    >>> fixed = dynet.response_distribution(dynet.gamma_activation(stimulus, 5.0, 1.0))
    >>> scaled = dynet.response_distribution(dynet.gamma_activation(stimulus, 5.0 / stimulus.level, 1.0))
    >>> bool(scaled.distance[0, 1] < fixed.distance[0, 1] / 2)
    True
    """
    faults = Faults()
    r = _samples(faults, "response", response, dim)
    if not len(faults) and (not isinstance(level, str) or level not in r.dims or level == dim):
        faults.add("level", level, f"response has the dimensions {', '.join(map(str, r.dims))}")
    if not (is_number(share) and 0 < share < 1):
        faults.add("share", share, "give a share in (0, 1), such as 0.9")
    faults.integer("n_quantiles", n_quantiles, 2)
    if not len(faults) and r.sizes[dim] < _FEWEST:
        faults.say(f"response has {r.sizes[dim]} samples along {dim}: give {_FEWEST} at least")
    faults.raise_if_any()
    r = r.transpose(..., level, dim)
    shape, count = r.shape[:-2], r.sizes[level]
    rows = r.values.reshape(-1, count, r.sizes[dim])
    probability = np.linspace(0, 1, n_quantiles)
    distance, floor = np.zeros((len(rows), count, count)), np.empty((len(rows), count))
    for unit, samples in enumerate(rows):
        for i in range(count):
            floor[unit, i] = stats.wasserstein_distance(samples[i, ::2], samples[i, 1::2])
            for j in range(i):
                distance[unit, i, j] = distance[unit, j, i] = stats.wasserstein_distance(samples[i], samples[j])
    ends = np.quantile(rows, [(1 - share) / 2, (1 + share) / 2], axis=-1)
    lead = tuple(str(d) for d in r.dims[:-2])
    other = f"{level}_2"
    quantile = np.moveaxis(np.quantile(rows, probability, axis=-1), 0, -1)
    units = str(r.attrs.get("units", "1"))
    variables = {
        "distance": (
            (*lead, level, other),
            distance.reshape((*shape, count, count)),
            "Wasserstein distance of the responses at two levels",
            units,
        ),
        "noise_floor": (
            (*lead, level),
            floor.reshape((*shape, count)),
            "Wasserstein distance of two halves of the samples",
            units,
        ),
        "effective_range": (
            (*lead, level),
            (ends[1] - ends[0]).reshape((*shape, count)),
            f"width of the middle {100 * share:g} % of the responses",
            units,
        ),
        "quantile": (
            (*lead, level, "probability"),
            quantile.reshape((*shape, count, n_quantiles)),
            "quantile of the responses",
            units,
        ),
    }
    coords = {"probability": probability, **_others(r, dim)}
    if level in r.coords:
        coords[other] = (other, r[level].values, dict(r[level].attrs))
    return dataset(
        variables,
        coords,
        {
            "title": "Distributions of responses",
            "method": "Wasserstein distances of samples",
            "references": _REFERENCES,
            "share": float(share),
            "n_samples": r.sizes[dim],
            "level_dimension": level,
        },
    )


def _samples(faults: Faults, name: str, x: Any, dim: str) -> xr.DataArray:
    """Return responses as finite float64 with the dimension of the samples last."""
    if not isinstance(x, xr.DataArray):
        faults.add(name, x, "give a DataArray with named dimensions")
    elif not isinstance(dim, str) or dim not in x.dims:
        faults.add("dim", dim, f"{name} has the dimensions {', '.join(map(str, x.dims)) or 'none'}")
    else:
        x = x.transpose(..., dim)
        return x.copy(data=faults.real_array(name, x.values, finite=True).astype(np.float64))
    return xr.DataArray(np.zeros(1), dims=["time"])


def _matching(faults: Faults, r: xr.DataArray, s: xr.DataArray) -> None:
    for d in s.dims:
        if d not in r.dims:
            faults.say(f"stimulus has the dimension {d}, which response does not have ({', '.join(map(str, r.dims))})")
        elif s.sizes[d] != r.sizes[d]:
            faults.say(f"stimulus has {s.sizes[d]} along {d}, response {r.sizes[d]}")
        elif d in s.coords and d in r.coords and not np.array_equal(s[d].values, r[d].values):
            faults.say(f"stimulus and response have different labels along {d}")


def _varying(faults: Faults, s: xr.DataArray, dim: str) -> None:
    """Note stimuli that stay the same: their responses lie on no curve."""
    constant = s.max(dim) == s.min(dim)
    if not bool(constant.any()):
        return
    if constant.ndim == 0:
        where = f"is {float(s.isel({dim: 0})):g} throughout"
    else:
        entry = {str(d): int(i[0]) for d, i in zip(constant.dims, np.nonzero(constant.values), strict=True)}
        where = f"is constant for {int(constant.sum())} of {constant.size} rows, the first at {entry}"
    faults.say(f"stimulus {where}: give one that varies along {dim}, and leave constant rows out")


def _others(r: xr.DataArray, dim: str) -> dict[Any, Any]:
    return {name: coord for name, coord in r.coords.items() if dim not in coord.dims}
