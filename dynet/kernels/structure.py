"""Recognise the Jacobians that structured kernels multiply, and lay their parts out for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dynet.kernels.memory_order import line_zeros
from dynet.kernels.namespace import to_numpy
from dynet.kernels.structured import Parts, slivers_of
from dynet.kernels.vectors import lanes


class Layout:
    """Turns Jacobians into parts; keeps the slivers of matrices that do not change."""

    def __init__(self, batch: tuple[int, ...], n: int, dtype: Any) -> None:
        self._batch, self._n, self._dtype = batch, n, dtype
        self._steps = 1
        self._matrices: list[np.ndarray] = []  # as they were given: while they are held, their memory is theirs
        self._slivers = np.empty(0)
        self._ones: np.ndarray = np.empty((0, 0, 0, 0))

    def parts_of(self, J: Any, n_steps: int = 1) -> Parts | None:
        """Return the parts of the Jacobians (step, ..., n, n) of some steps, or None if they are of another kind.

        Those of a single step may come without their first axis.
        """
        self._steps = n_steps
        a, b = 0.0, 1.0
        if hasattr(J, "parts") and hasattr(J, "a") and len(J.parts) == 1:  # a I + b J
            a, b, J = J.a, J.b, J.parts[0]
        terms = getattr(J, "terms", ())
        if terms:
            matrices = self._square_matrices(terms, self._n)
            return None if matrices is None else self._sum(J, matrices, a, b)
        if (a, b) == (0.0, 1.0) and getattr(J, "forget", None) is not None:
            return self._memory(J)
        return None

    def _square_matrices(self, terms: Any, n: int) -> list[np.ndarray] | None:
        """Return the matrices of a sum, or None if they are not all (n, n) and of the frame's dtype."""
        matrices = [to_numpy(term.matrix) for term in terms]
        fit = all(matrix.shape == (n, n) and matrix.dtype == self._dtype for matrix in matrices)
        return matrices if fit else None

    def _sum(self, J: Any, matrices: list[np.ndarray], a: float, b: float) -> Parts:
        lefts = self._lefts([term.left for term in J.terms])
        diagonal = none = self._new(0)
        if J.diagonal is not None:
            diagonal = self._rows_of(J.diagonal, self._n)
        if (a, b) != (0.0, 1.0):
            lefts = b * lefts
            diagonal = b * diagonal + a if diagonal.size else np.full_like(self._new(self._n), a)
        rights = self._rights([term.right for term in J.terms], self._n)
        return Parts(self._slivers_of(matrices, J.fixed), lefts, rights, diagonal, none, none)

    def _memory(self, J: Any) -> Parts | None:
        """Return the parts of ``dc' = f dc + M dh``, ``dh' = E dh + s dc'``."""
        E, M = getattr(J.E, "terms", ()), getattr(J.M, "terms", ())
        gates, (H, odd) = (*E, *M), divmod(self._n, 2)
        if odd or len(E) != 1 or not M or J.E.diagonal is not None or J.M.diagonal is not None:
            return None
        if any(term.left is None or term.right is not None for term in gates):
            return None
        matrices = self._square_matrices(gates, H)
        if matrices is None:
            return None
        # h gets what E gives and s times what M gives, c the latter alone
        output = self._rows_of(J.s, H)
        lefts = self._lefts([None] * len(gates))
        lefts[:, :, 0, H:] = 0
        for g, term in enumerate(gates):
            lefts[:, :, g, :H] = self._rows_of(term.left, H)
            if g > 0:
                lefts[:, :, g, H : self._n] = lefts[:, :, g, :H]
                lefts[:, :, g, :H] *= output
        return Parts(
            self._slivers_of(matrices, J.E.fixed and J.M.fixed),
            lefts,
            self._rights([None] * len(gates), H),
            self._new(0),
            self._rows_of(J.forget, H),
            output,
        )

    def _new(self, *shape: int) -> np.ndarray:
        return np.empty((math.prod(self._batch), self._steps, *shape), self._dtype)

    def _lefts(self, given: list[Any]) -> np.ndarray:
        """Return the diagonals of gates, ones in the place of None, as far as slivers go."""
        line = lanes(self._dtype.itemsize)
        shape = math.prod(self._batch), self._steps, len(given), -(-self._n // line) * line
        out = line_zeros(shape, self._dtype)
        for g, one in enumerate(given):
            out[:, :, g, : self._n] = 1 if one is None else self._by_sequence(one, self._n)
        return out

    def _rights(self, given: list[Any], m: int) -> np.ndarray:
        count = len(given)
        if all(one is None for one in given):
            if self._ones.shape != (math.prod(self._batch), self._steps, count, m):
                self._ones = np.ones_like(self._new(count, m))
            return self._ones
        out = self._new(count, m)
        for g, one in enumerate(given):
            out[:, :, g] = 1 if one is None else self._by_sequence(one, m)
        return out

    def _rows_of(self, given: Any, n: int) -> np.ndarray:
        out = self._new(n)
        out[...] = self._by_sequence(given, n)
        return out

    def _by_sequence(self, given: Any, n: int) -> np.ndarray:
        """Return diagonals (step, ..., n) as (sequence, step, n)."""
        every = np.broadcast_to(to_numpy(given), (self._steps, *self._batch, n))
        return every.reshape(self._steps, -1, n).swapaxes(0, 1)

    def _slivers_of(self, matrices: list[np.ndarray], fixed: bool) -> np.ndarray:
        """Return matrices as slivers; made anew unless they are fixed and the same as last time.

        Those with half as many rows as the frame are repeated, but for the first, which is followed by zeros.
        """
        same = len(matrices) == len(self._matrices) and all(map(_is_same_memory, matrices, self._matrices))
        if not (same and fixed):
            whole = matrices
            if len(matrices[0]) < self._n:
                first, *others = matrices
                whole = [np.concatenate([first, np.zeros_like(first)]), *(np.concatenate([M, M]) for M in others)]
            self._slivers, self._matrices = slivers_of(np.stack(whole)), matrices
        return self._slivers


def _is_same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    if a is b:
        return True
    ours, theirs = a.__array_interface__, b.__array_interface__
    return ours["data"] == theirs["data"] and a.strides == b.strides and a.shape == b.shape
