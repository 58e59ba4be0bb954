"""What fits of orders take and give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Records:
    """Responses (unit, time), the stimulus (unit or 1, time) and the samples that the fit counts.

    Filters see the whole record; only samples of the window are compared.
    """

    response: np.ndarray
    stimulus: np.ndarray
    dt: float
    window: slice


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


def products(
    y: np.ndarray, s: np.ndarray, templates: Iterator[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the products of y (unit, time), s and templates (unit or 1, time): yt, tt and st, each (unit, node)."""
    if s.shape[0] == 1:
        rows = np.concatenate(list(templates))
        return y @ rows.T, np.einsum("jt,jt->j", rows, rows)[None], s @ rows.T
    # a node at a time: templates of all nodes and units would not fit into memory
    sums = [[np.einsum("ut,ut->u", x, t) for x in (y, t, s)] for t in templates]
    yt, tt, st = np.array(sums).transpose(1, 2, 0)
    return yt, tt, st


def limit_ratio(level: float, n: int, n_free: int) -> float:
    """Return by how much the sum of squares may exceed the least one inside an interval of that level."""
    degrees = n - n_free
    return float(1 + stats.f.ppf(level, 1, degrees) / degrees)
