"""The compiled spectrum loop: one trajectory with its tangent frame, factored every few steps."""

from __future__ import annotations

import numpy as np
from numba import njit

from dynet.kernels.small import orthonormalise

# a product of pivots is turned into a logarithm before it can leave this range
_LOW, _HIGH = 1e-100, 1e100


@njit(error_model="numpy", nogil=True)
def spectrum_block(  # type: ignore[no-untyped-def]
    tangent, f, df, x, V, work, inputs, driven, p, first, dt, n_steps, interval, growth
):
    """Advance state and frame by ``n_steps`` and add the frame's log growth to ``growth`` (k,).

    ``V`` (n, k) is updated in place, ``work`` (3, n, k) is scratch. The frame is factored every
    ``interval`` steps and at the end, so a tail that is shorter is counted. Returns the state and the
    smallest ratio of pivots seen in one factorisation.
    """
    n, k = V.shape
    pivots = np.empty(k)
    product = np.ones(k)
    u = inputs[0]
    worst = 1.0
    since = 0
    for s in range(n_steps):
        if driven:
            u = inputs[first + s]
        x = tangent(f, df, (first + s) * dt, x, V, work, u, p, dt)
        out = work[0]
        for i in range(n):
            for j in range(k):
                V[i, j] = out[i, j]
        since += 1
        if since == interval or s == n_steps - 1:
            since = 0
            worst = min(worst, orthonormalise(V, pivots))
            for j in range(k):
                pivot = pivots[j]
                if _LOW < pivot < _HIGH:
                    product[j] *= pivot
                    if not (_LOW < product[j] < _HIGH):
                        growth[j] += np.log(product[j])
                        product[j] = 1.0
                else:
                    growth[j] += np.log(pivot)
    for j in range(k):
        growth[j] += np.log(product[j])
    return x, worst


@njit(error_model="numpy", nogil=True)
def trajectory_block(step, f, x, inputs, driven, p, first, dt, states):  # type: ignore[no-untyped-def]
    """Advance the state alone and write it after every step into ``states`` (time, n)."""
    u = inputs[0]
    for s in range(states.shape[0]):
        if driven:
            u = inputs[first + s]
        x = step(f, (first + s) * dt, x, u, p, dt)
        for i in range(states.shape[1]):
            states[s, i] = x[i]
    return x
