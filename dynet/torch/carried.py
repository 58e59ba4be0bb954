"""Runs of one recurrent layer in the memory of the host, known as a whole: frames go along in compiled code."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from dynet.kernels.gated import carry_memory, carry_sum, padded
from dynet.systems.cells import LSTM, Weights, drive, recurrence
from dynet.systems.layer_operators import GatedCell
from dynet.systems.map import Map
from dynet.systems.operators import Operator

__all__ = ["CarriedLinearization", "carried"]

#: Numbers that are computed with at once: enough that calls do not count, few enough for a cache.
_NUMBERS_TOGETHER = 2**17
#: Multiplications of a step from which on sequences are shared among threads.
_WORTH_A_THREAD = 2**22


def carried(system: Map, kind: str, rows: torch.Tensor) -> CarriedLinearization:
    """Return the linearization of a layer of ``kind``, torch's name for it, from zero under ``rows`` (..., time, m)."""
    step: Any = system.step
    cell, w = step.recurrence.cells[0], system.params[0]
    outputs = _outputs(kind, w, rows)
    h = torch.cat((torch.zeros_like(outputs[:1]), outputs))
    along = rows.movedim(1, 0)
    T, S = along.shape[:2]
    together = max(_NUMBERS_TOGETHER // (S * w.W_hh.shape[0]), 1)
    pieces = [slice(first, min(first + together, T)) for first in range(0, T, together)]
    if not isinstance(cell, LSTM):
        return CarriedLinearization(
            system, h, [system.linearize(0.0, h[when], along[when], system.params)[1] for when in pieces]
        )
    c = torch.zeros_like(h)
    jacobians = [_with_memory(cell, w, h[when], along[when], c[when.start : when.stop + 1]) for when in pieces]
    return CarriedLinearization(system, torch.cat((h, c), dim=-1), jacobians)


def _outputs(kind: str, w: Weights, rows: torch.Tensor) -> torch.Tensor:
    """Return the outputs (time, sequence, H), by torch's own function for whole sequences."""
    weights = [one for one in (w.W_xh, w.W_hh, w.b_xh, w.b_hh) if one is not None]
    zero: Any = rows.new_zeros(1, rows.shape[0], w.W_hh.shape[-1])
    start = (zero, zero) if kind == "lstm" else zero
    # then: biases, layers, dropout, training, both directions, batch first
    outputs: torch.Tensor = getattr(torch, kind)(rows, start, weights, len(weights) > 2, 1, 0.0, False, False, True)[0]
    return outputs.movedim(1, 0)


def _with_memory(cell: LSTM, w: Weights, h: torch.Tensor, rows: torch.Tensor, c: torch.Tensor) -> Operator:
    """Write the memories after steps from outputs ``h`` into ``c[1:]``; return the Jacobians of these steps."""
    a, driven = recurrence(h, w), drive(rows, w)
    if driven is not None:
        a += driven
    i, f, g, _ = gates = cell.gates(a)
    for step, (kept, written) in enumerate(zip(f.unbind(), (i * g).unbind(), strict=True)):
        torch.addcmul(written, kept, c[step], out=c[step + 1])
    return cell.state_jacobian(w, (a, *gates, c[:-1], c[1:]))


class CarriedLinearization:
    """``linearize(t, x, u, p)`` along a run that is known, and what many steps of it do to a frame at once.

    Parameters
    ----------
    system : Map
        What runs.
    states : torch.Tensor (time + 1, sequence, n)
        Its states.
    jacobians : list of Operator (time, sequence, n, n)
        Those of all its steps, in pieces.
    """

    def __init__(self, system: Map, states: torch.Tensor, jacobians: list[Any]) -> None:
        self.system, self.states = system, states
        self._kernel: Any = carry_memory if isinstance(jacobians[0], GatedCell) else carry_sum
        self._matrices = padded(np.stack([term.matrix.numpy() for term in _terms(jacobians[0])]))
        self._pieces = [_slopes(J) for J in jacobians]

    def __call__(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> tuple[torch.Tensor, Operator]:
        """Return the state after the step at ``t`` and the Jacobian of that step."""
        number = round(t / self.system.dt)
        return self._after(number, x), CarriedJacobian(self, number, x, u)

    def carry(self, first: int, last: int, x: torch.Tensor, V: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the state after the steps from ``first`` up to ``last``, and what these make of frames (..., n, k)."""
        S, H, k = self.states.shape[1], self._matrices.shape[1], V.shape[-1]
        frames = np.zeros((S, k, V.shape[-2] // H, self._matrices.shape[-1]), self._matrices.dtype)
        frames[..., :H] = V.mT.reshape(-1, k, frames.shape[2], H).numpy()
        slopes = list(self._between(first, last))

        def part(begin: int, end: int) -> None:
            for lefts, *others in slopes:
                self._kernel(self._matrices, lefts, *others, begin, end, frames)

        workers = min(torch.get_num_threads(), S) if S * k * H**2 >= _WORTH_A_THREAD else 1
        if workers == 1:
            part(0, S)
        else:
            edges = np.linspace(0, S, workers + 1).astype(int).tolist()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(part, edges[:-1], edges[1:]))
        product = torch.from_numpy(frames[..., :H].reshape(S, k, -1)).mT
        return self._after(last - 1, x), product.reshape(*x.shape, k)

    def _between(self, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        """Yield the slopes of the steps from ``first`` up to ``last``."""
        for lefts, *others in self._pieces:
            count = len(lefts[0])
            when = slice(max(first, 0), max(min(last, count), 0))
            if when.start < when.stop:
                yield tuple(left[when] for left in lefts), *(other[when] for other in others)
            first, last = first - count, last - count

    def _after(self, number: int, x: torch.Tensor) -> torch.Tensor:
        return self.states[number + 1].reshape(x.shape)


class KnownJacobian(Operator):
    """The Jacobian of a step of a run that is known."""

    def __init__(self, run: Any, number: int, x: torch.Tensor, u: torch.Tensor) -> None:
        self.run, self.number, self.x, self.u = run, number, x, u
        self.shape = (*x.shape, x.shape[-1])

    @property
    def prototype(self) -> torch.Tensor:
        """The state."""
        return self.x

    def transpose(self) -> Operator:
        """Return the transpose, made anew."""
        system = self.run.system
        J: Operator = system.linearize(self.number * system.dt, self.x, self.u, system.params)[1]
        return J.transpose()


class CarriedJacobian(KnownJacobian):
    """The same, multiplying in compiled code."""

    def __matmul__(self, V: Any) -> torch.Tensor:
        product: torch.Tensor = self.run.carry(self.number, self.number + 1, self.x, V)[1]
        return product


def _terms(J: Any) -> list[Any]:
    """Return the terms of all gates; those of a memory first."""
    sums: list[Any] = [J.M, J.E] if isinstance(J, GatedCell) else [J]
    return [term for one in sums for term in one.terms]


def _slopes(J: Any) -> tuple[Any, ...]:
    """Return the slopes (time, sequence, n) that a kernel takes beside the matrices."""
    lefts = tuple(_whole(term.left) for term in _terms(J))
    if isinstance(J, GatedCell):
        memory: Any = J.forget  # which a state has
        return lefts[:-1], lefts[-1], _whole(J.s), _whole(memory)
    return lefts, lefts[0][:0] if J.diagonal is None else _whole(J.diagonal)


def _whole(slopes: torch.Tensor) -> np.ndarray:
    """Return slopes (time, sequence, n) in memory of their own order."""
    return np.ascontiguousarray(slopes.numpy())
