"""What tells attractors apart: signs of exponents, returns of the orbit, drift, and what displacements come to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynet.lyapunov.convergence import error_bars, interval_factor, sequence_rates
from dynet.orbits.returns import AT_REST, Return, closest_period
from dynet.variational.field import Field
from dynet.variational.integration import integrate

#: Intervals of exponents are of this level: many are judged at once.
LEVEL = 0.99
#: A growth below so many nats in the whole run is none: what stays bounded looks like that.
_NO_GROWTH = 1.0
#: Instability is claimed from so many nats on: shear of neutral orbits alone makes some multiples of ln T.
_GROWTH = 20.0
#: Zeros must be known so well, relative to the largest exponent, or to the resolution of the run.
_SHARP, _SHARP_RESOLUTIONS = 0.03, 5.0

#: Returns that miss by no more, relative to the size, are followed once by an exact integration.
_NEARLY_CLOSED, _CLOSED_EXACTLY = 1e-2, 1e-5


class Exponents(NamedTuple):
    """Exponents (k,) of one start, in falling order, and what is known of their signs."""

    values: np.ndarray
    errors: np.ndarray
    signs: np.ndarray  # 1, 0, -1; nan where the run cannot tell
    late: np.ndarray  # (2,), the leading one over the second quarter and over the second half of the run
    resolution: float


def exponents_of(growth: np.ndarray, durations: np.ndarray) -> Exponents:
    """Judge the growth (block, k) over blocks of the given durations (block,)."""
    values = sequence_rates(growth[None], durations[None])[0]
    order = np.argsort(-values, kind="stable")
    growth, values = growth[:, order], values[order]
    errors, degrees = error_bars(growth[None], durations[None])
    widths = interval_factor(LEVEL, degrees) * errors
    total = float(durations.sum())
    resolution = _NO_GROWTH / total
    finite = np.isfinite(values)
    scale = np.abs(values[finite]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        positive = values > np.maximum(widths, _GROWTH / total)
        negative = (values < -np.maximum(widths, resolution)) | np.isneginf(values)
        sharp = widths <= max(_SHARP_RESOLUTIONS * resolution, _SHARP * scale)
        zero = finite & (np.abs(values) <= np.maximum(widths, resolution)) & sharp & ~positive & ~negative
    signs = np.select([positive, negative, zero], [1.0, -1.0, 0.0], np.nan)
    ends = np.cumsum(durations)
    second = (ends > total / 4) & (ends <= total / 2)
    half = ends > total / 2
    late = np.array(
        [growth[part, 0].sum() / durations[part].sum() if part.any() else np.nan for part in (second, half)]
    )
    return Exponents(values, errors, signs, late, resolution)


def drift_of(states: np.ndarray, scale: float) -> float:
    """Return how far mean and spread of the states (time, n) differ between their two last octaves of time.

    Relative to the larger spread; 0 for states that stand still.
    """
    T = len(states)
    parts = states[T // 4 : T // 2], states[T // 2 :]
    means = [part.mean(axis=0) for part in parts]
    spreads = [part.std(axis=0) for part in parts]
    size = max(float(np.linalg.norm(spread)) for spread in spreads)
    if size <= AT_REST * scale:
        return 0.0
    difference = max(float(np.linalg.norm(np.subtract(*pair))) for pair in (means, spreads))
    return difference / size


def section_of(field: Field, states: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where a flow crosses the plane through its last state, upwards, and when.

    Between the states (time, n), which are ``dt`` apart, it is a cubic with the slopes of the vector field.
    """
    last = states[-1]
    normal = field(0.0, last)
    heights = (states - last) @ normal
    at = np.flatnonzero((heights[:-1] < 0) & (heights[1:] >= 0))
    points, times = [], []
    for k in at.tolist():
        a, b = states[k], states[k + 1]
        fa, fb = dt * field(0.0, a), dt * field(0.0, b)
        low, high = 0.0, 1.0
        for _ in range(50):
            s = 0.5 * (low + high)
            x = _cubic(s, a, b, fa, fb)
            low, high = (s, high) if (x - last) @ normal < 0 else (low, s)
        points.append(x)
        times.append((k + s) * dt)
    return np.array(points).reshape(-1, states.shape[1]), np.array(times)


def _cubic(s: float, a: np.ndarray, b: np.ndarray, fa: np.ndarray, fb: np.ndarray) -> np.ndarray:
    r = 1.0 - s
    out: np.ndarray = r * r * (1 + 2 * s) * a + s * s * (3 - 2 * s) * b + s * r * (r * fa - s * fb)
    return out


class Recurrence(NamedTuple):
    """How an orbit comes back."""

    kind: str  # "fixed", "periodic", "aperiodic" or "unknown"
    steps: int  # steps of the map, or crossings of the section, in a period; 0 if there is none
    period: float  # in units of time; nan if there is none
    miss: float  # largest miss of the closest returns over as many periods as there are, relative to the size


def recurrence_of_map(states: np.ndarray, scale: float, dt: float, max_period: int, tolerance: float) -> Recurrence:
    """Judge the states (time, n) of a map."""
    back = closest_period(states, max_period, scale)
    if back.period == 1 and (back.size <= AT_REST * scale or _closed(back, tolerance)):
        return Recurrence("fixed", 1, dt, back.miss)
    if back.period == 0:
        return Recurrence("unknown", 0, np.nan, back.miss)
    if _closed(back, tolerance):
        return Recurrence("periodic", back.period, back.period * dt, max(back.miss, back.drift))
    return Recurrence("aperiodic", 0, np.nan, back.miss)


def recurrence_of_flow(
    field: Field, states: np.ndarray, scale: float, dt: float, max_period: int, tolerance: float
) -> Recurrence:
    """Judge the states (time, n) of a flow, ``dt`` apart."""
    late = states[len(states) // 2 :]
    size = float(np.ptp(late, axis=0).max())
    if size <= AT_REST * scale:
        return Recurrence("fixed", 0, np.nan, 0.0)
    points, times = section_of(field, states, dt)
    R = len(points)
    if R < 6:
        return Recurrence("unknown", 0, np.nan, np.inf)
    # a section that a cycle crosses at one point has no size of its own: misses count relative to the orbit
    widened = closest_period(points / size, max_period, scale / size)
    spread = widened.size
    if spread <= tolerance:
        half = R // 2
        return Recurrence("periodic", 1, float(np.diff(times[half:]).mean()), spread)
    back = widened._replace(miss=widened.miss * spread, drift=widened.drift * spread)
    if back.period and _closed(back, tolerance):
        p = back.period
        return Recurrence("periodic", p, float((times[p:] - times[:-p])[R // 2 :].mean()), max(back.miss, back.drift))
    if back.period and back.miss <= _NEARLY_CLOSED:
        period = float((times[back.period :] - times[: -back.period])[R // 2 :].mean())
        miss = _exact_miss(field, states[-1], period) / size
        if miss <= _CLOSED_EXACTLY:  # what drifts are the steps of the run
            return Recurrence("periodic", back.period, period, miss)
    return Recurrence("aperiodic", 0, np.nan, back.miss)


def _exact_miss(field: Field, x: np.ndarray, period: float) -> float:
    """Return how far the flow misses its start after a period, across itself."""
    tolerance = max(1e-10, field.tolerance)
    y, _ = integrate(field, 0.0, x, period, tolerance, 0.1 * tolerance * float(np.abs(x).max()))
    f = field(0.0, y)
    away = y - x
    return float(np.linalg.norm(away - f * (away @ f) / (f @ f)))


def _closed(back: Return, tolerance: float) -> bool:
    return back.miss <= tolerance and back.drift <= tolerance
