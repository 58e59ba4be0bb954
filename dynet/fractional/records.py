"""What fits of orders take and give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft, stats

from dynet.kernels.fractional import padded_length


@dataclass(frozen=True)
class Records:
    """Responses (unit, time), the stimulus (unit or 1, time) and the samples that the fit counts.

    Filters see the whole record; only samples of the window are compared.
    """

    response: np.ndarray
    stimulus: np.ndarray
    dt: float
    window: slice

    @cached_property
    def means(self) -> np.ndarray:
        """The means (unit, 1) of the responses over the window."""
        return self.response[:, self.window].mean(axis=-1, keepdims=True)

    @cached_property
    def deviations(self) -> np.ndarray:
        """The responses (unit, time) in the window, less their means."""
        return self.response[:, self.window] - self.means

    @cached_property
    def spectrum(self) -> np.ndarray:
        """The transform (unit or 1, frequency) of the stimulus, long enough that lags do not wrap around."""
        transformed: np.ndarray = fft.rfft(self.stimulus, n=padded_length(self.stimulus.shape[-1]))
        return transformed


@dataclass(frozen=True)
class Fit:
    """Estimates (unit,), the ends of the interval (unit, 2) and what the fit leaves (unit, time)."""

    order: np.ndarray
    ends: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    residual: np.ndarray
    at_end: np.ndarray
    n_free: int

    @cached_property
    def squares(self) -> np.ndarray:
        """The sum of squares (unit,) that is left."""
        total: np.ndarray = np.einsum("ut,ut->u", self.residual, self.residual)
        return total


def limit_ratio(level: float, n: int, n_free: int) -> float:
    """Return by how much the sum of squares may exceed the least one inside an interval of that level."""
    degrees = n - n_free
    return float(1 + stats.f.ppf(level, 1, degrees) / degrees)
