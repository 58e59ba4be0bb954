"""The engine of compiled functions: state and frame in one numba loop."""

from __future__ import annotations

import numpy as np

from dynet.lyapunov.problem import Engine, Problem
from dynet.lyapunov.tangent import PILOT_STEPS, advance_resolved, fitting_interval, trajectory_of


class CompiledEngine(Engine):
    """One sequence in the compiled loop."""

    def __init__(self, problem: Problem, sequence: int) -> None:
        self._problem, self._sequence = problem, sequence
        self._trajectory = trajectory_of(problem, sequence)
        self.interval = self._pilot() if problem.qr_interval is None else problem.qr_interval

    def _pilot(self) -> int:
        """Return an interval that suits the growth over the first steps; leave state and frame as they were."""
        saved = self._trajectory.save()
        steps = min(PILOT_STEPS, self._problem.n_rows)
        growth, _ = self._trajectory.run(0, steps, 1)
        self._trajectory.restore(saved)
        return fitting_interval(growth[None, :], steps, self._problem)

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        growth, self.interval = advance_resolved(
            self._trajectory, self._problem, self._sequence, first, n_steps, self.interval
        )
        return growth[None, :]

    def state(self) -> np.ndarray:
        return np.asarray(self._trajectory.x, dtype=self._problem.x0.dtype)[None, :]

    def saved(self) -> dict[str, np.ndarray]:
        return {"x": self.state()[0], "interval": np.array(self.interval), "V": self._trajectory.frame()}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self.interval = int(saved["interval"])
        self._trajectory.resume(saved["x"], saved["V"])
