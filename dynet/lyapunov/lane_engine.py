"""The engine of many sequences of a small compiled system: they are the lanes of one loop."""

from __future__ import annotations

import numpy as np

from dynet.lyapunov.compiled_engine import PILOT_STEPS, Trajectory, find_divergence, fitting_interval, trajectory_of
from dynet.lyapunov.lanes import Lanes
from dynet.lyapunov.problem import Engine, Problem

#: From this many sequences on they are run as lanes.
LANES_FROM = 8


class LaneEngine(Engine):
    """All sequences in one loop without branches; those that need branches are taken out and run alone."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        S = len(problem.x0)
        self._lanes = Lanes(problem, problem.x0, np.arange(S), np.zeros(S))
        self._alone: dict[int, Trajectory] = {}
        self.interval = self._pilot() if problem.qr_interval is None else problem.qr_interval

    def _pilot(self) -> int:
        """Return an interval that suits the growth of all over the first steps; leave everything as it was."""
        saved = self._lanes.save()
        steps = min(PILOT_STEPS, self._problem.n_rows)
        growth, failed = self._lanes.run(steps, 1)
        self._lanes.restore(saved)
        epsilon = float(np.finfo(self._problem.frame.dtype).eps)
        return 1 if failed.any() else fitting_interval(growth, steps, epsilon)

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        saved = self._lanes.save()
        growth, failed = self._lanes.run(n_steps, self.interval)
        failed[list(self._alone)] = False
        while failed.any() and self.interval > 1:
            self._lanes.restore(saved)
            self.interval //= 2
            growth, failed = self._lanes.run(n_steps, self.interval)
            failed[list(self._alone)] = False
        if failed.any():
            now = self._lanes.save()
            self._lanes.restore(saved)
            states, frames = self._lanes.states(), self._lanes.frames()
            self._lanes.restore(now)
            for s in np.flatnonzero(failed).tolist():
                self._alone[s] = trajectory_of(self._problem, s)
                self._alone[s].resume(states[s], frames[s].T)
        for s, trajectory in self._alone.items():
            growth[s] = self._advance_alone(s, trajectory, first, n_steps)
        return growth

    def _advance_alone(self, sequence: int, trajectory: Trajectory, first: int, n_steps: int) -> np.ndarray:
        saved = trajectory.save()
        growth, resolution = trajectory.run(first, n_steps, 1)
        if not resolution >= 0:
            trajectory.restore(saved)
            find_divergence(trajectory, self._problem, sequence, first, n_steps)
        return growth

    def state(self) -> np.ndarray:
        states = self._lanes.states()
        for s, trajectory in self._alone.items():
            states[s] = trajectory.x
        return states

    def saved(self) -> dict[str, np.ndarray]:
        alone = sorted(self._alone)
        trajectories = [self._alone[s] for s in alone]
        n, k = self._problem.frame.shape
        return {
            "interval": np.array(self.interval),
            "lanes": self._lanes.save(),
            "alone": np.array(alone, dtype=np.int64),
            "alone_x": np.array([trajectory.x for trajectory in trajectories]).reshape(-1, n),
            "alone_V": np.array([trajectory.frame() for trajectory in trajectories]).reshape(-1, n, k),
        }

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self.interval = int(saved["interval"])
        self._lanes.restore(saved["lanes"])
        self._alone = {int(s): trajectory_of(self._problem, int(s)) for s in saved["alone"]}
        for i, trajectory in enumerate(self._alone.values()):
            trajectory.resume(saved["alone_x"][i], saved["alone_V"][i])
