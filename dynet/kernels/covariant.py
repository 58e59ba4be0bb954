"""Triangular factors of a tangent frame, recorded forwards, and the recursion that goes back through them.

A frame that started at random spans nothing new after a column that is lost to rounding: all columns after it are
lost too. What is left is the frame of fewer columns, and its factors can be inverted.

With ``J Q = Q' R`` a vector ``Q c`` is mapped to ``Q' R c``, so that ``c = R^-1 c'`` follows a covariant vector back.
There is one recording loop for each way to take a step (`dynet.kernels.rk`); they take the user's functions as
arguments and compile on first use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dynet.kernels import rk
from dynet.kernels.caching import CACHE
from dynet.kernels.formulas import pack_frame, unpack_frame
from dynet.kernels.orthonormalise import remove_earlier, squared_length
from dynet.kernels.rounding import is_rounding
from dynet.kernels.small import PLAIN_LOOPS_UP_TO, input_row
from dynet.kernels.tuple_memory import peek, poke


@njit(error_model="numpy", nogil=True, cache=CACHE)
def triangulate_plain(V, R):  # type: ignore[no-untyped-def]
    """Replace ``V`` (n, k) by its orthonormal factor and write the other one, diag R >= 0, into ``R`` (k, k).

    A column whose pivot is rounding (`dynet.kernels.rounding.is_rounding`) and all columns after it, and their rows and
    columns of R, become zero.
    """
    n, k = V.shape
    epsilon = np.finfo(V.dtype).eps
    R[:, :] = 0.0
    largest, total = 0.0, 0.0
    for j in range(k):
        square = squared_length(V, j)
        largest = max(largest, np.sqrt(square))
        total += square
    if not np.isfinite(total):
        R[:, :] = np.nan
        return
    for j in range(k):
        before = np.sqrt(squared_length(V, j))
        # another pass makes the column orthogonal to rounding where much of its length was cancelled
        for _ in range(3):
            R[j, j] = remove_earlier(V, j, R)
            if R[j, j] >= 0.5 * before:
                break
            before = R[j, j]
        if is_rounding(R, j, largest, epsilon):
            _lose(V, R, j)
            return
        for i in range(n):
            V[i, j] /= R[j, j]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def triangulate_lapack(V, R):  # type: ignore[no-untyped-def]
    """`triangulate_plain` by Householder reflections, for larger frames."""
    n, k = V.shape
    count = 0
    while count < k and squared_length(V, count) != 0.0:
        count += 1
    R[:, :] = 0.0
    if count == 0:
        return
    for i in range(n):
        for j in range(count):
            if not np.isfinite(V[i, j]):
                R[:, :] = np.nan  # LAPACK must not see it
                return
    Q, T = np.linalg.qr(V[:, :count].copy())
    largest = 0.0
    for i in range(count):
        for j in range(i, count):
            largest = max(largest, abs(T[i, j]))
            R[i, j] = -T[i, j] if T[i, i] < 0.0 else T[i, j]
    for i in range(n):
        # rows that are zero stay so to the last bit: reflections leave rounding there, which would count as directions
        in_use = V[i, :count].any()
        for j in range(count):
            V[i, j] = (-Q[i, j] if T[j, j] < 0.0 else Q[i, j]) if in_use else 0.0
    for j in range(count):
        if is_rounding(R, j, largest, np.finfo(V.dtype).eps):
            _lose(V, R, j)
            return


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _lose(V, R, first):  # type: ignore[no-untyped-def]
    V[:, first:] = 0.0
    R[:, first:] = 0.0
    R[first:, :] = 0.0


@njit(error_model="numpy", nogil=True)
def _is_finite(x, R):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        if not np.isfinite(x[i]):
            return False
    for i in range(R.shape[0]):
        for j in range(i, R.shape[0]):
            if not np.isfinite(R[i, j]):
                return False
    return True


def _array_block(tangent: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def recorded_block(f, df, x, V, scratch, inputs, p, first, dt, R, rows, Q, states):  # type: ignore[no-untyped-def]
        """Take a step for each row of ``R`` (step, k, k), in which the triangular factors are written.

        Before step ``s`` the frame (n, k) and the state are written into row ``rows[s]`` of ``Q`` and ``states``,
        unless that is negative. ``V`` is updated in place, ``scratch`` are three arrays like it. Returns the state
        and the number of steps after which everything was finite.
        """
        n, k = V.shape
        for s in range(R.shape[0]):
            if rows[s] >= 0:
                Q[rows[s]] = V
                for i in range(n):
                    states[rows[s], i] = x[i]
            u = input_row(inputs, 0, first + s)
            x, out = tangent(f, df, (first + s) * dt, x, V, scratch, u, p, dt)
            for i in range(n):
                for j in range(k):
                    V[i, j] = out[i, j]
            if n > PLAIN_LOOPS_UP_TO:
                triangulate_lapack(V, R[s])
            else:
                triangulate_plain(V, R[s])
            if not _is_finite(x, R[s]):
                return x, s
        return x, R.shape[0]

    return recorded_block


def _tuple_block(tangent: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def recorded_block(f, df, x, V, columns, inputs, p, first, dt, R, rows, Q, states):  # type: ignore[no-untyped-def]
        """Do the same for a frame that is a tuple of columns; ``columns`` (k, n) is scratch. Returns the frame too."""
        n, k = columns.shape[1], columns.shape[0]
        for s in range(R.shape[0]):
            if rows[s] >= 0:
                for i in range(n):
                    states[rows[s], i] = x[i]
                    for j in range(k):
                        Q[rows[s], i, j] = columns[j, i]
            u = input_row(inputs, 0, first + s)
            F = pack_frame(V)
            x, F = tangent(f, df, (first + s) * dt, x, F, (F, F, F), u, p, dt)
            poke(columns, 0, 1, unpack_frame(F, V))
            triangulate_plain(columns.T, R[s])
            V = peek(columns, 0, 1, V)
            if not _is_finite(x, R[s]):
                return x, V, s
        return x, V, R.shape[0]

    return recorded_block


#: Recording loops by the way a step is taken: for frames that are arrays, for frames that are tuples.
RECORDED_BLOCKS: dict[str, Any] = {kind: _array_block(tangent) for kind, tangent in rk.TANGENTS.items()}
RECORDED_TUPLE_BLOCKS: dict[str, Any] = {kind: _tuple_block(tangent) for kind, tangent in rk.TANGENTS.items()}


@njit(error_model="numpy", nogil=True, cache=CACHE)
def go_back(R, C, alive, growth):  # type: ignore[no-untyped-def]
    """Follow the vectors ``C`` (k, k) back through the factors ``R`` (step, k, k), which they replace.

    ``C`` is upper triangular with columns of length one; it is updated in place. ``R[s]`` becomes what it is before
    step ``s``, and ``growth[s]`` (k,) the log growth of the vectors in that step. Rows and columns that are not
    ``alive`` (k,) are zero.
    """
    n_steps, k = growth.shape
    lengths = np.empty(k)
    for s in range(n_steps - 1, -1, -1):
        lengths[:] = 0.0
        for i in range(k - 1, -1, -1):
            if not alive[i]:
                continue
            for m in range(i + 1, k):
                entry = R[s, i, m]
                if alive[m] and entry != 0.0:
                    for j in range(m, k):
                        C[i, j] -= entry * C[m, j]
            pivot = R[s, i, i]
            for j in range(i, k):
                C[i, j] /= pivot
                lengths[j] += C[i, j] * C[i, j]
        for j in range(k):
            lengths[j] = np.sqrt(lengths[j]) if alive[j] else 1.0
            growth[s, j] = -np.log(lengths[j]) if alive[j] else -np.inf
        for i in range(k):
            for j in range(k):
                if i <= j:
                    C[i, j] /= lengths[j]
                R[s, i, j] = C[i, j]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def angles_between(C, alive, angles):  # type: ignore[no-untyped-def]
    """Write the angles (time, k, k) in [0, pi/2] between the columns of ``C`` (time, k, k), upper triangular.

    They come from sums and differences of unit vectors, exact for small angles too; 0 where one is not ``alive``.
    """
    n_times, k, _ = C.shape
    sums, differences = np.empty((k, k)), np.empty((k, k))
    for t in range(n_times):
        sums[:, :] = 0.0
        differences[:, :] = 0.0
        for m in range(k):
            for i in range(k):
                a = C[t, m, i] if i >= m else 0.0
                for j in range(max(i + 1, m), k):
                    b = C[t, m, j]
                    sums[i, j] += (a + b) * (a + b)
                    differences[i, j] += (a - b) * (a - b)
        for i in range(k):
            angles[t, i, i] = 0.0
            for j in range(i + 1, k):
                angle = 0.0
                if alive[i] and alive[j]:
                    chord = np.sqrt(min(sums[i, j], differences[i, j]))
                    # rounding takes a right angle to either side
                    angle = min(2.0 * np.arcsin(0.5 * chord), 0.5 * np.pi)
                angles[t, i, j] = angle
                angles[t, j, i] = angle
