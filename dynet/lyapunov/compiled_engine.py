"""The engine of compiled functions: state and frame in one numba loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.lyapunov.problem import Engine, Problem, is_fine, is_resolved, raise_if_diverged, raise_overflow
from dynet.systems.compiled import TUPLES_UP_TO

#: The automatic interval is first chosen so that pivots differ by the machine epsilon to this power.
_RESOLUTION_AIMED = 1 / 4
_LONGEST_INTERVAL = 100
_PILOT_STEPS = 32


class CompiledEngine(Engine):
    """One sequence in the compiled loop."""

    def __init__(self, problem: Problem, sequence: int) -> None:
        assert problem.parts is not None
        from dynet.kernels.qr import SPECTRUM_BLOCKS

        self._loop = SPECTRUM_BLOCKS[problem.parts.kind]
        self._problem, self._sequence, self._parts = problem, sequence, problem.parts
        x0 = problem.x0[sequence]
        self._x: Any = tuple(x0) if problem.tuples else np.ascontiguousarray(x0)
        self._V = np.ascontiguousarray(problem.frame).copy()
        self._scratch = tuple(np.empty_like(self._V) for _ in range(3))
        # lengths that the compiler knows let it unroll the loops of a small system
        n, k = self._V.shape
        self._rows: Any = (0.0,) * n if n <= TUPLES_UP_TO else np.empty(n)
        self._cols: Any = (0.0,) * k if n <= TUPLES_UP_TO else np.empty(k)
        if problem.parts.row is not None:
            self._inputs = np.asarray(problem.parts.row, dtype=x0.dtype)
        elif problem.inputs is not None:
            self._inputs = np.ascontiguousarray(problem.inputs[sequence])
        else:
            self._inputs = np.empty(0, dtype=x0.dtype)
        self._epsilon = float(np.finfo(self._V.dtype).eps)
        self.interval = self._pilot() if problem.qr_interval is None else problem.qr_interval

    def _run(self, first: int, n_steps: int, interval: int) -> tuple[np.ndarray, float]:
        parts, problem = self._parts, self._problem
        growth = np.zeros(self._V.shape[1])
        self._x, worst = self._loop(
            parts.f,
            parts.df,
            self._x,
            self._V,
            *self._scratch,
            self._rows,
            self._cols,
            self._inputs,
            problem.system.params,
            first,
            problem.system.dt,
            n_steps,
            interval,
            growth,
        )
        return growth, worst

    def _pilot(self) -> int:
        """Return an interval that suits the growth over the first steps; leave state and frame as they were."""
        x, V = self._x, self._V.copy()
        steps = min(_PILOT_STEPS, self._problem.n_rows)
        growth, _ = self._run(0, steps, 1)
        self._x, self._V = x, V
        if not np.isfinite(growth).all():
            return 1
        spread = max(growth.max() - growth.min(), np.abs(growth).max() / 10) / steps
        aimed = -_RESOLUTION_AIMED * np.log(self._epsilon)
        return int(np.clip(aimed / max(spread, 1e-300), 1, _LONGEST_INTERVAL))

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        start, V = self._x, self._V.copy()
        while True:
            growth, worst = self._run(first, n_steps, self.interval)
            fine = is_fine(growth) and np.isfinite(self._x).all()
            if self.interval > 1 and not (fine and is_resolved(growth, worst, self._epsilon)):
                self.interval //= 2
                self._x, self._V = start, V.copy()
                continue
            if not fine:
                self._x, self._V = start, V.copy()
                self._find_divergence(first, n_steps)
            return growth[None, :]

    def _find_divergence(self, first: int, n_steps: int) -> None:
        for step in range(first, first + n_steps):
            growth, _ = self._run(step, 1, 1)
            raise_if_diverged(np.asarray(self._x), self._V, step, self._sequence, self._problem, growth)
        raise_overflow(first, n_steps, self._sequence)

    def state(self) -> np.ndarray:
        return np.asarray(self._x, dtype=self._problem.x0.dtype)[None, :]

    def saved(self) -> dict[str, np.ndarray]:
        return {"x": np.asarray(self._x), "interval": np.array(self.interval), "V": self._V}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self._x = tuple(saved["x"].tolist()) if self._problem.tuples else saved["x"]
        self.interval = int(saved["interval"])
        self._V[...] = saved["V"]
