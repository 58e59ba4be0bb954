"""Threads that share one piece of work in loops that release the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event


class Team:
    """Some threads, the calling one among them, or the calling one alone where no more are to be had."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1)
        # all are started here: a pool that fails to start one later has already queued the work, and may do it yet
        started = Event()
        try:
            for _ in range(threads - 1):
                self._pool.submit(started.wait)
        except RuntimeError:
            self.threads = 1
        finally:
            started.set()

    def share(self, part: Callable[[int, int, int], object], begin: int, end: int) -> None:
        """Call ``part(first, last, thread)`` for parts of a range, one in each thread.

        Whatever happens, nobody works any more when it returns or raises.
        """
        bounds = [begin + (end - begin) * i // self.threads for i in range(self.threads + 1)]
        others: list[Future[object]] = []
        try:
            for i in range(1, self.threads):
                others.append(self._submitted(part, bounds[i], bounds[i + 1], i))
            part(begin, bounds[1], 0)
        finally:
            _wait(others)
        for other in others:
            other.result()

    def _submitted(self, part: Callable[[int, int, int], object], *arguments: int) -> Future[object]:
        try:
            return self._pool.submit(part, *arguments)
        except RuntimeError:  # the interpreter is about to end and takes no more work: done here, then
            done: Future[object] = Future()
            done.set_result(part(*arguments))
            return done


def _wait(futures: list[Future[object]]) -> None:
    """Wait for all, also if it is interrupted; then raise what interrupted it."""
    try:
        wait(futures)
    except BaseException:
        _wait(futures)
        raise
