"""Runs of one recurrent layer, linearised at all times at once: the fast way when a spectrum is taken every epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from dynet.systems.cells import GRU, LSTM, Elman
from dynet.systems.layer_operators import GatedCell
from dynet.systems.map import Map
from dynet.systems.operators import Operator, ScaledSum
from dynet.systems.recurrent import RecurrentStep
from dynet.torch.carried import KnownJacobian, carried

__all__ = ["recorded"]

#: Slopes of a whole run that are kept; longer runs are linearised step by step.
_MOST_ENTRIES = 2**25


def recorded(system: Map, rows: torch.Tensor) -> Map:
    """Return ``system`` as it runs from zero under ``rows`` (..., time, channel), its Jacobians known beforehand.

    The same system is returned where there is nothing to gain: several layers, the hidden state of an LSTM, very long
    runs.
    """
    step: Any = system.step
    if not isinstance(step, RecurrentStep) or hasattr(step, "freeze") or len(step.recurrence.cells) != 1:
        return system
    cell, w = step.recurrence.cells[0], system.params[0]
    kind = _kind(cell)
    if kind is None or rows.numel() // rows.shape[-1] * w.W_hh.shape[0] > _MOST_ENTRIES:
        return system
    assert system.like is not None
    rows = rows.to(system.like)
    rows = rows[None] if rows.ndim == 2 else rows
    if rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64):
        return replace(system, linearize=carried(system, kind, rows))
    return replace(system, linearize=looked_up(system, kind, rows))


def looked_up(system: Map, kind: str, rows: torch.Tensor) -> RecordedLinearization:
    """Return the linearization of a layer of ``kind``, torch's name for it, by tensors alone, wherever they live."""
    w = system.params[0]
    advance: Any = getattr(torch, f"{kind}_cell")
    H = w.W_hh.shape[-1]
    assert system.like is not None
    x = system.like.expand(rows.shape[0], -1)
    states = [x]
    for u in rows.unbind(dim=1):
        part: Any = x if x.shape[-1] == H else (x[:, :H], x[:, H:])
        new = advance(u, part, w.W_xh, w.W_hh, w.b_xh, w.b_hh)
        x = torch.cat(new, dim=-1) if isinstance(new, tuple) else new
        states.append(x)
    X = torch.stack(states)
    J = system.linearize(0.0, X[:-1], rows.movedim(1, 0), system.params)[1]
    return RecordedLinearization(system, X, J)


def _kind(cell: Any) -> str | None:
    """Return the name by which torch knows a cell, if it does: its own functions are much faster."""
    if isinstance(cell, LSTM):
        return "lstm"
    if isinstance(cell, GRU):
        return "gru" if cell.form == "torch" else None
    if isinstance(cell, Elman) and cell.form == "outside" and cell.activation in ("tanh", "relu"):
        return f"rnn_{cell.activation}"
    return None


class RecordedLinearization:
    """``linearize(t, x, u, p)`` that looks up what was recorded, whatever ``x`` is."""

    def __init__(self, system: Map, states: torch.Tensor, J: GatedCell | ScaledSum) -> None:
        self.system, self.states = system, states
        sums = [J.M, J.E] if isinstance(J, GatedCell) else [J]
        terms = [term for one in sums for term in one.terms]  # type: ignore[attr-defined]
        #: (time, sequence, 1, gates H) and (H, gates H)
        self.slopes = torch.cat([term.left for term in terms], dim=-1)[:, :, None]
        self.weights = torch.cat([term.matrix for term in terms]).T.contiguous()
        self.memory = (J.forget[:, :, None], J.s[:, :, None]) if isinstance(J, GatedCell) else None  # type: ignore[index]
        self.diagonal = None if isinstance(J, GatedCell) or J.diagonal is None else J.diagonal[:, :, None]

    def __call__(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> tuple[torch.Tensor, Operator]:
        """Return the state after step ``t`` and the Jacobian of that step."""
        number = round(t / self.system.dt)
        return self.states[number + 1].reshape(x.shape), RecordedJacobian(self, number, x, u)


class RecordedJacobian(KnownJacobian):
    """The Jacobians of all sequences at one time, which share one product with the weights.

    Frames are (sequence, n, k) with the columns of each contiguous, as QR leaves them.
    """

    def __matmul__(self, V: Any) -> torch.Tensor:
        record, number, H = self.run, self.number, self.run.weights.shape[0]
        rows = (V[None] if V.ndim == 2 else V).mT
        S, k = record.slopes.shape[1], rows.shape[1]
        rows = rows.expand(S, k, -1)
        gates = (rows[..., :H].reshape(S * k, H) @ record.weights).reshape(S, k, -1)
        gates *= record.slopes[number]
        first, *others = gates.split(H, dim=-1)
        if record.memory is not None:
            forget, to_output = record.memory
            *others, direct = others
            for gate in others:
                first += gate
            first.addcmul_(forget[number], rows[..., H:])
            product = torch.cat((direct.addcmul_(to_output[number], first), first), dim=-1).mT
        else:
            for gate in others:
                first += gate
            product = (first if record.diagonal is None else first.addcmul_(record.diagonal[number], rows)).mT
        return product[0] if self.x.ndim == 1 else product
