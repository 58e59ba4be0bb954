"""Verdicts in words: has a spectrum settled, what does a sign mean."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet.lyapunov.convergence import SEQUENCES_FOR_SCATTER
from dynet.lyapunov.diagnosis import drift, independent_parts
from dynet.lyapunov.dimension import are_independent, half_width, interval_widths

__all__ = ["convergence_verdict", "plural", "short_time", "sign_verdict"]

#: A quantity has settled when its interval is this fraction of the spectrum's own scale, or less.
_SETTLED = 0.1
#: Fewer blocks say nothing about drift and correlation.
_FEWEST_BLOCKS = 10
#: An error bar from fewer independent parts than this is a guess.
_FEWEST_PARTS = 5
_DRIFT_LEVEL = 0.99


def convergence_verdict(spectrum: xr.Dataset, *, level: float = 0.95) -> str:
    """Return "converged", or what to do: correlation, drift and the interval of the leading exponent decide."""
    exponents = spectrum["lyapunov_exponent"].values
    leading = int(np.argmax(exponents))
    value, width = exponents[leading], interval_widths(spectrum, level)[leading]
    if not np.isfinite(value):
        return "below resolution"
    finite = exponents[np.isfinite(exponents)]
    scale = max(abs(value), 0.1 * (finite.max() - finite.min()), 1e-300)
    growth, durations = spectrum["growth"].values[..., [leading]], spectrum["duration"].values
    rounding = 1e-12 / spectrum.attrs["dt"]
    independent = are_independent(spectrum)
    if growth.shape[1] >= _FEWEST_BLOCKS and np.isfinite(width):
        change, error, degrees = drift(growth, durations, independent=independent)
        if abs(change[0]) > half_width(_DRIFT_LEVEL, degrees)[0] * error[0] + 1e-9 * scale + rounding:
            # a slow wave in the growth looks the same, and a longer run tells them apart
            return "drifting: give a longer transient, or run longer"
        error, degrees = (spectrum[name].values[[leading]] for name in ("standard_error", "degrees_of_freedom"))
        parts = float(independent_parts(growth, durations, error, degrees, independent=independent)[0])
        # where an error bar several times as long would do as well, it does not matter
        scattered = independent and len(growth) >= SEQUENCES_FOR_SCATTER
        if parts < _FEWEST_PARTS and not scattered and width > 0.2 * _SETTLED * scale:
            total = durations.sum() if independent else durations.sum(axis=1).max()
            time_unit = plural(spectrum.attrs["time_unit"])
            return (
                f"not converged: growth is correlated over about {short_time(total / parts)} {time_unit}, "
                "run longer or with more sequences"
            )
    if width > 10 * _SETTLED * scale:
        return "not converged: run longer or with more sequences"
    return "converged" if width <= 2 * _SETTLED * scale else "roughly converged"


def sign_verdict(value: float, width: float) -> str:
    """Return what the sign of an exponent means where its interval is ``value`` plus or minus ``width``."""
    if not np.isfinite(value):
        return "every perturbation dies at once"
    if np.isinf(width):
        return "unknown: too few steps for an error bar"
    if value - width > 0:
        return "chaotic: perturbations grow"
    if value + width < 0:
        return "stable: perturbations fade"
    return "marginal: zero lies in the interval"


def short_time(value: float) -> str:
    """Return a time with the digits that its error leaves it, two or so."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def plural(unit: str) -> str:
    """Return a unit of time as it is spoken of."""
    return {"step": "steps", "layer": "layers"}.get(unit, f"[{unit}]" if unit != "time" else "time units")
