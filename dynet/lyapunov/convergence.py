"""Error bars of exponents: how much a finite run scatters, with its autocorrelation and its own doubt counted."""

from __future__ import annotations

import numpy as np
from scipy import fft, special

#: From this many sequences on, the scatter between them is the error bar.
SEQUENCES_FOR_SCATTER = 5
#: Probability up to one standard deviation of the normal distribution; 68 % lie between minus and plus one.
ONE_SIGMA = float(special.ndtr(1.0))
#: Prior weight of independent blocks, and of sequences that differ by chance alone.
_WHITE, _ALIKE = 4 / 5, 9 / 10
#: What sequences may differ by beyond chance, as a variance relative to that of chance.
_OFFSETS = np.append(0.0, 4.0 ** np.arange(1, 15))
#: A smaller error, relative to the rate, is that of floating point numbers.
_ROUNDING = 1e-14


def standard_error(growth: np.ndarray, weights: np.ndarray, *, independent: bool = True) -> np.ndarray:
    """Return the standard error of the mean rate, the half width of its 68 % interval; see `error_bars`."""
    return error_bars(growth, weights, independent=independent)[0]


def error_bars(growth: np.ndarray, weights: np.ndarray, *, independent: bool = True) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the standard error of the mean rate, and its degrees of freedom.

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
    error : array (...)
        Half width of the 68 % interval of the mean over sequences of each sequence's rate. With at least
        `SEQUENCES_FOR_SCATTER` independent sequences it is their scatter; with fewer, that of the blocks of each
        sequence, with their autocorrelation, and that between the sequences. If they are not independent it is that
        of the blocks of their mean, or their scatter if that is larger. 0 where every block is -inf, inf where only
        some are.
    degrees : array (...)
        Degrees of freedom of Student's distribution, by which intervals of other levels follow
        (`interval_factor`).

    Notes
    -----
    The variance of a long mean is the spectral density of the blocks at frequency zero. It is inferred from the
    squares of their :math:`2 \sqrt{B}` slowest cosine coefficients, each of which estimates the density at its
    frequency (Lazarus et al. 2018). A density that is flat there, as that of independent blocks, is continued to zero
    as it is; a density that rises or falls towards zero (slowly varying growth; growth that cancels itself) by
    that of an ARMA(1, 1) process. All times of correlation from half a block to the whole run are tried and
    averaged over with their posterior weight, so that a run which cannot tell them apart gets the longer error bar
    and the fewer degrees of freedom (Müller & Watson 2016). The mixture is replaced by the scaled Student distribution
    whose log variance has the same mean and variance (Smyth 2004).

    References
    ----------
    Müller & Watson (2016), doi:10.1093/restud/rdw003; Lazarus, Lewis, Stock & Watson (2018),
    doi:10.1080/07350015.2018.1506926; Smyth (2004), doi:10.2202/1544-6115.1027.
    """
    S, B = growth.shape[:2]
    shape = growth.shape[2:]
    growth = growth.reshape(S, B, -1)
    present: np.ndarray = (weights > 0)[..., None]
    infinite = np.isneginf(growth)
    some, every = infinite.any(axis=(0, 1)), (infinite | ~present).all(axis=(0, 1))
    finite = np.where(present & ~some, growth, 0.0)
    rates, durations = sequence_rates(finite, weights), weights.sum(axis=1)
    # what each block adds to the growth of its sequence, less what is expected of its duration
    deviations = np.where(present, finite - rates[:, None] * weights[..., None], 0.0)
    variance, degrees = np.zeros(rates.shape[1]), np.ones(rates.shape[1])
    if S >= SEQUENCES_FOR_SCATTER:
        variance, degrees = rates.var(axis=0, ddof=1) / S, degrees * (S - 1)
    if not independent:
        mean = (deviations / durations[:, None, None]).mean(axis=0)[weights.max(axis=0) > 0]
        of_blocks, degrees_of_blocks = _of_blocks([mean], np.zeros((1, mean.shape[1])), np.ones(1))
        degrees = np.where(variance > of_blocks, degrees, degrees_of_blocks)
        variance = np.maximum(variance, of_blocks)
    elif S < SEQUENCES_FOR_SCATTER:
        series = [deviations[s, present[s, :, 0]] for s in range(S)]
        variance, degrees = _of_blocks(series, rates, durations)
    error = np.sqrt(variance) * special.stdtrit(degrees, ONE_SIGMA)
    error = np.where(every, 0.0, np.where(some, np.inf, error))
    exact = error <= _ROUNDING * np.abs(rates).max(axis=0)
    degrees = np.where(some | exact, np.inf, degrees)
    return error.reshape(shape), degrees.reshape(shape)


def interval_factor(level: float, degrees: np.ndarray | float) -> np.ndarray:
    """Return how many standard errors an interval of that level reaches to either side."""
    factor: np.ndarray = special.stdtrit(degrees, 0.5 + level / 2) / special.stdtrit(degrees, ONE_SIGMA)
    return factor


def sequence_rates(growth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rate of each sequence, (sequence, ...): its whole growth over its whole duration."""
    present = _aligned(weights > 0, growth)
    total = np.where(present, growth, 0.0).sum(axis=1)
    return total / _aligned(weights.sum(axis=1), total)


