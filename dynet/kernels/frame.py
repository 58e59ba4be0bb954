"""Tangent frames of the array engine: multiplied step by step, factored every few, read at block ends.

A frame spans the flag of subspaces whose volumes grow with the exponents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from dynet.kernels.namespace import machine_epsilon, namespace, to_numpy


class Frame(ABC):
    """A frame (..., n, k) under multiplication and factorisation."""

    name: str

    @property
    def runs(self) -> bool:
        """Whether `run` may be asked for at present."""
        return False

    def __init__(self, V: Any) -> None:
        self._pivots: list[Any] = []
        self.shape = tuple(V.shape)
        self.epsilon = machine_epsilon(V)
        #: smallest ratio of a pivot that is not zero to the largest of its factorisation, in the last block
        self.worst = 1.0

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
        """Factor the frame and note its pivots, those that are rounding as zero."""

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

        A pivot that is rounding has been noted as zero: growth -inf.
        """
        pivots = np.abs(to_numpy(namespace(self._pivots[0]).stack(self._pivots))).astype(np.float64)
        self._pivots.clear()
        top = pivots.max(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.worst = float(np.where(pivots == 0, 1.0, pivots / top).min())
            return np.log(pivots).sum(axis=0)


class EliminatedFrame(Frame):
    """A frame ``P L``. In the place of a lost column stands another one: what comes after it is not right.

    A random frame loses its last columns first, and nothing comes after them. If others are lost, an orthonormal
    frame, which can do without them, has to take over.
    """

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        self.lost = np.zeros((*self.shape[:-2], self.shape[-1]), dtype=bool)

    @property
    def is_right(self) -> bool:
        """Whether no column comes after a lost one."""
        return bool((self.lost[..., :-1] <= self.lost[..., 1:]).all())

    def collect(self) -> np.ndarray:
        growth = super().collect()
        self.lost = self.lost | np.isneginf(growth)
        growth[self.lost] = -np.inf
        return growth
