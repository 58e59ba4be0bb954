"""One long trajectory in pieces that run at once: frames forget where they started, states do not.

The states are run once, alone. Then all chunks of time carry a frame from a start of their own. From any start the
frame comes to the one that a run in one piece would have there; until then the growth is not right. So the first
steps of every chunk are taken once more, from the frame in which the chunk before ended, until the two frames
agree. What follows is then right already. Where they do not agree up to the end of a chunk the next chunk is
corrected in turn: in the worst case that is the run in one piece, and its numbers.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from dynet.errors import DivergenceError, InputError
from dynet.lyapunov.fronts import Fronts, make_fronts
from dynet.lyapunov.lane_engine import LaneEngine
from dynet.lyapunov.lanes import fits_lanes
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import Run
from dynet.lyapunov.tangent import sequence_inputs
from dynet.lyapunov.workers import available_processors
from dynet.systems.compiled import for_loops

#: Frames agree when their columns differ by less than the machine epsilon to this power.
_AGREEMENT = 0.64
#: Parts of a chunk after which frames are compared.
_PARTS = 16
#: Chunks whose number is chosen here have at least so many steps.
_SHORTEST_CHUNK = 5_000


def group_size(problem: Problem) -> int:
    """Return how many chunks one loop takes at once."""
    if not fits_lanes(problem):
        return 1
    from dynet.kernels.lanes import LANES

    return LANES


def chunks_for(problem: Problem) -> int:
    """Return the number of chunks that keeps the processors busy."""
    if problem.parts is None:
        return 1
    # twice as many as are run at once: some can start while the states of others are still to come
    busy = 2 * available_processors() * group_size(problem)
    return max(1, min(-(-busy // len(problem.x0)), problem.n_rows // _SHORTEST_CHUNK))


class Alignment(NamedTuple):
    """How the chunks of a run fit together."""

    chunks: int
    overlap: int  # most steps that were taken twice at the start of a chunk
    error: float  # nats: sum over the joints of the largest difference of a column


class ChunkedRun(Run):
    """One group of sequences of equal length, all chunks of its time at once."""

    def __init__(self, problem: Problem, n_transient: int, n_chunks: int, progress: bool) -> None:
        engine = LaneEngine(problem) if fits_lanes(problem) else None
        super().__init__(problem, n_transient, None, progress, engine)
        self._n_chunks = n_chunks
        self._final = np.empty(0)
        self.alignment = Alignment(1, 0, 0.0)

    def state(self) -> np.ndarray:
        """Return the states at the end (sequence, n)."""
        return self._final

    def finish(self, n_steps: int, size: int) -> None:
        """Run the transient and ``n_steps``; their growth is told in blocks of ``size``."""
        with self._bar(n_steps) as bar:
            total = self.n_transient + n_steps
            chunks = TimeChunks(self.problem, self.engine.interval, self.n_transient, total, size, self._n_chunks)
            growth, self._final = chunks.run(bar)
        self.growth = [growth[:, block] for block in range(growth.shape[1])]
        self.steps = [min(size, n_steps - done) for done in range(0, n_steps, size)]
        self.position, self.engine.interval, self.alignment = total, chunks.interval, chunks.alignment()


class TimeChunks:
    """The chunks of one run, and what is known of them.

    Time is cut into parts of equal length: blocks, chunks and the transient end where a part ends. ``head`` steps
    before the first part and ``tail`` steps after the last one are left over.
    """

    def __init__(self, problem: Problem, interval: int, n_transient: int, total: int, size: int, wanted: int) -> None:
        self._problem, self.interval = problem, interval
        self._part = _part_length(size, max(total // wanted, 1))
        self._head = n_transient % self._part
        self._parts_before, self._parts_a_block = n_transient // self._part, size // self._part
        n_parts, self._tail = divmod(total - self._head, self._part)
        C, S, (n, k) = min(wanted, n_parts), len(problem.x0), problem.frame.shape
        #: first part of each chunk, and the end
        self._bounds = n_parts * np.arange(C + 1) // C
        self._growth = np.zeros((S, n_parts, k))
        self._frames = np.zeros((S, n_parts, k, n))  # at the ends of parts, by columns
        self._starts = np.full((S, C, n), np.nan, dtype=problem.x0.dtype)
        self._ends = np.full((S, C, n), np.nan, dtype=problem.x0.dtype)
        self._used = np.broadcast_to(problem.frame.T, (S, C, k, n)).copy()  # frames in which chunks started
        self._agreement = float(np.finfo(problem.frame.dtype).eps) ** _AGREEMENT
        self._overlap = np.zeros((S, C), dtype=np.int64)  # steps of a chunk that were taken again
        self._difference = np.zeros((S, C))  # between its frames where they agreed

    def alignment(self) -> Alignment:
        """Return how the chunks fit together."""
        C = len(self._bounds) - 1
        return Alignment(C, int(self._overlap.max()), float(self._difference.sum(axis=1).max()))

    def run(self, bar: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the growth (sequence, block, k) and the last states (sequence, n)."""
        everyone = np.arange(len(self._problem.x0))
        fronts = self._fronts(self._problem.x0, everyone, np.zeros_like(everyone))
        if self._head:
            fronts.advance(self._head)
        self._used[:, 0] = fronts.frames()
        with ThreadPoolExecutor(available_processors()) as pool:
            self._first_pass(pool, fronts.states(), bar)
            while True:
                # a chunk is right when it started from where the one before ended
                arrived = self._frames[:, self._bounds[1:-1] - 1]
                s, c = np.nonzero(_differences(arrived, self._used[:, 1:]) > self._agreement)
                if not s.size:
                    break
                self._used[s, c + 1] = arrived[s, c]
                # few large groups: as chunks are done, others take their lanes
                size = -(-s.size // (group_size(self._problem) * available_processors())) * group_size(self._problem)
                groups = self._groups(s, c + 1, size)
                self._finish([pool.submit(self._sweep, *group, again=True) for group in groups])
        at_end = np.full_like(everyone, self._step_at(self._bounds[-1]))
        fronts = self._fronts(self._ends[:, -1], everyone, at_end, self._frames[:, -1])
        tail = fronts.advance(self._tail) if self._tail else np.zeros_like(self._growth[:, 0])
        return self._blocks(tail), fronts.states()

    def _fronts(self, *arguments: Any) -> Fronts:
        fronts = make_fronts(self._problem, *arguments)
        fronts.interval = self.interval
        return fronts

    def _step_at(self, parts: Any) -> Any:
        return self._head + self._part * parts

    def _groups(self, s: np.ndarray, c: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return chunks in groups, each in the order of its sequences: a group raises what its first member raises."""
        parts = [np.arange(i, min(i + size, len(s))) for i in range(0, len(s), size)]
        orders = [part[np.lexsort((c[part], s[part]))] for part in parts]
        return [(s[order], c[order]) for order in orders]

    def _finish(self, sweeps: list[Future[int]], bar: Any = None) -> None:
        """Wait for sweeps; raise the first divergence of the first sequence that diverges."""
        errors: list[DivergenceError] = []
        for number, sweep in enumerate(sweeps):
            try:
                self.interval = min(self.interval, sweep.result())
            except DivergenceError as error:
                errors.append(error)
            if bar is not None:
                bar.update(bar.total * (number + 1) // len(sweeps) - bar.n)
        if errors:
            raise min(errors, key=lambda error: (error.sequence, error.step))

    def _first_pass(self, pool: ThreadPoolExecutor, x: np.ndarray, bar: Any) -> None:
        """Run the states alone, once, and all chunks from frames of their own as soon as their states are there."""
        arrivals: SimpleQueue[tuple[int, np.ndarray] | None] = SimpleQueue()
        states = [pool.submit(self._run_states, s, x[s], arrivals) for s in range(len(x))]
        sweeps: list[Future[int]] = []
        waiting_s, waiting_c = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        at_work = len(x)
        while at_work:
            arrival = arrivals.get()
            if arrival is None:
                at_work -= 1
            else:
                s, chunks = arrival
                waiting_s, waiting_c = np.append(waiting_s, np.full(chunks.size, s)), np.append(waiting_c, chunks)
            size = group_size(self._problem)
            groups = self._groups(waiting_s, waiting_c, size)
            is_full = not at_work or waiting_s.size % size == 0
            for group in groups if is_full else groups[:-1]:
                sweeps.append(pool.submit(self._sweep, *group, again=False))
            waiting_s, waiting_c = (waiting_s[:0], waiting_c[:0]) if is_full else groups[-1]
        for run in states:
            run.result()
        self._finish(sweeps, bar)
        if not np.array_equal(self._ends[:, :-1], self._starts[:, 1:]):
            raise InputError(
                "time_chunks: step gave other states when the same steps were taken again; it has to depend on its "
                "arguments alone. time_chunks=1 takes every step once"
            )

    def _run_states(self, s: int, x: np.ndarray, arrivals: SimpleQueue[tuple[int, np.ndarray] | None]) -> None:
        """Run the state of a sequence alone; tell which chunks can start."""
        from dynet.kernels.qr import TRAJECTORY_BLOCKS

        problem = self._problem
        assert problem.parts is not None
        try:
            parts, inputs = for_loops(problem.parts), sequence_inputs(problem, s)
            state: Any = tuple(x) if problem.tuples else np.ascontiguousarray(x)
            first = self._head
            params, dt = problem.params(s), problem.system.dt
            C = len(self._bounds) - 1
            for chunks in np.split(np.arange(C), np.arange(group_size(problem), C, group_size(problem))):
                stops = self._step_at(self._bounds[chunks])
                starts = self._starts[s, chunks[0] : chunks[-1] + 1]
                state = TRAJECTORY_BLOCKS[parts.kind](parts.f, state, inputs, params, first, dt, stops, starts)
                first = int(stops[-1])
                arrivals.put((s, chunks))
        finally:
            arrivals.put(None)

    def _sweep(self, s: np.ndarray, c: np.ndarray, *, again: bool) -> int:
        """Run chunks ``c`` of sequences ``s``; if they ran before, only until their frames agree with those of then."""
        # a chunk whose state is not finite is not run: the one before says where that began
        runs = np.isfinite(self._starts[s, c]).all(axis=1)
        s, c = s[runs], c[runs]
        counts = self._bounds[c + 1] - self._bounds[c]
        fronts = self._fronts(self._starts[s, c], s, self._step_at(self._bounds[c]), self._used[s, c])
        for j in range(counts.max(initial=0)):
            growth, frames = fronts.advance(self._part), fronts.frames()
            at = s, self._bounds[c] + j
            is_over = counts == j + 1
            if again:
                self._overlap[s, c] = np.maximum(self._overlap[s, c], (j + 1) * self._part)
                difference = _differences(frames, self._frames[at])
                agrees = difference <= self._agreement
                self._difference[s, c] = np.where(agrees, difference, 0.0)
                is_over |= agrees
            elif is_over.any():
                self._ends[s[is_over], c[is_over]] = fronts.states()[is_over]
            self._growth[at], self._frames[at] = growth, frames
            if is_over.all():
                break
            if is_over.any():
                fronts = fronts.kept(~is_over)
                s, c, counts = s[~is_over], c[~is_over], counts[~is_over]
        return fronts.interval

    def _blocks(self, tail: np.ndarray) -> np.ndarray:
        """Return the growth after the transient by blocks (sequence, block, k); the tail belongs to the last one."""
        counted = self._growth[:, self._parts_before :]
        n_parts, q = counted.shape[1], self._parts_a_block
        n_blocks = -(-(n_parts * self._part + self._tail) // (q * self._part))
        growth = np.zeros((counted.shape[0], n_blocks, counted.shape[2]))
        if n_parts:
            sums = np.add.reduceat(counted, np.arange(0, n_parts, q), axis=1)
            growth[:, : sums.shape[1]] = sums
        growth[:, -1] += tail
        return growth


def _part_length(size: int, chunk: int) -> int:
    """Return the steps of a part: a divisor of a block's, and about an eighth of a chunk's."""
    divisors = [d for d in range(1, min(size, chunk) + 1) if size % d == 0]
    return min(divisors, key=lambda d: abs(np.log(_PARTS * d / chunk)))


def _differences(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return how far frames by columns (..., k, n) are apart: the largest difference of a column, signs aside."""
    side = np.where((A * B).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    return np.linalg.norm(A - side * B, axis=-1).max(axis=-1)
