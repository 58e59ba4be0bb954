"""The procedure of Geadah et al.: the response filtered back in the Fourier domain, without gain."""

from __future__ import annotations

import numpy as np
from scipy import fft

from dynet.fractional.profile import Profile, interval, minimum, nodes, positive, series
from dynet.fractional.records import Fit, Records, limit_ratio
from dynet.fractional.templates import node_count
from dynet.kernels.fractional import fourier_derivative

_N_FREE = 1


def fit_paper(records: Records, lower: float, upper: float, level: float) -> Fit:
    """Return the order that makes the response, filtered back, most like the stimulus, both less their means."""
    r = records.response[:, records.window]
    s = np.broadcast_to(records.stimulus, records.response.shape)[:, records.window]
    r, s = r - r.mean(axis=-1, keepdims=True), s - s.mean(axis=-1, keepdims=True)
    n = r.shape[-1]
    orders = nodes(lower, upper, node_count(lower, upper, n))
    # by Parseval's theorem all orders are two matrix products over frequencies
    w = 2 * np.pi * fft.rfftfreq(n, records.dt)[1:]
    R, S = fft.rfft(r)[:, 1:], fft.rfft(s)[:, 1:]
    twice = np.full(w.size, 2.0 / n)
    modulus = w ** -orders[:, None]
    real, imaginary = modulus * np.cos(-orders[:, None] * np.pi / 2), modulus * np.sin(-orders[:, None] * np.pi / 2)
    if n % 2 == 0:
        twice[-1] = 1.0 / n
        imaginary[:, -1] = 0.0
    cross = twice * R * S.conj()
    power = (twice * np.abs(R) ** 2) @ (real**2 + imaginary**2).T
    product = cross.real @ real.T - cross.imag @ imaginary.T
    ss = np.einsum("ut,ut->u", s, s)[:, None]

    def left(_: np.ndarray, power: np.ndarray, product: np.ndarray) -> np.ndarray:
        return positive(ss + power - 2 * product, ss)

    profile = Profile(lower, upper, (series(power), series(product)), left)
    order, values, at_end = minimum(profile)
    ends = interval(profile, order, values, limit_ratio(level, n, _N_FREE))
    residual = s - fourier_derivative(r, -order, records.dt, True)
    nothing = np.full(r.shape[0], np.nan)
    return Fit(order, ends, np.ones(r.shape[0]), nothing, residual, at_end, _N_FREE)
