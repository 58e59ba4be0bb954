"""Checks of the arguments of theory: numbers, one or a row of them, and leaks."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet._validate import Faults, is_number

__all__ = ["PER_STEP", "check_leak", "numbers_argument"]

PER_STEP = "nat / step"


def numbers_argument(faults: Faults, name: str, value: Any, *, above: bool = False, scalar: bool = False) -> np.ndarray:
    """Return numbers, one or a row of them, that are at least 0 (or above it)."""
    known = len(faults)
    array = faults.real_array(name, value, finite=True)
    if len(faults) > known:
        return array
    if array.ndim > (0 if scalar else 1) or array.size == 0:
        faults.add(name, array, "give a number" if scalar else "give a number or an array of one dimension")
    elif (array <= 0).any() if above else (array < 0).any():
        faults.add(name, value, "give positive numbers" if above else "give numbers of at least 0")
    return array.astype(np.float64)


def check_leak(faults: Faults, delta: Any) -> None:
    """Check a leak in (0, 1]."""
    if not (is_number(delta) and 0 < delta <= 1):
        faults.add("delta", delta, "give a leak in (0, 1]")
