"""The steps of one large LU frame by several threads: the same numbers, bit by bit, as by one.

Threads share the rows of a product and the columns that a factored block changes. What one entry is summed up from, and
in which order, does not depend on who does it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from dynet.kernels.lu import Workspace, factor_columns, settle, update_columns, write_order
from dynet.kernels.packed import read_factors
from dynet.kernels.structured import Memory, Parts, add_memories, lay_out, multiply_slivers
from dynet.kernels.team import Team

#: Multiplications from which on threads save more than they cost.
_WORTH_IT = 4_000_000


def run_in_threads(
    parts: Parts,
    s: int,
    buffers: tuple[np.ndarray, np.ndarray],
    keys: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    pivots: np.ndarray,
    memory: Memory,
    work: Workspace,
    team: Team,
) -> None:
    """Do what `dynet.kernels.structured.run` does; ``memory`` and ``work`` are for as many threads as the team has."""
    n_steps = len(pivots)
    for step in range(n_steps):
        packed, target = buffers[step % 2], buffers[1 - step % 2]
        units, starts = lay_out(parts.matrices.shape[2], packed, rows, memory, work)
        multiply = partial(multiply_slivers, parts, s, step, units, starts, target, memory)
        team.share(multiply, 0, parts.matrices.shape[1])
        if parts.forget.shape[2]:
            add_memories(parts.forget[s, step], parts.output[s, step], packed, work, rows, target)
        _factor(target, keys[1 - step % 2], len(rows), work, team)
        read_factors(target, rows, pivots[step], work)
    settle(buffers[n_steps % 2], work)


def _factor(A: np.ndarray, keys: np.ndarray, n: int, work: Workspace, team: Team) -> None:
    """Do what `dynet.kernels.lu.lu` does."""
    k, outer = len(A), work.panel.shape[1]
    for start in range(0, k, outer):
        end = min(start + outer, k)
        factor_columns(A, n, keys, work, start, end)
        update = partial(update_columns, A, n, work, start, end)
        if (n - start) * (end - start) * (k - end) > _WORTH_IT:
            team.share(update, end, k)
        elif end < k:
            update(end, k, 0)
    write_order(work)
