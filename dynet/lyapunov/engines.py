"""Which engine runs a problem; sequences that are advanced one by one.

Engines advance state and frame together by blocks of steps and return the log growth of each block. They raise
nothing but DivergenceError.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dynet.lyapunov.array_engine import ArrayEngine
from dynet.lyapunov.compiled_engine import CompiledEngine
from dynet.lyapunov.lane_engine import LANES_FROM, LaneEngine
from dynet.lyapunov.lanes import fits_lanes
from dynet.lyapunov.problem import Engine, Problem
from dynet.lyapunov.workers import Workers


def make_engine(problem: Problem) -> Engine:
    """Return the engine that runs all sequences of a problem."""
    if fits_lanes(problem) and len(problem.x0) >= LANES_FROM:
        return LaneEngine(problem)
    if problem.parts is not None:
        single: type[CompiledEngine] | type[ArrayEngine] = CompiledEngine
    elif problem.system.vectorized and problem.sets is None:
        return ArrayEngine(problem, slice(None))
    else:
        single = ArrayEngine
    engines: list[Engine] = [single(_with_own_params(problem, s), s) for s in range(problem.x0.shape[0])]
    return engines[0] if len(engines) == 1 else Sequences(engines, threads=problem.parts is not None)


def _with_own_params(problem: Problem, s: int) -> Problem:
    """Return the problem with the parameters of a sequence, if it has its own, as those of the system."""
    if problem.sets is None:
        return problem
    return replace(problem, system=problem.system.with_params(problem.sets.of(s)))


class Sequences(Engine):
    """Sequences advanced one by one, or in threads where the loops release the interpreter."""

    def __init__(self, engines: list[Engine], *, threads: bool) -> None:
        self.engines = engines
        self.interval = min(engine.interval for engine in engines)
        self._workers = Workers(len(engines)) if threads else None
        self._n_units = engines[0].state().shape[-1]

    @property
    def interval(self) -> int:
        """Shortest interval that a sequence has come down to."""
        return min(engine.interval for engine in self.engines)

    @interval.setter
    def interval(self, steps: int) -> None:
        for engine in self.engines:
            engine.interval = steps

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        def run(begin: int, end: int) -> list[np.ndarray]:
            return [engine.advance(first, n_steps) for engine in self.engines[begin:end]]

        if self._workers is None:
            return np.concatenate(run(0, len(self.engines)))
        parts = self._workers.run(run, len(self.engines) * (10_000 + 2 * self._n_units**2 * n_steps))
        return np.concatenate([growth for part in parts for growth in part])

    def state(self) -> np.ndarray:
        return np.concatenate([engine.state() for engine in self.engines])

    def saved(self) -> dict[str, np.ndarray]:
        parts = enumerate(engine.saved() for engine in self.engines)
        return {f"{s}/{name}": array for s, part in parts for name, array in part.items()}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        parts: list[dict[str, np.ndarray]] = [{} for _ in self.engines]
        for name, array in saved.items():
            s, _, inner = name.partition("/")
            parts[int(s)][inner] = array
        for engine, part in zip(self.engines, parts, strict=True):
            engine.resume(part)
