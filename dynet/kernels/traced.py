"""Formulas on small tuples of numbers, written once in Python and compiled by running them on symbols.

A formula without branches is called with symbols in place of numbers; each operation on a symbol writes one
instruction. What comes out is straight-line code that the compiler keeps in registers and can repeat for many lanes,
and it costs a fraction of the compile time of loops over tuples. Called with floats, a formula simply computes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

_DOUBLE, _INT32, _INT64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)
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
        super().__init__(manager, kind, ir.VectorType(_DOUBLE, kind.width))


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
        widen = kind == _DOUBLE
        return self._new((self.builder.fpext if widen else self.builder.fptrunc)(self.value, kind))

    def _pair(self, other: Any) -> tuple[Any, Any]:
        kind = self.value.type
        if not isinstance(other, Number):
            return self.value, ir.Constant(kind, [float(other)] * kind.count if _is_vector(kind) else float(other))
        if kind == other.value.type:
            return self.value, other.value
        if _is_vector(kind):
            return self.value, other._spread(kind)
        if _is_vector(other.value.type):
            return self._spread(other.value.type), other.value
        return self.to(_DOUBLE).value, other.to(_DOUBLE).value

    def _spread(self, kind: Any) -> Any:
        """Return a vector with the number in every place."""
        places = ir.Constant(ir.VectorType(_INT32, kind.count), [0] * kind.count)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, self.to(_DOUBLE).value, ir.Constant(_INT32, 0))
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
    return x.to(_DOUBLE) if isinstance(x, Number) else x


def is_double(x: Any) -> bool:
    """Return whether a number is in double precision."""
    return not isinstance(x, Number) or x.value.type == _DOUBLE


def in_type_of(like: Any, x: Any) -> Any:
    """Return ``x`` in the precision of ``like``."""
    return x.to(like.value.type) if isinstance(x, Number) and isinstance(like, Number) else x


def vector(numbers: tuple[Any, ...], width: int) -> Any:
    """Return numbers as a vector, filled up with zeros."""
    if not isinstance(numbers[0], Number):
        return np.array([*numbers, *[0.0] * (width - len(numbers))])
    b = numbers[0].builder
    value = ir.Constant(ir.VectorType(_DOUBLE, width), [0.0] * width)
    for place, number in enumerate(numbers):
        value = b.insert_element(value, number.to(_DOUBLE).value, ir.Constant(_INT32, place))
    return numbers[0]._new(value)


def _is_vector(kind: Any) -> bool:
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
    scale = b.bitcast(b.shl(b.sub(ir.Constant(_INT64, 1534), biased), ir.Constant(_INT64, 52)), _DOUBLE)
    # integers that become floating point by their bits, which every vector unit can do
    h = b.bitcast(b.add(biased, ir.Constant(_INT64, _SHIFT_BITS - 511)), _DOUBLE)
    return x._new(scale), x._new(b.fsub(h, ir.Constant(_DOUBLE, _SHIFT)))


def _call(name: str, x: Number) -> Number:
    function = x.builder.module.declare_intrinsic(name, [x.value.type])
    return x._new(x.builder.call(function, [x.value]))


# --- from symbols to compiled functions ----------------------------------------------------------------------


def traced(formula: Callable[..., Any] | None = None, *, contract: bool = False) -> Any:
    """Return the compiled twin of a formula; arguments and result are numbers and (nested) tuples of them.

    With ``contract`` a product that is added may be rounded once instead of twice.
    """
    if formula is None:
        return lambda formula: traced(formula, contract=contract)
    flags = ("contract",) if contract else ()

    def definition(*arguments: Any) -> Any:
        scratch = ir.Module()
        function = ir.Function(scratch, ir.FunctionType(ir.VoidType(), []), "structure")
        builder = ir.IRBuilder(function.append_basic_block())
        kind = _numba_type(formula(*[_stand_in(builder, t) for t in arguments]))

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            symbols = [_unpack(context, builder, t, v, flags) for t, v in zip(signature.args, values, strict=True)]
            return _pack(context, builder, signature.return_type, formula(*symbols))

        return kind(*arguments), generate

    return as_intrinsic(formula, definition)


def as_intrinsic(like: Callable[..., Any], definition: Callable[..., Any]) -> Any:
    """Return a numba intrinsic with the parameters of ``like``, typed and written by ``definition(*types)``."""

    def typed(typingctx, *arguments):  # type: ignore[no-untyped-def]
        return definition(*arguments)

    names = list(inspect.signature(like).parameters)
    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ["typingctx", *names]]
    typed.__name__, typed.__doc__ = like.__name__, like.__doc__
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return intrinsic(typed)


def _is_tuple(t: Any) -> bool:
    return isinstance(t, types.BaseTuple)


def _stand_in(builder: Any, t: Any) -> Any:
    if _is_tuple(t):
        return tuple(_stand_in(builder, e) for e in t)
    if isinstance(t, types.Boolean):
        return Condition(builder, ir.Constant(ir.IntType(1), 1))
    if isinstance(t, Vector):
        return Number(builder, ir.Constant(ir.VectorType(_DOUBLE, t.width), [1.0] * t.width))
    return Number(builder, ir.Constant(ir.FloatType() if t == types.float32 else _DOUBLE, 1.0))


def _unpack(context: Any, builder: Any, t: Any, value: Any, flags: tuple[str, ...]) -> Any:
    if _is_tuple(t):
        entries = (builder.extract_value(value, i) for i in range(len(t)))
        return tuple(_unpack(context, builder, e, v, flags) for e, v in zip(t, entries, strict=True))
    if isinstance(t, types.Boolean):
        return Condition(builder, value)
    if isinstance(t, Vector):
        return Number(builder, value, flags)
    kind = types.float32 if t == types.float32 else types.float64
    return Number(builder, context.cast(builder, value, t, kind), flags)


def _numba_type(result: Any) -> Any:
    if isinstance(result, tuple):
        return types.Tuple([_numba_type(entry) for entry in result])
    if isinstance(result, Condition):
        return types.boolean
    kind = result.value.type if isinstance(result, Number) else _DOUBLE
    if _is_vector(kind):
        return Vector(kind.count)
    return types.float32 if kind == ir.FloatType() else types.float64


def _pack(context: Any, builder: Any, t: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        return context.make_tuple(builder, t, [_pack(context, builder, e, r) for e, r in zip(t, result, strict=True)])
    if isinstance(result, Number | Condition):
        return result.value
    return ir.Constant(_DOUBLE, float(result))


# --- tuples in memory ----------------------------------------------------------------------------------------


def _peek(array: Any, first: int, stride: int, like: Any) -> Any:
    """Return a tuple of the kind of ``like`` from contiguous memory: its numbers from ``first`` in strides."""


def _peek_definition(array: Any, first: Any, stride: Any, like: Any) -> Any:
    return like(array, types.int64, types.int64, like), load_tuple


def load_tuple(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Write the instructions of `peek`."""
    places = _places(context, builder, signature, values)

    def load(t: Any) -> Any:
        if _is_tuple(t):
            return context.make_tuple(builder, t, [load(entry) for entry in t])
        return context.cast(builder, builder.load(next(places)), signature.args[0].dtype, t)

    return load(signature.args[3])


