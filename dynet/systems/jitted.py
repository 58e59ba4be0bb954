"""Tell compiled functions from Python ones, and make compiled functions of compiled functions.

Factories are cached by the functions they wrap, so asking again compiles nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

_CACHE: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()
# functions made here that return what their inner function returns: how they were made
_WRAPS: weakref.WeakKeyDictionary[Any, tuple[Any, ...]] = weakref.WeakKeyDictionary()
_NOT_IN_LOOPS = ("nopython", "fastmath", "inline")


def is_jitted(function: Any) -> bool:
    """Return whether ``function`` was compiled by numba (without importing numba)."""
    return hasattr(function, "py_func") and hasattr(function, "inspect_llvm")


def cached(function: Any, key: Any, make: Callable[[], Any]) -> Any:
    """Return what ``make()`` gives, made once for each ``function`` and ``key``."""
    made = _CACHE.setdefault(function, {})
    if key not in made:
        made[key] = make()
    return made[key]


def returning_tuples(function: Any) -> Any:
    """Return a compiled function that returns tuples where ``function`` returns array literals, or itself."""

    def make() -> Any:
        from dynet.kernels.literals import returns_literals, with_tuples

        if function in _WRAPS:
            wrap, inner, *rest = _WRAPS[function]
            converted = returning_tuples(inner)
            return None if converted is inner else wrap(converted, *rest)
        return with_tuples(function) if returns_literals(function) else None

    # not the function itself: a cache that is held by its keys must not hold them
    made = cached(function, "tuples", make)
    return function if made is None else made


def inlined(function: Any) -> Any:
    """Return a compiled function as loops take it up: without a call, without branches for a division by zero.

    What was compiled with ``fastmath`` is compiled without: the same steps then give the same states in every loop.
    """

    def make() -> Any:
        options = {name: value for name, value in function.targetoptions.items() if name not in _NOT_IN_LOOPS}
        if options.get("parallel"):
            return None
        from numba import njit

        options |= {"error_model": "numpy", "forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        options["_nrt"] = True  # said aloud: a loop that counts no references must not stop them from making arrays
        compiler = function._compiler
        return njit(function.py_func, locals=compiler.locals, pipeline_class=compiler.pipeline_class, **options)

    made = cached(function, "inlined", make)
    return function if made is None else made


def jitted_difference(function: Any, scale: float) -> Any:
    """Return a compiled Jacobian by central differences of a compiled function."""

    def make() -> Any:
        from numba import njit

        from dynet.kernels.rk import central_difference

        inner = inlined(function)

        @njit(error_model="numpy", nogil=True)
        def difference(t, x, u, p):  # type: ignore[no-untyped-def]
            return central_difference(inner, scale, t, x, u, p)

        _WRAPS[difference] = (jitted_difference, function, scale)
        return difference

    return cached(function, ("difference", scale), make)


def jitted_ode(function: Any) -> Any:
    """Return scipy's ``f(t, y, *args)`` as a compiled ``f(t, x, u, p)`` with ``p = args``."""

    def make() -> Any:
        from numba import njit

        inner = inlined(function)

        @njit(error_model="numpy", nogil=True)
        def rhs(t, x, u, p):  # type: ignore[no-untyped-def]
            return inner(t, x, *p)

        _WRAPS[rhs] = (jitted_ode, function)
        return rhs

    return cached(function, "ode", make)


def jitted_with_input(function: Any, signal: Any) -> Any:
    """Return a compiled function whose input is the compiled function of time ``signal``."""

    def make() -> Any:
        from numba import njit

        inner, inner_signal = inlined(function), inlined(signal)

        @njit(error_model="numpy", nogil=True)
        def driven(t, x, u, p):  # type: ignore[no-untyped-def]
            return inner(t, x, inner_signal(t), p)

        _WRAPS[driven] = (jitted_with_input, function, signal)
        return driven

    return cached(function, ("input", signal), make)
