"""Short vectors written out in machine code: compilers do not see them where two parts of one array meet."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WIDTH = 8


@intrinsic
def subtract_eight(typing_context, address, source, stride, factors):  # type: ignore[no-untyped-def]
    """Subtract ``factors[s]`` times the 8 numbers at ``source + s stride`` from those at ``address``, for all s."""
    number = factors.dtype

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(number)
        vector = ir.VectorType(kind, _WIDTH)
        size, word = context.get_abi_sizeof(kind), ir.IntType(64)
        target = builder.inttoptr(values[0], vector.as_pointer())
        total = builder.load(target, align=size)
        whole = ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), None)
        for s in range(factors.count):
            at = builder.add(values[1], builder.mul(values[2], ir.Constant(word, s)))
            row = builder.load(builder.inttoptr(at, vector.as_pointer()), align=size)
            one = builder.insert_element(
                ir.Constant(vector, ir.Undefined), builder.extract_value(values[3], s), ir.Constant(ir.IntType(32), 0)
            )
            every = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), whole)
            total = builder.fsub(total, builder.fmul(row, every, flags=("contract",)), flags=("contract",))
        builder.store(total, target, align=size)
        return context.get_dummy_value()

    return types.none(address, source, stride, factors), generate
