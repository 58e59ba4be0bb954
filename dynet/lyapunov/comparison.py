"""Differences between spectra, paired where runs share sequences or blocks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, shown
from dynet.lyapunov.convergence import error_bars
from dynet.lyapunov.dimension import are_independent, half_width
from dynet.lyapunov.distance import distance

__all__ = ["compare"]


def compare(spectra: Mapping[str, xr.Dataset], *, level: float = 0.95) -> xr.Dataset:
    """Compare spectra with the first of them, exponent by exponent.

    Two checkpoints of one network on the same sequences share most of their scatter; differences are taken
    sequence by sequence (or block by block for a single sequence) first, so it cancels.

    Parameters
    ----------
    spectra : mapping of str to Dataset
        Named results of `lyapunov_spectrum`, at least two.
    level : float, default 0.95
        Level of the intervals.

    Returns
    -------
    Dataset
        ``difference(comparison, exponent)``, ``standard_error(comparison, exponent)`` and its
        ``degrees_of_freedom(comparison, exponent)``, ``interval(comparison, exponent, bound)`` and
        ``spectrum_distance(comparison)``, the root mean square difference over finite exponents, with its
        ``distance_error`` and the ``distance_noise`` that equal spectra would show (see `spectrum_distance`).
        Comparisons are named "later - first". Exponents that are -inf in both have difference 0, in one of them an
        infinite one.

    Raises
    ------
    InputError
        If there are fewer than two spectra, or they differ in time unit, state, initial frame, number of
        exponents, sequences or steps.

    Examples
    --------
    >>> import dynet
    >>> runs = {a: dynet.lyapunov_spectrum(dynet.zoo.henon(a), [0.1, 0.1], 20_000) for a in (1.4, 1.2)}
    >>> result = dynet.compare({f"a = {a}": ds for a, ds in runs.items()})
    >>> result.comparison.values.tolist()
    ['a = 1.2 - a = 1.4']
    >>> bool(result.interval.sel(exponent=1, bound="upper").squeeze() < 0)
    True
    """
    faults = Faults()
    if not isinstance(spectra, Mapping) or isinstance(spectra, xr.Dataset) or len(spectra) < 2:
        faults.add("spectra", type(spectra).__name__, 'give at least two by name: {"epoch 1": a, "epoch 20": b}')
    faults.raise_if_any()
    (first_name, first), *others = spectra.items()
    for name, other in others:
        _check_pair(faults, first_name, first, name, other)
    faults.raise_if_any()
    differences, errors, degrees = [], [], []
    distances = [distance(other, first) for _, other in others]
    for _, other in others:
        with np.errstate(invalid="ignore"):
            growth = other["growth"].values - first["growth"].values
            difference = other["lyapunov_exponent"].values - first["lyapunov_exponent"].values
        # -inf in both runs: nothing distinguishes them
        both = np.isneginf(other["growth"].values) & np.isneginf(first["growth"].values)
        same = np.isneginf(other["lyapunov_exponent"].values) & np.isneginf(first["lyapunov_exponent"].values)
        difference = np.where(same, 0.0, difference)
        same_growth = np.where(both, 0.0, growth)
        error, freedom = error_bars(same_growth, first["duration"].values, independent=are_independent(first))
        errors.append(np.where(np.isfinite(difference), error, np.inf))
        degrees.append(freedom)
        differences.append(difference)
    difference, error, freedom = np.array(differences), np.array(errors), np.array(degrees)
    width = half_width(level, freedom) * error
    unit = f"nat / {first.attrs['time_unit']}"
    with np.errstate(invalid="ignore"):
        bounds = np.stack([difference - width, difference + width], axis=-1)
    return dataset(
        {
            "difference": (("comparison", "exponent"), difference, "difference of exponents", unit),
            "standard_error": (("comparison", "exponent"), error, "standard error of the difference", unit),
            "degrees_of_freedom": (
                ("comparison", "exponent"),
                freedom,
                "degrees of freedom of the error",
                "1",
            ),
            "interval": (("comparison", "exponent", "bound"), bounds, f"{100 * level:g} % interval", unit),
            "spectrum_distance": (
                ("comparison",),
                [found.value for found in distances],
                "root mean square difference",
                unit,
            ),
            "distance_error": (
                ("comparison",),
                [found.error for found in distances],
                "standard error of the distance",
                unit,
            ),
            "distance_noise": (
                ("comparison",),
                [found.noise for found in distances],
                "distance of equal spectra with these error bars",
                unit,
            ),
        },
        {
            "comparison": [f"{name} - {first_name}" for name, _ in others],
            "exponent": first["exponent"].values,
            "bound": ["lower", "upper"],
        },
        {
            "title": "Comparison of Lyapunov spectra",
            "paired": "by sequence" if first.sizes["sequence"] > 1 else "by block",
            "level": level,
            "time_unit": first.attrs["time_unit"],
        },
    )


def _check_pair(faults: Faults, first_name: str, first: xr.Dataset, name: str, other: xr.Dataset) -> None:
    for label, result in ((first_name, first), (name, other)):
        if not isinstance(result, xr.Dataset) or "lyapunov_exponent" not in result or "growth" not in result:
            faults.add(f"spectra['{label}']", type(result).__name__, "give a result of lyapunov_spectrum")
    if faults:
        return
    pair = f"'{first_name}' and '{name}'"
    for attribute, what in (
        ("time_unit", "time unit"),
        ("state", "state"),
        ("initial_frame", "initial frame"),
        ("dt", "dt"),
    ):
        if first.attrs.get(attribute) != other.attrs.get(attribute):
            faults.say(
                f"{pair} differ in {what} ({shown(first.attrs.get(attribute))} against "
                f"{shown(other.attrs.get(attribute))}): their exponents are not the same quantities"
            )
    for dimension in ("exponent", "sequence"):
        sizes = first.sizes[dimension], other.sizes[dimension]
        if sizes[0] != sizes[1]:
            faults.say(f"{pair} have {sizes[0]} and {sizes[1]} {dimension}s: run both with the same {dimension}s")
    same_blocks = first.sizes["time"] == other.sizes["time"] and np.array_equal(
        first["duration"].values, other["duration"].values
    )
    if not same_blocks:
        faults.say(
            f"{pair} do not share their blocks of time: give both runs the same n_steps, n_transient and qr_interval"
        )
