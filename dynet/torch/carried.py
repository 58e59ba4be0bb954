"""Runs of one recurrent layer in the memory of the host, known as a whole: frames go along in compiled code."""

from __future__ import annotations

from collections.abc import Callable
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

#: Numbers that are computed with at once: what keeps to a core's cache, and to memory that need not be asked for anew.
_NUMBERS_TOGETHER = 2**15
#: Multiplications of a step from which on sequences are shared among threads.
_WORTH_A_THREAD = 2**22


def carried(system: Map, kind: str, rows: torch.Tensor) -> CarriedLinearization:
    """Return the linearization of a layer of ``kind``, torch's name for it, from zero under ``rows`` (..., time, m)."""
    step: Any = system.step
    cell, w = step.recurrence.cells[0], system.params[0]
    outputs = _outputs(kind, w, rows)
    h = torch.cat((torch.zeros_like(outputs[:1]), outputs))
    along = rows.movedim(1, 0)
    if not isinstance(cell, LSTM):
        return CarriedLinearization(
            system, h, lambda when: system.linearize(0.0, h[when], along[when], system.params)[1]
        )
    a, c = _with_memory(cell, w, h, along)
    X = torch.cat((h, c), dim=-1)
    after = c[1:]
    return CarriedLinearization(system, X, lambda when: cell.state_jacobian(w, (a[when], c[when], after[when])))


def _outputs(kind: str, w: Weights, rows: torch.Tensor) -> torch.Tensor:
    """Return the outputs (time, sequence, H), by torch's own function for whole sequences."""
    weights = [one for one in (w.W_xh, w.W_hh, w.b_xh, w.b_hh) if one is not None]
    zero: Any = rows.new_zeros(1, rows.shape[0], w.W_hh.shape[-1])
    start = (zero, zero) if kind == "lstm" else zero
    # then: biases, layers, dropout, training, both directions, batch first
    outputs: torch.Tensor = getattr(torch, kind)(rows, start, weights, len(weights) > 2, 1, 0.0, False, False, True)[0]
    return outputs.movedim(1, 0)


def _with_memory(cell: LSTM, w: Weights, h: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what goes into the gates (time, sequence, 4 H) and the memories (time + 1, sequence, H)."""
    T, S, H = h[1:].shape
    a, c = h.new_empty(T, S, 4 * H), torch.zeros_like(h)
    together = max(_NUMBERS_TOGETHER // (4 * S * H), 1)
    for first in range(0, T, together):
        when = slice(first, min(first + together, T))
        driven = drive(rows[when], w)
        a[when] = recurrence(h[when], w) if driven is None else recurrence(h[when], w).add_(driven)
        i, f, g, _ = cell.gates(a[when])
        for step, (kept, written) in enumerate(zip(f.unbind(), (i * g).unbind(), strict=True), first):
            torch.addcmul(written, kept, c[step], out=c[step + 1])
    return a, c


class CarriedLinearization:
    """``linearize(t, x, u, p)`` along a run that is known, and what many steps of it do to a frame at once.

    Parameters
    ----------
    system : Map
        What runs.
    states : torch.Tensor (time + 1, sequence, n)
        Its states.
    jacobians : callable
        ``jacobians(when)``, those of a slice of the steps as one operator (time, sequence, n, n).
    """

    def __init__(self, system: Map, states: torch.Tensor, jacobians: Callable[[slice], Any]) -> None:
        self.system, self.states, self._jacobians = system, states, jacobians
        J = jacobians(slice(0, 1))
        self._matrices = padded(np.stack([term.matrix.numpy() for term in _terms(J)]))

    def __call__(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> tuple[torch.Tensor, Operator]:
        """Return the state after the step at ``t`` and the Jacobian of that step."""
        return self._after(round(t / self.system.dt), x), self.system.linearize(t, x, u, p)[1]

    def carry(self, first: int, last: int, x: torch.Tensor, V: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the state after the steps from ``first`` up to ``last``, and what these make of frames (..., n, k)."""
        J = self._jacobians(slice(first, last))
        lefts = tuple(_whole(term.left) for term in _terms(J))
        if isinstance(J, GatedCell):
            kernel: Any = carry_memory
            memory: Any = J.forget  # which a state has
            slopes: tuple[Any, ...] = lefts[:-1], lefts[-1], _whole(J.s), _whole(memory)
        else:
            kernel, slopes = carry_sum, (lefts, lefts[0][:0] if J.diagonal is None else _whole(J.diagonal))
        (_, S, H), k = lefts[0].shape, V.shape[-1]
        frames = np.zeros((S, k, V.shape[-2] // H, self._matrices.shape[-1]), lefts[0].dtype)
        frames[..., :H] = V.mT.reshape(S, k, -1, H).numpy()
        workers = min(torch.get_num_threads(), S) if S * k * H**2 >= _WORTH_A_THREAD else 1
        edges = np.linspace(0, S, workers + 1).astype(int)

        def part(begin: int, end: int) -> None:
            kernel(self._matrices, *slopes, begin, end, frames)

        if workers == 1:
            part(0, S)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(part, edges[:-1].tolist(), edges[1:].tolist()))
        product = torch.from_numpy(frames[..., :H].reshape(S, k, -1)).mT
        return self._after(last - 1, x), product.reshape(V.shape)

    def _after(self, number: int, x: torch.Tensor) -> torch.Tensor:
        return self.states[number + 1].reshape(x.shape)


def _terms(J: Any) -> list[Any]:
    """Return the terms of all gates; those of a memory first."""
    sums: list[Any] = [J.M, J.E] if isinstance(J, GatedCell) else [J]
    return [term for one in sums for term in one.terms]


def _whole(slopes: torch.Tensor) -> np.ndarray:
    """Return slopes (time, sequence, n) in memory of their own order."""
    return np.ascontiguousarray(slopes.numpy())
