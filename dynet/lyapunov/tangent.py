"""State and tangent frame of one sequence in the compiled loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.lyapunov.problem import RESOLUTION_KEPT, Problem, raise_if_diverged, raise_overflow
from dynet.systems.compiled import TUPLES_UP_TO, for_loops

#: The automatic interval is first chosen so that pivots differ by the machine epsilon to this power.
_RESOLUTION_AIMED = 1 / 4
_LONGEST_INTERVAL = 100
PILOT_STEPS = 32


class Trajectory:
    """State and frame of one sequence, and the loop that carries them; the frame is an array."""

    def __init__(self, problem: Problem, sequence: int) -> None:
        assert problem.parts is not None
        from dynet.kernels.qr import SPECTRUM_BLOCKS

        self._dispatcher = SPECTRUM_BLOCKS[problem.parts.kind]
        self._problem = problem
        self._parts, self._params, self._dt = for_loops(problem.parts), problem.params(sequence), problem.system.dt
        x0 = problem.x0[sequence]
        self.x: Any = tuple(x0) if problem.tuples else np.ascontiguousarray(x0)
        self._V: Any = np.ascontiguousarray(problem.frame).copy()
        self._scratch: tuple[np.ndarray, ...] = tuple(np.empty_like(self._V) for _ in range(3))
        self._inputs = sequence_inputs(problem, sequence)

    def run(self, first: int, n_steps: int, interval: int) -> tuple[np.ndarray, float]:
        """Advance; return the growth (k,) and how well it was resolved: see the loops in `dynet.kernels.qr`."""
        growth = np.zeros(self._V.shape[1])
        steps = (self._inputs, self._params, first, self._dt, n_steps, interval)
        f, df = self._parts.f, self._parts.df
        self.x, resolution = self._call(f, df, self.x, self._V, self._scratch, *steps, growth)
        return growth, resolution

    def _call(self, *arguments: Any) -> Any:
        from numba import typeof

        return self._problem.loop(self._dispatcher, lambda: tuple(map(typeof, arguments)))(*arguments)

    def frame(self) -> np.ndarray:
        """Return the frame (n, k)."""
        frame: np.ndarray = self._V
        return frame

    def save(self) -> Any:
        """Return what `restore` needs to come back here."""
        return self.x, self._V.copy()

    def restore(self, saved: Any) -> None:
        """Come back to what was saved."""
        x, V = saved
        self.x, self._V = x, V.copy()

    def resume(self, x: np.ndarray, V: np.ndarray) -> None:
        """Go on from another state (n,) and frame (n, k)."""
        self.x = tuple(x) if isinstance(self.x, tuple) else np.array(x)
        self._V = np.array(V, dtype=self._problem.frame.dtype, order="C")


class _SmallTrajectory(Trajectory):
    """The same for few units: the frame is a tuple of columns."""

    def __init__(self, problem: Problem, sequence: int) -> None:
        super().__init__(problem, sequence)
        assert problem.parts is not None
        from dynet.kernels.qr import TUPLE_BLOCKS

        self._dispatcher = TUPLE_BLOCKS[problem.parts.kind]
        columns = np.ascontiguousarray(problem.frame.T)
        self._V = tuple(map(tuple, columns))
        self._scratch = np.empty_like(columns), np.empty(len(columns))
        self._tolerance = float(np.finfo(columns.dtype).eps)

    def run(self, first: int, n_steps: int, interval: int) -> tuple[np.ndarray, float]:
        growth = np.zeros(len(self._V))
        steps = (self._inputs, self._params, first, self._dt, n_steps, interval, self._tolerance)
        f, df = self._parts.f, self._parts.df
        self.x, self._V, resolution = self._call(f, df, self.x, self._V, *self._scratch, *steps, growth)
        return growth, resolution

    def frame(self) -> np.ndarray:
        return np.array(self._V).T

    def save(self) -> Any:
        return self.x, self._V

    def restore(self, saved: Any) -> None:
        self.x, self._V = saved

    def resume(self, x: np.ndarray, V: np.ndarray) -> None:
        super().resume(x, V)
        # numbers of the frame's own precision: the loop is compiled for what it is given first
        self._V = tuple(map(tuple, np.asarray(V, self._scratch[0].dtype).T))


def trajectory_of(problem: Problem, sequence: int) -> Trajectory:
    """Return state and frame of a sequence at its start, in the loop that suits its size."""
    small = problem.x0.shape[-1] <= TUPLES_UP_TO
    return (_SmallTrajectory if small else Trajectory)(problem, sequence)


def sequence_inputs(problem: Problem, sequence: int) -> np.ndarray:
    """Return the inputs of a sequence (time, channel), or the constant row (channel,)."""
    assert problem.parts is not None
    dtype = problem.x0.dtype
    if problem.parts.row is not None:
        return np.asarray(problem.parts.row, dtype=dtype)
    return np.empty(0, dtype=dtype) if problem.inputs is None else np.ascontiguousarray(problem.inputs[sequence])


def find_divergence(trajectory: Trajectory, problem: Problem, sequence: int, first: int, n_steps: int) -> None:
    """Raise at the first step after which something is not finite."""
    for step in range(first, first + n_steps):
        growth, _ = trajectory.run(step, 1, 1)
        raise_if_diverged(np.asarray(trajectory.x), trajectory.frame(), step, sequence, problem, growth)
    raise_overflow(first, n_steps, sequence)


def advance_resolved(
    trajectory: Trajectory, problem: Problem, sequence: int, first: int, n_steps: int, interval: int
) -> tuple[np.ndarray, int]:
    """Advance; return the growth (k,) and the interval: it is halved until the frame is resolved."""
    enough = float(np.finfo(problem.frame.dtype).eps) ** RESOLUTION_KEPT
    saved = trajectory.save()
    while True:
        growth, resolution = trajectory.run(first, n_steps, interval)
        if resolution >= enough or (interval == 1 and resolution >= 0):
            return growth, interval
        trajectory.restore(saved)
        if interval == 1:
            find_divergence(trajectory, problem, sequence, first, n_steps)
        interval //= 2


def fitting_interval(growth: np.ndarray, steps: int, problem: Problem) -> int:
    """Return an interval after which pivots of sequences that grow like ``growth`` (sequence, k) are well resolved."""
    if not np.isfinite(growth).all():
        return 1
    spread = np.maximum(np.ptp(growth, axis=1), np.abs(growth).max(axis=1) / 10).max() / steps
    aimed = -_RESOLUTION_AIMED * np.log(np.finfo(problem.frame.dtype).eps)
    return int(np.clip(aimed / max(spread, 1e-300), 1, _LONGEST_INTERVAL))
