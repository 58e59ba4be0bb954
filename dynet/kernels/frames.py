"""Tangent frames of the array engine: multiplied step by step, factored every few, read at block ends.

A frame spans the flag of subspaces whose volumes grow with the exponents. Householder frames keep an
orthonormal basis (V = Q R); LU frames keep the unit lower triangular factor of a pivoted elimination, which
spans the same flag and costs a third.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs
from scipy.linalg.blas import get_blas_funcs

from dynet.kernels.namespace import is_numpy, machine_epsilon, namespace, placed, to_numpy

#: Below this ratio of its diagonal the Cholesky factor of L^T L is replaced by a Householder one.
_CHOLESKY_SAFE = 1e-4


class Frame(ABC):
    """A frame (..., n, k) under multiplication and factorisation."""

    name: str

    def __init__(self, V: Any) -> None:
        self._pivots: list[Any] = []
        self._largest: list[Any] = []
        self.shape = tuple(V.shape)
        self.epsilon = machine_epsilon(V)
        #: smallest ratio of a pivot that is not zero to the largest of its factorisation, in the last block
        self.worst = 1.0

    @abstractmethod
    def multiply(self, J: Any) -> None:
        """Replace the frame by ``J`` times the frame."""

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
        lost = pivots <= self.shape[-2] * self.epsilon * largest[..., None]
        top = pivots.max(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.worst = float(np.where(lost, 1.0, pivots / top).min())
            return np.log(np.where(lost, 0.0, pivots)).sum(axis=0)


class HouseholderFrame(Frame):
    """An orthonormal frame, by LAPACK's geqrf and orgqr (numpy) or the namespace's own QR."""

    name = "qr"

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        self.V = V
        if is_numpy(V):
            self._geqrf, self._orgqr = get_lapack_funcs(("geqrf", "orgqr"), dtype=V.dtype)
            n, k = V.shape[-2:]
            lwork = get_lapack_funcs(("geqrf_lwork",), dtype=V.dtype)[0](n, k)[0]
            self._lwork = int(lwork)  # the default workspace is unblocked and twice as slow
            self._upper = np.triu(np.ones((k, k), dtype=V.dtype))

    def multiply(self, J: Any) -> None:
        self.V = J @ self.V

    def factor(self) -> None:
        V = self.V
        if not is_numpy(V):
            xp = namespace(V)
            Q, R = xp.linalg.qr(V)
            pivots = xp.linalg.diagonal(R)
            self._largest.append(xp.max(xp.abs(R), axis=(-2, -1)))
            self.V = Q * xp.where(pivots < 0, -xp.ones_like(pivots), xp.ones_like(pivots))[..., None, :]
        elif V.ndim == 2:
            self.V, pivots, largest = self._factor_one(V)
            self._largest.append(largest)
        else:
            batch, (n, k) = V.shape[:-2], V.shape[-2:]
            factored = [self._factor_one(one) for one in V.reshape(-1, n, k)]
            self.V = np.stack([Q for Q, _, _ in factored]).reshape(V.shape)
            pivots = np.stack([p for _, p, _ in factored]).reshape(*batch, k)
            self._largest.append(np.array([m for _, _, m in factored]).reshape(batch))
        self._pivots.append(pivots)

    def _factor_one(self, V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = V.shape[1]
        packed, tau, _, _ = self._geqrf(V, lwork=self._lwork)
        pivots = packed.diagonal()[:k].copy()
        largest = np.abs(packed[:k] * self._upper).max()
        Q, _, _ = self._orgqr(packed, tau, lwork=self._lwork, overwrite_a=1)
        Q *= np.where(pivots < 0, -1, 1).astype(V.dtype)
        return Q, pivots, largest

    def snapshot(self) -> Any:
        return self.V

    def restore(self, saved: Any) -> None:
        self.V = saved
        self._pivots.clear()
        self._largest.clear()

    def basis(self) -> Any:
        return self.V

    def saved(self) -> dict[str, np.ndarray]:
        return {"V": to_numpy(self.V)}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self.V = placed(saved["V"], self.V)


class LUFrame(Frame):
    """A frame ``P L``: after ``J F = P L U`` the growth is ``log|U_ii|``, corrected at block ends.

    With R the triangular factor of L, ``sum log|U_ii| + log R_ii(end) - log R_ii(start)`` is exactly the
    growth of an orthonormal frame over the block. For one matrix between diagonals (rate networks) the
    product ``J P L`` is triangular and costs half a product.
    """

    name = "lu"

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        self._F: Any = V
        # (L with U above it, row permutation) of the last factorisation, for triangular products
        self._packed: Any = None
        self._product: Any = None
        self._gathered: Any = None
        self._log_R = np.zeros((*self.shape[:-2], self.shape[-1]))
        if is_numpy(V):
            self._getrf = get_lapack_funcs(("getrf",), dtype=V.dtype)[0]
            self._trmm = get_blas_funcs(("trmm",), dtype=V.dtype)[0]

    def multiply(self, J: Any) -> None:
        if self._packed is not None and self._is_triangular_product(J):
            self._multiply_triangular(J.terms[0])
        else:
            self._F = J @ self.basis()
        self._packed = None

    def _is_triangular_product(self, J: Any) -> bool:
        terms: Any = getattr(J, "terms", ())
        n, k = self.shape[-2:]
        return bool(
            len(self.shape) == 2
            and n == k
            and len(terms) == 1
            and J.diagonal is None
            and terms[0].matrix.shape == (n, n)
            and terms[0].matrix.dtype == self._packed[0].dtype
        )

    def _multiply_triangular(self, term: Any) -> None:
        packed, rows = self._packed
        if self._gathered is None or self._gathered[0] is not term.matrix:
            # columns of W lie next to each other in the transpose: gathering them is a copy of rows
            self._gathered = (term.matrix, np.ascontiguousarray(term.matrix.T))
        if self._product is None:
            self._product = np.empty_like(self._gathered[1])
        transposed = self._product
        np.take(self._gathered[1], rows, axis=0, out=transposed, mode="clip")
        if term.left is not None:
            transposed *= term.left
        if term.right is not None:
            transposed *= term.right[rows, None]
        self._F = self._trmm(1.0, packed, transposed.T, side=1, lower=1, diag=1, overwrite_b=1)
        # the old factor's memory becomes the target of the next product
        self._product = packed.T if packed.flags.f_contiguous else None

    def factor(self) -> None:
        A = self._F
        if not is_numpy(A):
            self._factor_foreign(A)
        elif A.ndim == 2:
            packed, rows, pivots, largest = self._factor_one(A)
            self._note(pivots, largest)
            self._F, self._packed = None, (packed, rows)
        else:
            n, k = A.shape[-2:]
            factored = [self._factor_one(one) for one in A.reshape(-1, n, k)]
            self._note(
                np.stack([f[2] for f in factored]).reshape(*A.shape[:-2], k),
                np.array([f[3] for f in factored]).reshape(A.shape[:-2]),
            )
            self._F = np.stack([_unpack(f[0], f[1]) for f in factored]).reshape(A.shape)

    def _factor_one(self, A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        packed, swaps, _ = self._getrf(A, overwrite_a=1)
        rows = np.arange(A.shape[0])
        for i, j in enumerate(swaps.tolist()):
            if i != j:
                rows[i], rows[j] = rows[j], rows[i]
        k = A.shape[1]
        pivots = packed.diagonal()[:k].copy()
        smallest, top = np.abs(pivots).min(), np.abs(pivots).max()
        # a full look at U only where a pivot might be rounding: entries of U exceed its pivots by far less
        suspicious = not smallest > 1e6 * A.shape[0] * self.epsilon * top
        return packed, rows, pivots, np.abs(np.triu(packed[:k])).max() if suspicious else top

    def _factor_foreign(self, A: Any) -> None:
        xp = namespace(A)
        # lu_factor raises on an exact zero pivot, which dead units make
        packed, swaps, _ = xp.linalg.lu_factor_ex(A, check_errors=False)
        P, L, U = xp.lu_unpack(packed, swaps)
        self._note(xp.linalg.diagonal(U), xp.amax(xp.abs(U), dim=(-2, -1)))
        # row i of P holds its one in column rows[i]: gathering rows is cheaper than the dense product P L
        source = xp.argmax(P, axis=-1)
        self._F = xp.take_along_dim(L, source[..., None], dim=-2)

    def _note(self, pivots: Any, largest: Any) -> None:
        self._pivots.append(pivots)
        self._largest.append(largest)

    def collect(self) -> np.ndarray:
        growth = super().collect()
        log_R = _log_volumes(self.basis())
        growth += log_R - self._log_R
        self._log_R = log_R
        return growth

    def basis(self) -> Any:
        if self._F is None:
            self._F = _unpack(*self._packed)
        return self._F

    def snapshot(self) -> Any:
        # never written to: a factorisation overwrites products, not bases
        return self.basis(), self._log_R

    def restore(self, saved: Any) -> None:
        self._F, self._log_R = saved
        self._packed = None
        self._pivots.clear()
        self._largest.clear()

    def saved(self) -> dict[str, np.ndarray]:
        if self._packed is None:
            return {"F": to_numpy(self._F), "log_R": self._log_R}
        # the factorisation as it is: a product of its basis would be rounded otherwise than a triangular one
        packed, rows = self._packed
        return {"packed": packed, "rows": rows, "log_R": self._log_R}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self._log_R = saved["log_R"]
        if "packed" in saved:
            self._F, self._packed = None, (saved["packed"], saved["rows"])
        else:
            self._F, self._packed = placed(saved["F"], self._F), None


def _unpack(packed: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return ``P L`` of a packed factorisation."""
    k = packed.shape[1]
    L = np.tril(packed, -1)
    L[np.arange(k), np.arange(k)] = 1
    F = np.empty(L.shape, dtype=L.dtype, order="F")
    F[rows] = L
    return F


