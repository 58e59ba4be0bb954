"""The compiled loops: a trajectory with its tangent frame, factored every few steps, or its states alone.

There is one loop for each way to take a step (`dynet.kernels.rk`), made by a factory so that the step is part of
the loop and not a call in it. They take the user's functions as arguments and compile on first use.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from numba import njit

from dynet.kernels import rk
from dynet.kernels.caching import CACHE
from dynet.kernels.formulas import (
    growth_tuple,
    normalise_tuple,
    ones_tuple,
    orthogonalise_tuple,
    pack_frame,
    rescale_tuple,
    unpack_frame,
    zeros_tuple,
)
from dynet.kernels.orthonormalise import orthonormalise, orthonormalise_plain
from dynet.kernels.small import input_row, tuple_setitem
from dynet.kernels.tuple_memory import peek, poke

# a product of pivots is turned into a logarithm before it can leave this range
_LOW, _HIGH = 1e-100, 1e100
_LN2 = log(2.0)


def _array_block(tangent: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def spectrum_block(  # type: ignore[no-untyped-def]
        f, df, x, V, scratch, inputs, p, first, dt, n_steps, interval, growth
    ):
        """Advance state and frame by ``n_steps`` and add the frame's log growth to ``growth`` (k,).

        ``V`` (n, k) is updated in place, ``scratch`` are three arrays like it, ``inputs`` is a series (time, channel)
        or a constant row. The frame is factored every ``interval`` steps and at the end, so a tail that is shorter is
        counted. Returns the state and how well the frame was resolved (`_resolution`).
        """
        n, k = V.shape
        pivots = np.empty(k)
        product = np.ones(k)
        worst = 1.0
        since = 0
        for s in range(n_steps):
            u = input_row(inputs, 0, first + s)
            x, out = tangent(f, df, (first + s) * dt, x, V, scratch, u, p, dt)
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
        return x, _resolution(x, growth, worst)

    return spectrum_block


def _tuple_block(tangent: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def spectrum_block(  # type: ignore[no-untyped-def]
        f, df, x, V, columns, pivots, inputs, p, first, dt, n_steps, interval, tolerance, growth
    ):
        """Do the same for a frame that is a tuple of orthonormal columns: it stays in registers.

        ``columns`` (k, n) and ``pivots`` (k,) are scratch. A factorisation with a squared ratio of pivots below
        ``tolerance`` is done with care for lost columns. Returns the state, the frame and how well it was resolved.
        """
        worst = 1.0
        since = 0
        N = ones_tuple(V)
        E = zeros_tuple(V)
        F = pack_frame(V)
        for s in range(n_steps):
            u = input_row(inputs, 0, first + s)
            x, F = tangent(f, df, (first + s) * dt, x, F, (F, F, F), u, p, dt)
            since += 1
            if since == interval or s == n_steps - 1:
                since = 0
                W = unpack_frame(F, V)
                V, M, well, sound = orthogonalise_tuple(W, N, tolerance)
                if well:
                    N = M
                elif sound:
                    V, N, E = rescale_tuple(V, M, E)
                else:
                    poke(columns, 0, 1, normalise_tuple(W, N))
                    add_growth(V, N, E, growth)
                    worst = min(worst, _careful(columns, pivots, growth))
                    V = peek(columns, 0, 1, V)
                    N = ones_tuple(V)
                    E = zeros_tuple(V)
                F = pack_frame(V)
        add_growth(V, N, E, growth)
        return x, normalise_tuple(V, N), _resolution(x, growth, worst)

    return spectrum_block


@njit(error_model="numpy", nogil=True)
def _resolution(x, growth, worst):  # type: ignore[no-untyped-def]
    """Return the smallest ratio of pivots of one factorisation; 0 if one was lost, NaN if something is not finite."""
    for i in range(len(x)):
        if not np.isfinite(x[i]):
            return np.nan
    for j in range(growth.shape[0]):
        if not growth[j] < np.inf:
            return np.nan
        if growth[j] == -np.inf:
            worst = 0.0
    return worst


@njit(error_model="numpy", nogil=True)
def add_growth(V, N, E, growth):  # type: ignore[no-untyped-def]
    """Add the growth that lengths and exponents tell."""
    logarithms = N
    for j in range(len(V)):
        logarithms = tuple_setitem(logarithms, j, 0.5 * log(N[j]) + _LN2 * E[j])
    logarithms = growth_tuple(V, logarithms)
    for j in range(len(V)):
        growth[j] += logarithms[j]


@njit(error_model="numpy", nogil=True, cache=CACHE)
def _careful(columns, pivots, growth):  # type: ignore[no-untyped-def]
    """Factor columns that may be lost to rounding."""
    worst = orthonormalise_plain(columns.T, pivots)
    for j in range(pivots.shape[0]):
        growth[j] += np.log(pivots[j])
    return worst


def _trajectory_block(step: Any) -> Any:
    @njit(error_model="numpy", nogil=True)
    def trajectory_block(f, x, inputs, p, first, dt, stops, states):  # type: ignore[no-untyped-def]
        """Advance the state alone; write into ``states`` (stop, n) what it is before each of the steps ``stops``."""
        step_number = first
        for row in range(stops.shape[0]):
            while step_number < stops[row]:
                u = input_row(inputs, 0, step_number)
                x = step(f, step_number * dt, x, u, p, dt)
                step_number += 1
            for i in range(states.shape[1]):
                states[row, i] = x[i]
        return x

    return trajectory_block


#: Loops by the way a step is taken: for frames that are arrays, for frames that are tuples, for states alone.
SPECTRUM_BLOCKS: dict[str, Any] = {kind: _array_block(tangent) for kind, tangent in rk.TANGENTS.items()}
TUPLE_BLOCKS: dict[str, Any] = {kind: _tuple_block(tangent) for kind, tangent in rk.TANGENTS.items()}
TRAJECTORY_BLOCKS: dict[str, Any] = {
    "map": _trajectory_block(rk.map_step),
    "linearize": _trajectory_block(rk.linearized_step),
    "euler": _trajectory_block(rk.euler_step),
    "rk4": _trajectory_block(rk.rk4_step),
}
