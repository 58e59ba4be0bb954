"""A trajectory followed until it comes back to where it was, or stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from dynet.errors import DivergenceError
from dynet.variational.dormand_prince import one_step
from dynet.variational.field import Field
from dynet.variational.integration import integration_steps

#: Steps of the integrator in the first round.
_FIRST_ROUND = 100
#: Rounds, each twice as long as the one before.
ROUNDS = 8
_TOLERANCE = 1e-9
#: A return that misses by more, relative to the size of the orbit, starts no Newton iteration.
_CLOSE = 1e-3
_UNBOUNDED = 1e8


class Visit(NamedTuple):
    """What a trajectory does at the end of a round."""

    x: np.ndarray  # (n,), its last state
    time: float  # since the start
    size: float  # largest distance from x since the return, or in the second half of the run
    period: float  # time since the return; nan if there was none that is close
    miss: float  # distance at the return relative to the size; inf if there was no return
    speed: float  # at x, relative to the largest on the way


class _Step(NamedTuple):
    start: float
    end: float
    x: np.ndarray  # (n,), at the start


def visits(field: Field, x0: np.ndarray) -> Iterator[Visit]:
    """Yield what the trajectory from ``x0`` has come to, after longer and longer times.

    Raises
    ------
    DivergenceError
        If it is unbounded or cannot be followed; its result is the last state (n,).
    """
    x, t, first_step = x0, 0.0, None
    scale = 1.0 + float(np.abs(x0).max())
    fastest = float(np.linalg.norm(field(0.0, x0)))
    steps: list[_Step] = []
    for number in range(ROUNDS):
        rtol = max(_TOLERANCE, field.tolerance)
        try:
            for _, solver in zip(
                range(_FIRST_ROUND * 2**number),
                integration_steps(field, t, x, np.inf, rtol, 1e-3 * rtol * scale, first_step),
                strict=False,
            ):
                steps.append(_Step(solver.t_old, solver.t, solver.y_old))
                x, t, first_step = solver.y, solver.t, solver.h_abs
                fastest = max(fastest, float(np.linalg.norm(solver.f)))
                if not np.abs(x).max() < _UNBOUNDED * scale:
                    raise DivergenceError(
                        f"the trajectory from x0 is unbounded: at time {t:.4g} its largest entry is "
                        f"{np.abs(x).max():.3g}; start inside the basin of a limit cycle"
                    )
        except DivergenceError as error:
            error.result = x.copy()
            raise
        if number:
            steps = steps[-(len(steps) // 2 + 1) :]  # the older half still shows the transient
        yield _last_return(field, steps, x.copy(), t, fastest)


def _last_return(field: Field, steps: list[_Step], x: np.ndarray, t: float, fastest: float) -> Visit:
    """Return the latest of the closest returns to the plane through ``x`` across the flow."""
    f = field(t, x)
    speed = float(np.linalg.norm(f))
    relative = speed / fastest if fastest > 0 else 0.0
    starts = np.array([step.x for step in steps])
    distances = np.linalg.norm(starts - x, axis=1)
    largest = float(distances.max())
    none = Visit(x, t, largest, np.nan, np.inf, relative)
    if speed == 0 or largest == 0:
        return none
    heights = np.append((starts - x) @ f, 0.0)
    crossings = np.flatnonzero((heights[:-1] < 0) & (heights[1:] >= 0))
    found = []
    for i in crossings[crossings < len(steps) - 1]:
        step = steps[i]

        def state(at: float, step: _Step = step) -> np.ndarray:
            # shorter than the step that was taken, and so at least as accurate
            return one_step(lambda y: field(0.0, y), step.x, at - step.start)

        def height(at: float) -> float:
            return float((state(at) - x) @ f)

        if height(step.start) < 0 < height(step.end):
            at = float(brentq(height, step.start, step.end, xtol=1e-12 * max(abs(t), 1.0)))
            found.append((at, float(np.linalg.norm(state(at) - x)), float(distances[i:].max())))
    if not found:
        return none
    misses = np.array([miss / size if size > 0 else np.inf for _, miss, size in found])
    near = np.flatnonzero(misses <= max(3 * misses.min(), 1e-7, 10 * field.tolerance))
    at, _, size = found[near[-1]]
    miss = float(misses[near[-1]])
    return Visit(x, t, size, t - at if miss < _CLOSE else np.nan, miss, relative)
