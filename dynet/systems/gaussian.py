"""Averages of tanh over Gaussian states: what mean-field equations of random networks are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: The normal density beyond it is zero to rounding.
_REACH = 13.0


def quadrature(variance: float, *, fineness: float = 37.0) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of averages of tanh (or log cosh) of a Gaussian state of that variance.

    Sums over equal steps converge like ``exp(-2 pi y / step)``, with y the distance of the poles of tanh from the
    real line: ``fineness`` is that exponent.
    """
    distance = np.pi / 2 / max(np.sqrt(variance), 0.5)
    count = int(np.ceil(_REACH * fineness / (2 * np.pi * distance)))
    z = np.linspace(-_REACH, _REACH, 2 * count + 1)
    weights = np.exp(-(z**2) / 2)
    return np.sqrt(variance) * z, weights / weights.sum()


def log_slope(x: np.ndarray) -> np.ndarray:
    """Return ln tanh'(x), where cosh itself may overflow."""
    size = np.abs(x)
    return -2 * (size + np.log1p(np.exp(-2 * size)) - np.log(2))


def mean_square(variance: float) -> float:
    """Return E tanh(x)^2."""
    x, w = quadrature(variance)
    return float(w @ np.tanh(x) ** 2)


def mean_slope(variance: float) -> float:
    """Return E tanh'(x)."""
    return 1.0 - mean_square(variance)


def mean_square_slope(variance: float) -> float:
    """Return E tanh'(x)^2."""
    x, w = quadrature(variance)
    return float(w @ np.exp(2 * log_slope(x)))


class Correlations(NamedTuple):
    """E tanh(x) tanh(y) of two states of equal variance as a power series in their correlation.

    ``powers[j]`` belongs to the power 2 j + 1 (tanh is odd). They are positive and sum to E tanh(x)^2.
    """

    variance: float
    powers: np.ndarray

    def of_rates(self, c: np.ndarray) -> np.ndarray:
        """Return E tanh(x) tanh(y) at correlations ``c``."""
        product: np.ndarray = c * np.polynomial.polynomial.polyval(c**2, self.powers)
        return product

    def of_slopes(self, c: np.ndarray) -> np.ndarray:
        """Return E tanh'(x) tanh'(y): by Price's theorem the derivative with respect to the covariance."""
        orders = 2 * np.arange(self.powers.size) + 1
        product: np.ndarray = np.polynomial.polynomial.polyval(c**2, orders * self.powers) / self.variance
        return product


class HermiteTable:
    """Hermite polynomials on nodes that resolve all variances up to a largest one."""

    def __init__(self, largest: float) -> None:
        self.largest = largest
        x, w = quadrature(largest, fineness=90.0)
        self.z = x / np.sqrt(largest)
        count = 40 + int(75 * largest)
        # of unit norm, times the root of the density and of the weight, which keeps them of the order of one
        root = np.sqrt(w)
        lower, upper = root, self.z * root
        self.rows = np.empty((count, x.size))
        for j in range(count):
            self.rows[j] = upper * root
            for order in (2 * j + 2, 2 * j + 3):
                lower, upper = upper, (self.z * upper - np.sqrt(order - 1) * lower) / np.sqrt(order)

    def correlations(self, variance: float) -> Correlations:
        """Return the series of Mehler's formula: squares of the Hermite coefficients of tanh."""
        return Correlations(variance, (self.rows @ np.tanh(np.sqrt(variance) * self.z)) ** 2)
