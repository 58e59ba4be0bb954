"""How closely, and after how many steps, a sequence of states comes back to where it was."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: States that spread by less, relative to the largest of the run, stand still.
AT_REST = 1e-9


class Return(NamedTuple):
    """The shortest of the closest returns in a sequence of states."""

    period: int  # steps; 0 if the sequence is too short to tell
    miss: float  # largest distance from the state a period before, relative to the size, late in the sequence
    drift: float  # the same over as many periods as fit into the late part
    size: float  # diameter of the late part in every direction, the largest
    approaches: bool  # whether misses shrink towards the end


def closest_period(states: np.ndarray, max_period: int, scale: float) -> Return:
    """Return the best period up to ``max_period`` of ``states`` (time, n), judged by their last half.

    ``scale`` is the size of the states of the whole run: a sequence that spreads by less than `AT_REST` of it has
    period 1.
    """
    late = states[len(states) // 2 :]
    W = len(late)
    size = float(np.ptp(late, axis=0).max())
    if size <= AT_REST * scale:
        return Return(1, 0.0, 0.0, size, True)
    longest = min(max_period, W // 3)
    if longest < 1:
        return Return(0, np.inf, np.inf, size, False)
    misses = np.array([np.linalg.norm(late[k:] - late[:-k], axis=1).max() for k in range(1, longest + 1)]) / size
    period = int(np.flatnonzero(misses <= max(1.5 * misses.min(), 1e-12))[0]) + 1
    far = period * ((W - 1) // period)
    drift = float(np.linalg.norm(late[far:] - late[: W - far], axis=1).max()) / size
    steps = np.linalg.norm(late[period:] - late[:-period], axis=1)
    third = max(len(steps) // 3, 1)
    return Return(
        period, float(misses[period - 1]), drift, size, bool(steps[-third:].max() < 0.9 * steps[:third].max())
    )
