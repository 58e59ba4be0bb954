"""Perturbations of the sequences that networks read, or of the input of their units: drives, noise, contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._validate import Faults, is_number
from dynet.kernels.namespace import move_like, namespace
from dynet.typing import Rng

__all__ = ["contrast", "noise_drive", "step_drive"]


def step_drive(x: Any, amplitude: float, *, start: int = 0, stop: int | None = None) -> Any:
    """Return sequences with a constant added for a while, the same for all channels.

    Parameters
    ----------
    x : array, tensor or DataArray
        Inputs (..., time, channel), or pre-activations (..., time, unit); a DataArray has a dimension ``time``.
    amplitude : float
        What is added.
    start, stop : int
        First step of the drive, and the first one after it; to the end if ``stop`` is not given.

    Returns
    -------
    array, tensor or DataArray
        What ``x`` is, of its dtype.

    Raises
    ------
    InputError
        If the drive has no steps, or the amplitude is not a number.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import numpy as np
    >>> from dynet.tasks import step_drive
    >>> step_drive(np.zeros((4, 1)), 2.0, start=1, stop=3).ravel()
    array([0., 2., 2., 0.])
    """
    faults = Faults()
    _finite(faults, "amplitude", amplitude)
    n_steps, _ = _sizes(faults, x)
    shape = _window(faults, n_steps, start, stop)
    faults.raise_if_any()
    return _combined(x, amplitude * shape[:, None], add=True)


def noise_drive(
    x: Any, mean: float, standard_deviation: float, *, start: int = 0, stop: int | None = None, rng: Rng = None
) -> Any:
    """Return sequences with normal noise added for a while, independent in time and for all channels and sequences.

    Parameters
    ----------
    x : array, tensor or DataArray
        Inputs (..., time, channel), or pre-activations (..., time, unit); a DataArray has a dimension ``time``.
    mean : float
        Mean of the noise.
    standard_deviation : float
        Standard deviation of the noise, not negative. The paper keeps it so small beside the mean that drives are
        positive almost surely.
    start, stop : int
        First step of the drive, and the first one after it; to the end if ``stop`` is not given.
    rng : Generator or int, optional
        Source of the noise; None means ``default_rng(0)``.

    Returns
    -------
    array, tensor or DataArray
        What ``x`` is, of its dtype.

    Raises
    ------
    InputError
        If the drive has no steps, or an argument is not a number.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import numpy as np
    >>> from dynet.tasks import noise_drive
    >>> driven = noise_drive(np.zeros((1000, 50)), 5.0, 1.0, rng=1)
    >>> round(float(driven.mean()), 1), round(float(driven.std()), 1)
    (5.0, 1.0)
    """
    faults = Faults()
    _finite(faults, "mean", mean)
    if not (is_number(standard_deviation) and 0 <= standard_deviation < np.inf):
        faults.add("standard_deviation", standard_deviation, "give a number that is not negative")
    n_steps, sizes = _sizes(faults, x)
    shape = _window(faults, n_steps, start, stop)
    generator = faults.generator("rng", rng)
    faults.raise_if_any()
    noise = generator.standard_normal(sizes)
    return _combined(x, (mean + standard_deviation * noise) * shape[:, None], add=True)


def contrast(x: Any, amplitude: float, *, period: float, phase: float = 0.0) -> Any:
    r"""Return sequences times :math:`1 + A \sin(2 \pi t / P + \varphi)`: a brightness that comes and goes.

    Parameters
    ----------
    x : array, tensor or DataArray
        Inputs (..., time, channel); a DataArray has a dimension ``time``.
    amplitude : float
        A; up to 1 no sign changes.
    period : float
        P, in steps.
    phase : float, default 0.0
        Phase at the first step, in radians.

    Returns
    -------
    array, tensor or DataArray
        What ``x`` is, of its dtype.

    Raises
    ------
    InputError
        If an argument is not a number, or the period not positive.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import numpy as np
    >>> from dynet.tasks import contrast
    >>> contrast(np.ones((4, 1)), 0.5, period=4).ravel().round(12)
    array([1. , 1.5, 1. , 0.5])
    """
    faults = Faults()
    _finite(faults, "amplitude", amplitude)
    _finite(faults, "phase", phase)
    faults.positive("period", period)
    n_steps, _ = _sizes(faults, x)
    faults.raise_if_any()
    brightness = 1 + amplitude * np.sin(2 * np.pi * np.arange(n_steps) / period + phase)
    return _combined(x, brightness[:, None], add=False)


def _sizes(faults: Faults, x: Any) -> tuple[int, tuple[int, ...]]:
    """Return the number of steps, and the shape with time next to last."""
    if isinstance(x, xr.DataArray):
        if "time" not in x.dims:
            faults.add("x", tuple(map(str, x.dims)), "give a DataArray with a dimension time")
            return 1, ()
        x = _time_next_to_last(x)
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) < 2:
        faults.add("x", x, "give sequences (..., time, channel)")
        return 1, ()
    return shape[-2], shape


def _window(faults: Faults, n_steps: int, start: Any, stop: Any) -> np.ndarray:
    """Return one for every step of the drive and zero elsewhere."""
    shape = np.zeros(n_steps)
    if faults.integer("start", start, 0, n_steps - 1) and (
        stop is None or faults.integer("stop", stop, int(start) + 1, n_steps)
    ):
        shape[start:stop] = 1.0
    return shape


def _finite(faults: Faults, name: str, value: Any) -> None:
    if not (is_number(value) and np.isfinite(value)):
        faults.add(name, value, "give a finite number")


def _time_next_to_last(x: xr.DataArray) -> xr.DataArray:
    others = [d for d in x.dims if d != "time"]
    if not others:
        return x.expand_dims("channel", axis=-1)
    return x.transpose(*others[:-1], "time", others[-1])


def _combined(x: Any, values: np.ndarray, *, add: bool) -> Any:
    """Return x plus or times values (..., time, channel or 1)."""
    if isinstance(x, xr.DataArray):
        arranged = _time_next_to_last(x)
        result = arranged.copy(data=_combined(arranged.values, values, add=add))
        return (result if result.ndim == x.ndim else result.squeeze("channel")).transpose(*x.dims)
    if not namespace(x).isdtype(x.dtype, "real floating"):
        x = namespace(x).astype(x, namespace(x).float64)
    other = move_like(values, x)
    return x + other if add else x * other
