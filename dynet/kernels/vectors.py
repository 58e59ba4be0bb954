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
    """Return how many numbers of that size fill a line of the cache, the rows of a tile."""
    return 64 // itemsize


def _load(builder: Any, address: Any, kind: Any, size: int) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=size)


def _everywhere(builder: Any, value: Any, vector: Any) -> Any:
    first = ir.Constant(ir.IntType(32), 0)
    nothing = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(builder.insert_element(nothing, value, first), nothing, zeros)


def _prefetch(builder: Any, address: Any, *, written: bool) -> None:
    """Have a line of the cache fetched that will be read, or read and written."""
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, [builder.inttoptr(address, byte), word(int(written)), word(2), word(1)])


@intrinsic
def exchange_numbers(typing_context, first, second, prototype):  # type: ignore[no-untyped-def]
    """Exchange the numbers at two addresses. ``prototype`` is a number of the dtype."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        numbers = [_load(builder, address, kind, size) for address in values[:2]]
        for number, address in zip(numbers, values[1::-1], strict=True):
            builder.store(number, builder.inttoptr(address, kind.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(first, second, prototype), generate


@intrinsic
def combine_lines(typing_context, lines, apart, lefts, width, rights, places, count, target, ahead, prototype):  # type: ignore[no-untyped-def]
    """Write the sum over g < ``count`` of ``right_g left_g line_g`` into the line of the cache at ``target``.

    ``lines`` is the address of the first line, ``lefts`` that of its factors, number by number, and ``rights`` that of
    a factor of the whole line; those of the next g follow ``apart``, ``width`` and ``places`` bytes after. The lines
    that stand at ``ahead`` and ``apart`` bytes after are fetched. ``prototype`` is a number of the dtype.
    """

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        lines_at, between, lefts_at, left_size, rights_at, right_size, n, target_at, ahead_at, _ = values
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        vector = ir.VectorType(kind, 64 // size)

        def product(g: Any) -> Any:
            line_at = builder.add(lines_at, builder.mul(g, between))
            _prefetch(builder, builder.add(ahead_at, builder.mul(g, between)), written=False)
            left = _load(builder, builder.add(lefts_at, builder.mul(g, left_size)), vector, size)
            right = _load(builder, builder.add(rights_at, builder.mul(g, right_size)), kind, size)
            factor = builder.fmul(left, _everywhere(builder, right, vector), flags=_EXACT)
            return builder.fmul(_load(builder, line_at, vector, size), factor, flags=_EXACT)

        total = cgutils.alloca_once_value(builder, product(_WORD(0)))
        with cgutils.for_range(builder, n, start=_WORD(1)) as loop:
            builder.store(builder.fadd(builder.load(total), product(loop.index), flags=_EXACT), total)
        builder.store(builder.load(total), builder.inttoptr(target_at, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(lines, apart, lefts, width, rights, places, count, target, ahead, prototype), generate


@intrinsic
def fetch_line(typing_context, address):  # type: ignore[no-untyped-def]
    """Have the line of the cache at an address fetched, which need not be one."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        _prefetch(builder, values[0], written=False)
        return context.get_dummy_value()

    return types.none(address), generate


