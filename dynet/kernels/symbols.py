"""Symbols for numbers: formulas of plain Python that are run on them write their operations down as instructions.

The functions here take symbols or plain numbers, so that a formula made of them can be run on either.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import models, register_model

DOUBLE, _INT32, _INT64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)
#: Bits of 1.5 * 2^52: a small integer added to them is that integer in floating point.
_SHIFT_BITS, _SHIFT = 0x4338000000000000, 6755399441055744.0


class Vector(types.Type):
    """Several numbers that a processor computes with at once; plain Python uses arrays in their place."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"vector of {width}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(DOUBLE, kind.width))


class Condition:
    """A symbol for a truth value."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.builder, self.builder.and_(self.value, other.value))


class Number:
    """A symbol for a floating point number, or a vector of them: its operations are written down by an LLVM builder.

    Constants take the precision of the symbol they meet; of two symbols the more precise one decides.
    """

    def __init__(self, builder: Any, value: Any, flags: tuple[str, ...] = ()) -> None:
        self.builder, self.value, self.flags = builder, value, flags

    def _new(self, value: Any) -> Number:
        return Number(self.builder, value, self.flags)

    def to(self, kind: Any) -> Number:
        """Return the number in another LLVM floating point type."""
        if self.value.type == kind:
            return self
        widen = kind == DOUBLE
        return self._new((self.builder.fpext if widen else self.builder.fptrunc)(self.value, kind))

    def _pair(self, other: Any) -> tuple[Any, Any]:
        kind = self.value.type
        if not isinstance(other, Number):
            return self.value, ir.Constant(kind, [float(other)] * kind.count if is_vector(kind) else float(other))
        if kind == other.value.type:
            return self.value, other.value
        if is_vector(kind):
            return self.value, other._spread(kind)
        if is_vector(other.value.type):
            return self._spread(other.value.type), other.value
        return self.to(DOUBLE).value, other.to(DOUBLE).value

    def _spread(self, kind: Any) -> Any:
        """Return a vector with the number in every place."""
        places = ir.Constant(ir.VectorType(_INT32, kind.count), [0] * kind.count)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, self.to(DOUBLE).value, ir.Constant(_INT32, 0))
        return self.builder.shuffle_vector(one, undefined, places)

    def __getitem__(self, place: int) -> Number:
        return self._new(self.builder.extract_element(self.value, ir.Constant(_INT32, place)))

    def _do(self, operation: Any, other: Any, *, swap: bool = False) -> Number:
        a, b = self._pair(other)
        return self._new(operation(b, a, flags=self.flags) if swap else operation(a, b, flags=self.flags))

    def __add__(self, other: Any) -> Number:
        return self._do(self.builder.fadd, other)

    def __sub__(self, other: Any) -> Number:
        return self._do(self.builder.fsub, other)

    def __mul__(self, other: Any) -> Number:
        return self._do(self.builder.fmul, other)

    def __truediv__(self, other: Any) -> Number:
        return self._do(self.builder.fdiv, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Number:
        return self._do(self.builder.fsub, other, swap=True)

    def __rtruediv__(self, other: Any) -> Number:
        return self._do(self.builder.fdiv, other, swap=True)

    def __neg__(self) -> Number:
        return self._new(self.builder.fneg(self.value))

    def _compare(self, sign: str, other: Any) -> Condition:
        # ordered: false when one of the two is not a number
        return Condition(self.builder, self.builder.fcmp_ordered(sign, *self._pair(other)))

    def __lt__(self, other: Any) -> Condition:
        return self._compare("<", other)

    def __gt__(self, other: Any) -> Condition:
        return self._compare(">", other)


def wide(x: Any) -> Any:
    """Return a number in double precision."""
    return x.to(DOUBLE) if isinstance(x, Number) else x


def is_double(x: Any) -> bool:
    """Return whether a number is in double precision."""
    return not isinstance(x, Number) or x.value.type == DOUBLE


def in_type_of(like: Any, x: Any) -> Any:
    """Return ``x`` in the precision of ``like``."""
    return x.to(like.value.type) if isinstance(x, Number) and isinstance(like, Number) else x


def vector(numbers: tuple[Any, ...], width: int) -> Any:
    """Return numbers as a vector, filled up with zeros."""
    if not isinstance(numbers[0], Number):
        return np.array([*numbers, *[0.0] * (width - len(numbers))])
    b = numbers[0].builder
    value = ir.Constant(ir.VectorType(DOUBLE, width), [0.0] * width)
    for place, number in enumerate(numbers):
        value = b.insert_element(value, number.to(DOUBLE).value, ir.Constant(_INT32, place))
    return numbers[0]._new(value)


def is_vector(kind: Any) -> bool:
    """Return whether an LLVM type is that of a vector."""
    return isinstance(kind, ir.VectorType)


def root(x: Any) -> Any:
    """Return the square root."""
    return _call("llvm.sqrt", x) if isinstance(x, Number) else math.sqrt(x)


def plus_product(x: Any, a: Any, b: Any) -> Any:
    """Return ``x + a b``, rounded once where the processor can: everywhere in the same way, unlike ``contract``."""
    if not isinstance(x, Number):
        return x + a * b
    kind = x.value.type
    a, b = (x._new(ir.Constant(kind, float(v))) if not isinstance(v, Number) else v for v in (a, b))
    if not kind == a.value.type == b.value.type:
        x, a, b = wide(x), wide(a), wide(b)
    kind = x.value.type
    signature = ir.FunctionType(kind, [kind, kind, kind])
    function = x.builder.module.declare_intrinsic("llvm.fmuladd", [kind], signature)
    return x._new(x.builder.call(function, [a.value, b.value, x.value]))


def select(condition: Any, x: Any, y: Any) -> Any:
    """Return ``x`` where the condition holds, ``y`` elsewhere; both are symbols, or both numbers."""
    if isinstance(condition, Condition):
        return x._new(condition.builder.select(condition.value, *x._pair(y)))
    return x if condition else y


def half_exponent(x: Any) -> tuple[Any, Any]:
    """Return ``2**-h`` and the whole number ``h`` that bring ``x 4**-h``, x positive and normal, into [1/2, 2)."""
    if not isinstance(x, Number):
        h = math.frexp(x)[1] // 2
        return math.ldexp(1.0, -h), float(h)
    b = x.builder
    biased = b.lshr(b.bitcast(wide(x).value, _INT64), ir.Constant(_INT64, 53))  # half of the exponent field
    scale = b.bitcast(b.shl(b.sub(ir.Constant(_INT64, 1534), biased), ir.Constant(_INT64, 52)), DOUBLE)
    # integers that become floating point by their bits, which every vector unit can do
    h = b.bitcast(b.add(biased, ir.Constant(_INT64, _SHIFT_BITS - 511)), DOUBLE)
    return x._new(scale), x._new(b.fsub(h, ir.Constant(DOUBLE, _SHIFT)))


def _call(name: str, x: Number) -> Number:
    function = x.builder.module.declare_intrinsic(name, [x.value.type])
    return x._new(x.builder.call(function, [x.value]))
