"""The rank of a triangular factor: which of its pivots are rounding."""

from __future__ import annotations

import numpy as np

from dynet.kernels.rounding import doubtful, is_rounding


def lost_pivots(R: np.ndarray, epsilon: float, first: int = 0) -> np.ndarray:
    """Return which pivots from number ``first`` on of an upper triangle are rounding, by the rule of `is_rounding`."""
    largest = np.abs(R).max(initial=0.0)
    pivots = np.abs(R.diagonal())[first:]
    lost = np.zeros(pivots.size, dtype=bool)
    in_doubt = first + np.flatnonzero(pivots <= doubtful(epsilon) * largest)
    if in_doubt.size:
        R = np.array(R, order="C")
        for j in in_doubt:
            if is_rounding(R, j, largest, epsilon):
                lost[j - first], R[j, j] = True, 0.0  # those after it do not count on it
    return lost
