"""What is known of large random networks: mean field, circular law, products of random matrices, extensive spectra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.optimize import brentq
from scipy.special import digamma

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.systems.mean_field import solve, white_gain
from dynet.typing import ArrayLike

__all__ = ["circular_law", "collapse", "ginibre_exponents", "mean_field", "transition"]

MEAN_FIELD_REFERENCES = (
    "Sompolinsky, Crisanti & Sommers (1988) doi:10.1103/PhysRevLett.61.259; "
    "Engelken, Wolf & Abbott (2023) doi:10.1103/PhysRevResearch.5.043044"
)
PER_STEP = "nat / step"
_POINTS = 200


def mean_field(
    g: ArrayLike,
    sigma: ArrayLike = 0.0,
    delta: float = 1.0,
    *,
    weights: Literal["tied", "untied"] = "tied",
) -> xr.Dataset:
    r"""Return the exponents of ``x' = (1 - delta) x + delta (J tanh(x) + u)`` in the limit of many units.

    ``J_ij ~ N(0, g^2 / n)``, and u is Gaussian, independent from step to step and from unit to unit, of standard
    deviation sigma. For delta = 1 the variance of the states solves
    :math:`\Delta = g^2 E \tanh^2(\sqrt\Delta z) + \sigma^2`, and
    :math:`\lambda_1 = \ln (g \sqrt{E \tanh'(\sqrt\Delta z)^2})`.

    Parameters
    ----------
    g : float or array
        Gain of the weights, above 0.
    sigma : float or array, default 0.0
        Standard deviation of the input, at least 0.
    delta : float, default 1.0
        Leak, in (0, 1].
    weights : {"tied", "untied"}
        One J for all steps, or a new one for every step (`networks.random_tanh` with ``untied=True``).

    Returns
    -------
    Dataset
        ``lyapunov_exponent`` (the largest), ``mean_exponent`` (the mean of all), ``variance`` of the states, each with
        dims ``g`` and ``sigma`` where those are arrays; ``residual``, what the equations leave.

    Raises
    ------
    InputError
        If an argument is out of range; for leaky networks with tied weights also if the variance exceeds 100.
    ConvergenceError
        If the equations of a leaky network with tied weights do not settle, close to its transition.

    Notes
    -----
    All of it is exact for n -> inf. Closed forms (scalar equations, solved to rounding) are those of delta = 1, of
    untied weights, and of states at rest (sigma = 0, g <= 1). With a leak and tied weights the states are
    correlated in time: their covariance is iterated over lags until it is its own consequence, and the exponent is
    the largest solution of an equation of perturbations over all lags. Errors are then near 1e-10. Networks of finite
    size differ by the order of 1 / n.

    References
    ----------
    Sompolinsky, Crisanti & Sommers (1988), doi:10.1103/PhysRevLett.61.259; Molgedey, Schuchhardt & Schuster (1992),
    doi:10.1103/PhysRevLett.69.3717; Engelken, Wolf & Abbott (2023), doi:10.1103/PhysRevResearch.5.043044.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.mean_field(2.0, [0.0, 0.5]).lyapunov_exponent.values.round(6)
    array([0.154724, 0.120385])
    """
    faults = Faults()
    gains = _numbers(faults, "g", g, above=True)
    strengths = _numbers(faults, "sigma", sigma)
    _leak(faults, delta)
    faults.choice("weights", weights, ("tied", "untied"))
    faults.raise_if_any()
    untied = weights == "untied"
    table = np.array(
        [[solve(float(one), float(strength), float(delta), untied=untied) for strength in np.atleast_1d(strengths)]
         for one in np.atleast_1d(gains)]
    )  # fmt: skip
    variance, exponent, mean, residual = np.moveaxis(table, -1, 0)
    dims = tuple(name for name, array in (("g", gains), ("sigma", strengths)) if array.ndim)
    shape = gains.shape + strengths.shape
    variables = {
        "lyapunov_exponent": (dims, exponent.reshape(shape), "largest Lyapunov exponent, mean field", PER_STEP),
        "mean_exponent": (dims, mean.reshape(shape), "mean of all Lyapunov exponents, mean field", PER_STEP),
        "variance": (dims, variance.reshape(shape), "variance of the states", "1"),
        "residual": (dims, residual.reshape(shape), "what the mean-field equations leave", "1"),
    }
    closed = delta == 1 or untied
    return dataset(variables, {"g": gains, "sigma": strengths}, {
        "title": "Mean field of a random tanh network",
        "method": "scalar equations" if closed else "covariance over lags, equation of perturbations",
        "references": MEAN_FIELD_REFERENCES,
        "delta": float(delta),
        "weights": weights,
        "time_unit": "step",
        "limit": "number of units to infinity",
    })  # fmt: skip


def transition(g: ArrayLike, delta: float = 1.0, *, weights: Literal["tied", "untied"] = "tied") -> xr.Dataset:
    """Return the input strength at which the largest exponent of a random network is zero.

    Below it the network is chaotic, above it inputs alone decide the states. The other line that is asked for, spectral
    radius one, is ``g = 1`` at any sigma: in between, networks of spectral radius above one have echo states.

    Parameters
    ----------
    g : float or array
        Gain of the weights, above 0.
    delta : float, default 1.0
        Leak, in (0, 1].
    weights : {"tied", "untied"}
        See `mean_field`.

    Returns
    -------
    Dataset
        ``critical_sigma``, with dim ``g`` if g is an array: 0 where the exponent is not positive even without input;
        ``spectral_radius`` of the weights, which is g; ``residual``, the exponent that is left there.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    Molgedey, Schuchhardt & Schuster (1992), doi:10.1103/PhysRevLett.69.3717.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.transition([0.9, 2.0]).critical_sigma.values.round(5)
    array([0.     , 1.27905])
    """
    faults = Faults()
    gains = _numbers(faults, "g", g, above=True)
    _leak(faults, delta)
    faults.choice("weights", weights, ("tied", "untied"))
    faults.raise_if_any()
    roots = [_critical(float(one), float(delta), weights == "untied") for one in np.atleast_1d(gains)]
    sigma, residual = np.array(roots).T.reshape(2, *gains.shape)
    dims = ("g",) * gains.ndim
    variables = {
        "critical_sigma": (dims, sigma, "input at which the largest exponent is zero", "1"),
        "spectral_radius": (dims, gains, "spectral radius of the weights", "1"),
        "residual": (dims, residual, "largest exponent at the critical input", PER_STEP),
    }
    return dataset(variables, {"g": gains}, {
        "title": "Transition to chaos of a driven random tanh network",
        "references": MEAN_FIELD_REFERENCES,
        "delta": float(delta),
        "weights": weights,
        "time_unit": "step",
    })  # fmt: skip


def _critical(g: float, delta: float, untied: bool) -> tuple[float, float]:
    """Return the critical input and the exponent that is left there."""
    if (white_gain(g, delta) if untied else g) <= 1:
        return 0.0, 0.0

    def exponent(sigma: float) -> float:
        return solve(g, sigma, delta, untied=untied).exponent

    upper = g
    while exponent(upper) > 0:
        upper *= 2
    sigma = float(brentq(exponent, 0.0, upper, xtol=1e-12))
    return sigma, exponent(sigma)


def circular_law(radius: ArrayLike, g: float, delta: float = 1.0) -> Any:
    """Return the fraction of eigenvalues of ``(1 - delta) I + delta J`` within a distance of their centre 1 - delta.

    For ``J_ij ~ N(0, g^2 / n)`` and n -> inf they fill the disc of radius ``delta g`` evenly.

    Parameters
    ----------
    radius : float or array
        Distance from the centre, at least 0.
    g : float
        Gain, above 0.
    delta : float, default 1.0
        Leak, in (0, 1].

    Returns
    -------
    float or array
        The fraction, of the shape of ``radius``.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    Ginibre (1965), doi:10.1063/1.1704292; Tao & Vu (2010), doi:10.1214/10-AOP534.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.circular_law([1.0, 2.0, 3.0], 2.0).tolist()
    [0.25, 1.0, 1.0]
    """
    faults = Faults()
    distances = _numbers(faults, "radius", radius)
    _numbers(faults, "g", g, above=True, scalar=True)
    _leak(faults, delta)
    faults.raise_if_any()
    fraction = np.minimum(distances / (delta * g), 1.0) ** 2
    return fraction if distances.ndim else float(fraction)


def ginibre_exponents(n: int, g: float = 1.0) -> xr.Dataset:
    r"""Return all exponents of products of independent Gaussian matrices, exactly.

    For real n x n matrices of entries ``N(0, g^2 / n)``:
    :math:`\lambda_k = \frac12 (\ln \frac{2 g^2}{n} + \psi(\frac{n - k + 1}{2}))`.

    Parameters
    ----------
    n : int
        Size of the matrices.
    g : float, default 1.0
        Gain, above 0.

    Returns
    -------
    Dataset
        ``lyapunov_exponent(exponent)``, exact for every n.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    Newman (1986), Communications in Mathematical Physics 103, 121.

    Examples
    --------
    >>> import dynet
    >>> dynet.theory.ginibre_exponents(2).lyapunov_exponent.values.round(6)
    array([-0.288608, -0.981755])
    """
    faults = Faults()
    faults.integer("n", n, 1)
    _numbers(faults, "g", g, above=True, scalar=True)
    faults.raise_if_any()
    exponent = np.arange(1, n + 1)
    values = (np.log(2 * g**2 / n) + digamma((n - exponent + 1) / 2)) / 2
    return dataset(
        {"lyapunov_exponent": (("exponent",), values, "Lyapunov exponent, exact", PER_STEP)},
        {"exponent": exponent},
        {
            "title": "Exponents of products of Ginibre matrices",
            "references": "Newman (1986) Communications in Mathematical Physics 103, 121",
            "n_units": int(n),
            "g": float(g),
            "time_unit": "step",
        },
    )


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


def _numbers(faults: Faults, name: str, value: Any, *, above: bool = False, scalar: bool = False) -> np.ndarray:
    """Return numbers, one or a row of them, that are at least 0 (or above it)."""
    known = len(faults)
    array = faults.real_array(name, value, finite=True)
    if len(faults) > known:
        return array
    if array.ndim > (0 if scalar else 1) or array.size == 0:
        faults.add(name, array, "give a number" if scalar else "give a number or an array of one dimension")
    elif (array <= 0).any() if above else (array < 0).any():
        faults.add(name, value, "give positive numbers" if above else "give numbers of at least 0")
    return array.astype(np.float64)


def _leak(faults: Faults, delta: Any) -> None:
    if not (is_number(delta) and 0 < delta <= 1):
        faults.add("delta", delta, "give a leak in (0, 1]")
