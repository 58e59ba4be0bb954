"""What a fractional order competes with: exponential adaptation, and no adaptation at all."""

from __future__ import annotations

import numpy as np
from scipy import signal

from dynet.fractional.forward import Held
from dynet.fractional.profile import Profile, minimum, nodes, one_regressor, series, two_regressors
from dynet.fractional.records import Records, products

_NODES = 64
_UNRESOLVED = 1e-12


def constant_squares(records: Records, held: Held) -> tuple[np.ndarray, int]:
    """Return the sum of squares of ``offset + gain * stimulus`` and how many parameters it has."""
    y, s = centred(records, held)
    yy, ss = (np.einsum("ut,ut->u", x, x)[:, None] for x in (y, s))
    if held.gain is not None:
        return yy[:, 0], held.n_free - 1
    varies = bool((ss > 0).any())
    products = np.einsum("ut,ut->u", y, np.broadcast_to(s, y.shape))[:, None]
    return one_regressor(yy, products, ss)[:, 0], held.n_free - 1 if varies else held.n_free - 2


def exponential_squares(records: Records, held: Held) -> tuple[np.ndarray, int]:
    """Return the least sum of squares of ``offset + gain * stimulus - c * (slow stimulus)``, and its parameters.

    The slow stimulus is the stimulus through a first-order low pass of any time constant from one sample to the
    length of the record: a step response with exponential adaptation.
    """
    y, s = centred(records, held)
    T = records.stimulus.shape[-1]
    lower, upper = 0.0, float(np.log(T))
    times = nodes(lower, upper, _NODES)

    def slow(log_time: float) -> np.ndarray:
        kept = np.exp(-np.exp(-log_time))
        q: np.ndarray = signal.lfilter([1 - kept], [1, -kept], records.stimulus, axis=-1)[:, records.window]
        return q - q.mean(axis=-1, keepdims=True) if held.offset is None else q

    yq, qq, sq = products(y, s, map(slow, times))
    yy, ss = (np.einsum("ut,ut->u", x, x)[:, None] for x in (y, s))
    ys = np.einsum("ut,ut->u", y, np.broadcast_to(s, y.shape))[:, None]

    def left(_: np.ndarray, yq: np.ndarray, qq: np.ndarray, sq: np.ndarray) -> np.ndarray:
        if held.gain is not None:
            return one_regressor(yy, yq, qq)
        return two_regressors(yy, ys, yq, ss, qq, sq)

    profile = Profile(lower, upper, (series(yq), series(qq), series(sq)), left)
    best, values, _ = minimum(profile)
    _, n_constant = constant_squares(records, held)
    return np.minimum(profile.at(best), values.min(axis=-1)), n_constant + 2


def information(squares: np.ndarray, n: int, n_free: int, scale: np.ndarray) -> np.ndarray:
    """Return Akaike's criterion of a fit with normal residuals, whose variance counts as a parameter too.

    Sums of squares that are no more than what the search for a minimum leaves of ``scale`` count as equal.
    """
    return n * np.log(np.maximum(squares, _UNRESOLVED * scale) / n) + 2 * (n_free + 1)


def centred(records: Records, held: Held) -> tuple[np.ndarray, np.ndarray]:
    """Return responses and stimulus in the window, less what an offset, or a given gain, takes off."""
    y, s = records.response[:, records.window], records.stimulus[:, records.window]
    if held.gain is not None:
        y = y - held.gain * s
    if held.offset is not None:
        return y - held.offset, s
    s = s - s.mean(axis=-1, keepdims=True)
    return y - y.mean(axis=-1, keepdims=True), s
