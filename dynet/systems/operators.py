"""Jacobians that multiply without being built.

Every operator has ``shape``, ``J @ V`` for frames ``V`` of shape ``(..., n, k)``, ``transpose()`` and
``assemble()``. They live on the array namespace of what they hold, so the same operator multiplies numpy
arrays and torch tensors, alone or in batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, reduce
from operator import matmul
from typing import Any, NamedTuple

import numpy as np

from dynet.kernels.namespace import device_of, is_numpy, namespace
from dynet.typing import Array

__all__ = [
    "Affine",
    "Operator",
    "Product",
    "ScaledSum",
    "Term",
    "assemble",
    "transpose",
]


#: rows of a sum that are put together at once: few enough for the cache
_ROWS_AT_ONCE = 16


class Operator(ABC):
    """A linear map given by its action."""

    #: numpy must leave ``array @ operator`` and ``array * operator`` to the operator (and so raise)
    __array_ufunc__ = None
    shape: tuple[int, ...]

    @abstractmethod
    def __matmul__(self, V: Array) -> Array:
        """Return the product with a frame ``V`` of shape (..., n, k)."""

    @abstractmethod
    def transpose(self) -> Operator:
        """Return the transpose, as an operator."""

    @property
    @abstractmethod
    def prototype(self) -> Array:
        """An array that the operator holds: it carries namespace, dtype and device."""

    def assemble(self) -> Array:
        """Return the matrix, (..., rows, columns)."""
        held = self.prototype
        xp = namespace(held)
        identity = xp.eye(self.shape[-1], dtype=held.dtype, **device_of(held))
        return self @ identity


def transpose(J: Any) -> Any:
    """Return the transpose of anything that a ``jac`` may return.

    Parameters
    ----------
    J : array (..., n, n), scipy sparse array, LinearOperator or Operator

    Returns
    -------
    object
        Something that multiplies by the transposed matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from dynet.systems.operators import transpose
    >>> transpose(np.array([[1.0, 2.0], [0.0, 1.0]])).tolist()
    [[1.0, 0.0], [2.0, 1.0]]
    """
    if isinstance(J, Operator):
        return J.transpose()
    if hasattr(J, "mT"):
        return J.mT
    return J.T


def assemble(J: Any) -> Array:
    """Return the dense matrix behind anything that a ``jac`` may return."""
    if isinstance(J, Operator):
        return J.assemble()
    if hasattr(J, "toarray"):
        return J.toarray()
    if hasattr(J, "matmat"):
        return J @ np.eye(J.shape[-1], dtype=J.dtype)
    return J


class Term(NamedTuple):
    """``diag(left) W diag(right)``; a missing diagonal is the identity."""

    left: Array | None
    matrix: Array
    right: Array | None = None


class ScaledSum(Operator):
    """``diag(d) + sum_g diag(left_g) W_g diag(right_g)``: the Jacobian of gates and of rate networks.

    Parameters
    ----------
    terms : sequence of Term
        Matrices (rows, columns), shared by the batch; diagonals (..., rows) and (..., columns).
    diagonal : array (..., n), optional
        Added diagonal (square operators only).
    fixed : bool
        Whether the matrices are weights, never written to: then what is made of them may be kept.

    Notes
    -----
    Nothing is built for a few columns. When a frame has more columns than there are gates, the sum is
    assembled on first use: one product instead of one a gate.
    """

    def __init__(self, *terms: Term, diagonal: Array | None = None, fixed: bool = False) -> None:
        self.terms = terms
        self.diagonal = diagonal
        self.fixed = fixed
        rows, columns = terms[0].matrix.shape[-2:]
        batch: tuple[int, ...] = np.broadcast_shapes(
            *(tuple(d.shape[:-1]) for d in self._diagonals() if d is not None),
            *(tuple(term.matrix.shape[:-2]) for term in terms),
        )
        self.shape = (*batch, rows, columns)

    def _diagonals(self) -> tuple[Array | None, ...]:
        return (self.diagonal, *(t.left for t in self.terms), *(t.right for t in self.terms))

    @property
    def prototype(self) -> Array:
        return self.terms[0].matrix

    @cached_property
    def _assembled_terms(self) -> Array:
        first, *others = self.terms
        out = _dense(first, self.shape)
        for term in others:
            _accumulate(out, term)
        return out

    def __matmul__(self, V: Array) -> Array:
        n_columns = V.shape[-1]
        n_terms = len(self.terms)
        # the assembled sum must not be larger than the products it replaces: N <= gates * k
        if n_terms > 1 and n_terms < n_columns and self.shape[-1] <= n_terms * n_columns:
            out = self._assembled_terms @ V
        else:
            out = reduce(lambda A, B: A + B, (_apply(term, V) for term in self.terms))
        return out if self.diagonal is None else out + self.diagonal[..., None] * V

    def transpose(self) -> ScaledSum:
        flipped = (Term(term.right, term.matrix.mT, term.left) for term in self.terms)
        return ScaledSum(*flipped, diagonal=self.diagonal, fixed=self.fixed)

    def assemble(self) -> Array:
        dense = self._assembled_terms
        if self.diagonal is None:
            return dense
        xp = namespace(dense)
        identity = xp.eye(self.shape[-1], dtype=dense.dtype, **device_of(dense))
        return dense + self.diagonal[..., None] * identity


def _apply(term: Term, V: Array) -> Array:
    left, W, right = term
    out = W @ (V if right is None else right[..., None] * V)
    return out if left is None else left[..., None] * out


def _dense(term: Term, shape: tuple[int, ...]) -> Array:
    left, W, right = term
    out = W if left is None else left[..., None] * W
    out = out if right is None else out * right[..., None, :]
    if out is W or out.shape != shape:
        xp = namespace(W)
        out = xp.asarray(xp.broadcast_to(out, shape), copy=True)  # others are going to be added to it
    return out


def _accumulate(out: Array, term: Term) -> None:
    """Add a term to ``out`` some rows at a time: gates of a batch would fill the memory with their products."""
    left, W, right = term
    if not is_numpy(out) and left is not None and right is None:
        out.addcmul_(left[..., None], W)  # torch fuses the two
        return
    rows = out.shape[-2]
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        block = W[..., part, :] if left is None else left[..., part, None] * W[..., part, :]
        out[..., part, :] += block if right is None else block * right[..., None, :]


class Product(Operator):
    """The composition ``A_1 A_2 ... A_m``, applied from the right."""

    def __init__(self, *factors: Operator) -> None:
        self.factors = factors
        batch = np.broadcast_shapes(*(factor.shape[:-2] for factor in factors))
        self.shape = (*batch, factors[0].shape[-2], factors[-1].shape[-1])

    @property
    def prototype(self) -> Array:
        return self.factors[0].prototype

    def __matmul__(self, V: Array) -> Array:
        return reduce(lambda out, factor: matmul(factor, out), reversed(self.factors), V)

    def transpose(self) -> Product:
        return Product(*(factor.transpose() for factor in reversed(self.factors)))


class Affine(Operator):
    """``a I + b (J_1 + ... + J_m)``: sums, leaky steps, and the vector field behind a map."""

    def __init__(self, a: float, b: float, *parts: Operator) -> None:
        self.a, self.b, self.parts = a, b, parts
        batch = np.broadcast_shapes(*(part.shape[:-2] for part in parts))
        self.shape = (*batch, *parts[0].shape[-2:])

    @property
    def prototype(self) -> Array:
        return self.parts[0].prototype

    def __matmul__(self, V: Array) -> Array:
        out = reduce(lambda A, B: A + B, (part @ V for part in self.parts))
        if self.b != 1:
            out = self.b * out
        return out if self.a == 0 else self.a * V + out

    def transpose(self) -> Affine:
        return Affine(self.a, self.b, *(part.transpose() for part in self.parts))
