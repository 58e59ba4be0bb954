"""Jacobians from inputs to later states, carried along a run: one product for each input that is followed."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from scipy.special import logsumexp

from dynet.kernels.namespace import machine_epsilon, to_numpy
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import Step, settled, walk
from dynet.propagation.product import SingularProduct
from dynet.propagation.runs import dense, members, raise_not_finite
from dynet.systems.operators import assemble
from dynet.systems.runge_kutta import as_multiplier


class InputWindows:
    """The windows of the sequences of one group: ``values`` (sequence, start, lag, index), ``errors`` without index."""

    def __init__(
        self,
        problem: Problem,
        group: int | slice,
        through_input: Callable[..., Any],
        readout: Callable[[np.ndarray], np.ndarray] | None,
        starts: np.ndarray,
        lengths: np.ndarray,
    ) -> None:
        self.problem, self.group, self.through_input, self.readout = problem, group, through_input, readout
        self.starts, self.lengths = starts, lengths
        self.count = len(members(problem, group))
        self.values = np.empty((self.count, starts.size, lengths.size, 0))
        self.errors = np.empty((self.count, starts.size, lengths.size))

    def finish(self, n_transient: int, bar: Any) -> None:
        """Walk along the run and fill in the values."""
        x = settled(self.problem, self.group, n_transient)
        n_steps = int(self.starts[-1] + self.lengths[-1]) + 1 - n_transient
        is_open: dict[int, list[_Carried]] = {}
        for step in walk(self.problem, self.group, n_transient, n_steps, x):
            bar.update(1)
            if is_open:
                matrices, epsilon = dense(step, self.count)
                for products in is_open.values():
                    for product, J in zip(products, matrices, strict=True):
                        product.multiply(J, epsilon)
            window = int(np.searchsorted(self.starts, step.number))
            if window < self.starts.size and self.starts[window] == step.number:
                is_open[window] = [_Carried(B, epsilon) for B, epsilon in self._first(step)]
            for window in list(is_open):
                self._note(window, step, is_open)

    def _first(self, step: Step) -> list[tuple[np.ndarray, float]]:
        """Return the derivatives of a step with respect to its input, with their epsilon."""
        system = self.problem.system
        u = self.problem.inputs[self.group, ..., step.number, :]
        B = assemble(as_multiplier(self.through_input(step.number * system.dt, step.before, u, system.params), u))
        epsilon = machine_epsilon(B) if "float" in str(B.dtype) else float(np.finfo(float).eps)
        matrices = to_numpy(B).astype(np.float64)
        if not np.isfinite(matrices).all():
            raise_not_finite(step)
        return [(one, epsilon) for one in np.broadcast_to(matrices, (self.count, *matrices.shape[-2:]))]

    def _note(self, window: int, step: Step, is_open: dict[int, list[_Carried]]) -> None:
        """Note the values of a window at this step, and close it after its longest lag."""
        lag = step.number - int(self.starts[window])
        place = int(np.searchsorted(self.lengths, lag))
        if self.lengths[place] == lag:
            states = to_numpy(step.after).reshape(self.count, -1)
            for s, product in enumerate(is_open[window]):
                seen = product if self.readout is None else product.seen(self.readout(states[s]))
                logs = seen.product.log_values
                if not self.values.shape[-1]:
                    self.values = np.empty((*self.values.shape[:-1], logs.size))
                self.values[s, window, place], self.errors[s, window, place] = logs, seen.norm_error(logs)
        if lag == self.lengths[-1]:
            del is_open[window]


class _Carried:
    """A product, and beside it the plain one at length one with the log of its norm."""

    def __init__(self, B: np.ndarray, epsilon: float) -> None:
        self.product = SingularProduct(B.shape[1])
        self._plain, self._log_norm = np.eye(B.shape[1]), 0.0
        self.multiply(B, epsilon)

    def multiply(self, J: np.ndarray, epsilon: float) -> None:
        """Multiply both by ``J``."""
        self.product.multiply(J, epsilon)
        plain = J @ self._plain
        length = float(np.linalg.norm(plain))
        with np.errstate(divide="ignore"):
            self._log_norm += float(np.log(length))
        self._plain = plain / length if length else plain

    def seen(self, D: np.ndarray) -> _Carried:
        """Return what is seen of it through a readout."""
        other = copy(self)
        other.product = copy(self.product)
        other.multiply(D, float(np.finfo(float).eps))
        return other

    def norm_error(self, logs: np.ndarray) -> float:
        """Return how far the log norm that singular values make is from that of the plain product."""
        norm = float(logsumexp(2 * logs) / 2)
        return 0.0 if norm == self._log_norm else abs(norm - self._log_norm)