def _poke(array: Any, first: int, stride: int, value: Any) -> None:
    """Write the numbers of a tuple into contiguous memory, from ``first`` in strides."""


def _poke_definition(array: Any, first: Any, stride: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = _places(context, builder, signature, values)

        def store(t: Any, v: Any) -> None:
            if _is_tuple(t):
                for i, entry in enumerate(t):
                    store(entry, builder.extract_value(v, i))
            else:
                builder.store(context.cast(builder, v, t, array.dtype), next(places))

        store(signature.args[3], values[3])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, value), generate


def _places(context: Any, builder: Any, signature: Any, values: Any) -> Iterator[Any]:
    """Yield pointers to one number after the other."""
    pointer = context.make_array(signature.args[0])(context, builder, values[0]).data
    index = values[1]
    while True:
        # plain pointers: bounds and negative indices are looked at by nobody, which is what lanes need
        yield builder.gep(pointer, [index], inbounds=True)
        index = builder.add(index, values[2])


peek: Any = as_intrinsic(_peek, _peek_definition)
poke: Any = as_intrinsic(_poke, _poke_definition)


# --- vectors of lanes ----------------------------------------------------------------------------------------


def _widest_vectors() -> None:
    """Let the loops of the function that calls this use the widest vectors that the processor has."""


def _widest_vectors_definition() -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # the compiler takes half of them unless it is told; llvmlite knows no attributes with values by name
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


widest_vectors: Any = as_intrinsic(_widest_vectors, _widest_vectors_definition)
