"""Numbers that follow from a spectrum: dimension, entropy rate, zero exponents, memory time.

Each of them is a function of the exponents; its error bar comes from the same blocks or sequences as theirs,
through its derivative, so correlations between exponents are counted.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, is_number
from dynet.errors import InputError
from dynet.lyapunov.convergence import error_bars, interval_factor

__all__ = ["count_zero_exponents", "entropy_rate", "kaplan_yorke_dimension", "memory_time"]


def kaplan_yorke_dimension(spectrum: xr.Dataset) -> xr.Dataset:
    r"""Return the Kaplan-Yorke (Lyapunov) dimension.

    :math:`D = j + (\lambda_1 + \dots + \lambda_j) / |\lambda_{j+1}|`, with j the largest number of leading
    exponents whose sum is not negative.

    Parameters
    ----------
    spectrum : Dataset
        From `lyapunov_spectrum`.

    Returns
    -------
    Dataset
        ``dimension`` and ``standard_error``; ``attrs["degrees_of_freedom"]`` are those of the error.

    Raises
    ------
    InputError
        If the sum of all exponents at hand is still positive although the system has more of them.

    References
    ----------
    Kaplan & Yorke (1979), doi:10.1007/BFb0064319.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 50_000, n_transient=100)
    >>> round(float(dynet.kaplan_yorke_dimension(ds).dimension), 1)
    1.3
    """
    require_leading(spectrum)
    exponents, order = sorted_exponents(spectrum)
    n, k = spectrum.sizes["unit"], exponents.size
    sums = np.cumsum(exponents)
    below = np.flatnonzero(sums < 0)
    weights = np.zeros(k)
    if below.size == 0:
        if k < n:
            raise InputError(
                f"spectrum: its {k} exponents sum to {sums[-1]:.3g} > 0, so the dimension lies beyond them: "
                f"compute more of the {n} exponents (n_exponents)"
            )
        dimension = float(n)
    elif below[0] == 0:
        dimension = 0.0
    else:
        j = int(below[0])
        contraction = -exponents[j]
        dimension = j + sums[j - 1] / contraction
        weights[order[:j]] = 1 / contraction
        weights[order[j]] = sums[j - 1] / contraction**2
    return _scalar(
        spectrum, "dimension", dimension, weights, "Kaplan-Yorke dimension", "1",
        "Kaplan & Yorke (1979) doi:10.1007/BFb0064319",
    )  # fmt: skip


def entropy_rate(spectrum: xr.Dataset) -> xr.Dataset:
    """Return the sum of the positive exponents, Ruelle's upper bound of the Kolmogorov-Sinai entropy.

    Parameters
    ----------
    spectrum : Dataset
        From `lyapunov_spectrum`.

    Returns
    -------
    Dataset
        ``entropy_rate`` (nat per unit time) and ``standard_error``; ``attrs["degrees_of_freedom"]`` are those of the
        error. The rate equals the entropy where the invariant measure is smooth along unstable directions (SRB);
        otherwise it is a bound.

    Raises
    ------
    InputError
        If the smallest exponent at hand is positive although the system has more of them.

    References
    ----------
    Ruelle (1978), doi:10.1007/BF02584795.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.cat_map(), [0.1, 0.3], 1_000, n_transient=50)
    >>> round(float(dynet.entropy_rate(ds).entropy_rate), 6)
    0.962424
    """
    require_leading(spectrum)
    exponents = spectrum["lyapunov_exponent"].values
    if exponents.min() > 0 and exponents.size < spectrum.sizes["unit"]:
        raise InputError(
            f"spectrum: all of its {exponents.size} exponents are positive, so more of them may be: compute more "
            f"of the {spectrum.sizes['unit']} (n_exponents)"
        )
    positive = exponents > 0
    return _scalar(
        spectrum, "entropy_rate", float(exponents[positive].sum()), positive.astype(float),
        "sum of positive exponents (upper bound of the entropy)", f"nat / {spectrum.attrs['time_unit']}",
        "Ruelle (1978) doi:10.1007/BF02584795",
    )  # fmt: skip


def count_zero_exponents(spectrum: xr.Dataset, *, level: float = 0.95) -> int:
    """Return how many exponents are zero within their error bars.

    Parameters
    ----------
    spectrum : Dataset
        From `lyapunov_spectrum`.
    level : float, default 0.95
        Level of the error bars.

    Returns
    -------
    int
        Number of exponents whose interval holds zero. A wide interval holds it too: look at
        ``standard_error`` before reading a meaning into the count.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau()
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.02), [1.0, 0.0], 20_000, n_transient=2_000)
    >>> dynet.count_zero_exponents(ds)
    1
    """
    require_leading(spectrum)
    return number_of_zeros(
        spectrum["lyapunov_exponent"].values, interval_widths(spectrum, level), dt=spectrum.attrs["dt"]
    )


def number_of_zeros(exponents: np.ndarray, widths: np.ndarray, *, dt: float) -> int:
    """Return how many exponents have an interval, of that half width, that holds zero."""
    # rounding of the logarithms themselves; a constant growth has no scatter
    floor = 1e-12 / dt
    with np.errstate(invalid="ignore"):
        return int((np.isfinite(exponents) & (np.abs(exponents) <= widths + floor)).sum())


def memory_time(spectrum: xr.Dataset, *, level: float = 0.95) -> xr.Dataset:
    r"""Return the time over which the slowest perturbation is forgotten, :math:`-1/\lambda_1`.

    Parameters
    ----------
    spectrum : Dataset
        From `lyapunov_spectrum`.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    Dataset
        ``memory_time``, ``standard_error`` and ``interval(bound)``, made by inverting the interval of the
        exponent: it is not symmetric, and infinite where the exponent reaches zero. Perturbations that do
        not fade have an infinite memory time.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.linear_map(np.diag([0.98, 0.5])), [0.0, 0.0], 500, n_transient=50)
    >>> round(float(dynet.memory_time(ds).memory_time), 1)
    49.5
    """
    require_leading(spectrum)
    exponents = spectrum["lyapunov_exponent"].values
    leading = int(np.argmax(exponents))
    rate, error = float(exponents[leading]), float(spectrum["standard_error"].values[leading])
    width = float(interval_widths(spectrum, level)[leading])
    # rounding of the logarithms: a smaller rate is none
    floor = 1e-12 / spectrum.attrs["dt"]
    time = _inverted(rate, floor)
    bounds = [_inverted(rate - width, floor), _inverted(rate + width, floor)]
    unit = spectrum.attrs["time_unit"]
    spread = error * time**2 if np.isfinite(time) else np.inf
    return dataset(
        {
            "memory_time": ((), time, "memory time, -1 / largest exponent", unit),
            "standard_error": ((), spread, "standard error, first order", unit),
            "interval": (("bound",), bounds, f"{100 * level:g} % interval", unit),
        },
        {"bound": ["lower", "upper"]},
        {"title": "Memory time", "level": level, "time_unit": unit},
    )


def _inverted(rate: float, floor: float) -> float:
    """Return -1/rate for a decay, infinity otherwise, 0 for an infinitely fast one."""
    return -1.0 / rate if rate < -floor else np.inf


def half_width(level: float, degrees: np.ndarray | float) -> np.ndarray:
    """Return how many standard errors an interval of that level reaches to either side."""
    if not (is_number(level) and 0 < level < 1):
        faults = Faults()
        faults.add("level", level, "give a level in (0, 1), such as 0.95")
        faults.raise_if_any()
    return interval_factor(level, degrees)


def interval_widths(spectrum: xr.Dataset, level: float) -> np.ndarray:
    """Return how far the interval of each exponent reaches to either side."""
    factors = half_width(level, spectrum["degrees_of_freedom"].values)
    widths: np.ndarray = factors * spectrum["standard_error"].values
    return widths


def require_leading(spectrum: xr.Dataset) -> None:
    """Check that a spectrum is whole: a result of `lyapunov_spectrum` with its exponents 1, 2, ... and sequences."""
    faults = Faults()
    if not isinstance(spectrum, xr.Dataset) or "lyapunov_exponent" not in spectrum or "growth" not in spectrum:
        faults.add("spectrum", type(spectrum).__name__, "give a result of lyapunov_spectrum")
    elif set(spectrum["growth"].dims) != {"sequence", "time", "exponent"}:
        faults.add("spectrum", dict(spectrum["growth"].sizes), "give it whole: select nothing, or lists: [1]")
    elif not np.array_equal(spectrum["exponent"], np.arange(1, spectrum.sizes["exponent"] + 1)):
        chosen = spectrum["exponent"].values.tolist()
        faults.add("spectrum", chosen, "exponents 1, 2, ... are needed from the first on, but some were left out")
    faults.raise_if_any()


def sorted_exponents(spectrum: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the exponents in falling order, and where each stood."""
    values = spectrum["lyapunov_exponent"].values
    order = np.argsort(-values, kind="stable")
    return values[order], order


