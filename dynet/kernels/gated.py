"""Frames carried over many steps of a recurrent layer in one call, all sequences in turn.

The gates of a sequence are summed into one matrix first, which costs as much as a product with a few columns and
saves one product a gate. The product itself is written out here: BLAS copies a matrix before it multiplies by it,
which is as much work as the few columns are. All matrices are given by columns, ``A[column, row]``; rows are padded
with zeros to whole lines of the cache.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from dynet.kernels.caching import CACHE
from dynet.kernels.packed import apart
from dynet.kernels.vectors import _WORD, _everywhere, _load, lanes

_CONTRACT = {"contract"}
_EXACT = ("contract",)


def padded(matrices: np.ndarray) -> np.ndarray:
    """Return matrices (..., row, column) by columns, (..., column, padded row)."""
    *batch, rows, columns = matrices.shape
    out = np.zeros((*batch, columns, apart(rows, matrices.dtype)), matrices.dtype)
    out[..., :rows] = np.swapaxes(matrices, -2, -1)
    return out


@intrinsic
def times_columns(typing_context, to, to_apart, matrix, matrix_apart, by, by_apart, count, width, prototype):  # type: ignore[no-untyped-def]
    """Write some rows of ``A B`` for ``width`` (a literal) columns of ``B``.

    ``to`` is the address of `lanes` rows of the first of these columns, ``matrix`` that of the same rows of ``A``'s
    first column, ``by`` that of the first column of ``B``, of which ``count`` entries are used. Columns of each are so
    many bytes apart. ``prototype`` is a number of the dtype.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    w = width.literal_value

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        to_at, to_between, rows_at, rows_between, by_at, by_between, n, _, _ = values
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        vector = ir.VectorType(kind, 64 // size)
        columns = [builder.add(by_at, builder.mul(by_between, _WORD(c))) for c in range(w)]
        totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(w)]
        with cgutils.for_range(builder, n) as loop:
            row = _load(builder, builder.add(rows_at, builder.mul(loop.index, rows_between)), vector, size)
            offset = builder.mul(loop.index, _WORD(size))
            for column, total in zip(columns, totals, strict=True):
                factor = _everywhere(builder, _load(builder, builder.add(column, offset), kind, size), vector)
                product = builder.fmul(row, factor, flags=_EXACT)
                builder.store(builder.fadd(builder.load(total), product, flags=_EXACT), total)
        for c, total in enumerate(totals):
            place = builder.add(to_at, builder.mul(to_between, _WORD(c)))
            builder.store(builder.load(total), builder.inttoptr(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(to, to_apart, matrix, matrix_apart, by, by_apart, count, width, prototype), generate


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _product(A, B, part, out):  # type: ignore[no-untyped-def]
    """Write ``A B[:, 0]`` into ``out[:, part]``: all columns (column, part, padded row)."""
    k, n_parts, width = B.shape
    count, one, item = A.shape[0], A.dtype.type(1), A.itemsize
    between = n_parts * width * item
    for row in range(0, count, lanes(item)):
        a, v, to = A.ctypes.data + row * item, B.ctypes.data, out.ctypes.data + (part * width + row) * item
        c = 0
        while c + 6 <= k:
            times_columns(to + c * between, between, a, width * item, v + c * between, between, count, 6, one)  # type: ignore[call-arg]
            c += 6
        if c + 4 <= k:
            times_columns(to + c * between, between, a, width * item, v + c * between, between, count, 4, one)  # type: ignore[call-arg]
            c += 4
        while c < k:
            times_columns(to + c * between, between, a, width * item, v + c * between, between, count, 1, one)  # type: ignore[call-arg]
            c += 1


@njit(error_model="numpy", nogil=True, fastmath=_CONTRACT, cache=CACHE)
def _sum_of_gates(matrices, lefts, step, s, out):  # type: ignore[no-untyped-def]
    """Write ``sum_g diag(left_g) W_g`` of one step of a sequence."""
    H, zero, n_gates = uint64(lefts[0].shape[2]), uint64(0), len(lefts)
    left = lefts[0][step, s]
    if n_gates == 3:  # those of most cells: read and written once
        second, third = lefts[n_gates - 2][step, s], lefts[n_gates - 1][step, s]
        for c in range(uint64(out.shape[0])):
            for i in range(zero, H):
                out[c, i] = left[i] * matrices[0, c, i] + second[i] * matrices[1, c, i] + third[i] * matrices[2, c, i]
        return
    for c in range(uint64(out.shape[0])):
        for i in range(zero, H):
            out[c, i] = left[i] * matrices[0, c, i]
        for g in range(1, n_gates):
            other = lefts[g][step, s]
            for i in range(zero, H):
                out[c, i] += other[i] * matrices[g, c, i]


@njit(error_model="numpy", nogil=True, fastmath=_CONTRACT, cache=CACHE)
def carry_sum(matrices, lefts, diagonal, begin, end, frames):  # type: ignore[no-untyped-def]
    """Multiply frames by ``diag(d) + sum_g diag(left_g) W_g`` step after step, in place.

    ``matrices`` (gate, column, padded row); ``lefts`` a tuple of (step, sequence, n); ``diagonal`` the same, or of no
    steps where there is none; ``frames`` (sequence, column, 1, padded row), of which those from ``begin`` up to
    ``end`` are taken.
    """
    A, product = np.zeros_like(matrices[0]), np.zeros_like(frames[0])
    n, zero = uint64(lefts[0].shape[2]), uint64(0)
    for s in range(begin, end):
        for step in range(len(lefts[0])):
            _sum_of_gates(matrices, lefts, step, s, A)
            _product(A, frames[s], 0, product)
            if len(diagonal):
                d = diagonal[step, s]
                for j in range(uint64(len(product))):
                    for i in range(zero, n):
                        product[j, 0, i] += d[i] * frames[s, j, 0, i]
            frames[s] = product


@njit(error_model="numpy", nogil=True, fastmath=_CONTRACT, cache=CACHE)
def carry_memory(matrices, lefts, direct, output, forget, begin, end, frames):  # type: ignore[no-untyped-def]
    """Do the same for a cell with a memory: ``dc' = f dc + M dh``, ``dh' = diag(direct) W_last dh + s dc'``.

    All but the last of the ``matrices`` make M; ``output`` is s, ``forget`` f; ``frames`` (sequence, column, 2, padded
    row) hold (h, c).
    """
    A, product = np.zeros_like(matrices[0]), np.zeros_like(frames[0])
    H, zero = uint64(direct.shape[2]), uint64(0)
    for s in range(begin, end):
        frame = frames[s]
        for step in range(len(lefts[0])):
            _sum_of_gates(matrices, lefts, step, s, A)
            _product(matrices[-1], frame, 0, product)
            _product(A, frame, 1, product)
            to_h, memory_to_h, kept = direct[step, s], output[step, s], forget[step, s]
            for j in range(uint64(len(frame))):
                for i in range(zero, H):
                    c = product[j, 1, i] + kept[i] * frame[j, 1, i]
                    frame[j, 1, i] = c
                    frame[j, 0, i] = to_h[i] * product[j, 0, i] + memory_to_h[i] * c
