"""What a fractional order competes with: exponential adaptation, and no adaptation at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft, signal

from dynet.fractional.forward import Held
from dynet.fractional.profile import PARABOLAS, Profile, minimum, nodes, one_regressor, series, two_regressors
from dynet.fractional.records import Records
from dynet.kernels.fractional import blocks, padded_length

_NODES = 40
#: Time constants that are compared before the best is refined.
_POINTS = 81
_UNRESOLVED = 1e-12


@dataclass(frozen=True)
class Centred:
    """Responses y and stimulus s in the window, less what an offset, or a given gain, takes off, and their products."""

    y: np.ndarray
    s: np.ndarray
    records: Records
    held: Held

    @cached_property
    def yy(self) -> np.ndarray:
        """The squares (unit, 1) of the responses."""
        return np.einsum("ut,ut->u", self.y, self.y)[:, None]

    @cached_property
    def ss(self) -> np.ndarray:
        """The squares (unit or 1, 1) of the stimulus."""
        return np.einsum("ut,ut->u", self.s, self.s)[:, None]

    @cached_property
    def ys(self) -> np.ndarray:
        """The products (unit, 1) of responses and stimulus."""
        return (self.y @ self.s[0] if len(self.s) == 1 else np.einsum("ut,ut->u", self.y, self.s))[:, None]


def constant_squares(given: Centred) -> tuple[np.ndarray, int]:
    """Return the sum of squares of ``offset + gain * stimulus`` and how many parameters it has."""
    n_free = given.held.n_free
    if given.held.gain is not None:
        return given.yy[:, 0], n_free - 1
    varies = bool((given.ss > 0).any())
    return one_regressor(given.yy, given.ys, given.ss)[:, 0], n_free - 1 if varies else n_free - 2


def exponential_squares(given: Centred) -> tuple[np.ndarray, int]:
    """Return the least sum of squares of ``offset + gain * stimulus - c * (slow stimulus)``, and its parameters.

    The slow stimulus is the stimulus through a first-order low pass of any time constant from one sample to the
    length of the record: a step response with exponential adaptation.
    """
    lower, upper = 0.0, float(np.log(given.records.stimulus.shape[-1]))
    kept = np.exp(-np.exp(-nodes(lower, upper, _NODES)))
    slow = _slow_products_of_one if len(given.s) == 1 else _slow_products
    yq, qq, sq = slow(given, kept)

    def left(_: np.ndarray, yq: np.ndarray, qq: np.ndarray, sq: np.ndarray) -> np.ndarray:
        if given.held.gain is not None:
            return one_regressor(given.yy, yq, qq)
        return two_regressors(given.yy, given.ys, yq, given.ss, qq, sq)

    profile = Profile(lower, upper, (series(yq), series(qq), series(sq)), left, _POINTS)
    # the least sum of squares alone matters, not where it is
    best, values, _ = minimum(profile, PARABOLAS[:1])
    _, n_constant = constant_squares(given)
    return np.minimum(profile.at(best), values.min(axis=-1)), n_constant + 2


def _slow_products_of_one(given: Centred, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return products of y (unit, time), s (1, time) and the slow stimulus q, one for all: yq, qq, sq (unit, node)."""
    records = given.records
    q = np.stack([signal.lfilter([1 - keep], [1, -keep], records.stimulus[0]) for keep in kept])[:, records.window]
    if given.held.offset is None:
        q -= q.mean(axis=-1, keepdims=True)
    return given.y @ q.T, np.einsum("jt,jt->j", q, q)[None], given.s @ q.T


def _slow_products(given: Centred, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the products of y, s and the slow stimulus q (unit, time) without q: yq, qq and sq (unit, node).

    A product with q is one of its weights with a correlation; ``q_t = keep q_(t-1) + (1 - keep) x_t``, squared
    and summed, gives the sum of squares.
    """
    x, window = given.records.stimulus, given.records.window
    start, stop, n = window.start, window.stop, given.y.shape[-1]
    weights = (1 - kept)[:, None] * kept[:, None] ** np.arange(x.shape[-1])
    yq, xq = _weighted_correlations(given, weights)
    inside = x[:, window]
    total = inside.sum(axis=-1, keepdims=True)
    last = x[:, :stop] @ weights[:, stop - 1 :: -1].T if stop < x.shape[-1] else x @ weights[:, ::-1].T
    before = x[:, :start] @ weights[:, start - 1 :: -1].T if start else np.zeros_like(last)
    sums = total - kept / (1 - kept) * (last - before)
    xx = np.einsum("ut,ut->u", inside, inside)[:, None]
    qq = (kept**2 * (before**2 - last**2) + 2 * (1 - kept) * xq - (1 - kept) ** 2 * xx) / (1 - kept**2)
    if given.held.offset is not None:
        return yq, qq, xq
    return yq, qq - sums**2 / n, xq - total / n * sums


def _weighted_correlations(given: Centred, weights: np.ndarray) -> list[np.ndarray]:
    """Return the sums over t and lags of ``weight_lag y_t x_(t - lag)`` (unit, node), and those of x in place of y."""
    records = given.records
    is_whole = given.y.shape[-1] == records.stimulus.shape[-1]
    length = padded_length(records.stimulus.shape[-1])
    # Parseval: frequencies but the first and the last one of an even number count twice
    twice = np.full(records.spectrum.shape[-1], 2.0)
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    symbols = (fft.rfft(weights, n=length) * (twice / length)).view(np.float64)
    results = [np.empty((len(given.y), len(weights))) for _ in range(2)]
    for units in blocks(*records.stimulus.shape):
        slow = records.spectrum[units].conj()
        for side, result in zip((given.y, records.stimulus[:, records.window]), results, strict=True):
            if side is given.y or not is_whole:
                later = fft.rfft(np.pad(side[units], ((0, 0), (records.window.start, 0))), n=length)
            else:
                later = records.spectrum[units]
            result[units] = (later * slow).view(np.float64) @ symbols.T
    return results


def information(squares: np.ndarray, n: int, n_free: int, scale: np.ndarray) -> np.ndarray:
    """Return Akaike's criterion of a fit with normal residuals, whose variance counts as a parameter too.

    Sums of squares that are no more than what the search for a minimum leaves of ``scale`` count as equal.
    """
    return n * np.log(np.maximum(squares, _UNRESOLVED * scale) / n) + 2 * (n_free + 1)


def centred(records: Records, held: Held) -> Centred:
    """Return responses and stimulus in the window, less what an offset, or a given gain, takes off."""
    s = records.stimulus[:, records.window]
    if held.gain is None and held.offset is None:
        y = records.deviations
    else:
        y = records.response[:, records.window] - (0.0 if held.gain is None else held.gain * s)
        y = y - (y.mean(axis=-1, keepdims=True) if held.offset is None else held.offset)
    return Centred(y, s - s.mean(axis=-1, keepdims=True) if held.offset is None else s, records, held)
