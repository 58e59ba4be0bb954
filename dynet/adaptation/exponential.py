"""One exponential and a constant, ``y = a exp(-b v) + c``, fitted by least squares with profile intervals.

At a given rate b the curve is linear in the rest, so the sum of squares is a function of b alone. The likelihood region
is found on that line, and each interval is the projection of the region: as wide as a and c trade against b.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.stats

__all__ = ["ExponentialFit", "corrected_information", "fit_exponential", "logarithm", "near_one", "rounding_floor"]

#: Parameters of the curve.
_N_PARAMETERS = 3
_GRID = 240
#: exp(-36) is rounding: only the first point still departs from the constant.
_STEEPEST = 36.0
#: A curve that bends less over its whole length is a straight line.
_FLATTEST = 1e-3


class ExponentialFit(NamedTuple):
    """A fitted curve; intervals are (2,), the ends infinite where the data set none."""

    rate: float
    amplitude: float
    offset: float
    start: float
    rate_interval: np.ndarray
    amplitude_interval: np.ndarray
    offset_interval: np.ndarray
    start_interval: np.ndarray
    residual: np.ndarray
    log_sum_of_squares: float

    def rescaled(self, v: int, y: int) -> ExponentialFit:
        """Return the fit with v and y multiplied by these powers of two; what leaves the numbers there is infinite."""
        with np.errstate(over="ignore"):
            return ExponentialFit(
                rate=float(np.ldexp(self.rate, -v)),
                amplitude=float(np.ldexp(self.amplitude, y)),
                offset=float(np.ldexp(self.offset, y)),
                start=float(np.ldexp(self.start, y)),
                rate_interval=np.ldexp(self.rate_interval, -v),
                amplitude_interval=np.ldexp(self.amplitude_interval, y),
                offset_interval=np.ldexp(self.offset_interval, y),
                start_interval=np.ldexp(self.start_interval, y),
                residual=np.ldexp(self.residual, y),
                log_sum_of_squares=self.log_sum_of_squares + 2 * y * math.log(2),
            )


def near_one(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return values divided by the power of two that brings the largest into [1/2, 1), and that power.

    The squares of numbers beyond 1e154 are infinite, those of numbers below 1e-162 are zero.
    """
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def rounding_floor(y: np.ndarray) -> float:
    """Return the sum of squares that rounding alone leaves."""
    return float(y.size * (4 * np.finfo(np.float64).eps * np.abs(y).max()) ** 2)


def logarithm(sum_of_squares: float) -> float:
    """Return the natural logarithm, -inf of 0."""
    return math.log(sum_of_squares) if sum_of_squares > 0 else -math.inf


def corrected_information(log_sum_of_squares: float, count: int, n_parameters: int) -> float:
    """Return AICc of least squares; the variance of the residuals is one parameter more."""
    k = n_parameters + 1
    return count * (log_sum_of_squares - math.log(count)) + 2 * k + 2 * k * (k + 1) / (count - k - 1)


def fit_exponential(v: np.ndarray, y: np.ndarray, level: float = 0.95) -> ExponentialFit:
    """Return the least-squares curve through y (m,) at v (m,), m > 3, and intervals of that level.

    ``start`` is the value of the curve at the least v. A constant y leaves rate, amplitude and start NaN; where only
    the first or last point departs from a constant, the rate is infinite. A straight line has no amplitude nor offset.
    """
    (v, v_power), (y, y_power) = near_one(v), near_one(y)
    return _fit(v, y, level).rescaled(v_power, y_power)


def _fit(v: np.ndarray, y: np.ndarray, level: float) -> ExponentialFit:
    """Return the fit of numbers whose squares neither overflow nor vanish."""
    m = y.size
    floor = rounding_floor(y)
    if np.sum((y - y.mean()) ** 2) <= floor:
        unknown = np.full(2, np.nan)
        constant = float(y.mean())
        return ExponentialFit(
            np.nan,
            np.nan,
            constant,
            np.nan,
            unknown,
            unknown,
            np.full(2, constant),
            unknown,
            y - constant,
            logarithm(floor),
        )
    curve = _Curve(v, y)
    rates = _rates(np.unique(v))
    sums = curve.at(rates)[0]
    best = int(np.argmin(sums))
    rate = float(rates[best])
    if 0 < best < rates.size - 1:
        found = scipy.optimize.minimize_scalar(
            curve.sum_of_squares,
            bounds=(rates[best - 1], rates[best + 1]),
            method="bounded",
            options={"xatol": 1e-13 * abs(rate)},
        )
        if found.fun < sums[best]:
            rate = float(found.x)
        rate = _polished(curve, rate)
    least = max(curve.sum_of_squares(rate), floor)
    quantile = scipy.stats.t.ppf((1 + level) / 2, m - _N_PARAMETERS)
    threshold = least * (1 + quantile**2 / (m - _N_PARAMETERS))
    low, high = _region(curve, rates, sums, rate, threshold)
    inside = np.unique(np.concatenate((np.linspace(low, high, _GRID), rates[(rates > low) & (rates < high)])))
    quantities = curve.quantities(inside, threshold)
    with np.errstate(invalid="ignore"):  # at rate 0 amplitude and offset are nothing
        intervals = [np.array([np.min(middle - width), np.max(middle + width)]) for middle, width in quantities]
    unbounded = np.array([-np.inf, np.inf])
    if low <= 0 <= high:  # a straight line has neither an end nor an amplitude
        intervals[0], intervals[1] = unbounded, unbounded
    ends = np.array([-np.inf if low == rates[0] else low, np.inf if high == rates[-1] else high])
    if np.isinf(ends).any() and v.min() != 0:
        intervals[0] = unbounded
    at_end = best in (0, rates.size - 1)
    (amplitude, _), (offset, _), (start, _) = curve.quantities(np.array([rate]), threshold)
    return ExponentialFit(
        rate=float(np.copysign(np.inf, rate)) if at_end else rate,
        amplitude=np.nan if at_end or rate == 0 else float(amplitude[0]),
        offset=np.nan if rate == 0 else float(offset[0]),
        start=float(start[0]),
        rate_interval=ends,
        amplitude_interval=intervals[0],
        offset_interval=intervals[1],
        start_interval=intervals[2],
        residual=curve.residual(rate),
        log_sum_of_squares=logarithm(least),
    )


