"""Which samples of a response a fit counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults, is_number

#: So many equal samples at the floor after the step are a unit that is cut off there.
_CUT_OFF = 3


def windows(
    faults: Faults, window: Any, response: np.ndarray, stimulus: np.ndarray, times: np.ndarray
) -> list[tuple[slice, np.ndarray]]:
    """Return slices of time, each with the units (unit,) that are fitted there."""
    U, T = response.shape
    if isinstance(window, str) and window in ("auto", "onset", "all"):
        stop = np.full(U, T)
        if window != "all":
            ends = end_of_step(stimulus)
            if window == "onset" and (ends < 0).any():
                faults.add("window", window, "the stimulus is no step up or down and back: give (start, stop) in time")
                return []
            ends = np.broadcast_to(np.where(ends < 0, T, ends), (U,))
            stop = ends if window == "onset" else np.where(is_cut_off(response, ends), ends, T)
        return [(slice(0, int(end)), np.flatnonzero(stop == end)) for end in np.unique(stop)]
    if isinstance(window, list | tuple) and len(window) == 2 and all(map(is_number, window)):
        inside = np.flatnonzero((times >= window[0]) & (times <= window[1]))
        if inside.size:
            return [(slice(int(inside[0]), int(inside[-1]) + 1), np.arange(U))]
        span = f"no sample lies there; times run from {times[0]:g} to {times[-1]:g}"
        faults.add("window", window, span)
        return []
    faults.add("window", window, 'give "auto", "onset", "all" or (start, stop) in time')
    return []


def end_of_step(stimulus: np.ndarray) -> np.ndarray:
    """Return the sample at which steps (unit, time) go back to where they came from.

    It is the length of the record for those that stay, and -1 for what is no step.
    """
    n_times = stimulus.shape[-1]
    changes = stimulus[:, 1:] != stimulus[:, :-1]
    count = np.count_nonzero(changes, axis=-1)
    ends = np.where(count <= 1, n_times, -1)
    last = n_times - 1 - changes[:, ::-1].argmax(axis=-1)
    goes_back = np.take_along_axis(stimulus, last[:, None], axis=-1)[:, 0] == stimulus[:, 0]
    # on from the first sample: a fall to zero is its end
    falls = (count == 1) & (stimulus[:, -1] == 0)
    ended: np.ndarray = np.where(((count == 2) & goes_back) | falls, last, ends)
    return ended


def is_cut_off(response: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return which responses (unit, time) lie at their lowest value right after their step has ended (unit,)."""
    T = response.shape[-1]
    cut = ends + _CUT_OFF <= T
    rows, after = response[cut], ends[cut, None] + np.arange(_CUT_OFF)
    cut[cut] = (np.take_along_axis(rows, after, axis=-1) == rows.min(axis=-1, keepdims=True)).all(axis=-1)
    return cut
