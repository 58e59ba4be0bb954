"""What a fractional order competes with: exponential adaptation, and no adaptation at all."""

from __future__ import annotations

import numpy as np
from scipy import fft, signal

from dynet.fractional.forward import Held
from dynet.fractional.profile import PARABOLAS, Profile, minimum, nodes, one_regressor, series, two_regressors
from dynet.fractional.records import Records
from dynet.kernels.fractional import blocks, padded_length

_NODES = 48
_UNRESOLVED = 1e-12


def constant_squares(y: np.ndarray, s: np.ndarray, held: Held) -> tuple[np.ndarray, int]:
    """Return the sum of squares of ``offset + gain * stimulus`` and how many parameters it has.

    ``y`` and ``s`` are responses and stimulus as `centred` makes them.
    """
    yy, ss = (np.einsum("ut,ut->u", x, x)[:, None] for x in (y, s))
    if held.gain is not None:
        return yy[:, 0], held.n_free - 1
    varies = bool((ss > 0).any())
    return one_regressor(yy, _products(y, s)[:, None], ss)[:, 0], held.n_free - 1 if varies else held.n_free - 2


def exponential_squares(y: np.ndarray, s: np.ndarray, records: Records, held: Held) -> tuple[np.ndarray, int]:
    """Return the least sum of squares of ``offset + gain * stimulus - c * (slow stimulus)``, and its parameters.

    The slow stimulus is the stimulus through a first-order low pass of any time constant from one sample to the
    length of the record: a step response with exponential adaptation.
    """
    lower, upper = 0.0, float(np.log(records.stimulus.shape[-1]))
    kept = np.exp(-np.exp(-nodes(lower, upper, _NODES)))
    slow = _slow_products_of_one if len(s) == 1 else _slow_products
    yq, qq, sq = slow(y, s, records, kept, held.offset is None)
    yy, ss = (np.einsum("ut,ut->u", x, x)[:, None] for x in (y, s))
    ys = _products(y, s)[:, None]

    def left(_: np.ndarray, yq: np.ndarray, qq: np.ndarray, sq: np.ndarray) -> np.ndarray:
        if held.gain is not None:
            return one_regressor(yy, yq, qq)
        return two_regressors(yy, ys, yq, ss, qq, sq)

    profile = Profile(lower, upper, (series(yq), series(qq), series(sq)), left)
    # the least sum of squares alone matters, not where it is
    best, values, _ = minimum(profile, PARABOLAS[:1])
    _, n_constant = constant_squares(y, s, held)
    return np.minimum(profile.at(best), values.min(axis=-1)), n_constant + 2


def _slow_products_of_one(
    y: np.ndarray, s: np.ndarray, records: Records, kept: np.ndarray, is_centred: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return products of y (unit, time), s (1, time) and the slow stimulus q, one for all: yq, qq, sq (unit, node)."""
    q = np.stack([signal.lfilter([1 - keep], [1, -keep], records.stimulus[0]) for keep in kept])[:, records.window]
    if is_centred:
        q -= q.mean(axis=-1, keepdims=True)
    return y @ q.T, np.einsum("jt,jt->j", q, q)[None], s @ q.T


def _slow_products(
    y: np.ndarray, s: np.ndarray, records: Records, kept: np.ndarray, is_centred: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the products of y, s and the slow stimulus q (unit, time) without q: yq, qq and sq (unit, node).

    A product with q is one of its weights with a correlation; ``q_t = keep q_(t-1) + (1 - keep) x_t``, squared
    and summed, gives the sum of squares.
    """
    x, window = records.stimulus, records.window
    start, stop, n = window.start, window.stop, y.shape[-1]
    weights = (1 - kept)[:, None] * kept[:, None] ** np.arange(x.shape[-1])
    yq, sq = (_correlations(side, records) @ weights.T for side in (y, s))
    inside = x[:, window]
    total = inside.sum(axis=-1, keepdims=True)
    last = x[:, stop - 1 :: -1] @ weights[:, :stop].T if stop < x.shape[-1] else x[:, ::-1] @ weights.T
    before = x[:, start - 1 :: -1] @ weights[:, :start].T if start else np.zeros_like(last)
    sums = total - kept / (1 - kept) * (last - before)
    xq = sq + total / n * sums if is_centred else sq
    xx = np.einsum("ut,ut->u", inside, inside)[:, None]
    qq = (kept**2 * (before**2 - last**2) + 2 * (1 - kept) * xq - (1 - kept) ** 2 * xx) / (1 - kept**2)
    return yq, qq - sums**2 / n if is_centred else qq, sq


def _correlations(y: np.ndarray, records: Records) -> np.ndarray:
    """Return the sums over t of ``y_t x_(t - lag)``, (unit, lag), of what is in the window and the stimulus x."""
    n_times = records.stimulus.shape[-1]
    length = padded_length(n_times)
    result = np.empty_like(records.stimulus)
    for units in blocks(*result.shape):
        later = np.pad(y[units], ((0, 0), (records.window.start, 0)))
        spectra = fft.rfft(later, n=length)
        spectra *= records.spectrum[units].conj()
        result[units] = fft.irfft(spectra, n=length, overwrite_x=True)[:, :n_times]
    return result


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


def _products(y: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Return the sums over time of y (unit, time) times s (unit or 1, time)."""
    return y @ s[0] if len(s) == 1 else np.einsum("ut,ut->u", y, s)