def _aligned(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape + (1,) * (like.ndim - array.ndim))


def _of_blocks(series: list[np.ndarray], rates: np.ndarray, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared scale and the degrees of freedom of the mean of the sequences' rates.

    ``series`` holds the deviations (block, exponent) of each sequence, whose sums are independent of each other
    and whose variances are the density at frequency zero, one and the same for all, times their numbers of blocks.
    """
    S, counts = len(series), np.array([len(one) for one in series])
    unit = counts / durations**2  # variance of each rate when the density is 1
    centre = (rates / unit[:, None]).sum(axis=0) / (1 / unit).sum()
    between = ((rates - centre) ** 2 / unit[:, None]).sum(axis=0)
    numbers = [min(B - 1, int(2 * np.sqrt(B))) for B in counts]
    squares = np.concatenate([_cosines(one)[1 : v + 1] ** 2 for one, v in zip(series, numbers, strict=True)])
    indices = np.concatenate([np.arange(1, v + 1) for v in numbers])
    densities, prior = _models(indices, np.repeat(counts, numbers), int(counts.max()))
    offsets, alike = (_OFFSETS, _prior(_OFFSETS.size, _ALIKE)) if S > 1 else (_OFFSETS[:1], np.ones(1))
    N = squares.shape[0] + S - 1
    if N == 0:
        return np.full(rates.shape[1], np.inf), np.ones(rates.shape[1])
    # estimates of the density at zero (model, offset, exponent), the evidence for them, and what they make of the mean
    total = (1 / densities @ squares)[:, None] + between / (1 + offsets[:, None])
    constant = ~(total > 0).all(axis=(0, 1))
    log_density = np.log(np.where(constant, 1.0, total) / N)
    evidence = np.log(prior[:, None] * alike) - 0.5 * np.log(densities).sum(axis=1)[:, None]
    evidence = (evidence - 0.5 * (S - 1) * np.log1p(offsets))[..., None] - 0.5 * N * log_density
    posterior = np.exp(evidence - evidence.max(axis=(0, 1)))
    posterior /= posterior.sum(axis=(0, 1))
    log_variance = log_density + np.log1p(offsets)[:, None] + np.log(unit.sum() / S**2)
    mean = (posterior * log_variance).sum(axis=(0, 1))
    spread = (posterior * (log_variance - mean) ** 2).sum(axis=(0, 1))
    half = _inverse_trigamma(spread + special.zeta(2, N / 2))
    mean += np.log(N / 2) - special.digamma(N / 2) - np.log(half) + special.digamma(half)
    return np.where(constant, 0.0, np.exp(mean)), 2 * half


def _models(indices: np.ndarray, counts: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what models expect of squared coefficients, relative to the variance of the sum a block, and their prior.

    Shape (model, coefficient); indices and numbers of blocks are those of the coefficients. With ``s = 2 - 2 cos``
    of the frequency, correlation over b blocks has the density ``1 / (1 + b^2 s)``, over white noise
    ``(1 + a^2 s) / (1 + b^2 s)``, and growth that cancels itself ``1 + a^2 s``, of which the ends of the run remain:
    ``4 a^2 / B`` in each coefficient, ``2 a^2 / B`` in the sum. Longer times than the run are beyond all knowledge.
    """
    times = np.append(0.0, 2.0 ** np.arange(-1, np.log2(max(longest, 1)) + 1e-9))
    slow = [(a, b) for b in times for a in times if a < b]
    zeros, poles = np.array([(0.0, 0.0), *((a, 0.0) for a in times[1:]), *slow]).T[..., None] ** 2
    slowness = 4 * np.sin(np.pi * indices / (2 * counts)) ** 2
    ends = np.where(poles == 0, zeros, 0.0) / counts
    return (1 + zeros * slowness + 4 * ends) / (1 + poles * slowness) / (1 + 2 * ends), _prior(len(zeros), _WHITE)


def _prior(count: int, first: float) -> np.ndarray:
    """Return weights of so many cases: that of the first one, and equal parts of the rest."""
    return np.append(first, np.full(count - 1, (1 - first) / (count - 1)))


def _cosines(series: np.ndarray) -> np.ndarray:
    coefficients: np.ndarray = fft.dct(series, type=2, axis=0, norm="ortho")
    return coefficients


def _inverse_trigamma(value: np.ndarray) -> np.ndarray:
    """Return x with trigamma(x) = value, by Newton's method on 1 / trigamma, which is convex (Smyth 2004)."""
    x = 0.5 + 1 / value
    for _ in range(7):
        trigamma = special.zeta(2, x)
        x = x - trigamma * (1 - trigamma / value) / (2 * special.zeta(3, x))
    return x