@intrinsic
def copy_line(typing_context, source, target, prototype):  # type: ignore[no-untyped-def]
    """Copy `lanes` numbers from one address to another. ``prototype`` is a number of the dtype."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        vector = ir.VectorType(kind, 64 // size)
        numbers = _load(builder, values[0], vector, size)
        builder.store(numbers, builder.inttoptr(values[1], vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.none(source, target, prototype), generate


def _add_summand(builder, totals, vector, rows_at, factors, k, *, subtract):  # type: ignore[no-untyped-def]
    """Add the ``k``-th numbers of some rows times those at the addresses ``factors``, or subtract them."""
    size = 64 // vector.count
    row = _load(builder, builder.add(rows_at, builder.mul(k, _WORD(64))), vector, size)
    for total, factor_at in zip(totals, factors, strict=True):
        factor = _load(builder, factor_at, vector.element, size)
        product = builder.fmul(row, _everywhere(builder, factor, vector), flags=_EXACT)
        combined = (builder.fsub if subtract else builder.fadd)(builder.load(total), product, flags=_EXACT)
        builder.store(combined, total)


def _remainder(context, builder, prototype, values, w):  # type: ignore[no-untyped-def]
    """Return what is left of the columns of a target after a product, their places, and the vectors' type."""
    rows_at, columns_at, n, target_at, between, _, distance, _ = values
    kind = context.get_value_type(prototype)
    size = context.get_abi_sizeof(kind)
    vector = ir.VectorType(kind, 64 // size)
    places, columns = (
        [builder.add(start, builder.mul(between, _WORD(c))) for c in range(w)] for start in (target_at, columns_at)
    )
    for place in places:
        _prefetch(builder, builder.add(place, distance), written=True)
    totals = [cgutils.alloca_once_value(builder, _load(builder, place, vector, size)) for place in places]
    with cgutils.for_range(builder, n) as loop:
        offset = builder.mul(loop.index, _WORD(size))
        factors = [builder.add(column, offset) for column in columns]
        _add_summand(builder, totals, vector, rows_at, factors, loop.index, subtract=True)
    return [builder.load(total) for total in totals], places, vector


def _store_columns(context, builder, totals, places, vector):  # type: ignore[no-untyped-def]
    size = context.get_abi_sizeof(vector.element)
    for place, total in zip(places, totals, strict=True):
        builder.store(total, builder.inttoptr(place, vector.as_pointer()), align=size)
    return context.get_dummy_value()


@intrinsic
def product_tile(typing_context, rows, columns, count, target, apart, width, ahead, prototype):  # type: ignore[no-untyped-def]
    """Write `lanes` rows times ``width`` (a literal) columns, summed over ``count`` numbers, into ``target``.

    ``rows`` and ``columns`` are the addresses of the factors, those of one summand side by side: `lanes` of the one,
    ``width`` of the other. Columns of the target are ``apart`` bytes apart. Meanwhile an eighth as many lines of the
    cache are fetched from the address ``ahead`` on. ``prototype`` is a number of the dtype.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    w = width.literal_value

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        rows_at, columns_at, n, target_at, between, _, ahead_at, _ = values
        kind = context.get_value_type(prototype)
        size = context.get_abi_sizeof(kind)
        vector = ir.VectorType(kind, 64 // size)
        totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(w)]

        def add(k: Any) -> None:
            first = builder.add(columns_at, builder.mul(k, _WORD(w * size)))
            factors = [builder.add(first, _WORD(c * size)) for c in range(w)]
            _add_summand(builder, totals, vector, rows_at, factors, k, subtract=False)

        with cgutils.for_range(builder, builder.udiv(n, _WORD(8))) as loop:
            _prefetch(builder, builder.add(ahead_at, builder.mul(loop.index, _WORD(64))), written=False)
            for k in range(8):
                add(builder.add(builder.mul(loop.index, _WORD(8)), _WORD(k)))
        rest = builder.urem(n, _WORD(8))
        with cgutils.for_range(builder, n, start=builder.sub(n, rest)) as loop:
            add(loop.index)
        places = [builder.add(target_at, builder.mul(between, _WORD(c))) for c in range(w)]
        return _store_columns(context, builder, [builder.load(total) for total in totals], places, vector)

    return types.none(rows, columns, count, target, apart, width, ahead, prototype), generate


@intrinsic
def subtract_tile(typing_context, rows, columns, count, target, apart, width, beyond, prototype):  # type: ignore[no-untyped-def]
    """Subtract `lanes` rows times ``width`` (a literal) columns, summed over ``count`` numbers, from ``target``.

    ``rows`` is the address of rows as `product_tile` takes them, ``columns`` that of the first column; columns, also
    those of the target, are ``apart`` bytes apart. What is ``beyond`` bytes further than the target is fetched.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        left = _remainder(context, builder, prototype, values, width.literal_value)
        return _store_columns(context, builder, *left)

    return types.none(rows, columns, count, target, apart, width, beyond, prototype), generate


@intrinsic
def solve_tile(typing_context, rows, columns, count, target, apart, width, beyond, largest, prototype):  # type: ignore[no-untyped-def]
    """Subtract a product like `subtract_tile` and solve by the unit lower triangle whose columns follow in ``rows``.

    On and above its diagonal stand zeros. ``largest`` is the address of a line of the cache in which the largest
    magnitudes of results are kept.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    w = width.literal_value

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        *given, largest_at, number = values
        totals, places, vector = _remainder(context, builder, prototype, [*given, number], w)
        lane = ir.IntType(32)
        rows_at = builder.add(values[0], builder.mul(values[2], _WORD(64)))
        for j in range(vector.count):
            column = _load(builder, builder.add(rows_at, _WORD(64 * j)), vector, 64 // vector.count)
            chosen = ir.Constant(ir.VectorType(lane, vector.count), [lane(j)] * vector.count)
            for c in range(w):
                solved = builder.shuffle_vector(totals[c], totals[c], chosen)
                product = builder.fmul(column, solved, flags=_EXACT)
                totals[c] = builder.fsub(totals[c], product, flags=_EXACT)
        largest = _load(builder, largest_at, vector, 64 // vector.count)
        name = f"llvm.fabs.v{vector.count}f{512 // vector.count}"
        magnitude = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
        for total in totals:
            size = builder.call(magnitude, [total])
            largest = builder.select(builder.fcmp_ordered(">", size, largest), size, largest)
        builder.store(largest, builder.inttoptr(largest_at, vector.as_pointer()), align=64 // vector.count)
        return _store_columns(context, builder, totals, places, vector)

    return types.none(rows, columns, count, target, apart, width, beyond, largest, prototype), generate
