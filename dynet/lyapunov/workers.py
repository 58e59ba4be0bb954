"""Threads for loops that release the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Nanoseconds of work from which on threads save more than they cost.
_WORTH_IT = 400_000


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """As many threads as there are processors, each with one part of the work."""

    def __init__(self, n_items: int) -> None:
        self._n_items = n_items
        self._count = min(n_items, available_processors())
        self._pool = ThreadPoolExecutor(self._count) if self._count > 1 else None

    def run(self, part: Callable[[int, int], T], nanoseconds: float) -> list[T]:
        """Return what ``part(begin, end)`` gives for parts of the items, in order.

        ``nanoseconds`` is how long it will take, more or less; short work is done in the calling thread.
        """
        if self._pool is None or nanoseconds < _WORTH_IT:
            return [part(0, self._n_items)]
        bounds = [self._n_items * i // self._count for i in range(self._count + 1)]
        return list(self._pool.map(part, bounds[:-1], bounds[1:]))
