"""Error bars of exponents: how much a finite run scatters, with its autocorrelation counted."""

from __future__ import annotations

import numpy as np
from scipy import stats

#: From this many sequences on, the scatter between them is the error bar.
SEQUENCES_FOR_SCATTER = 5
_HIGHEST_ORDER = 20


def standard_error(growth: np.ndarray, weights: np.ndarray, *, independent: bool = True) -> np.ndarray:
    """Return the standard error of the mean rate.

    Parameters
    ----------
    growth : array (sequence, block, ...)
        Log growth of each block; -inf where an exponent is below resolution, NaN after the end of a
        sequence that is shorter.
    weights : array (sequence, block)
        Duration of each block; 0 after the end of a sequence.
    independent : bool
        Whether the sequences have inputs of their own. Sequences that share their input, or have none, may come
        to do the same: then their scatter says little.

    Returns
    -------
    array (...)
        Half width of the 68 % interval of the mean over sequences of each sequence's rate. With at least
        `SEQUENCES_FOR_SCATTER` independent sequences it is their scatter; with fewer, that of the blocks of each
        sequence, with their autocorrelation. If they are not independent it is that of the blocks of their
        mean, or their scatter if that is larger. 0 where every block is -inf, inf where only some are.

    Notes
    -----
    Widths are those of Student's distribution, so that a few sequences or blocks are not taken for many.
    """
    S = growth.shape[0]
    with np.errstate(invalid="ignore"):
        rates = sequence_rates(growth, weights)
        scatter = np.zeros(rates.shape[1:])
        if S >= SEQUENCES_FOR_SCATTER:
            scatter = rates.std(axis=0, ddof=1) / np.sqrt(S) * _student(S - 1)
        if S >= SEQUENCES_FOR_SCATTER and independent:
            error = scatter
        else:
            # what each block adds to the rate of its sequence, less what is expected of its duration
            kept = _aligned(weights > 0, growth)
            expected = rates[:, None] * _aligned(weights, growth)
            parts = np.where(kept, growth - expected, 0.0) / _aligned(weights.sum(axis=1), rates)[:, None] / S
            if independent:
                error = np.sqrt(np.sum([_variance_of_sum(parts[s], weights[s]) for s in range(S)], axis=0))
            else:
                error = np.maximum(np.sqrt(_variance_of_sum(parts.sum(axis=0), weights.max(axis=0))), scatter)
    infinite = np.isneginf(growth)
    present = np.broadcast_to(_aligned(weights > 0, growth), growth.shape)
    some, every = infinite.any(axis=(0, 1)), (infinite | ~present).all(axis=(0, 1))
    return np.where(every, 0.0, np.where(some, np.inf, error))


def sequence_rates(growth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rate of each sequence, (sequence, ...): its whole growth over its whole duration."""
    present = _aligned(weights > 0, growth)
    total = np.where(present, growth, 0.0).sum(axis=1)
    return total / _aligned(weights.sum(axis=1), total)


def _aligned(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape + (1,) * (like.ndim - array.ndim))


def _student(degrees: np.ndarray | float) -> np.ndarray:
    """Return how much wider than a normal one the 68 % interval is with so few degrees of freedom."""
    widths: np.ndarray = stats.t.ppf(stats.norm.cdf(1.0), np.maximum(degrees, 1.0))
    return widths


def _variance_of_sum(deviation: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Return the variance of the sum of the deviations (block, ...) of one series, widened for few blocks."""
    deviation = deviation[durations > 0]
    B = deviation.shape[0]
    if B < 2:
        return np.full(deviation.shape[1:], np.inf)
    variance, times = _sum_variance(deviation)
    return variance * _student(B / times - 1) ** 2


def _sum_variance(deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of the sum of a correlated series (block, ...), and its correlation time in blocks.

    An autoregression is fitted by Levinson's recursion, its order chosen by the corrected Akaike criterion;
    the variance of a long sum is its spectral density at frequency zero, ``sigma^2 / (1 - sum phi)^2`` a block.
    """
    B = deviation.shape[0]
    spectrum = np.abs(np.fft.rfft(deviation, 2 * B, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[:B] / B
    tiny = np.finfo(float).tiny
    innovation = np.maximum(covariance[0], tiny)
    highest = min(B // 5, _HIGHEST_ORDER)
    phi = np.zeros((highest + 1, *innovation.shape))
    criterion = np.full(innovation.shape, np.inf)
    density = innovation
    for order in range(highest + 1):
        if order:
            predicted = (phi[1:order] * covariance[order - 1 : 0 : -1]).sum(axis=0)
            reflection = (covariance[order] - predicted) / innovation
            phi[1:order] = phi[1:order] - reflection * phi[order - 1 : 0 : -1]
            phi[order] = reflection
            innovation = np.maximum(innovation * (1 - reflection**2), tiny)
        score = B * np.log(innovation) + 2 * (order + 1) * B / (B - order - 2) if order + 2 < B else np.inf
        # the mean and the coefficients were taken from the same blocks
        free = max(B - order - 1, 1)
        candidate = innovation * B / free / (1 - phi[1 : order + 1].sum(axis=0)) ** 2
        better = (score < criterion) | (order == 0)
        criterion, density = np.where(better, score, criterion), np.where(better, candidate, density)
    times = np.maximum(density / np.maximum(covariance[0] * B / max(B - 1, 1), tiny), 1.0)
    return np.where(covariance[0] > 0, B * density, 0.0), times
