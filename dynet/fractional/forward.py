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
    y = records.deviations if held.offset is None else records.response[:, records.window] - held.offset
    products, squares = (series(x) for x in templates.products(y))
    yy = np.einsum("ut,ut->u", y, y)[:, None]

    def left(a: np.ndarray, yt: np.ndarray, tt: np.ndarray) -> np.ndarray:
        if held.gain is None:
            return one_regressor(yy, yt, tt)
        gain = held.gain * (templates.unit / records.dt) ** a
        return positive(yy - 2 * gain * yt + gain**2 * tt, yy)

    profile = Profile(lower, upper, (products, squares), left)
    order, values, at_end = minimum(profile)
    ends = interval(profile, order, values, limit_ratio(level, y.shape[-1], held.n_free))
    yt, tt = profile.sums_at(order)
    tt = np.broadcast_to(tt, yt.shape)
    scale = (templates.unit / records.dt) ** order
    template_mean = templates.means_at(order)
    if held.gain is None:
        told = tt > _COLLINEAR * y.shape[-1] * template_mean**2
        scaled = np.divide(yt, tt, out=np.full(yt.shape, np.nan), where=told & (tt > 0))
    else:
        scaled = held.gain * scale
    t = templates.at(order, scaled)
    offset = np.full(len(y), held.offset) if held.offset is not None else records.means[:, 0] - scaled * template_mean
    return Fit(order, ends, scaled / scale, offset, np.subtract(y, t, out=t), at_end, held.n_free)