def weighted_growth(spectrum: xr.Dataset, weights: np.ndarray) -> np.ndarray:
    """Return the growth (sequence, time) of a weighted sum of exponents; entries without weight do not count."""
    growth = spectrum["growth"].values
    used = weights != 0
    if not used.any():
        return np.zeros(growth.shape[:2])
    total: np.ndarray = (growth[..., used] * weights[used]).sum(axis=-1)
    return total


def are_independent(spectrum: xr.Dataset) -> bool:
    """Return whether the sequences of a spectrum have inputs of their own."""
    return bool(spectrum.attrs.get("sequences", "independent") == "independent")


def error_of_sum(spectrum: xr.Dataset, weights: np.ndarray) -> tuple[float, float]:
    """Return the standard error of a weighted sum of exponents, and its degrees of freedom."""
    growth, durations = weighted_growth(spectrum, weights), spectrum["duration"].values
    error, degrees = error_bars(growth, durations, independent=are_independent(spectrum))
    return float(error), float(degrees)


def _scalar(
    spectrum: xr.Dataset,
    name: str,
    value: float,
    weights: np.ndarray,
    long_name: str,
    units: str,
    source: str,
) -> xr.Dataset:
    error, degrees = error_of_sum(spectrum, weights)
    return dataset(
        {
            name: ((), value, long_name, units),
            "standard_error": ((), error, "standard error", units),
        },
        {},
        {
            "title": long_name,
            "references": source,
            "time_unit": spectrum.attrs["time_unit"],
            "degrees_of_freedom": degrees,
        },
    )
