"""Finite-time exponents: growth over windows of a run, and how it is distributed."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.lyapunov.convergence import error_bars
from dynet.lyapunov.dimension import are_independent

__all__ = ["finite_time_exponents"]


def finite_time_exponents(result: xr.Dataset, duration: float) -> xr.Dataset:
    r"""Return the exponents of windows of a run, their mean and variance.

    Parameters
    ----------
    result : Dataset
        From `lyapunov_spectrum` (growth of the frame, block by block) or `covariant_vectors` (growth along the
        vectors). Windows are made of its whole blocks.
    duration : float
        Duration of a window, in units of time; rounded to whole blocks.

    Returns
    -------
    Dataset
        ``finite_time_exponent(sequence, window, exponent)``, NaN after the end of a sequence that is shorter;
        ``mean(exponent)`` and ``standard_error(exponent)`` of it; ``variance(exponent)`` with ``variance_error``;
        ``scaled_variance(exponent)``, the variance times the duration of a window, with ``scaled_variance_error``.
        ``attrs["duration"]`` is the duration that was taken.

    Raises
    ------
    InputError
        If something else is given, or the run has not two whole windows of that duration.

    Notes
    -----
    Where growth in distant steps is independent, the exponent of a window of duration T has a density
    :math:`\propto e^{-T I(\lambda)}` with a rate function I that is quadratic near its minimum: the variance falls
    like 1/T, and ``scaled_variance`` comes to the constant :math:`1 / I''`. It still depends on the duration where
    windows are shorter than the correlations of the growth. Windows do not overlap; what remains follows at the end
    of the run is left out. An exponent of -inf has variance 0.

    References
    ----------
    Kuptsov & Politi (2011), doi:10.1103/PhysRevLett.107.114101.

    Examples
    --------
    Growth of the skew tent map is that of independent throws of a coin:

    >>> import dynet, numpy as np
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.skew_tent(0.3), [0.4], 100_000, qr_interval=1)
    >>> windows = dynet.finite_time_exponents(ds, 2_000)
    >>> exact = 0.3 * 0.7 * np.log(0.7 / 0.3) ** 2
    >>> bool(abs(windows.scaled_variance[0] - exact) < 3 * windows.scaled_variance_error[0])
    True
    """
    growth, durations = _growth(result)
    faults = Faults()
    faults.positive("duration", duration)
    faults.raise_if_any()
    block = float(durations[0, 0])
    n_blocks = max(round(duration / block), 1)
    if duration < 0.5 * block:
        faults.add("duration", duration, f"the blocks of the run last {block:g}: give at least that")
    # all blocks but the last are equally long
    whole = (np.isclose(durations, block).cumprod(axis=1).sum(axis=1) // n_blocks).astype(int)
    if not faults and whole.sum() < 2:
        total = durations.sum(axis=1).max()
        faults.add("duration", duration, f"the run lasts {total:g} and must hold two windows: give less, or run longer")
    faults.raise_if_any()

    S, W, k = len(growth), int(whole.max()), growth.shape[2]
    present = np.arange(W) < whole[:, None]
    shaped = growth[:, : W * n_blocks].reshape(S, W, n_blocks, k).sum(axis=2)
    rates = np.where(present[..., None], shaped / (n_blocks * block), np.nan)
    weights = present.astype(np.float64)
    independent = are_independent(result)
    lost = np.isneginf(rates).any(axis=(0, 1))
    finite = np.where(lost | ~present[..., None], 0.0, rates)
    mean = finite.sum(axis=(0, 1)) / weights.sum()
    squares = np.where(present[..., None] & ~lost, (finite - mean) ** 2, 0.0) * whole.sum() / (whole.sum() - 1)
    variance = squares.sum(axis=(0, 1)) / weights.sum()
    variance_error, _ = error_bars(squares, weights, independent=independent)
    error, _ = error_bars(np.where(present[..., None], rates, 0.0), weights, independent=independent)
    window = n_blocks * block
    time_unit = str(result.attrs["time_unit"])
    per_time = f"nat / {time_unit}"
    square, scaled = f"nat^2 / {time_unit}^2", f"nat^2 / {time_unit}"
    variables = {
        "finite_time_exponent": (
            ("sequence", "window", "exponent"),
            rates,
            "exponent of one window",
            per_time,
        ),
        "mean": (("exponent",), np.where(lost, -np.inf, mean), "mean over windows", per_time),
        "standard_error": (("exponent",), error, "standard error of the mean", per_time),
        "variance": (("exponent",), variance, "variance between windows", square),
        "variance_error": (("exponent",), variance_error, "standard error of the variance", square),
        "scaled_variance": (("exponent",), variance * window, "variance times duration of a window", scaled),
        "scaled_variance_error": (("exponent",), variance_error * window, "standard error of it", scaled),
    }
    coords = {"exponent": result["exponent"].values, "window": np.arange(W), "sequence": np.arange(S)}
    attrs = {
        "title": "Finite-time exponents",
        "growth": "along covariant vectors" if "local_exponent" in result else "of the frame",
        "duration": window,
        "n_windows": int(whole.sum()),
        "time_unit": time_unit,
    }
    return dataset(variables, coords, attrs)


def _growth(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the growth (sequence, block, exponent) and the durations of blocks (sequence, block)."""
    if isinstance(result, xr.Dataset) and "growth" in result and "duration" in result:
        return result["growth"].values, result["duration"].values
    if isinstance(result, xr.Dataset) and "local_exponent" in result:
        durations = result["duration"].values
        growth = result["local_exponent"].values * durations[:, None]
        growth = growth.reshape(-1, *growth.shape[-2:])
        return growth, np.tile(durations, (len(growth), 1))
    raise InputError(
        f"result={shown(type(result).__name__)}: give a Dataset from dynet.lyapunov_spectrum or dynet.covariant_vectors"
    )
