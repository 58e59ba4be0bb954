"""The forward fit: the response as gain times the filtered stimulus, plus an offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynet.fractional.profile import Profile, interval, minimum, nodes, one_regressor, positive, series
from dynet.fractional.records import Fit, Records, limit_ratio, products
from dynet.kernels.fractional import causal_derivative

#: The template is smaller than this beside what the offset took off it: gain and offset cannot be told apart.
_COLLINEAR = 1e-20


@dataclass(frozen=True)
class Held:
    """Parameters that are given, not fitted."""

    gain: float | None = None
    offset: float | None = None

    @property
    def n_free(self) -> int:
        """How many parameters are fitted, the order among them."""
        return 1 + (self.gain is None) + (self.offset is None)


def node_count(lower: float, upper: float, n_times: int) -> int:
    """Return how many Chebyshev nodes resolve powers ``k^-2a`` of all lags k to rounding."""
    return 32 + int(2 * (upper - lower) * np.log(n_times + 2))


def unit_of_time(lower: float, upper: float, n_times: int) -> float:
    """Return the unit of time in which derivatives of a step, of all orders in the range, are about as large.

    Series of their products lose the digits by which the smallest is smaller than the largest. Norms of the derivatives
    grow as ``n_times^(1/2 - a)`` below order 1/2 and hardly above.
    """
    low, high = (max(0.5 - a, 0.0) for a in (lower, upper))
    return float(n_times ** ((high - low) / (upper - lower)))


def fit_forward(records: Records, lower: float, upper: float, held: Held, level: float) -> Fit:
    """Return the least squares fit of order, gain and offset to every response."""
    r, s, window, T = records.response, records.stimulus, records.window, records.response.shape[-1]
    y = r[:, window] - (r[:, window].mean(axis=-1, keepdims=True) if held.offset is None else held.offset)
    orders = nodes(lower, upper, node_count(lower, upper, T))
    unit = unit_of_time(lower, upper, T)
    templates = (_centred(causal_derivative(s, np.asarray(a), unit)[:, window], held.offset is None) for a in orders)
    yt, tt, _ = products(y, s[:, window], templates)
    yy = np.einsum("ut,ut->u", y, y)[:, None]

    def left(a: np.ndarray, yt: np.ndarray, tt: np.ndarray) -> np.ndarray:
        if held.gain is None:
            return one_regressor(yy, yt, tt)
        gain = held.gain * (unit / records.dt) ** a
        return positive(yy - 2 * gain * yt + gain**2 * tt, yy)

    profile = Profile(lower, upper, (series(yt), series(tt)), left)
    order, values, at_end = minimum(profile)
    ratio = limit_ratio(level, y.shape[-1], held.n_free)
    ends = interval(profile, order, values, ratio)
    return fitted(records, order, ends, at_end, held)


def _centred(x: np.ndarray, centred: bool) -> np.ndarray:
    return x - x.mean(axis=-1, keepdims=True) if centred else x


def fitted(records: Records, order: np.ndarray, ends: np.ndarray, at_end: np.ndarray, held: Held) -> Fit:
    """Return gain, offset and residuals of the model at given orders (unit,)."""
    r = records.response[:, records.window]
    t = causal_derivative(records.stimulus, order, records.dt)[:, records.window]
    if held.offset is None:
        centred_t, centred_r = t - t.mean(axis=-1, keepdims=True), r - r.mean(axis=-1, keepdims=True)
    else:
        centred_t, centred_r = t, r - held.offset
    if held.gain is None:
        tt = np.einsum("ut,ut->u", centred_t, centred_t)
        told = tt > _COLLINEAR * np.einsum("ut,ut->u", t, t)
        gain = np.divide(
            np.einsum("ut,ut->u", centred_t, centred_r), tt, out=np.full(tt.shape, np.nan), where=told & (tt > 0)
        )
    else:
        gain = np.full(r.shape[0], held.gain)
    offset = np.full(r.shape[0], held.offset) if held.offset is not None else (r - gain[:, None] * t).mean(axis=-1)
    residual = r - gain[:, None] * t - offset[:, None]
    return Fit(order, ends, gain, offset, residual, at_end, held.n_free)
