"""Tangent frames of the array engine: multiplied step by step, factored every few, read at block ends.

A frame spans the flag of subspaces whose volumes grow with the exponents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from dynet.kernels.namespace import machine_epsilon, namespace, to_numpy

#: A pivot is in doubt within so many times its expected rounding.
_DOUBT = 64


class Frame(ABC):
    """A frame (..., n, k) under multiplication and factorisation."""

    name: str
    #: whether a column whose pivot is zero stays out of the frame for good
    keeps_lost = False

    @property
    def runs(self) -> bool:
        """Whether `run` may be asked for at present."""
        return False

    def __init__(self, V: Any) -> None:
        self._pivots: list[Any] = []
        self._largest: list[Any] = []
        self.shape = tuple(V.shape)
        self.epsilon = machine_epsilon(V)
        #: smallest ratio of a pivot that is not zero to the largest of its factorisation, in the last block
        self.worst = 1.0
        #: whether a pivot of the last block was so small that another factorisation should tell if it is rounding
        self.in_doubt = False

    @abstractmethod
    def multiply(self, J: Any) -> None:
        """Replace the frame by ``J`` times the frame."""

    @abstractmethod
    def replace(self, product: Any) -> None:
        """Replace the frame by its product with a Jacobian, made elsewhere."""

    def run(self, J: Any, n_steps: int) -> bool:
        """Multiply by the Jacobians ``J`` (step, ..., n, n) one after the other and factor after each.

        Returns False, with nothing done, for Jacobians that have to be multiplied by one by one.
        """
        return False

    @abstractmethod
    def factor(self) -> None:
        """Factor the frame; note its pivots and the largest entry of its triangular factor."""

    @abstractmethod
    def snapshot(self) -> Any:
        """Return all that `restore` needs to come back to the present frame."""

    @abstractmethod
    def restore(self, saved: Any) -> None:
        """Come back to a snapshot and forget the pivots noted since."""

    @abstractmethod
    def basis(self) -> Any:
        """Return a basis of the flag, (..., n, k)."""

    @abstractmethod
    def saved(self) -> dict[str, np.ndarray]:
        """Return what `resume` needs to go on exactly from the end of a block."""

    @abstractmethod
    def resume(self, saved: dict[str, np.ndarray]) -> None:
        """Go on from what another frame saved."""

    def collect(self) -> np.ndarray:
        """Return the log growth (..., k) since the last call, in float64, and forget the pivots.

        A pivot below ``n eps max|R|`` of its factorisation is rounding: it counts as zero, growth -inf.
        """
        xp = namespace(self._pivots[0])
        pivots = np.abs(to_numpy(xp.stack(self._pivots))).astype(np.float64)
        largest = to_numpy(xp.stack(self._largest)).astype(np.float64)
        self._pivots.clear()
        self._largest.clear()
        n = self.shape[-2]
        lost = pivots <= n * self.epsilon * largest[..., None]
        doubt = min(_DOUBT * max(n, 2 * _DOUBT) * self.epsilon, self.epsilon**0.6)
        self.in_doubt = bool((pivots <= doubt * largest[..., None]).any())
        top = pivots.max(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.worst = float(np.where(lost, 1.0, pivots / top).min())
            return np.log(np.where(lost, 0.0, pivots)).sum(axis=0)