def _log_volumes(F: Any) -> np.ndarray:
    """Return log R_ii of the triangular factor of ``F`` (..., n, k), in float64."""
    if not is_numpy(F):
        xp = namespace(F)
        R = xp.linalg.qr(F, mode="r")[1]
        return np.log(np.abs(to_numpy(xp.linalg.diagonal(R)).astype(np.float64)))
    if F.ndim > 2:
        return np.stack([_log_volumes(one) for one in F])
    if F.dtype == np.float64:
        (syrk,), (potrf,) = get_blas_funcs(("syrk",), dtype=F.dtype), get_lapack_funcs(("potrf",), dtype=F.dtype)
        factor, info = potrf(syrk(1.0, F, trans=1, lower=1), lower=1, clean=0, overwrite_a=1)
        diagonal = factor.diagonal()
        # squaring costs half of the digits: safe for the mild L of partial pivoting, checked all the same
        if info == 0 and diagonal.min() > _CHOLESKY_SAFE * diagonal.max():
            return np.log(diagonal)
    triangular = np.asarray(np.linalg.qr(F, mode="r"))
    return np.log(np.abs(triangular.diagonal()).astype(np.float64))


FRAMES: dict[str, type[Frame]] = {"qr": HouseholderFrame, "lu": LUFrame}
