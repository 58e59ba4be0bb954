r"""Mean-field equations of large random networks ``x' = a x + d (J tanh(x) + u)``, a = 1 - d, solved to rounding.

In the limit of many units the recurrent drive is a Gaussian process whose covariance is
:math:`C(\tau) = g^2 E \tanh(x_0) \tanh(x_\tau)`, and x is that process (plus the input, white in time) through the
leak. Small perturbations have the covariance :math:`e^{\lambda (t + s)} \psi(t - s)` with

.. math:: (\mu^2 + a^2 - d^2 q(\tau)) \psi(\tau) = a \mu (\psi(\tau + 1) + \psi(\tau - 1)), \quad \mu = e^\lambda,

and :math:`q(\tau) = g^2 E \tanh'(x_0) \tanh'(x_\tau)`: the largest exponent is the largest solution. Without leak
(a = 0), and with weights drawn anew in every step, only tau = 0 matters and both equations are scalar.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq

from dynet.errors import ConvergenceError, InputError
from dynet.systems.gaussian import HermiteTable, log_slope, mean_square, mean_square_slope, quadrature

_TOLERANCE = 1e-13
_MOST_ITERATIONS = 5_000
#: Of states whose correlations are expanded: the table of Hermite polynomials grows with its power 3/2.
_LARGEST_VARIANCE = 100.0
_FEWEST_LAGS, _MOST_LAGS = 256, 2**15


class Solution(NamedTuple):
    """Variance of the states, largest and mean exponent (per step), and what the equations leave."""

    variance: float
    exponent: float
    mean_exponent: float
    residual: float


def solve(g: float, sigma: float, delta: float, *, untied: bool) -> Solution:
    """Return the solution for gain g, input of standard deviation sigma a unit, leak delta."""
    a = 1.0 - delta
    if sigma == 0 and (white_gain(g, delta) if untied else g) <= 1:
        exponent = 0.5 * np.log(a**2 + (delta * g) ** 2) if untied else np.log(a + delta * g)
        return Solution(0.0, float(exponent), mean_exponent(0.0, g, delta), 0.0)
    if untied or a == 0:
        variance = white_variance(g, sigma, delta)
        exponent = 0.5 * np.log(a**2 + (delta * g) ** 2 * mean_square_slope(variance))
        residual = abs(delta / (2 - delta) * (g**2 * mean_square(variance) + sigma**2) - variance)
    else:
        variance, exponent, residual = _coloured(g, sigma, delta)
    return Solution(variance, float(exponent), mean_exponent(variance, g, delta), float(residual))


def white_gain(g: float, delta: float) -> float:
    """Return the factor by which weights drawn anew in every step multiply a small variance."""
    return delta / (2 - delta) * g**2


def white_variance(g: float, sigma: float, delta: float) -> float:
    """Return the variance of the states when the recurrent drive is white in time."""
    factor = delta / (2 - delta)
    gain = white_gain(g, delta)
    # E tanh^2 >= v - 2 v^2: below this the right side exceeds the left
    lower = factor * sigma**2 if sigma else (gain - 1) / (4 * gain)
    upper = factor * (g**2 + sigma**2)

    def excess(variance: float) -> float:
        return factor * (g**2 * mean_square(variance) + sigma**2) - variance

    if excess(lower) <= 0:  # the recurrent drive is lost to rounding
        return lower
    return float(brentq(excess, lower, upper, xtol=1e-300, rtol=1e-15, maxiter=1000))


def mean_exponent(variance: float, g: float, delta: float) -> float:
    r"""Return the mean of all exponents, :math:`\frac{1}{N} \ln |\det (a I + d J D)|` for a large Gaussian J.

    :math:`E |\det|^2 = \int N dv e^{-N v} \prod_i (a^2 + v s_i^2)` with s the slopes times d g: its saddle point.
    """
    a = 1.0 - delta
    x, w = quadrature(variance, fineness=90.0)
    logs = log_slope(x)
    squares = (delta * g) ** 2 * np.exp(2 * logs)
    if a == 0:  # the saddle is at v = 1, and the logarithm needs no square that may underflow
        return float(np.log(g) - 0.5 + w @ logs)
    if w @ squares <= a**2:
        return float(np.log(a))
    v = brentq(lambda v: w @ (squares / (a**2 + v * squares)) - 1, 0.0, 1.0, xtol=1e-15)
    return float(0.5 * (w @ np.log(a**2 + v * squares) - v))


def _coloured(g: float, sigma: float, delta: float) -> tuple[float, float, float]:
    """Return variance, exponent and residual with tied weights and a leak, over as many lags as it takes."""
    n_lags = _FEWEST_LAGS
    while True:
        covariance, residual = _self_consistent(g, sigma, delta, n_lags)
        series = HermiteTable(covariance[0]).correlations(covariance[0])
        correlation = np.clip(covariance / covariance[0], -1.0, 1.0)
        if abs(correlation[-1]) < 1e-9:
            break
        n_lags *= 4
        if n_lags > _MOST_LAGS:
            raise ConvergenceError(
                f"the states of g={g}, sigma={sigma}, delta={delta} stay correlated over more than {n_lags // 4} "
                "steps: too close to the transition for these equations",
                residual=float(abs(correlation[-1])),
            )
    q = g**2 * series.of_slopes(correlation)
    q[0] = g**2 * mean_square_slope(covariance[0])
    return float(covariance[0]), float(np.log(_largest_multiplier(q, delta))), residual


def _self_consistent(g: float, sigma: float, delta: float, n_lags: int) -> tuple[np.ndarray, float]:
    """Return the covariance of the states at lags 0 .. n_lags, and by how much an iteration still changes it."""
    a = 1.0 - delta
    frequency = np.linspace(0, np.pi, n_lags + 1)
    leak = delta**2 / (1 + a**2 - 2 * a * np.cos(frequency))

    def filtered(drive: np.ndarray) -> np.ndarray:
        return np.fft.irfft(leak * drive, 2 * n_lags)[: n_lags + 1]

    start = white_variance(g, sigma, delta) if sigma or white_gain(g, delta) > 1 else 1.0
    covariance = filtered(np.full(n_lags + 1, start * (2 - delta) / delta))
    _check_variance(float(covariance[0]), g)
    table = HermiteTable(float(covariance[0]))
    change = np.inf
    for _ in range(_MOST_ITERATIONS):
        variance = covariance[0]
        _check_variance(float(variance), g)
        if variance > table.largest:
            table = HermiteTable(1.2 * variance)
        drive = g**2 * table.correlations(variance).of_rates(np.clip(covariance / variance, -1.0, 1.0))
        drive[0] = g**2 * mean_square(variance)
        spectrum = np.fft.rfft(np.concatenate([drive, drive[-2:0:-1]])).real
        new = filtered(spectrum + sigma**2)
        change = float(np.abs(new - covariance).max() / new[0])
        covariance = new
        if change < _TOLERANCE:
            return covariance, change
    if change < 1e-10:  # rounding keeps long series from settling further
        return covariance, change
    raise ConvergenceError(
        f"the mean-field equations of g={g}, sigma={sigma}, delta={delta} have not settled after "
        f"{_MOST_ITERATIONS} iterations (they still change by {change:.1g})",
        residual=change,
    )


def _check_variance(variance: float, g: float) -> None:
    if variance > _LARGEST_VARIANCE:
        raise InputError(
            f"g={g}: with a leak and tied weights the states have a variance above {_LARGEST_VARIANCE:g}, beyond the "
            'series that these equations use: take a smaller g or sigma, delta=1, or weights="untied"'
        )


def _largest_multiplier(q: np.ndarray, delta: float) -> float:
    """Return the largest mu of the equation of perturbations, whose solution is even in the lag."""
    a = 1.0 - delta
    last = q.size - 1

    def excess(mu: float) -> float:
        neighbours = np.full(last, a * mu)
        neighbours[0] *= np.sqrt(2)
        (top,) = eigh_tridiagonal(delta**2 * q, neighbours, eigvals_only=True, select="i", select_range=(last, last))
        return float(top - mu**2 - a**2)

    lower = max(a, np.sqrt(max(delta**2 * q[0] - a**2, 0.0)))
    upper = a + delta * np.sqrt(q[0])
    return float(brentq(excess, lower * (1 - 1e-9), upper * (1 + 1e-9), xtol=1e-15))
