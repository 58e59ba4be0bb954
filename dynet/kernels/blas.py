"""BLAS called from compiled code: addresses are handed over at run time, so that what is compiled can be cached."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import get_cython_function_address, intrinsic

#: The character that BLAS is told by address: matrices are multiplied as they are.
LETTERS = np.frombuffer(b"N", dtype=np.uint8).copy()


@cache
def address(name: str, dtype: np.dtype[Any]) -> int:
    """Return where the BLAS function ``name`` ("gemm") for numbers of ``dtype`` starts."""
    letter = {"float32": "s", "float64": "d"}[np.dtype(dtype).name]
    return int(get_cython_function_address("scipy.linalg.cython_blas", letter + name))


def _call(n_arguments: int) -> Any:
    """Return a compiled caller of a function that takes so many addresses and returns nothing."""

    @intrinsic
    def call(typing_context, function, arguments):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [pointer] * n_arguments)
            target = builder.inttoptr(values[0], kind.as_pointer())
            given = [builder.extract_value(values[1], i) for i in range(n_arguments)]
            builder.call(target, [builder.inttoptr(builder.zext(g, word), pointer) for g in given])
            return context.get_dummy_value()

        return types.none(function, arguments), generate

    return call


_call13 = _call(13)


@njit(error_model="numpy", nogil=True)
def gemm(function, letters, sizes, scalars, a, lda, b, ldb, c, ldc, m, n, k, alpha, beta):  # type: ignore[no-untyped-def]
    """``C = alpha A B + beta C`` with C (m, n), all by columns and by address.

    ``sizes`` (6,) of int32 and ``scalars`` (2,) are scratch.
    """
    sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] = m, n, k, lda, ldb, ldc
    scalars[0], scalars[1] = alpha, beta
    none = letters.ctypes.data
    at, by = sizes.ctypes.data, scalars.ctypes.data
    width = scalars.itemsize
    _call13(function, (none, none, at, at + 4, at + 8, by, a, at + 12, b, at + 16, by + width, c, at + 20))
