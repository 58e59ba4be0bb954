"""Extensive chaos: spectra of systems of different sizes on one curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults

__all__ = ["collapse"]

_POINTS = 200


def collapse(spectra: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return spectra of systems of different sizes over the common coordinate ``(i - 1/2) / n``.

    The chaos of large networks is extensive when these curves fall on one another: their dimension and entropy rate
    then grow like the number of units.

    Parameters
    ----------
    spectra : mapping of str to Dataset
        From `lyapunov_spectrum` (or `ginibre_exponents`), in one unit of time; the largest system is the reference.

    Returns
    -------
    Dataset
        ``lyapunov_exponent(spectrum, fraction)``, sorted and interpolated, over the fractions that all of them reach;
        ``standard_error(spectrum, fraction)`` (0 for exact spectra); ``n_units(spectrum)``;
        ``distance(spectrum)``, the root mean square difference from the largest system.

    Raises
    ------
    InputError
        If something else than spectra is given, or their units of time differ.

    References
    ----------
    Ruelle (1982), doi:10.1007/BF01218566; Engelken, Wolf & Abbott (2023), doi:10.1103/PhysRevResearch.5.043044.

    Examples
    --------
    >>> import dynet
    >>> both = {"50": dynet.theory.ginibre_exponents(50), "400": dynet.theory.ginibre_exponents(400)}
    >>> bool(dynet.theory.collapse(both).distance.sel(spectrum="50") < 0.05)
    True
    """
    _check_spectra(spectra)
    sizes = np.array([_size(one) for one in spectra.values()])
    curves = []
    for one, n in zip(spectra.values(), sizes, strict=True):
        values = one["lyapunov_exponent"].values
        error = one["standard_error"].values if "standard_error" in one else np.zeros(values.size)
        order = np.argsort(-values, kind="stable")
        curves.append(((np.arange(values.size) + 0.5) / n, values[order], error[order]))
    first = max(at[0] for at, _, _ in curves)
    last = min(at[-1] for at, _, _ in curves)
    fraction = np.linspace(first, max(first, last), _POINTS)
    exponents = np.stack([_interpolated(fraction, at, values) for at, values, _ in curves])
    errors = np.stack([np.interp(fraction, at, error) for at, _, error in curves])
    reference = exponents[int(np.argmax(sizes))]
    both = np.isfinite(exponents) & np.isfinite(reference)
    with np.errstate(invalid="ignore"):
        differences = np.where(both, exponents - reference, 0.0)
    # where one exponent is -inf and the other is not, no finite distance says how far they are apart
    distance = np.where(
        (np.isfinite(exponents) != np.isfinite(reference)).any(axis=1), np.inf, np.sqrt((differences**2).mean(axis=1))
    )
    units = str(next(iter(spectra.values()))["lyapunov_exponent"].attrs["units"])
    variables = {
        "lyapunov_exponent": (("spectrum", "fraction"), exponents, "Lyapunov exponent, sorted", units),
        "standard_error": (("spectrum", "fraction"), errors, "standard error", units),
        "n_units": (("spectrum",), sizes, "number of units", "1"),
        "distance": (("spectrum",), distance, "root mean square difference from the largest system", units),
    }
    return dataset(variables, {"spectrum": list(map(str, spectra)), "fraction": fraction}, {
        "title": "Spectra over the fraction of exponents",
        "references": "Ruelle (1982) doi:10.1007/BF01218566",
    })  # fmt: skip


def _check_spectra(spectra: Any) -> None:
    faults = Faults()
    if not isinstance(spectra, Mapping) or isinstance(spectra, xr.Dataset) or not spectra:
        faults.add("spectra", type(spectra).__name__, 'give spectra by name: {"n = 100": result, ...}')
        faults.raise_if_any()
    for name, one in spectra.items():
        if not isinstance(one, xr.Dataset) or one.get("lyapunov_exponent", xr.DataArray()).dims != ("exponent",):
            faults.add(f"spectra['{name}']", type(one).__name__, "give a result of lyapunov_spectrum")
    faults.raise_if_any()
    units = {str(one["lyapunov_exponent"].attrs.get("units")) for one in spectra.values()}
    if len(units) > 1:
        faults.say(f"spectra: their units differ ({', '.join(sorted(units))}): bring them to one unit of time")
    faults.raise_if_any()


def _size(spectrum: xr.Dataset) -> int:
    return int(spectrum.sizes["unit"] if "unit" in spectrum.sizes else spectrum.attrs["n_units"])


def _interpolated(fraction: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(fraction.size, -np.inf)
    curve = np.interp(fraction, at[finite], values[finite])
    return curve if finite.all() else np.where(fraction > at[finite][-1], -np.inf, curve)
