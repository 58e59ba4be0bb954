"""The compiled loop for many trajectories at once: each is a lane, and the compiler makes vectors of lanes.

The numbers of `LANES` trajectories lie side by side in one flat piece of memory with a length that the compiler knows,
row by row: state, frame by columns, squared lengths, exponents taken out, a mark, the first step, own parameters.
Whatever the lanes do, they do without branches; a lane in which a branch would have been needed is marked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import register_jitable

from dynet.kernels import rk
from dynet.kernels.formulas import (
    mark_lane,
    normalise_tuple,
    ones_tuple,
    orthogonalise_tuple,
    rescale_tuple,
    zeros_tuple,
)
from dynet.kernels.qr import add_growth
from dynet.kernels.small import input_row
from dynet.kernels.traced import as_intrinsic
from dynet.kernels.tuple_memory import load_tuple, peek, poke

#: Trajectories in one piece of memory.
LANES = 16
#: Factorisations after which lengths are brought back, when each step is factored.
_BETWEEN_RESCALINGS = 4
#: Arrays are not counted: calls that count would keep the lanes from becoming vectors, and no array is made here.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}


def _widest_vectors() -> None:
    """Let the loops of the function that calls this use the widest vectors that the processor has."""


def _widest_vectors_definition() -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # the compiler takes half of them unless it is told; llvmlite knows no attributes with values by name
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


widest_vectors: Any = as_intrinsic(_widest_vectors, _widest_vectors_definition)


class Rows(NamedTuple):
    """Where the rows of a piece of memory begin, for n units, k exponents and some parameters."""

    frame: int
    lengths: int
    exponents: int
    mark: int
    first: int
    params: int


@register_jitable(forceinline=True)
def rows_of(n, k):  # type: ignore[no-untyped-def]
    """Return the layout of lanes."""
    lengths = n + n * k
    mark = lengths + 2 * k
    return Rows(n, lengths, lengths + k, mark, mark + 1, mark + 2)


def _lane_params(memory: Any, place: int, p: Any, own: Any) -> Any:
    """Return the parameters: those in a lane's memory, in the form of ``p``, if each lane has its own."""


def _lane_params_definition(memory: Any, place: Any, p: Any, own: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if isinstance(own, types.NoneType):
            return impl_ret_borrowed(context, builder, signature.return_type, values[2])
        stride = context.get_constant(types.int64, LANES)
        signature = signature.return_type(memory, types.int64, types.int64, p)
        return load_tuple(context, builder, signature, [values[0], values[1], stride, values[2]])

    return p(memory, types.int64, p, own), generate


lane_params: Any = as_intrinsic(_lane_params, _lane_params_definition)


def _lane_block(tangent: Any) -> Any:
    @njit(**_OPTIONS)
    def lane_block(  # type: ignore[no-untyped-def]
        f, df, memory, x, V, inputs, sequences, p, own, dt, n_steps, interval, tolerance, growth, failed, begin, end
    ):
        """Advance the pieces ``begin`` to ``end`` of ``memory`` (piece, row * lane) by ``n_steps``.

        ``x`` and ``V`` tell the types of states and frames, ``sequences`` (piece, lane) which inputs a lane reads,
        ``p`` are the parameters, or tell their types if ``own`` is not None. ``growth`` (piece, lane, k) and
        ``failed`` (piece, lane), whether a lane has to be run again with more care, are written.
        """
        widest_vectors()
        rows = rows_of(len(x), len(V))  # known when compiled: only then are rows seen to be apart
        for g in range(begin, end):
            piece = memory[g]
            since = 0
            factored = 0
            for s in range(n_steps):
                for lane in range(LANES):
                    y = peek(piece, lane, LANES, x)
                    W = peek(piece, rows.frame * LANES + lane, LANES, V)
                    step = piece[rows.first * LANES + lane] + s
                    u = input_row(inputs, sequences[g, lane], int(step))
                    q = lane_params(piece, rows.params * LANES + lane, p, own)
                    y, W = tangent(f, df, step * dt, y, W, (V, V, V), u, q, dt)
                    poke(piece, lane, LANES, y)
                    poke(piece, rows.frame * LANES + lane, LANES, W)
                since += 1
                if since == interval or s == n_steps - 1:
                    since = 0
                    factored += 1
                    _factor(piece, x, V, tolerance)
                    if interval > 1 or factored == _BETWEEN_RESCALINGS:
                        factored = 0
                        _rescale(piece, x, V)
            _settle(piece, x, V, n_steps, growth[g], failed[g])

    return lane_block


_part = njit(forceinline=True, **_OPTIONS)


@_part
def _factor(piece, x, V, tolerance):  # type: ignore[no-untyped-def]
    widest_vectors()
    rows = rows_of(len(x), len(V))
    for lane in range(LANES):
        W = peek(piece, rows.frame * LANES + lane, LANES, V)
        N = peek(piece, rows.lengths * LANES + lane, LANES, ones_tuple(V))
        W, N, _, sound = orthogonalise_tuple(W, N, tolerance)
        poke(piece, rows.frame * LANES + lane, LANES, W)
        poke(piece, rows.lengths * LANES + lane, LANES, N)
        mark = rows.mark * LANES + lane
        poke(piece, mark, LANES, mark_lane(peek(piece, mark, LANES, 0.0), sound))


@_part
def _rescale(piece, x, V):  # type: ignore[no-untyped-def]
    widest_vectors()
    rows = rows_of(len(x), len(V))
    for lane in range(LANES):
        W = peek(piece, rows.frame * LANES + lane, LANES, V)
        N = peek(piece, rows.lengths * LANES + lane, LANES, ones_tuple(V))
        E = peek(piece, rows.exponents * LANES + lane, LANES, ones_tuple(V))
        W, N, E = rescale_tuple(W, N, E)
        poke(piece, rows.frame * LANES + lane, LANES, W)
        poke(piece, rows.lengths * LANES + lane, LANES, N)
        poke(piece, rows.exponents * LANES + lane, LANES, E)


@njit(error_model="numpy", nogil=True)
def _settle(piece, x, V, n_steps, growth, failed):  # type: ignore[no-untyped-def]
    """Turn lengths into growth, columns into unit vectors; tell which lanes failed; count the steps."""
    rows = rows_of(len(x), len(V))
    for lane in range(LANES):
        W = peek(piece, rows.frame * LANES + lane, LANES, V)
        N = peek(piece, rows.lengths * LANES + lane, LANES, ones_tuple(V))
        E = peek(piece, rows.exponents * LANES + lane, LANES, ones_tuple(V))
        bad = piece[rows.mark * LANES + lane] != 0.0
        for i in range(len(x)):
            bad = bad or not np.isfinite(piece[i * LANES + lane])
        growth[lane] = 0.0
        add_growth(V, N, E, growth[lane])
        for j in range(len(V)):
            bad = bad or not np.isfinite(growth[lane, j])
        failed[lane] = bad
        poke(piece, rows.frame * LANES + lane, LANES, normalise_tuple(W, N))
        poke(piece, rows.lengths * LANES + lane, LANES, ones_tuple(V))
        poke(piece, rows.exponents * LANES + lane, LANES, zeros_tuple(V))
        piece[rows.mark * LANES + lane] = 0.0
        piece[rows.first * LANES + lane] += n_steps


#: Loops by the way a step is taken.
LANE_BLOCKS: dict[str, Any] = {kind: _lane_block(tangent) for kind, tangent in rk.TANGENTS.items()}
