"""Trajectories with their frames, each at a step of its own, advanced together by the loop that suits them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from dynet.lyapunov.lanes import Lanes, fits_lanes
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.tangent import Trajectory, advance_resolved, trajectory_of
from dynet.lyapunov.workers import Workers


class Fronts(ABC):
    """Where some trajectories of a problem have come to.

    Parameters
    ----------
    problem : Problem
        Functions, parameters and inputs.
    starts : array (front, n)
        State of each.
    sequences : array of int (front,)
        Sequence that each belongs to.
    firsts : array of int (front,)
        Step that each takes first.
    frames : array (front, k, n), optional
        Frame of each by columns; that of the problem if not given.
    """

    def __init__(
        self,
        problem: Problem,
        starts: np.ndarray,
        sequences: np.ndarray,
        firsts: np.ndarray,
        frames: np.ndarray | None = None,
    ) -> None:
        self._problem, self._sequences = problem, sequences
        self._position = np.array(firsts)  # a copy: it is counted up
        self.interval = problem.qr_interval or 1
        if frames is None:
            frames = np.broadcast_to(problem.frame.T, (len(starts), *problem.frame.T.shape))
        self._start(starts, frames)

    @abstractmethod
    def _start(self, starts: np.ndarray, frames: np.ndarray) -> None:
        """Take up the first states and frames."""

    @abstractmethod
    def advance(self, n_steps: int) -> np.ndarray:
        """Advance all; return the log growth (front, k), or raise DivergenceError."""

    @abstractmethod
    def states(self) -> np.ndarray:
        """Return the present states (front, n)."""

    @abstractmethod
    def frames(self) -> np.ndarray:
        """Return the present frames by columns (front, k, n)."""

    def kept(self, some: np.ndarray) -> Self:
        """Return fronts of ``some`` of these alone, a mask or places."""
        states, frames = self.states()[some], self.frames()[some]
        fronts = type(self)(self._problem, states, self._sequences[some], self._position[some], frames)
        fronts.interval = self.interval
        return fronts


class LaneFronts(Fronts):
    """Small systems in tuples: lanes of one loop; those that need care are taken out and run alone."""

    def _start(self, starts: np.ndarray, frames: np.ndarray) -> None:
        self._lanes = Lanes(self._problem, starts, frames, self._sequences, self._position)
        self._alone: dict[int, Trajectory] = {}

    def advance(self, n_steps: int) -> np.ndarray:
        saved = self._lanes.save()
        growth, failed = self._run(n_steps)
        while failed.any() and self.interval > 1:
            self._lanes.restore(saved)
            self.interval //= 2
            growth, failed = self._run(n_steps)
        if failed.any():
            states, frames = self._lanes.states(saved), self._lanes.frames(saved)
            for i in np.flatnonzero(failed).tolist():
                self._alone[i] = self._taken_out(i, states[i], frames[i])
        for i, trajectory in self._alone.items():
            first, sequence = int(self._position[i]), int(self._sequences[i])
            growth[i], _ = advance_resolved(trajectory, self._problem, sequence, first, n_steps, 1)
        self._position += n_steps
        return growth

    def _run(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        growth, failed = self._lanes.run(n_steps, self.interval)
        failed[list(self._alone)] = False  # what their lanes do is not looked at any more
        return growth, failed

    def _taken_out(self, i: int, x: np.ndarray, columns: np.ndarray) -> Trajectory:
        trajectory = trajectory_of(self._problem, int(self._sequences[i]))
        trajectory.resume(x, columns.T)
        return trajectory

    def try_out(self, n_steps: int) -> np.ndarray | None:
        """Return the growth that factoring each step would show, or None if some need care; come back."""
        saved = self._lanes.save()
        growth, failed = self._lanes.run(n_steps, 1)
        self._lanes.restore(saved)
        return None if failed.any() else growth

    def states(self) -> np.ndarray:
        states = self._lanes.states()
        for i, trajectory in self._alone.items():
            states[i] = trajectory.x
        return states

    def frames(self) -> np.ndarray:
        frames = self._lanes.frames()
        for i, trajectory in self._alone.items():
            frames[i] = trajectory.frame().T
        return frames

    def saved(self) -> dict[str, np.ndarray]:
        """Return all that `resume` needs."""
        n, k = self._problem.frame.shape
        return {
            "position": self._position.copy(),
            "lanes": self._lanes.save(),
            "alone": np.array(list(self._alone), dtype=np.int64),
            "alone_x": np.array([trajectory.x for trajectory in self._alone.values()]).reshape(-1, n),
            "alone_V": np.array([trajectory.frame().T for trajectory in self._alone.values()]).reshape(-1, k, n),
        }

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        """Go on exactly from what other fronts of the same problem saved."""
        self._position = np.array(saved["position"])
        self._lanes.restore(saved["lanes"])
        alone = zip(saved["alone"].tolist(), saved["alone_x"], saved["alone_V"], strict=True)
        self._alone = {i: self._taken_out(i, x, columns) for i, x, columns in alone}


class SeparateFronts(Fronts):
    """Any compiled system: trajectories one by one, in threads."""

    def _start(self, starts: np.ndarray, frames: np.ndarray) -> None:
        self._trajectories = [trajectory_of(self._problem, int(s)) for s in self._sequences]
        for trajectory, x, columns in zip(self._trajectories, starts, frames, strict=True):
            trajectory.resume(x, columns.T)
        self._workers = Workers(len(starts))

    def advance(self, n_steps: int) -> np.ndarray:
        def run(begin: int, end: int) -> list[tuple[np.ndarray, int]]:
            return [
                advance_resolved(
                    self._trajectories[i],
                    self._problem,
                    int(self._sequences[i]),
                    int(self._position[i]),
                    n_steps,
                    self.interval,
                )
                for i in range(begin, end)
            ]

        n = self._problem.x0.shape[-1]
        parts = self._workers.run(run, len(self._trajectories) * (10_000 + 2 * n * n * n_steps))
        results = [result for part in parts for result in part]
        self._position += n_steps
        self.interval = min(interval for _, interval in results)
        return np.array([growth for growth, _ in results])

    def states(self) -> np.ndarray:
        return np.array([trajectory.x for trajectory in self._trajectories], dtype=self._problem.x0.dtype)

    def frames(self) -> np.ndarray:
        return np.array([trajectory.frame().T for trajectory in self._trajectories])


def make_fronts(
    problem: Problem,
    starts: np.ndarray,
    sequences: np.ndarray,
    firsts: np.ndarray,
    frames: np.ndarray | None = None,
) -> Fronts:
    """Return the fronts that suit a compiled problem."""
    kind = LaneFronts if fits_lanes(problem) else SeparateFronts
    return kind(problem, starts, sequences, firsts, frames)
