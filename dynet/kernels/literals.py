"""Compile functions that return array literals once more, so that they return tuples.

``return np.array([[a, b], [c, d]])`` makes three lists and an array in every call; the tuple ``((a, b), (c, d))``
stays in registers. The rewrite looks at the untyped code of a function and changes nothing but literals that are
returned and used for nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.core import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder, run_frontend
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.untyped_passes import IRProcessing


class _NotLiteral(Exception):
    """Something that is returned is not an array literal."""


def returns_literals(function: Any) -> bool:
    """Return whether every value that a compiled function returns is an array or list literal."""
    try:
        return bool(_literals(run_frontend(function.py_func)))
    except _NotLiteral:
        return False


def with_tuples(function: Any) -> Any:
    """Return a function, for which `returns_literals` holds, compiled to return tuples."""
    options = {name: value for name, value in function.targetoptions.items() if name != "nopython"}
    return njit(function.py_func, pipeline_class=_TuplePipeline, **options)


def _literals(code: Any) -> list[tuple[Any, Any]]:
    """Return (assignment, its new right-hand side) for all that has to change, or raise _NotLiteral."""
    changes: list[tuple[Any, Any]] = []
    for block in code.blocks.values():
        end = block.terminator
        if isinstance(end, ir.Return):
            _follow(code, end.value, changes, arrays_within=2)
    return changes


def _follow(code: Any, variable: Any, changes: list[tuple[Any, Any]], arrays_within: int) -> None:
    """Note the literal that ``variable`` holds: an array, a list, or a pair of them (``linearize``)."""
    statement = _assignment(code, variable)
    value = statement.value
    if isinstance(value, ir.Expr) and value.op == "cast":
        _follow(code, value.value, changes, arrays_within)
    elif isinstance(value, ir.Var):
        _follow(code, value, changes, arrays_within)
    elif _is(value, "build_tuple") and arrays_within == 2 and len(value.items) == 2:
        for item in value.items:
            _follow(code, item, changes, arrays_within=1)
    elif _is(value, "call") and _is_array_call(code, value):
        (argument,) = value.args
        changes.append((statement, argument))
        if not _lists(code, argument, changes):
            raise _NotLiteral
    elif not _lists(code, variable, changes):
        raise _NotLiteral


def _lists(code: Any, variable: Any, changes: list[tuple[Any, Any]]) -> bool:
    """Note a list or tuple of numbers or of such lists; return whether it was one."""
    statement = _assignment(code, variable)
    value = statement.value
    if not (_is(value, "build_list") or _is(value, "build_tuple")):
        return False
    if value.op == "build_list":
        changes.append((statement, ir.Expr.build_tuple(value.items, value.loc)))
    for item in value.items:
        if isinstance(item, ir.Var) and _is_nested(code, item):
            _lists(code, item, changes)
    return True


def _is_nested(code: Any, variable: Any) -> bool:
    try:
        value = _assignment(code, variable).value
    except _NotLiteral:
        return False  # a number that several branches set
    return _is(value, "build_list") or _is(value, "build_tuple")


def _assignment(code: Any, variable: Any) -> Any:
    """Return the only assignment of a variable that is read only once."""
    found = [s for b in code.blocks.values() for s in b.find_insts(ir.Assign) if s.target.name == variable.name]
    uses = sum(
        variable.name in {v.name for v in s.list_vars()} - _targets(s) for b in code.blocks.values() for s in b.body
    )
    if len(found) != 1 or uses > 1:
        raise _NotLiteral
    return found[0]


def _targets(statement: Any) -> set[str]:
    return {statement.target.name} if isinstance(statement, ir.Assign) else set()


def _is(value: Any, operation: str) -> bool:
    return isinstance(value, ir.Expr) and value.op == operation


def _is_array_call(code: Any, call: Any) -> bool:
    """Return whether a call is ``np.array`` (or asarray) of one argument: a dtype asks for more than a tuple."""
    if len(call.args) != 1 or call.kws or call.vararg is not None:
        return False
    defined = code.get_definition(call.func)
    if isinstance(defined, ir.Global | ir.FreeVar):
        return defined.value in (np.array, np.asarray)
    if _is(defined, "getattr") and defined.attr in ("array", "asarray"):
        module = code.get_definition(defined.value)
        return isinstance(module, ir.Global | ir.FreeVar) and module.value is np
    return False


@register_pass(mutates_CFG=False, analysis_only=False)
class _LiteralsToTuples(FunctionPass):
    _name = "dynet_literals_to_tuples"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        for statement, value in _literals(state.func_ir):
            state.func_ir._definitions[statement.target.name] = [value]
            statement.value = value
        return True


class _TuplePipeline(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_LiteralsToTuples, IRProcessing)
        passes.finalize()
        return [passes]
