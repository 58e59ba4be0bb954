"""LU frames in the memory of the host: compiled, in place, and without building Jacobians that have structure.

After ``J F = P L U`` the frame is ``P L`` and the growth ``log|U_ii|``. With R the triangular factor of the frame,
``sum log|U_ii| + log R_ii(end) - log R_ii(start)`` is exactly the growth of an orthonormal frame.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs
from scipy.linalg.blas import get_blas_funcs

from dynet.kernels.blas_threads import threads_of_blas
from dynet.kernels.frame import EliminatedFrame
from dynet.kernels.lu import settle, workspace
from dynet.kernels.namespace import as_array, to_numpy
from dynet.kernels.packed import factor, keys_of, packed_zeros, unpack
from dynet.kernels.structure import Layout
from dynet.kernels.structured import Memory, Parts, memory_for, run
from dynet.kernels.structured_threads import run_in_threads
from dynet.kernels.team import Team

#: Below this ratio of its diagonal the Cholesky factor of L^T L is replaced by a Householder one.
_CHOLESKY_SAFE = 1e-4
#: Frames from this size on are worth a thread each; a single one takes a thread more for so many rows.
_THREADS_FROM, _ROWS_A_THREAD = 64, 200


class LUFrame(EliminatedFrame):
    """Frames ``P L`` of one sequence or several (..., n, k)."""

    name = "lu"

    def __init__(self, V: Any) -> None:
        super().__init__(V)
        start = to_numpy(V)
        n, k = start.shape[-2:]
        self._like = V
        starts = start.reshape(-1, n, k)
        most = n // _ROWS_A_THREAD if len(starts) == 1 and k == n else 1
        threads = min(threads_of_blas(), most) if most > 1 else 1
        self._members = [_Member(one, threads) for one in starts]
        self._layout = Layout(self.shape[:-2], n, start.dtype) if k == n else None
        #: a Jacobian whose product waits for the factorisation that follows, with its parts
        self._pending: tuple[Any, Parts] | None = None
        self._log_R = np.zeros((*self.shape[:-2], k))
        workers = min(len(self._members), os.cpu_count() or 1) if n >= _THREADS_FROM else 1
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def multiply(self, J: Any) -> None:
        self._flush()
        if self._layout is not None and self._members[0].is_factored:
            parts = self._layout.parts_of(J)
            if parts is not None:
                self._pending = (J, parts)
                return
        self._multiply(J)

    @property
    def runs(self) -> bool:
        return self._layout is not None and self._pending is None and self._members[0].is_factored

    def run(self, J: Any, n_steps: int) -> bool:
        assert self._layout is not None
        parts = self._layout.parts_of(J, n_steps)
        if parts is not None:
            self._run(parts)
        return parts is not None

    def _run(self, parts: Parts) -> None:
        """Multiply and factor, step after step."""
        S, n_steps = parts.lefts.shape[:2]
        pivots = np.empty((S, n_steps, self.shape[-1]), parts.lefts.dtype)
        self._each(_Member.run, parts, pivots)
        self._pivots.extend(pivots.swapaxes(0, 1).reshape(n_steps, *self.shape[:-2], -1))

    def _flush(self) -> None:
        """Carry out a product that no factorisation followed."""
        if self._pending is not None:
            (J, _), self._pending = self._pending, None
            self._multiply(J)

    def _multiply(self, J: Any) -> None:
        if isinstance(J, np.ndarray) or hasattr(J, "detach"):
            # F^T J^T comes out by columns, which is how it is going to be factored
            self._take(to_numpy(as_array(self._columns(), self._like) @ J.mT))
        else:
            self.replace(J @ self.basis())

    def replace(self, product: Any) -> None:
        self._pending = None
        self._take(np.swapaxes(to_numpy(product), -2, -1))

    def _take(self, columns: np.ndarray) -> None:
        """Go on from frames by columns, (..., k, n), in memory that nobody else writes to."""
        for member, one in zip(self._members, columns.reshape(-1, *self.shape[:-3:-1]), strict=True):
            member.set(one)

    def _columns(self) -> np.ndarray:
        """Return the frames by columns, (..., k, n)."""
        n, k = self.shape[-2:]
        columns = np.empty((len(self._members), k, n), self._members[0].dtype)
        for member, one in zip(self._members, columns, strict=True):
            member.write(one)
        return columns.reshape(*self.shape[:-2], k, n)

    def factor(self) -> None:
        if self._pending is not None:
            (_, parts), self._pending = self._pending, None
            self._run(parts)
            return
        S, k = len(self._members), self.shape[-1]
        pivots = np.empty((S, k), self._members[0].dtype)
        self._each(_Member.factor, pivots)
        self._pivots.append(pivots.reshape(*self.shape[:-2], k))

    def _each(self, function: Any, *arguments: Any) -> None:
        if self._pool is None:
            for s, member in enumerate(self._members):
                function(member, s, *arguments)
        else:
            tasks = [self._pool.submit(function, member, s, *arguments) for s, member in enumerate(self._members)]
            for task in tasks:
                task.result()

    def collect(self) -> np.ndarray:
        growth = super().collect()
        log_R = np.stack([member.log_volumes() for member in self._members]).reshape(growth.shape)
        growth += log_R - self._log_R
        self._log_R = log_R
        return growth

    def basis(self) -> Any:
        self._flush()
        return as_array(np.swapaxes(self._columns(), -2, -1), self._like)

    def snapshot(self) -> Any:
        self._flush()
        return [member.saved() for member in self._members], self._log_R, self.lost

    def restore(self, saved: Any) -> None:
        members, self._log_R, self.lost = saved
        for member, one in zip(self._members, members, strict=True):
            member.restore(*one)
        self._pending = None
        self._pivots.clear()

    def saved(self) -> dict[str, np.ndarray]:
        # a block ends with a factorisation: members are packed
        packed, rows = zip(*(member.saved()[1:] for member in self._members), strict=True)
        return {"packed": np.stack(packed), "rows": np.stack(rows), "log_R": self._log_R, "lost": self.lost}

    def resume(self, saved: dict[str, np.ndarray]) -> None:
        self._log_R, self.lost = saved["log_R"], saved["lost"]
        for member, packed, rows in zip(self._members, saved["packed"], saved["rows"], strict=True):
            member.restore(None, packed, rows)


class _Member:
    """The frame of one sequence by columns (k, n): explicit, or packed with the order of its rows."""

    def __init__(self, V: np.ndarray, threads: int = 1) -> None:
        n, k = V.shape
        self._team = Team(threads) if threads > 1 else None
        self._threads = threads
        self._explicit: np.ndarray | None = V.T.copy(order="C")
        self._packed = packed_zeros(n, k, V.dtype)
        self._rows = np.arange(n)
        self._work = workspace(n, k, V.dtype, threads)
        self._kept: dict[int, Memory] = {}
        self.dtype = V.dtype

    @property
    def is_factored(self) -> bool:
        return self._explicit is None

    @property
    def _in_use(self) -> np.ndarray:
        """The part of the packed memory that holds the frame."""
        return self._packed[:, : len(self._rows)]

    def set(self, columns: np.ndarray) -> None:
        self._explicit = columns

    def factor(self, s: int, pivots: np.ndarray) -> None:
        """Factor an explicit frame; write what belongs to sequence ``s``."""
        assert self._explicit is not None
        self._in_use[...], self._explicit = self._explicit, None
        factor(self._packed, keys_of(self._packed), self._rows, pivots[s], self._work)
        settle(self._packed, self._work)

    def run(self, s: int, parts: Parts, pivots: np.ndarray) -> None:
        """Multiply a factored frame by the Jacobians of sequence ``s``, step after step, and factor after each."""
        moves = parts.forget.shape[-1] > 0
        spare = self._spare if moves else self._packed
        buffers, keys = (self._packed, spare), (keys_of(self._packed), keys_of(spare))
        memory = self._memory(parts.matrices.shape[2])
        if self._team is None:
            run(parts, s, buffers, keys, self._rows, pivots[s], memory, self._work)
        else:
            run_in_threads(parts, s, buffers, keys, self._rows, pivots[s], memory, self._work, self._team)
        if moves and pivots.shape[1] % 2:
            self._packed, self._spare = spare, self._packed

    @cached_property
    def _spare(self) -> np.ndarray:
        return packed_zeros(len(self._rows), len(self._packed), self.dtype)

    def _memory(self, m: int) -> Memory:
        """Return memory for products with matrices of ``m`` columns; it is kept."""
        if m not in self._kept:
            self._kept[m] = memory_for(len(self._rows), m, self.dtype, self._threads)
        return self._kept[m]

    def write(self, columns: np.ndarray) -> None:
        """Write the frame into ``columns`` (k, n)."""
        if self._explicit is None:
            unpack(self._packed, self._rows, columns)
        else:
            columns[...] = self._explicit

    def saved(self) -> tuple[Any, ...]:
        if self._explicit is None:
            return None, self._in_use.copy(), self._rows.copy()
        return self._explicit.copy(), None, None

    def restore(self, explicit: Any, packed: Any, rows: Any) -> None:
        self._explicit = None if explicit is None else explicit.copy()
        if explicit is None:
            self._in_use[...], self._rows[...] = packed, rows
            self._work.order[...] = np.arange(len(rows))  # whatever was interrupted

    def log_volumes(self) -> np.ndarray:
        """Return log R_ii of the triangular factor of the frame, worked out in float64."""
        # squaring costs half of the digits: safe for the mild L of partial pivoting, checked all the same
        (potrf,) = get_lapack_funcs(("potrf",), dtype=np.float64)
        triangle, info = potrf(self._square(), lower=1, clean=0, overwrite_a=1)
        diagonal = triangle.diagonal()
        if info == 0 and diagonal.min() > _CHOLESKY_SAFE * diagonal.max():
            return np.log(diagonal)
        triangle = np.asarray(np.linalg.qr(self._by_rows(), mode="r"))
        return np.log(np.abs(triangle.diagonal()))

    def _square(self) -> np.ndarray:
        """Return the lower triangle of F^T F, by columns; the order of the rows does not matter."""
        k, n = self._in_use.shape
        if self._explicit is None and k == n:
            L = np.array(self._in_use.T, np.float64, order="F")
            np.fill_diagonal(L, 1)
            (lauum,) = get_lapack_funcs(("lauum",), dtype=np.float64)
            return lauum(L, lower=1, overwrite_c=1)[0]
        (syrk,) = get_blas_funcs(("syrk",), dtype=np.float64)
        return syrk(1.0, self._by_rows(), trans=1, lower=1)

    def _by_rows(self) -> np.ndarray:
        columns = np.empty(self._in_use.shape)
        self.write(columns)
        return columns.T
