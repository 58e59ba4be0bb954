"""States and frames of many trajectories, advanced together in the compiled loop for lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.kernels.memory_order import line_zeros
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.workers import Workers
from dynet.systems.compiled import TUPLES_UP_TO, for_loops


def fits_lanes(problem: Problem) -> bool:
    """Return whether a problem can be run in lanes: small, functions that return tuples, own parameters only floats."""
    small = problem.parts is not None and problem.tuples and problem.x0.shape[-1] <= TUPLES_UP_TO
    return small and (problem.sets is None or problem.sets.as_rows() is not None)


class Lanes:
    """Many trajectories of one problem.

    Parameters
    ----------
    problem : Problem
        Functions, parameters and inputs.
    starts : array (lane, n)
        State of each trajectory.
    frames : array (lane, k, n)
        Frame of each trajectory, by columns.
    sequences : array of int (lane,)
        Sequence that each trajectory belongs to: it tells which inputs it reads.
    firsts : array of int (lane,)
        Step that each trajectory takes first.
    """

    def __init__(
        self,
        problem: Problem,
        starts: np.ndarray,
        frames: np.ndarray,
        sequences: np.ndarray,
        firsts: np.ndarray,
    ) -> None:
        assert problem.parts is not None
        from dynet.kernels.lanes import LANE_BLOCKS, LANES, rows_of

        self._dispatcher = LANE_BLOCKS[problem.parts.kind]
        self._problem, self._parts = problem, for_loops(problem.parts)
        self.count, (n, k) = len(starts), problem.frame.shape
        pieces = -(-self.count // LANES)
        # the last piece is filled up with copies of the last trajectory, at which nobody looks
        filled = np.minimum(np.arange(pieces * LANES), self.count - 1)
        self._rows = rows_of(n, k)
        own = None if problem.sets is None else problem.sets.as_rows()
        self._own = None if own is None else own.shape[1]
        self._memory = line_zeros((pieces, self._rows.params + (self._own or 0), LANES), np.dtype(np.float64))
        self._shape = (pieces, LANES)
        self._put(0, starts[filled])
        self._put(self._rows.frame, frames[filled].reshape(-1, n * k))
        self._put(self._rows.lengths, np.ones((filled.size, k)))
        self._put(self._rows.first, np.asarray(firsts, dtype=np.float64)[filled, None])
        if own is not None:
            self._put(self._rows.params, own[sequences[filled]])
        self._sequences = np.ascontiguousarray(sequences[filled].reshape(self._shape), dtype=np.int64)
        self._growth = np.zeros((*self._shape, k))
        self._failed = np.zeros(self._shape, dtype=np.bool_)
        self._workers = Workers(pieces)

    def _put(self, row: int, values: np.ndarray) -> None:
        width = values.shape[1]
        self._memory[:, row : row + width] = values.reshape(*self._shape, width).transpose(0, 2, 1)

    def _get(self, memory: np.ndarray | None, row: int, width: int) -> np.ndarray:
        memory = self._memory if memory is None else memory
        # a copy, always: what is read is kept while the lanes go on
        return np.array(memory[:, row : row + width].transpose(0, 2, 1).reshape(-1, width)[: self.count])

    def run(self, n_steps: int, interval: int) -> tuple[np.ndarray, np.ndarray]:
        """Advance all; return the growth (lane, k), and whether a lane has to be run again with more care (lane,)."""
        problem = self._problem
        n, k = problem.frame.shape
        dtype = problem.frame.dtype
        arguments = (
            self._parts.f,
            self._parts.df,
            self._memory.reshape(len(self._memory), -1),
            (problem.x0.dtype.type(0),) * n,
            ((dtype.type(0),) * n,) * k,
            _lane_inputs(problem),
            self._sequences,
            problem.params(0),
            self._own,
            problem.system.dt,
            n_steps,
            interval,
            float(np.finfo(dtype).eps),
            self._growth,
            self._failed,
        )
        loop = problem.loop(self._dispatcher, lambda: _types(arguments))
        self._workers.run(lambda begin, end: loop(*arguments, begin, end), 0.25 * n_steps * self._memory.size)
        return self._growth.reshape(-1, k)[: self.count].copy(), self._failed.reshape(-1)[: self.count].copy()

    def states(self, saved: np.ndarray | None = None) -> np.ndarray:
        """Return the present states (lane, n), or those that were saved."""
        return self._get(saved, 0, self._problem.frame.shape[0]).astype(self._problem.x0.dtype)

    def frames(self, saved: np.ndarray | None = None) -> np.ndarray:
        """Return the present frames by their columns, (lane, k, n), or those that were saved."""
        n, k = self._problem.frame.shape
        return self._get(saved, self._rows.frame, n * k).reshape(-1, k, n)

    def save(self) -> np.ndarray:
        """Return what `restore` needs to come back here."""
        return self._memory.copy()

    def restore(self, saved: np.ndarray) -> None:
        """Come back to what was saved."""
        self._memory[...] = saved


def _lane_inputs(problem: Problem) -> np.ndarray:
    """Return the inputs (sequence, time, channel), or the constant row (channel,)."""
    assert problem.parts is not None
    dtype = problem.x0.dtype
    if problem.parts.row is not None:
        return np.asarray(problem.parts.row, dtype=dtype)
    inputs = problem.inputs
    if inputs is None:
        return np.empty(0, dtype=dtype)
    # sequences may share their memory, but the channels of a row have to lie side by side
    side_by_side = inputs.shape[-1] < 2 or inputs.strides[-1] == inputs.itemsize
    return inputs if side_by_side else np.ascontiguousarray(inputs)


def _types(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    from numba import typeof, types

    kinds = [*map(typeof, arguments), types.intp, types.intp]
    inputs = kinds[5]
    if inputs.ndim == 3:
        # one loop for series in every layout: they are only read
        kinds[5] = types.Array(inputs.dtype, 3, "A", readonly=True)
    return tuple(kinds)
