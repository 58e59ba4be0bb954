"""Steps of maps and of flows, compiled: the state alone, or the state with its tangent frame.

Every ``*_step(f, t, x, u, p, dt)`` returns the next state. Every ``*_tangent(f, df, t, x, V, scratch, u, p, dt)`` also
returns the frame carried along; a frame that is an array is written into one of the three arrays ``scratch``.
Flows propagate the frame stage by stage: no Jacobian of a whole step is formed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from dynet.kernels.formulas import as_columns, like_tuple, over_width, square_tuple
from dynet.kernels.small import combine, like_state, plus_scaled, product, runge_kutta_frame, shifted, tuple_setitem

# inlined before compilation: an array that crosses a call boundary costs two atomic operations
_inline = njit(error_model="numpy", inline="always")


@_inline
def map_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    return like_state(f(t, x, u, p), x)


@_inline
def map_tangent(f, df, t, x, V, scratch, u, p, dt):  # type: ignore[no-untyped-def]
    out = product(V, df(t, x, u, p), scratch[0])
    return like_state(f(t, x, u, p), x), out


@_inline
def linearized_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    return like_state(f(t, x, u, p)[0], x)


@_inline
def linearized_tangent(f, df, t, x, V, scratch, u, p, dt):  # type: ignore[no-untyped-def]
    y, J = f(t, x, u, p)
    out = product(V, J, scratch[0])
    return like_state(y, x), out


@_inline
def euler_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    return plus_scaled(x, dt, f(t, x, u, p))


@_inline
def euler_tangent(f, df, t, x, V, scratch, u, p, dt):  # type: ignore[no-untyped-def]
    K = product(V, df(t, x, u, p), scratch[1])
    out = combine(V, dt, K, scratch[0])
    return plus_scaled(x, dt, f(t, x, u, p)), out


@_inline
def rk4_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    half = 0.5 * dt
    k1 = f(t, x, u, p)
    k2 = f(t + half, plus_scaled(x, half, k1), u, p)
    k3 = f(t + half, plus_scaled(x, half, k2), u, p)
    k4 = f(t + dt, plus_scaled(x, dt, k3), u, p)
    return _rk4_sum(x, dt, k1, k2, k3, k4)


@_inline
def rk4_tangent(f, df, t, x, V, scratch, u, p, dt):  # type: ignore[no-untyped-def]
    half = 0.5 * dt
    k1, J1 = f(t, x, u, p), df(t, x, u, p)
    x2 = plus_scaled(x, half, k1)
    k2, J2 = f(t + half, x2, u, p), df(t + half, x2, u, p)
    x3 = plus_scaled(x, half, k2)
    k3, J3 = f(t + half, x3, u, p), df(t + half, x3, u, p)
    x4 = plus_scaled(x, dt, k3)
    k4, J4 = f(t + dt, x4, u, p), df(t + dt, x4, u, p)
    return _rk4_sum(x, dt, k1, k2, k3, k4), runge_kutta_frame(V, J1, J2, J3, J4, dt, scratch)


@_inline
def _rk4_sum(x, dt, k1, k2, k3, k4):  # type: ignore[no-untyped-def]
    y = plus_scaled(x, dt / 6, k1)
    y = plus_scaled(y, dt / 3, k2)
    y = plus_scaled(y, dt / 3, k3)
    return plus_scaled(y, dt / 6, k4)


#: Steps with a frame by the way they are taken.
TANGENTS: dict[str, Any] = {
    "map": map_tangent,
    "linearize": linearized_tangent,
    "euler": euler_tangent,
    "rk4": rk4_tangent,
}


@njit(error_model="numpy", nogil=True, forceinline=True)
def central_difference(f, scale, t, x, u, p):  # type: ignore[no-untyped-def]
    """Return the Jacobian of ``f`` by central differences, each entry shifted by its own step."""
    return _differences(f, scale, t, x, u, p)


def _differences(f: Any, scale: float, t: float, x: Any, u: Any, p: Any) -> Any:
    """`central_difference`, by rows: a tuple for a state that is one, an array otherwise."""


@overload(_differences)
def _compiled_differences(f, scale, t, x, u, p):  # type: ignore[no-untyped-def]
    is_tuple = isinstance(x, types.BaseTuple)
    relative = float(np.finfo(str(x.dtype)).eps) ** (1 / 3)

    def tuple_differences(f, scale, t, x, u, p):  # type: ignore[no-untyped-def]
        columns = square_tuple(x)
        for j in range(len(x)):
            h = relative * max(abs(x[j]), scale)
            above = shifted(x, j, h)
            below = shifted(x, j, -h)
            # the width is what was really added, after rounding
            column = over_width(f(t, above, u, p), f(t, below, u, p), above[j] - below[j])
            columns = tuple_setitem(columns, j, like_tuple(x, column))
        return as_columns(columns)

    def array_differences(f, scale, t, x, u, p):  # type: ignore[no-untyped-def]
        n = len(x)
        J = np.empty((n, n), dtype=x.dtype)
        for j in range(n):
            h = relative * max(abs(x[j]), scale)
            above = shifted(x, j, h)
            below = shifted(x, j, -h)
            width = above[j] - below[j]
            upper = f(t, above, u, p)
            lower = f(t, below, u, p)
            for i in range(n):
                J[i, j] = (upper[i] - lower[i]) / width
        return J

    return tuple_differences if is_tuple else array_differences
