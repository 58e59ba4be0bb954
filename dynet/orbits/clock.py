"""The phase at which states near a cycle come to oscillate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet.errors import ConvergenceError
from dynet.orbits.response import REFERENCES, response_along
from dynet.systems.flow import Flow
from dynet.variational.integration import integrate

__all__ = ["Clock", "wrapped"]

#: Off the cycle by more, relative to its size, the linear response does not tell the phase.
_NEAR = 1e-2
_SETTLED = 1e-9
_MOST_PERIODS = 300
_MOST_ITERATIONS = 25
_ELSEWHERE = 0.381
_EXACT = 1e-12


class Reading(NamedTuple):
    """A phase in turns, how exact it is, and after how many periods it was read."""

    phase: float
    uncertainty: float
    n_periods: float


class Clock:
    """A cycle with its response, by which the phase of states close to it is read."""

    def __init__(self, flow: Flow, cycle: xr.Dataset) -> None:
        self.Z, self.field, self.orbit, self.period = response_along(flow, cycle)
        self.size = float(np.linalg.norm(self.orbit - self.orbit[0], axis=1).max())
        self.scale = float(np.abs(self.orbit).max())

    def read(self, x: np.ndarray, who: str) -> Reading:
        """Return the phase that the state ``x`` comes to."""
        before, elapsed = np.nan, 0.0
        while elapsed <= _MOST_PERIODS:
            there, away = self._close_to(x)
            phase = (there - elapsed) % 1.0
            change = abs(wrapped(phase - before))
            if away <= _NEAR and change <= _SETTLED:
                return Reading(phase, max(change, self.field.tolerance * elapsed), elapsed)
            before = phase
            # where the cycle is too steep to be read, the next attempt comes at another phase
            part = _ELSEWHERE if away <= _NEAR and np.isnan(there) else 1.0
            x, elapsed = self._followed(x, part * self.period), elapsed + part
        raise ConvergenceError(
            f"{who} has no phase: after {_MOST_PERIODS} periods it is {away:.2g} of the size of the cycle away from "
            "it, or still drifts along it; give states in the basin of a stable cycle",
            residual=away,
        )

    def _followed(self, x: np.ndarray, duration: float) -> np.ndarray:
        scale = max(self.scale, float(np.abs(x).max()))
        y, _ = integrate(self.field, 0.0, x, duration, self.field.tolerance, 0.1 * self.field.tolerance * scale)
        return y

    def _close_to(self, x: np.ndarray) -> tuple[float, float]:
        """Return the phase by the linear response, and the distance off the cycle relative to its size.

        The state is taken on to the next phase at which the cycle is known, so that nothing is interpolated: the
        error is of second order in the distance off the cycle.
        """
        P = len(self.orbit)
        distances = np.linalg.norm(self.orbit - x, axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] > 0.5 * self.size:
            return np.nan, float(distances[nearest]) / self.size
        away = float(distances[nearest]) / self.size
        for step in (1, 2, 3):
            target = (nearest + step) % P
            y, taken = self._taken_on(x, target)
            if y is not None:
                away = float(np.linalg.norm(y - self.orbit[target])) / self.size
                return (target / P - taken / self.period) % 1.0, away
        return np.nan, away

    def _taken_on(self, x: np.ndarray, target: int) -> tuple[np.ndarray | None, float]:
        """Return the state when it is in the phase of a target that lies ahead, and the time that it took."""
        y, taken, most = x, 0.0, 6 * self.period / len(self.orbit)
        for _ in range(_MOST_ITERATIONS):
            ahead = float(self.Z[target] @ (self.orbit[target] - y))
            if abs(ahead) <= _EXACT * self.period:
                return y, taken + ahead
            move = min(max(ahead, -0.9 * taken), most - taken)
            if move == 0:
                break
            # never back in time, where a stable cycle repels
            y = self._followed(*((y, move) if move > 0 else (x, taken + move)))
            taken += move
        return None, taken

    def attrs(self) -> dict[str, Any]:
        """Return what the attributes of readings say."""
        return {
            "references": REFERENCES,
            "period": self.period,
            "tolerance": self.field.tolerance,
            "time_unit": self.field.system.time_unit,
        }


def wrapped(turns: float) -> float:
    """Return a difference of phases in [-1/2, 1/2)."""
    return (turns + 0.5) % 1.0 - 0.5
