"""The engine of everything else: arrays of any namespace, sequence by sequence or all at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dynet.kernels.frame import EliminatedFrame, Frame
from dynet.kernels.frames import make_frame, reference_frame
from dynet.kernels.namespace import as_array, is_numpy, namespace, placed, to_numpy
from dynet.lyapunov.problem import Engine, Problem, is_fine, is_resolved, raise_if_diverged, raise_overflow
from dynet.systems.runge_kutta import as_multiplier

#: Of states taken before their Jacobians: numbers, and steps.
_NUMBERS_TOGETHER, _STEPS_TOGETHER = 2**15, 128


class ArrayEngine(Engine):
    """All sequences at once (vectorized systems) or one of them, on the array namespace of the state."""

    def __init__(self, problem: Problem, sequences: slice | int) -> None:
        self._problem = problem
        self._sequence = 0 if isinstance(sequences, slice) else sequences
        x0 = problem.x0
        # a batch of one multiplies plain matrices: faster, and LU frames can use triangular products
        mine = 0 if isinstance(sequences, slice) and x0.shape[0] == 1 else sequences
        self._x: Any = x0[mine, ...]
        self._inputs: Any = None if problem.inputs is None else problem.inputs[mine, ...]
        self._states: Any = None if problem.states is None else problem.states[mine, ...]
        xp = namespace(x0)
        V = problem.frame
        if self._x.ndim == 2:
            V = xp.broadcast_to(V, (x0.shape[0], *V.shape))
            V = V.copy() if is_numpy(V) else xp.asarray(V, copy=True)
        self._frame: Frame = make_frame(problem.frame_method, V)
        #: whether the system knows its run beforehand, and what many steps of it do to a frame
        self._is_known = hasattr(problem.system.linearize, "carry")
        together = getattr(problem.system.linearize, "reads_weights_once", None)
        double = "float64" in str(x0.dtype)
        self._rides_along = double and together is not None and together(V.shape[-1])
        #: steps whose Jacobians are made at once; as many as keep to a core's cache
        self._together = 0
        if hasattr(problem.system.linearize, "jacobians") and not self._rides_along:
            self._together = min(max(_NUMBERS_TOGETHER // math.prod(self._x.shape), 1), _STEPS_TOGETHER)
        # every step of these loops costs far more than a factorisation saves: each one is factored
        self.interval = problem.qr_interval or 1

    def _step(self, step: int) -> None:
        system = self._problem.system
        u = self._x[..., :0] if self._inputs is None else self._inputs[..., step, :]
        x = self._x
        if self._rides_along:
            self._x, product = system.linearize.tangent(step * system.dt, x, u, system.params, self._frame.basis())
            self._frame.replace(product)
            return
        y, J = system.linearize(step * system.dt, x, u, system.params)
        self._frame.multiply(as_multiplier(J, x))
        self._x = as_array(y, x)

    def _carry(self, first: int, last: int) -> None:
        """Take steps of a run that is known, up to the next factorisation."""
        self._x, product = self._problem.system.linearize.carry(first, last, self._x, self._frame.basis())
        self._frame.replace(product)

    def _steps_together(self, first: int, n_steps: int) -> int:
        """Take the states of some steps first and then their Jacobians at once; return how many steps that were."""
        if n_steps == 0 or self.interval != 1 or not self._frame.runs:
            return 0
        x, J = self._known(first, n_steps) if self._states is not None else self._ahead(first, n_steps)
        if not self._frame.run(J, n_steps):
            self._together = 0  # these Jacobians have to be taken one by one
            return 0
        self._x = x
        return n_steps

    def _ahead(self, first: int, n_steps: int) -> tuple[Any, Any]:
        """Return the state after some steps and their Jacobians (step, ..., n, n)."""
        system = self._problem.system
        forward, x, p, dt = system.linearize.forward, self._x, system.params, system.dt
        u = x[..., :0]
        kept = []
        for step in range(first, first + n_steps):
            if self._inputs is not None:
                u = self._inputs[..., step, :]
            x, one = forward(step * dt, x, u, p)
            kept.append(one)
        return x, system.linearize.jacobians(kept, p)

    def _known(self, first: int, n_steps: int) -> tuple[Any, Any]:
        """Do what `_ahead` does along states that are known."""
        system, last = self._problem.system, first + n_steps
        xp = namespace(self._x)
        x, u = (xp.moveaxis(rows[..., first:last, :], -2, 0) for rows in (self._states, self._inputs))
        return self._states[..., last, :], system.linearize(first * system.dt, x, u, system.params)[1]

    def advance(self, first: int, n_steps: int) -> np.ndarray:
        start, saved = self._x, self._frame.snapshot()
        while True:
            growth = self._grown(first, n_steps)
            if growth is not None and isinstance(self._frame, EliminatedFrame) and not self._frame.is_right:
                self._x = start
                self._frame.restore(saved)
                self._frame = reference_frame(self._frame)
                saved = self._frame.snapshot()
                continue
            resolved = growth is not None and is_resolved(growth, self._frame.worst, self._frame.epsilon)
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
                done = 0
                while done < n_steps:
                    if taken := self._steps_together(first + done, min(n_steps - done, self._together)):
                        done += taken
                        continue
                    if self._is_known:
                        ahead = min(self.interval - done % self.interval, n_steps - done)
                        self._carry(first + done, first + done + ahead)
                        done += ahead
                    else:
                        self._step(first + done)
                        done += 1
                    if done % self.interval == 0 or done == n_steps:
                        self._frame.factor()
                growth = self._frame.collect()
            except (np.linalg.LinAlgError, ArithmeticError, RuntimeError):
                # factorisations may refuse what is not finite; the replay tells, or raises what it was
                return None
        return growth if is_fine(growth) and np.isfinite(to_numpy(self._x)).all() else None

    def _find_divergence(self, first: int, n_steps: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(first, first + n_steps):
                self._step(step)
                x, V = to_numpy(self._x), to_numpy(self._frame.basis())
                states = x.reshape(-1, x.shape[-1])
                frames = np.broadcast_to(V, (*x.shape[:-1], *V.shape[-2:])).reshape(-1, *V.shape[-2:])
                for s in range(states.shape[0]):
                    raise_if_diverged(states[s], frames[s], step, self._sequence + s, self._problem)
                if (step - first + 1) % self.interval == 0:
                    self._frame.factor()
        raise_overflow(first, n_steps, self._sequence)

    def state(self) -> np.ndarray:
        x = to_numpy(self._x)
        return x.reshape(-1, x.shape[-1])

    def saved(self) -> dict[str, np.ndarray]:
        return {"x": to_numpy(self._x), "interval": np.array(self.interval), **self._frame.saved()}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self._x = placed(saved["x"], self._x)
        self.interval = int(saved["interval"])
        if "V" in saved and isinstance(self._frame, EliminatedFrame):
            self._frame = reference_frame(self._frame)
        self._frame.resume(saved)
