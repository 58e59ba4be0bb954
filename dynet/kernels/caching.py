"""Whether compiled kernels can be kept on disk: not where neither the package nor the user's cache can be written."""

from __future__ import annotations

from numba import njit


def _nothing() -> None:
    """Stand for a kernel."""


def _can_cache() -> bool:
    try:
        njit(cache=True)(_nothing)
    except RuntimeError:
        return False
    return True


#: To be given to `njit` as ``cache``.
CACHE = _can_cache()
