"""Whether a run was long enough: how much of its growth is independent, and whether it drifts."""

from __future__ import annotations

import numpy as np
from scipy import special

from dynet.lyapunov.convergence import ONE_SIGMA, SEQUENCES_FOR_SCATTER, error_bars, sequence_rates


def independent_parts(
    growth: np.ndarray, weights: np.ndarray, error: np.ndarray, degrees: np.ndarray, *, independent: bool = True
) -> np.ndarray:
    """Return how many independent blocks would give the error that the correlated ones have.

    Parameters
    ----------
    growth, weights : array (sequence, block, exponent), array (sequence, block)
        Log growth and duration of each block, as in `error_bars`; without -inf.
    error, degrees : array (exponent,)
        What `error_bars` made of them.
    independent : bool
        Whether the sequences have inputs of their own.
    """
    present: np.ndarray = (weights > 0)[..., None]
    expected = sequence_rates(growth, weights)[:, None] * weights[..., None]
    parts = np.where(present, growth - expected, 0.0) / weights.sum(axis=1)[:, None, None] / len(growth)
    number = int(present.sum())
    if not independent:
        parts, number = parts.sum(axis=0, keepdims=True), int(present.any(axis=0).sum())
    variance = (parts**2).sum(axis=(0, 1)) * number / max(number - len(parts), 1)
    of_mean = (error / special.stdtrit(degrees, ONE_SIGMA)) ** 2
    return np.divide(number * variance, of_mean, out=np.full(variance.shape, np.inf), where=of_mean > 0)


def drift(
    growth: np.ndarray, weights: np.ndarray, *, independent: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rate of the first fifth less that of the second half, its standard error and degrees of freedom.

    Parameters
    ----------
    growth, weights, independent
        As in `independent_parts`.

    Notes
    -----
    What is left of a transient stands in the first blocks (Geweke 1992). The scatter is taken from where it has
    gone: from the second half, or from the differences of many sequences. The first fifth scatters as independent
    blocks do, or more if they are correlated.

    References
    ----------
    Geweke (1992), doi:10.21034/sr.148.
    """
    B = growth.shape[1]
    whole = (weights[:, B // 2 :] > 0).any(axis=1)  # sequences that reach the second half
    growth, weights = growth[whole], weights[whole]
    (early, first), (late, second) = [(growth[:, part], weights[:, part]) for part in (slice(B // 5), slice(B // 2, B))]
    differences = sequence_rates(early, first) - sequence_rates(late, second)
    if independent and len(growth) >= SEQUENCES_FOR_SCATTER:
        return differences.mean(axis=0), *error_bars(differences[:, None], np.ones((len(growth), 1)))
    error, degrees = error_bars(late, second, independent=independent)
    parts = independent_parts(late, second, error, degrees, independent=independent)
    blocks = (second > 0).sum() if independent else (second > 0).any(axis=0).sum()
    longer = np.maximum(1, np.where(np.isfinite(parts), parts, 0) / blocks) * second.sum() / first.sum()
    return differences.mean(axis=0), error * np.sqrt(1 + longer), degrees
