"""How many threads the BLAS may take, and work that it should do with one."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_info


def threads_of_blas() -> int:
    """Return how many threads every BLAS is allowed: who limits those of matrix products means ours as well."""
    return min((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which the libraries of the calling thread take no other threads."""
    limits: AbstractContextManager[Any] = libraries_with_threads().limit(limits=1)
    return limits


def libraries_with_threads() -> ThreadpoolController:
    """Return all that are loaded; looking for them takes as long as a short run, and modules bring new ones."""
    return _found(len(sys.modules))


@lru_cache(maxsize=1)
def _found(n_modules: int) -> ThreadpoolController:
    return ThreadpoolController()
