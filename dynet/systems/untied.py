"""Random networks with weights of their own in every step: a function of the step's number, drawn when needed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from dynet.systems.cells import Elman, Weights
from dynet.systems.operators import Affine, Operator
from dynet.typing import Array


class UntiedWeights(NamedTuple):
    """What the weights of all steps follow from."""

    entropy: int
    n: int
    g: float
    W_xh: Array | None = None


@lru_cache(maxsize=1)
def _drawn(entropy: int, n: int, g: float, number: int) -> np.ndarray:
    """Return J of a step; the last one is kept, because step and Jacobian ask for it in turn."""
    random = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(number,)))
    J = random.standard_normal((n, n)) * (g / np.sqrt(n))
    J.setflags(write=False)
    return J


class UntiedStep:
    """``step(t, x, u, p)`` with ``x' = (1 - delta) x + delta (J_t tanh(x) + W_xh u)``; ``p`` is `UntiedWeights`."""

    def __init__(self, delta: float) -> None:
        self.delta = delta
        self.cell = Elman("tanh", "inside")

    def _forward(self, t: float, x: Array, u: Array, p: UntiedWeights) -> tuple[Array, Weights, Any]:
        w = Weights(_drawn(p.entropy, p.n, p.g, round(t)), p.W_xh)
        (y,), kept = self.cell.forward(u, (x,), w)
        return (1 - self.delta) * x + self.delta * y, w, kept

    def __call__(self, t: float, x: Array, u: Array, p: UntiedWeights) -> Any:
        return self._forward(t, x, u, p)[0]

    def input_jacobian(self, t: float, x: Array, u: Array, p: UntiedWeights) -> Operator:
        """Return the derivative with respect to the input."""
        _, w, kept = self._forward(t, x, u, p)
        return Affine(0.0, self.delta, self.cell.input_jacobian(w, kept))

    def n_channels(self, p: UntiedWeights) -> int:
        """Return the width of the input that the network reads."""
        return 0 if p.W_xh is None else int(p.W_xh.shape[-1])


class UntiedLinearization(UntiedStep):
    """``linearize(t, x, u, p)`` of the same network."""

    def __call__(self, t: float, x: Array, u: Array, p: UntiedWeights) -> tuple[Array, Operator]:
        y, w, kept = self._forward(t, x, u, p)
        return y, Affine(1 - self.delta, self.delta, self.cell.state_jacobian(w, kept))
