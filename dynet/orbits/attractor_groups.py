"""Which starts come to one and the same attractor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynet.lyapunov.convergence import interval_factor
from dynet.orbits.attractor_evidence import LEVEL, Exponents, Recurrence


class Case(NamedTuple):
    """What one start comes to."""

    label: str
    reason: str
    exponents: Exponents | None
    recurrence: Recurrence | None
    drift: float
    scale: float
    state: np.ndarray  # (n,), the last one
    sample: np.ndarray | None = None  # (sample, n), states after the transient


def grouped(cases: list[Case]) -> list[list[int]]:
    """Return the starts of each attractor, the most frequent first."""
    groups: list[list[int]] = []
    for number, case in enumerate(cases):
        for group in groups:
            if _is_same(cases[group[0]], case):
                group.append(number)
                break
        else:
            groups.append([number])
    return sorted(groups, key=len, reverse=True)


def _is_same(a: Case, b: Case) -> bool:
    if a.label != b.label:
        return False
    if a.exponents is None or b.exponents is None or a.sample is None or b.sample is None:
        return True
    factor = float(interval_factor(LEVEL, np.inf))
    width = factor * np.hypot(a.exponents.errors, b.exponents.errors) + a.exponents.resolution + b.exponents.resolution
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.exponents.values - b.exponents.values)
    apart = np.where(np.isneginf(a.exponents.values) & np.isneginf(b.exponents.values), 0.0, apart)
    if not (apart <= width).all():
        return False
    return a.label == "continuous attractor" or _distance(a, b) <= 0.1


def _distance(a: Case, b: Case) -> float:
    """Return how far the states of one orbit typically are from those of the other, relative to their size."""
    assert a.sample is not None
    assert b.sample is not None
    size = max(float(np.ptp(case.sample, axis=0).max()) for case in (a, b) if case.sample is not None)
    size = max(size, 1e-5 * max(a.scale, b.scale), 1e-300)
    squares = (a.sample**2).sum(axis=1)[:, None] + (b.sample**2).sum(axis=1) - 2 * a.sample @ b.sample.T
    distances = np.sqrt(np.maximum(squares, 0.0))
    return float(max(np.median(distances.min(axis=0)), np.median(distances.min(axis=1)))) / size
