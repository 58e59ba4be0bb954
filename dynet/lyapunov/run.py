"""One run of a spectrum: the transient, then block after block of growth, until it is long or sure enough."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from dynet._progress import progress_bar
from dynet.kernels.blas_threads import one_thread
from dynet.kernels.memory_order import copied
from dynet.lyapunov.convergence import standard_error
from dynet.lyapunov.engines import make_engine
from dynet.lyapunov.problem import Engine, Problem
from dynet.systems.compiled import TUPLES_UP_TO

#: OpenBLAS with several threads on smaller matrices spends its time waiting.
_ONE_BLAS_THREAD_UP_TO = 256
_MOST_BLOCKS, _FEWEST_BLOCKS, _FACTORISATIONS_A_BLOCK = 200, 10, 10
#: Reading the volumes of a frame of all exponents takes as long as half a step or a whole one: from this size on it is
#: done less often.
_LARGE, _FACTORISATIONS_A_LARGE_BLOCK = 64, 25


class Progress(NamedTuple):
    """How far a run has come: enough to go on exactly."""

    position: int  # steps taken, transient included
    reached: bool
    steps: list[int]
    growth: list[np.ndarray]  # (sequence, exponent) of each block
    engine: dict[str, np.ndarray]


class Run:
    """One group of sequences of equal length, advanced block by block."""

    def __init__(
        self,
        problem: Problem,
        n_transient: int,
        tolerance: float | None,
        progress: bool,
        engine: Engine | None = None,
    ) -> None:
        self.problem, self.n_transient = problem, n_transient
        self.tolerance, self.progress = tolerance, progress
        self.growth: list[np.ndarray] = []
        self.steps: list[int] = []
        self.position = 0  # steps taken, transient included
        self.reached = False
        #: called at the end of every block
        self.block_done: Callable[[], None] = _nothing
        self.engine: Engine = make_engine(problem) if engine is None else engine

    def finish(self, n_steps: int, size: int) -> None:
        """Run the transient and then ``n_steps`` in blocks of ``size``, or as many as the tolerance asks for."""
        with self._bar(n_steps) as bar:
            bar.update(self.position)
            total = self.n_transient + n_steps
            while self.position < total and not self.reached:
                is_transient = self.position < self.n_transient
                count = min(size, (self.n_transient if is_transient else total) - self.position)
                growth = self.engine.advance(self.position, count)
                self.position += count
                if not is_transient:
                    self.growth.append(growth)
                    self.steps.append(count)
                    self.reached = self.tolerance is not None and self._is_settled()
                bar.update(count)
                self.block_done()

    def snapshot(self) -> Progress:
        """Return how far the run has come, at the end of a block; what it does later changes nothing of it."""
        engine = {name: copied(array) for name, array in self.engine.saved().items()}
        return Progress(self.position, self.reached, self.steps.copy(), self.growth.copy(), engine)

    def resume(self, progress: Progress) -> None:
        """Go on exactly from where another run of the same problem had come."""
        self.position, self.reached = progress.position, progress.reached
        self.steps, self.growth = progress.steps.copy(), progress.growth.copy()
        self.engine.resume(progress.engine)

    def _is_settled(self) -> bool:
        assert self.tolerance is not None
        if len(self.steps) < 2 * _FEWEST_BLOCKS:
            return False
        error = standard_error(self.blocks(), self.durations(), independent=self.problem.independent)
        return bool((error < self.tolerance).all())

    def state(self) -> np.ndarray:
        """Return the present states (sequence, n)."""
        return self.engine.state()

    def _bar(self, n_steps: int) -> Any:
        return progress_bar(self.n_transient + n_steps, "Lyapunov spectrum", self.progress)

    def blocks(self) -> np.ndarray:
        """Return the growth (sequence, block, exponent)."""
        return np.stack(self.growth, axis=1)

    def durations(self) -> np.ndarray:
        """Return the durations (sequence, block)."""
        durations = np.array(self.steps) * self.problem.system.dt
        return np.broadcast_to(durations, (self.growth[0].shape[0], durations.size))


def block_size(n_steps: int, interval: int, frame: tuple[int, int] = (1, 1)) -> int:
    """Return the steps of one block: ten factorisations, 25 of a large (n, n) frame, or as many as 200 blocks need."""
    n, k = frame
    factorisations = -(-n_steps // interval)
    most = -(-factorisations // _MOST_BLOCKS)
    enough = _FACTORISATIONS_A_LARGE_BLOCK if k == n >= _LARGE else _FACTORISATIONS_A_BLOCK
    wanted = min(enough, max(factorisations // _FEWEST_BLOCKS, 1))
    return interval * max(most, wanted)


def blas_threads(problem: Problem) -> AbstractContextManager[Any]:
    """Return the context of a run: one BLAS thread where more of them would only wait for each other.

    Or for the frame's own threads: those of OpenBLAS hold their processors while they wait.
    """
    n_sequences, n = problem.x0.shape
    if problem.parts is not None and n <= TUPLES_UP_TO:
        return nullcontext()
    has_own = problem.frame_method == "lu" and problem.frame.shape == (n, n)
    has_own = has_own and hasattr(problem.system.linearize, "jacobians")
    if n > _ONE_BLAS_THREAD_UP_TO and n_sequences == 1 and not has_own:
        return nullcontext()
    return one_thread()


def _nothing() -> None:
    """Do nothing at the end of a block."""