def _rates(v: np.ndarray) -> np.ndarray:
    """Return rates from those that only the last point feels, over zero, to those that only the first one feels."""
    flattest = _FLATTEST / (v[-1] - v[0])
    falling = np.geomspace(flattest, _STEEPEST / (v[1] - v[0]), _GRID)
    rising = np.geomspace(flattest, _STEEPEST / (v[-1] - v[-2]), _GRID)
    return np.concatenate((-rising[::-1], [0.0], falling))


def _polished(curve: _Curve, rate: float) -> float:
    """Return the rate after Gauss-Newton steps: the search on sums of squares sees half of the digits."""
    last = np.inf
    for _ in range(20):
        residual = curve.residual(rate)
        step = float(np.linalg.lstsq(curve.derivatives(rate), residual, rcond=None)[0][-1])
        rounding = 1 + 8 * np.finfo(np.float64).eps
        if not abs(step) < last or curve.sum_of_squares(rate + step) > np.sum(residual**2) * rounding:
            break
        rate, last = rate + step, abs(step)
    return rate


def _region(curve: _Curve, rates: np.ndarray, sums: np.ndarray, rate: float, threshold: float) -> tuple[float, float]:
    """Return the ends of the likelihood region of the rate."""
    inside = np.flatnonzero(sums <= threshold)

    def crossing(within: float, beyond: float) -> float:
        digits = 1e-14 * max(abs(within), abs(beyond))
        end = scipy.optimize.brentq(lambda b: curve.sum_of_squares(b) - threshold, within, beyond, xtol=digits)
        return float(end)

    low, high = rate, rate
    if inside.size:
        low, high = min(rate, rates[inside[0]]), max(rate, rates[inside[-1]])
    below, above = rates[rates < low], rates[rates > high]
    if below.size:
        low = crossing(low, below[-1])
    if above.size:
        high = crossing(high, above[0])
    return float(low), float(high)


class _Curve:
    """The curve ``mean + slope (phi - mean phi)`` with phi = expm1(-b w) / b, which is -w at b = 0."""

    def __init__(self, v: np.ndarray, y: np.ndarray) -> None:
        self.v, self.y = v, y
        self.first, self.length = float(v.min()), float(np.ptp(v))
        self.mean = float(y.mean())

    def _basis(self, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return phi (rates, m) and what it is at the least v; rising curves are counted from their end."""
        b = rates[:, None]
        origin = np.where(rates >= 0, self.first, self.first + self.length)[:, None]
        return _phi(b, self.v - origin), _phi(b, self.first - origin)[:, 0]

    def at(self, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return sums of squares, slopes, mean phi, the squares of phi about it, and phi at the least v."""
        phi, first = self._basis(rates)
        mean = phi.mean(axis=1)
        phi = phi - mean[:, None]
        squares = np.sum(phi**2, axis=1)
        slope = phi @ (self.y - self.mean) / squares
        left = self.y - self.mean - slope[:, None] * phi
        return np.sum(left**2, axis=1), slope, mean, squares, first

    def sum_of_squares(self, rate: float) -> float:
        return float(self.at(np.array([rate]))[0][0])

    def residual(self, rate: float) -> np.ndarray:
        _, slope, mean, _, _ = self.at(np.array([rate]))
        phi, _ = self._basis(np.array([rate]))
        return self.y - self.mean - slope[0] * (phi[0] - mean[0])

    def derivatives(self, rate: float) -> np.ndarray:
        """Return the derivatives (m, 3) of the curve along the constant, phi and the rate, up to sums of the others."""
        _, slope, _, _, _ = self.at(np.array([rate]))
        w = self.v - (self.first if rate >= 0 else self.first + self.length)
        E = np.exp(-rate * w)
        bend = -slope[0] * w * E / rate if rate else slope[0] * w**2 / 2
        return np.stack([np.ones_like(w), w if rate == 0 else E, bend], axis=1)

    def quantities(self, rates: np.ndarray, threshold: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return amplitude, offset and start at each rate, and how far the threshold lets each go there."""
        sums, slope, mean, squares, first = self.at(rates)
        slack = np.maximum(threshold - sums, 0)
        origin = np.where(rates >= 0, self.first, self.first + self.length)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            scale = np.exp(rates * origin) / rates
            offset, start = -1 / rates - mean, first - mean
            amplitude = slope * scale, np.sqrt(slack / squares) * np.abs(scale)
            return [
                amplitude,
                *(
                    (self.mean + slope * g, np.sqrt(slack * (1 / self.y.size + g**2 / squares)))
                    for g in (offset, start)
                ),
            ]


def _phi(b: np.ndarray, w: np.ndarray) -> np.ndarray:
    zero = b == 0
    return np.where(zero, -w, np.expm1(-b * w) / np.where(zero, 1.0, b))
