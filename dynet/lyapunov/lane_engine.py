"""The engine of many sequences of a small compiled system: they are the lanes of one loop."""

from __future__ import annotations

import numpy as np

from dynet.lyapunov.fronts import LaneFronts
from dynet.lyapunov.problem import Engine, Problem
from dynet.lyapunov.tangent import PILOT_STEPS, fitting_interval

#: From this many sequences on they are run as lanes.
LANES_FROM = 8


class LaneEngine(Engine):
    """All sequences in one loop without branches; those that need branches are taken out and run alone."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        S = len(problem.x0)
        self._fronts = LaneFronts(problem, problem.x0, np.arange(S), np.zeros(S, dtype=np.int64))
        self.interval = self._pilot() if problem.qr_interval is None else problem.qr_interval

    @property
    def interval(self) -> int:
        """Steps between factorisations that all have come down to."""
        return self._fronts.interval

    @interval.setter
    def interval(self, steps: int) -> None:
        self._fronts.interval = steps

    def _pilot(self) -> int:
        """Return an interval that suits the growth of all over the first steps; leave everything as it was."""
        steps = min(PILOT_STEPS, self._problem.n_rows)
        growth = self._fronts.try_out(steps)
        return 1 if growth is None else fitting_interval(growth, steps, self._problem)

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        return self._fronts.advance(n_steps)

    def state(self) -> np.ndarray:
        return self._fronts.states()

    def saved(self) -> dict[str, np.ndarray]:
        return {"interval": np.array(self.interval), **self._fronts.saved()}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self.interval = int(saved["interval"])
        self._fronts.resume(saved)
