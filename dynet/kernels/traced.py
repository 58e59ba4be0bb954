"""Formulas on small tuples of numbers, written once in Python and compiled by running them on symbols.

A formula without branches is called with symbols in place of numbers; each operation on a symbol writes one
instruction. What comes out is straight-line code that the compiler keeps in registers and can repeat for many lanes,
and it costs a fraction of the compile time of loops over tuples. Called with floats, a formula simply computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dynet.kernels.symbols import DOUBLE, Condition, Number, Vector, is_vector


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


def is_tuple(t: Any) -> bool:
    """Return whether a numba type is that of a tuple."""
    return isinstance(t, types.BaseTuple)


def _stand_in(builder: Any, t: Any) -> Any:
    if is_tuple(t):
        return tuple(_stand_in(builder, e) for e in t)
    if isinstance(t, types.Boolean):
        return Condition(builder, ir.Constant(ir.IntType(1), 1))
    if isinstance(t, Vector):
        return Number(builder, ir.Constant(ir.VectorType(DOUBLE, t.width), [1.0] * t.width))
    return Number(builder, ir.Constant(ir.FloatType() if t == types.float32 else DOUBLE, 1.0))


def _unpack(context: Any, builder: Any, t: Any, value: Any, flags: tuple[str, ...]) -> Any:
    if is_tuple(t):
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
    kind = result.value.type if isinstance(result, Number) else DOUBLE
    if is_vector(kind):
        return Vector(kind.count)
    return types.float32 if kind == ir.FloatType() else types.float64


def _pack(context: Any, builder: Any, t: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        return context.make_tuple(builder, t, [_pack(context, builder, e, r) for e, r in zip(t, result, strict=True)])
    if isinstance(result, Number | Condition):
        return result.value
    return ir.Constant(DOUBLE, float(result))
