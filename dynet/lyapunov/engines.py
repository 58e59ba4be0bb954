"""Which engine runs a problem; sequences that are advanced one by one.

Engines advance state and frame together by blocks of steps and return the log growth of each block. They raise
nothing but DivergenceError.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dynet.lyapunov.array_engine import ArrayEngine
from dynet.lyapunov.compiled_engine import CompiledEngine
from dynet.lyapunov.problem import Engine, Problem


def make_engine(problem: Problem) -> Engine:
    """Return the engine that runs all sequences of a problem."""
    if problem.parts is not None:
        single: type[CompiledEngine] | type[ArrayEngine] = CompiledEngine
    elif problem.system.vectorized:
        return ArrayEngine(problem, slice(None))
    else:
        single = ArrayEngine
    engines: list[Engine] = [single(problem, s) for s in range(problem.x0.shape[0])]
    return engines[0] if len(engines) == 1 else Sequences(engines, threads=problem.parts is not None)


class Sequences(Engine):
    """Sequences advanced one by one, or in threads where the loops release the interpreter."""

    def __init__(self, engines: list[Engine], *, threads: bool) -> None:
        self.engines = engines
        self.interval = min(engine.interval for engine in engines)
        self._n_threads = min(len(engines), os.cpu_count() or 1) if threads else 1

    @property
    def interval(self) -> int:
        """Shortest interval that a sequence has come down to."""
        return min(engine.interval for engine in self.engines)

    @interval.setter
    def interval(self, steps: int) -> None:
        for engine in self.engines:
            engine.interval = steps

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        def run(engine: Engine) -> np.ndarray:
            return engine.advance(first, n_steps)

        if self._n_threads > 1:
            with ThreadPoolExecutor(self._n_threads) as pool:
                return np.concatenate(list(pool.map(run, self.engines)))
        return np.concatenate([run(engine) for engine in self.engines])

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
