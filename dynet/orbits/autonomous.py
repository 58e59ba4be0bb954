"""A check that a system does not depend on time."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.errors import InputError
from dynet.variational.field import Field

_TIMES = (0.377, 1.913, 12.71, 1.0, 2.0, 7.0)


def require_autonomous(field: Field, x: np.ndarray, name: str, row: Any = None) -> None:
    """Raise if the functions of the system called ``name``, under a constant input, depend on time."""
    at_zero = field(0.0, x, row)
    if not all(np.array_equal(field(t, x, row), at_zero, equal_nan=True) for t in _TIMES):
        raise InputError(f"{name} depends on time: give an autonomous one; constant inputs enter by with_input(row)")
