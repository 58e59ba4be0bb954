"""The compiled loops: a trajectory with its tangent frame, factored every few steps, or its states alone.

There is one loop for each way to take a step (`dynet.kernels.rk`), made by a factory so that the step is part of
the loop and not a call in it. They take the user's functions as arguments and compile on first use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dynet.kernels import rk
from dynet.kernels.small import input_row, orthonormalise

# a product of pivots is turned into a logarithm before it can leave this range
_LOW, _HIGH = 1e-100, 1e100


def _spectrum_block(tangent: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def spectrum_block(  # type: ignore[no-untyped-def]
        f, df, x, V, out, K, stage, rows, cols, inputs, p, first, dt, n_steps, interval, growth
    ):
        """Advance state and frame by ``n_steps`` and add the frame's log growth to ``growth`` (k,).

        ``V`` (n, k) is updated in place, ``out``, ``K`` and ``stage`` (n, k) are scratch, ``rows`` and ``cols`` have
        lengths n and k, ``inputs`` is a series (time, channel) or a constant row. The frame is factored every
        ``interval`` steps and at the end, so a tail that is shorter is counted. Returns the state and the
        smallest ratio of pivots seen in one factorisation.
        """
        pivots = np.empty(len(cols))
        product = np.ones(len(cols))
        worst = 1.0
        since = 0
        for s in range(n_steps):
            u = input_row(inputs, first + s)
            x = tangent(f, df, (first + s) * dt, x, V, out, K, stage, rows, cols, u, p, dt)
            for i in range(len(rows)):
                for j in range(len(cols)):
                    V[i, j] = out[i, j]
            since += 1
            if since == interval or s == n_steps - 1:
                since = 0
                worst = min(worst, orthonormalise(V, rows, cols, pivots))
                for j in range(len(cols)):
                    pivot = pivots[j]
                    if _LOW < pivot < _HIGH:
                        product[j] *= pivot
                        if not (_LOW < product[j] < _HIGH):
                            growth[j] += np.log(product[j])
                            product[j] = 1.0
                    else:
                        growth[j] += np.log(pivot)
        for j in range(len(cols)):
            growth[j] += np.log(product[j])
        return x, worst

    return spectrum_block


def _trajectory_block(step: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def trajectory_block(f, x, inputs, p, first, dt, states):  # type: ignore[no-untyped-def]
        """Advance the state alone and write it after every step into ``states`` (time, n)."""
        for s in range(states.shape[0]):
            u = input_row(inputs, first + s)
            x = step(f, (first + s) * dt, x, u, p, dt)
            for i in range(states.shape[1]):
                states[s, i] = x[i]
        return x

    return trajectory_block


#: Loops by the way a step is taken.
SPECTRUM_BLOCKS: dict[str, Any] = {
    "map": _spectrum_block(rk.map_tangent),
    "linearize": _spectrum_block(rk.linearized_tangent),
    "euler": _spectrum_block(rk.euler_tangent),
    "rk4": _spectrum_block(rk.rk4_tangent),
}
TRAJECTORY_BLOCKS: dict[str, Any] = {
    "map": _trajectory_block(rk.map_step),
    "linearize": _trajectory_block(rk.linearized_step),
    "euler": _trajectory_block(rk.euler_step),
    "rk4": _trajectory_block(rk.rk4_step),
}
