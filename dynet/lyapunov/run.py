"""One run of a spectrum: the transient, then block after block of growth, until it is long or sure enough."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from dynet.lyapunov.convergence import standard_error
from dynet.lyapunov.engines import make_engine
from dynet.lyapunov.problem import Engine, Problem

_MOST_BLOCKS, _FEWEST_BLOCKS, _FACTORISATIONS_A_BLOCK = 200, 10, 10


class Run:
    """One group of sequences of equal length, advanced block by block."""

    def __init__(self, problem: Problem, n_transient: int, tolerance: float | None, progress: bool) -> None:
        self.problem, self.n_transient = problem, n_transient
        self.tolerance, self.progress = tolerance, progress
        self.growth: list[np.ndarray] = []
        self.steps: list[int] = []
        self.reached = False
        self.engine: Engine = make_engine(problem)

    def finish(self, n_steps: int, size: int) -> None:
        """Run the transient and then ``n_steps`` in blocks of ``size``, or as many as the tolerance asks for."""
        with _bar(n_steps + self.n_transient, self.progress) as bar:
            position = 0
            for count in _chunks(self.n_transient, size):
                self.engine.advance(position, count)
                position += count
                bar.update(count)
            for count in _chunks(n_steps, size):
                self.growth.append(self.engine.advance(position, count))
                self.steps.append(count)
                position += count
                bar.update(count)
                if self.tolerance is not None and self._is_settled():
                    self.reached = True
                    break

    def _is_settled(self) -> bool:
        assert self.tolerance is not None
        if len(self.steps) < 2 * _FEWEST_BLOCKS:
            return False
        error = standard_error(self.blocks(), self.durations(), independent=self.problem.independent)
        return bool((error < self.tolerance).all())

    def blocks(self) -> np.ndarray:
        """Return the growth (sequence, block, exponent)."""
        return np.stack(self.growth, axis=1)

    def durations(self) -> np.ndarray:
        """Return the durations (sequence, block)."""
        durations = np.array(self.steps) * self.problem.system.dt
        return np.broadcast_to(durations, (self.growth[0].shape[0], durations.size))


def block_size(n_steps: int, interval: int) -> int:
    """Return the steps of one block: ten factorisations, or more so that a run has at most 200 blocks."""
    factorisations = -(-n_steps // interval)
    most = -(-factorisations // _MOST_BLOCKS)
    wanted = min(_FACTORISATIONS_A_BLOCK, max(factorisations // _FEWEST_BLOCKS, 1))
    return interval * max(most, wanted)


def _chunks(total: int, size: int) -> list[int]:
    return [min(size, total - done) for done in range(0, total, size)]


def _bar(total: int, show: bool) -> Any:
    """Return a progress bar: a widget in notebooks that have them, text elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without widgets is no reason to warn: text will do
        from tqdm.auto import tqdm
    return tqdm(total=total, disable=not show, desc="Lyapunov spectrum", unit="step", leave=False)
