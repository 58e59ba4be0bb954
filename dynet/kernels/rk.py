"""Steps of maps and of flows, compiled: the state alone, or the state with its tangent frame.

Every ``*_step(f, t, x, u, p, dt)`` returns the next state. Every ``*_tangent(f, df, t, x, V, out, K, stage, rows,
cols, u, p, dt)`` also carries the frame ``V``: it writes the new one into ``out``, with ``K`` and ``stage`` as scratch,
and returns the next state. Flows propagate the frame stage by stage: no Jacobian of a whole step is formed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dynet.kernels.small import jacobian, like_state, multiply, plus_scaled, shifted

# inlined before compilation: an array that crosses a call boundary costs two atomic operations
_inline = njit(error_model="numpy", inline="always")


@_inline
def map_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    return like_state(f(t, x, u, p), x)


@_inline
def map_tangent(f, df, t, x, V, out, K, stage, rows, cols, u, p, dt):  # type: ignore[no-untyped-def]
    J = jacobian(df(t, x, u, p))
    multiply(J, V, out, rows, cols)
    return like_state(f(t, x, u, p), x)


@_inline
def linearized_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    return like_state(f(t, x, u, p)[0], x)


@_inline
def linearized_tangent(f, df, t, x, V, out, K, stage, rows, cols, u, p, dt):  # type: ignore[no-untyped-def]
    y, J = f(t, x, u, p)
    multiply(jacobian(J), V, out, rows, cols)
    return like_state(y, x)


@_inline
def euler_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    return plus_scaled(x, dt, f(t, x, u, p))


@_inline
def euler_tangent(f, df, t, x, V, out, K, stage, rows, cols, u, p, dt):  # type: ignore[no-untyped-def]
    multiply(jacobian(df(t, x, u, p)), V, K, rows, cols)
    _combine(out, V, dt, K, rows, cols)
    return plus_scaled(x, dt, f(t, x, u, p))


@_inline
def rk4_step(f, t, x, u, p, dt):  # type: ignore[no-untyped-def]
    half = 0.5 * dt
    k1 = f(t, x, u, p)
    k2 = f(t + half, plus_scaled(x, half, k1), u, p)
    k3 = f(t + half, plus_scaled(x, half, k2), u, p)
    k4 = f(t + dt, plus_scaled(x, dt, k3), u, p)
    return _rk4_sum(x, dt, k1, k2, k3, k4)


@_inline
def rk4_tangent(f, df, t, x, V, out, K, stage, rows, cols, u, p, dt):  # type: ignore[no-untyped-def]
    half = 0.5 * dt
    k1 = f(t, x, u, p)
    multiply(jacobian(df(t, x, u, p)), V, K, rows, cols)
    _combine(out, V, dt / 6, K, rows, cols)
    _combine(stage, V, half, K, rows, cols)

    x2 = plus_scaled(x, half, k1)
    k2 = f(t + half, x2, u, p)
    multiply(jacobian(df(t + half, x2, u, p)), stage, K, rows, cols)
    _combine(out, out, dt / 3, K, rows, cols)
    _combine(stage, V, half, K, rows, cols)

    x3 = plus_scaled(x, half, k2)
    k3 = f(t + half, x3, u, p)
    multiply(jacobian(df(t + half, x3, u, p)), stage, K, rows, cols)
    _combine(out, out, dt / 3, K, rows, cols)
    _combine(stage, V, dt, K, rows, cols)

    x4 = plus_scaled(x, dt, k3)
    k4 = f(t + dt, x4, u, p)
    multiply(jacobian(df(t + dt, x4, u, p)), stage, K, rows, cols)
    _combine(out, out, dt / 6, K, rows, cols)
    return _rk4_sum(x, dt, k1, k2, k3, k4)


@_inline
def _rk4_sum(x, dt, k1, k2, k3, k4):  # type: ignore[no-untyped-def]
    y = plus_scaled(x, dt / 6, k1)
    y = plus_scaled(y, dt / 3, k2)
    y = plus_scaled(y, dt / 3, k3)
    return plus_scaled(y, dt / 6, k4)


@njit(error_model="numpy", nogil=True, forceinline=True)
def _combine(out, V, a, K, rows, cols):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        for j in range(len(cols)):
            out[i, j] = V[i, j] + a * K[i, j]


@njit(error_model="numpy", nogil=True)
def central_difference(f, scale, t, x, u, p):  # type: ignore[no-untyped-def]
    """Return the dense Jacobian of ``f`` by central differences, each entry shifted by its own step."""
    n = len(x)
    base = np.empty(n, dtype=np.asarray(x[0]).dtype)
    relative = np.finfo(base.dtype).eps ** (1 / 3)
    J = np.empty((n, n), dtype=base.dtype)
    for j in range(n):
        h = relative * max(abs(x[j]), scale)
        above = shifted(x, j, h)
        below = shifted(x, j, -h)
        width = above[j] - below[j]  # what was really added, after rounding
        upper = f(t, above, u, p)
        lower = f(t, below, u, p)
        for i in range(n):
            J[i, j] = (upper[i] - lower[i]) / width
    return J
