"""The two loops behind a spectrum: compiled functions, or arrays of any namespace.

Both advance state and frame together by blocks of steps and return the log growth of each block. They raise
nothing but DivergenceError.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from dynet.errors import DivergenceError, InputError
from dynet.kernels.frames import FRAMES
from dynet.kernels.namespace import as_array, is_numpy, namespace, to_numpy
from dynet.systems.compiled import TUPLES_UP_TO, CompiledParts
from dynet.systems.runge_kutta import as_multiplier

#: Between factorisations pivots may come to differ by the machine epsilon to this power ...
_RESOLUTION_KEPT = 1 / 2
#: ... and the automatic interval is first chosen so that they differ by the epsilon to this one.
_RESOLUTION_AIMED = 1 / 4
_LONGEST_INTERVAL = 100
_PILOT_STEPS = 32


@dataclass
class Problem:
    """A checked call: arrays of one dtype, ready to run."""

    system: Any
    parts: CompiledParts | None
    tuples: bool
    x0: Any  # (sequence, n)
    frame: Any  # (n, k)
    inputs: Any  # (sequence, time, channel) or None
    names: list[str]
    frame_method: str
    numbers: list[int]  # of the sequences, as the caller counts them
    n_rows: int  # steps of the run, transient included
    independent: bool  # whether the sequences have inputs of their own
    qr_interval: int | None  # None: automatic

    @property
    def engine(self) -> str:
        """Name of the loop that runs the problem."""
        if self.parts is not None:
            return "compiled"
        return "array (numpy)" if is_numpy(self.x0) else "array (torch)"


class Engine(ABC):
    """State and frame of some sequences, advanced by blocks."""

    interval: int

    @abstractmethod
    def advance(self, first: int, n_steps: int) -> np.ndarray:
        """Advance by ``n_steps``, the first of them number ``first``; return the log growth (sequence, k)."""

    @abstractmethod
    def state(self) -> np.ndarray:
        """Return the present states (sequence, n)."""


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
            fine = _is_fine(growth) and np.isfinite(self._x).all()
            if self.interval > 1 and not (fine and _is_resolved(growth, worst, self._epsilon)):
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
            _raise_if_diverged(np.asarray(self._x), self._V, step, self._sequence, self._problem, growth)
        _raise_overflow(first, n_steps, self._sequence)

    def state(self) -> np.ndarray:
        return np.asarray(self._x, dtype=self._problem.x0.dtype)[None, :]


class ArrayEngine(Engine):
    """All sequences at once (vectorized systems) or one of them, on the array namespace of the state."""

    def __init__(self, problem: Problem, sequences: slice | int) -> None:
        self._problem = problem
        self._batch = isinstance(sequences, slice)
        self._sequence = 0 if isinstance(sequences, slice) else sequences
        x0 = problem.x0
        self._flat = self._batch and x0.shape[0] == 1
        if self._flat:
            # a batch of one multiplies plain matrices: faster, and LU frames can use triangular products
            self._x, self._inputs = x0[0, :], None if problem.inputs is None else problem.inputs[0, ...]
        elif isinstance(sequences, slice):
            self._x, self._inputs = x0, problem.inputs
        else:
            self._x = x0[sequences, :]
            self._inputs = None if problem.inputs is None else problem.inputs[sequences, ...]
        xp = namespace(x0)
        V = problem.frame
        if self._x.ndim == 2:
            V = xp.broadcast_to(V, (x0.shape[0], *V.shape))
            V = V.copy() if is_numpy(V) else xp.asarray(V, copy=True)
        self._frame = FRAMES[problem.frame_method](V)
        # every step of these loops costs far more than a factorisation saves: each one is factored
        self.interval = problem.qr_interval or 1

    def _step(self, step: int) -> None:
        system = self._problem.system
        u = self._x[..., :0] if self._inputs is None else self._inputs[..., step, :]
        x = self._x
        y, J = system.linearize(step * system.dt, x, u, system.params)
        self._frame.multiply(as_multiplier(J, x))
        self._x = as_array(y, x)

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        start, saved = self._x, self._frame.snapshot()
        while True:
            growth = self._grown(first, n_steps)
            resolved = growth is not None and _is_resolved(growth, self._frame.worst, self._frame.epsilon)
            if growth is not None and (resolved or self.interval == 1):
                return growth.reshape(-1, growth.shape[-1])
            self._x = start
            self._frame.restore(saved)
            if self.interval == 1:
                self._find_divergence(first, n_steps)
            self.interval //= 2

    def _grown(self, first: int, n_steps: int) -> np.ndarray | None:
        """Advance and return the growth, or None if something is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                for s in range(n_steps):
                    self._step(first + s)
                    if (s + 1) % self.interval == 0 or s == n_steps - 1:
                        self._frame.factor()
                growth = self._frame.collect()
            except (np.linalg.LinAlgError, ArithmeticError, RuntimeError):
                # factorisations may refuse what is not finite; the replay tells, or raises what it was
                return None
        return growth if _is_fine(growth) and np.isfinite(to_numpy(self._x)).all() else None

    def _find_divergence(self, first: int, n_steps: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(first, first + n_steps):
                self._step(step)
                x, V = to_numpy(self._x), to_numpy(self._frame.basis())
                states = x.reshape(-1, x.shape[-1])
                frames = np.broadcast_to(V, (*x.shape[:-1], *V.shape[-2:])).reshape(-1, *V.shape[-2:])
                for s in range(states.shape[0]):
                    _raise_if_diverged(states[s], frames[s], step, self._sequence + s, self._problem)
                if (step - first + 1) % self.interval == 0:
                    self._frame.factor()
        _raise_overflow(first, n_steps, self._sequence)

    def state(self) -> np.ndarray:
        x = to_numpy(self._x)
        return x.reshape(-1, x.shape[-1])


def _is_fine(growth: np.ndarray) -> bool:
    """Tell growth that is finite, or -inf below resolution, from growth that is not a number."""
    return bool((np.isfinite(growth) | np.isneginf(growth)).all())


def _is_resolved(growth: np.ndarray, worst: float, epsilon: float) -> bool:
    """Tell whether a block was factored often enough: no pivot lost, none close to it."""
    return bool(worst >= epsilon**_RESOLUTION_KEPT and not np.isneginf(growth).any())


def _raise_if_diverged(
    x: np.ndarray,
    V: np.ndarray,
    step: int,
    sequence: int,
    problem: Problem,
    growth: np.ndarray | None = None,
) -> None:
    bad_state = ~np.isfinite(x)
    bad_frame = ~np.isfinite(V).all(axis=1)
    if not bad_state.any() and not bad_frame.any() and (growth is None or _is_fine(growth)):
        return
    bad = bad_state if bad_state.any() else bad_frame
    unit = problem.names[int(np.argmax(bad))]
    what = "the state" if bad_state.any() else "the Jacobian times the frame"
    number = problem.numbers[sequence]
    where = f" of sequence {number}" if number or len(problem.numbers) > 1 else ""
    value = x[int(np.argmax(bad))] if bad_state.any() else "not finite"
    raise DivergenceError(
        f"{what} is not finite after step {step}{where}, first in unit {unit} ({value}): start inside the "
        "basin of an attractor, take a smaller dt, or check the parameters and inputs",
        step=step,
        unit=unit,
        sequence=number,
    )


def _raise_overflow(first: int, n_steps: int, sequence: int) -> None:
    raise DivergenceError(
        f"the frame overflowed between two factorisations in steps {first} to {first + n_steps - 1}: "
        "make qr_interval smaller",
        step=first,
        sequence=sequence,
    )


def tuples_allowed(n: int) -> bool:
    """Return whether systems of ``n`` units may keep their state in a tuple."""
    return n <= TUPLES_UP_TO


def not_compilable(name: str, error: Exception) -> InputError:
    """Return the error for a jitted function that numba cannot type with these arguments."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return InputError(
        f"{name} is a numba function that does not compile for f(t: float, x: array, u: array, p): {first} "
        "(call it once with the same arguments to see numba's full message)"
    )
