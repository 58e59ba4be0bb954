"""Short vectors written out in machine code: compilers see none where two parts of one array meet.

Addresses and distances are 64-bit integers in bytes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

_EXACT = ("contract",)  # products and sums may become one instruction; nothing else may change
_WORD = ir.IntType(64)


@register_jitable
def lanes(itemsize: int) -> int:
    """Return how many numbers of that size fill a line of the cache, the rows of `times_triangle`."""
    return 64 // itemsize


def _load(builder: Any, address: Any, kind: Any, size: int) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=size)


def _everywhere(builder: Any, value: Any, vector: Any) -> Any:
    first = ir.Constant(ir.IntType(32), 0)
    nothing = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(builder.insert_element(nothing, value, first), nothing, zeros)


@intrinsic
def solve_eight(typing_context, at, lower, apart, below, prototype):  # type: ignore[no-untyped-def]
    """Replace 8 entries of a column, at address ``at``, by what a unit lower triangle makes them of.

    ``lower`` is the address of the diagonal of the triangle, whose columns are ``apart`` bytes apart. What they
    contribute to the next ``below`` groups of 8 entries is subtracted there. ``prototype`` is a number of the dtype.
    """

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        column_at, lower_at, between, n, _ = values
        kind = context.get_value_type(prototype)
        vector, size = ir.VectorType(kind, 8), context.get_abi_sizeof(kind)
        columns = [builder.add(lower_at, builder.mul(between, _WORD(j))) for j in range(8)]

        def less(total: Any, of: int, offset: Any, factor: Any, width: Any) -> Any:
            entry = _load(builder, builder.add(columns[of], offset), width, size)
            return builder.fsub(total, builder.fmul(entry, factor, flags=_EXACT), flags=_EXACT)

        solved: list[Any] = []
        for i in range(8):
            place = builder.add(column_at, _WORD(i * size))
            value = _load(builder, place, kind, size)
            for j, earlier in enumerate(solved):
                value = less(value, j, _WORD(i * size), earlier, kind)
            builder.store(value, builder.inttoptr(place, kind.as_pointer()), align=size)
            solved.append(value)
        factors = [_everywhere(builder, value, vector) for value in solved]
        with cgutils.for_range(builder, n) as loop:
            offset = builder.mul(builder.add(loop.index, _WORD(1)), _WORD(8 * size))
            place = builder.add(column_at, offset)
            total = _load(builder, place, vector, size)
            for j, factor in enumerate(factors):
                total = less(total, j, offset, factor, vector)
            builder.store(total, builder.inttoptr(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(at, lower, apart, below, prototype), generate


@intrinsic
def times_triangle(typing_context, at, lower, apart, count, width, prototype):  # type: ignore[no-untyped-def]
    """Replace ``width`` (a literal) columns of some rows by their product with a unit lower triangle.

    ``at`` is the address of `lanes` rows of the first of these columns; ``count`` columns stand from there on.
    ``lower`` is the address of the diagonal of the triangle in its column of that number. Columns of both are
    ``apart`` bytes apart. ``prototype`` is a number of the dtype.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    w = width.literal_value

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        rows_at, lower_at, between, n, _, _ = values
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        vector = ir.VectorType(kind, 64 // size)
        starts = [builder.mul(between, _WORD(c)) for c in range(w)]
        columns = [builder.add(lower_at, start) for start in starts]
        places = [builder.add(rows_at, start) for start in starts]

        def plus(total: Any, k: Any, c: int, row: Any) -> Any:
            factor = _load(builder, builder.add(columns[c], builder.mul(k, _WORD(size))), kind, size)
            product = builder.fmul(row, _everywhere(builder, factor, vector), flags=_EXACT)
            return builder.fadd(total, product, flags=_EXACT)

        first = [_load(builder, place, vector, size) for place in places]
        totals = [cgutils.alloca_once(builder, vector) for _ in range(w)]
        for c in range(w):
            total = first[c]
            for k in range(c + 1, w):
                total = plus(total, _WORD(k), c, first[k])
            builder.store(total, totals[c])
        with cgutils.for_range(builder, n, start=_WORD(w)) as loop:
            row = _load(builder, builder.add(rows_at, builder.mul(loop.index, between)), vector, size)
            for c in range(w):
                builder.store(plus(builder.load(totals[c]), loop.index, c, row), totals[c])
        for place, total in zip(places, totals, strict=True):
            builder.store(builder.load(total), builder.inttoptr(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(at, lower, apart, count, width, prototype), generate


@intrinsic
def product_tile(typing_context, rows, columns, count, target, apart, width, prototype):  # type: ignore[no-untyped-def]
    """Write `lanes` rows times ``width`` (a literal) columns, summed over ``count`` numbers, into ``target``.

    ``rows`` and ``columns`` are the addresses of the factors, those of one summand side by side: `lanes` of the one,
    ``width`` of the other. Columns of the target are ``apart`` bytes apart. ``prototype`` is a number of the dtype.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    w = width.literal_value

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        rows_at, columns_at, n, target_at, between, _, _ = values
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        vector = ir.VectorType(kind, 64 // size)
        totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(w)]
        with cgutils.for_range(builder, n) as loop:
            row = _load(builder, builder.add(rows_at, builder.mul(loop.index, _WORD(64))), vector, size)
            factors_at = builder.add(columns_at, builder.mul(loop.index, _WORD(w * size)))
            for c, total in enumerate(totals):
                factor = _load(builder, builder.add(factors_at, _WORD(c * size)), kind, size)
                product = builder.fmul(row, _everywhere(builder, factor, vector), flags=_EXACT)
                builder.store(builder.fadd(builder.load(total), product, flags=_EXACT), total)
        for c, total in enumerate(totals):
            place = builder.add(target_at, builder.mul(between, _WORD(c)))
            builder.store(builder.load(total), builder.inttoptr(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(rows, columns, count, target, apart, width, prototype), generate
