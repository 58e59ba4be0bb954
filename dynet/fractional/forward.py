"""The forward fit: the response as gain times the filtered stimulus, plus an offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynet.fractional.profile import Profile, interval, minimum, one_regressor, positive, series
from dynet.fractional.records import Fit, Records, limit_ratio
from dynet.fractional.templates import Templates

#: The template is smaller than this beside what the offset took off it: gain and offset cannot be told apart.
_COLLINEAR = 1e-16


@dataclass(frozen=True)
class Held:
    """Parameters that are given, not fitted."""

    gain: float | None = None
    offset: float | None = None

    @property
    def n_free(self) -> int:
        """How many parameters are fitted, the order among them."""
        return 1 + (self.gain is None) + (self.offset is None)


def fit_forward(records: Records, lower: float, upper: float, held: Held, level: float) -> Fit:
    """Return the least squares fit of order, gain and offset to every response."""
    templates = Templates(records, lower, upper, centred=held.offset is None)
    r = records.response[:, records.window]
    mean = r.mean(axis=-1, keepdims=True) if held.offset is None else held.offset
    y = r - mean
    yt, tt = templates.products(y)
    yy = np.einsum("ut,ut->u", y, y)[:, None]

    def left(a: np.ndarray, yt: np.ndarray, tt: np.ndarray) -> np.ndarray:
        if held.gain is None:
            return one_regressor(yy, yt, tt)
        gain = held.gain * (templates.unit / records.dt) ** a
        return positive(yy - 2 * gain * yt + gain**2 * tt, yy)

    profile = Profile(lower, upper, (series(yt), series(tt)), left)
    order, values, at_end = minimum(profile)
    ends = interval(profile, order, values, limit_ratio(level, y.shape[-1], held.n_free))

    t = templates.at(order)
    t *= ((templates.unit / records.dt) ** order)[:, None]
    template_mean = t.mean(axis=-1, keepdims=True) if held.offset is None else np.zeros((len(t), 1))
    t -= template_mean
    if held.gain is None:
        tt = np.einsum("ut,ut->u", t, t)
        told = tt > _COLLINEAR * t.shape[-1] * template_mean[:, 0] ** 2
        gain = np.divide(np.einsum("ut,ut->u", t, y), tt, out=np.full(tt.shape, np.nan), where=told & (tt > 0))
    else:
        gain = np.full(len(r), held.gain)
    offset = (mean - gain[:, None] * template_mean)[:, 0]
    t *= gain[:, None]
    return Fit(order, ends, gain, offset, np.subtract(y, t, out=t), at_end, held.n_free)
