"""Threads that share one piece of work in loops that release the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from threadpoolctl import threadpool_info


def threads_of_blas() -> int:
    """Return how many threads every BLAS is allowed: who limits those of matrix products means ours as well."""
    return min((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)


class Team:
    """Some threads, the calling one among them."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1)

    def share(self, part: Callable[[int, int, int], object], begin: int, end: int) -> None:
        """Call ``part(first, last, thread)`` for parts of a range, one in each thread."""
        bounds = [begin + (end - begin) * i // self.threads for i in range(self.threads + 1)]
        others = [self._pool.submit(part, bounds[i], bounds[i + 1], i) for i in range(1, self.threads)]
        try:
            part(begin, bounds[1], 0)
        finally:
            wait(others)  # whatever happens, nobody writes to the memory any more
        for other in others:
            other.result()
