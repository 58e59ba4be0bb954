"""Large random networks, driven or not: their largest exponent in mean field, and where it crosses zero."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.systems.mean_field import solve, white_gain
from dynet.systems.theory_arguments import PER_STEP, check_leak, numbers_argument
from dynet.typing import ArrayLike

__all__ = ["mean_field", "transition"]

MEAN_FIELD_REFERENCES = (
    "Sompolinsky, Crisanti & Sommers (1988) doi:10.1103/PhysRevLett.61.259; "
    "Engelken, Wolf & Abbott (2023) doi:10.1103/PhysRevResearch.5.043044"
)


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
    gains = numbers_argument(faults, "g", g, above=True)
    strengths = numbers_argument(faults, "sigma", sigma)
    check_leak(faults, delta)
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
    gains = numbers_argument(faults, "g", g, above=True)
    check_leak(faults, delta)
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
