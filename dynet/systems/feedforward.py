"""Feedforward networks of constant width: depth is time."""

from __future__ import annotations

from typing import Any

from dynet.systems.cells import Elman, Weights
from dynet.systems.operators import Operator
from dynet.typing import Array


class FeedforwardStep:
    """``step(t, x, u, p)``: layer t of the network; ``p`` holds the weights of all layers."""

    def __init__(self, activation: str) -> None:
        self.cell = Elman(activation)

    def __call__(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> Any:
        return self.cell.forward(None, (x,), p[round(t)])[0][0]

    def limits(self, p: tuple[Weights, ...]) -> tuple[int, None]:
        """Return the number of steps that the network holds, its depth."""
        return len(p), None


class FeedforwardJacobian(FeedforwardStep):
    """``linearize(t, x, u, p)`` of a feedforward network."""

    def __call__(self, t: float, x: Array, u: Array, p: tuple[Weights, ...]) -> tuple[Array, Operator]:
        w = p[round(t)]
        (y,), kept = self.cell.forward(None, (x,), w)
        return y, self.cell.state_jacobian(w, kept)
