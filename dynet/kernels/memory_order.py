"""Arrays with their order in memory: products of the same numbers in another order are rounded otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_LINE = 64  # bytes of a line of the cache


def line_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return zeros that start where a line of the cache does: a vector across two lines takes twice the time."""
    size = math.prod(shape)
    memory = np.zeros(size + _LINE // dtype.itemsize, dtype)
    first = -memory.ctypes.data % _LINE // dtype.itemsize
    return memory[first : first + size].reshape(shape)


def copied(array: np.ndarray) -> np.ndarray:
    """Return a copy with the strides of ``array``."""
    copy = array.copy(order="K")
    return copy if copy.strides == array.strides else ordered(array, array.strides)


def ordered(array: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """Return a copy with the given strides, in bytes."""
    spans = [(size - 1) * stride for size, stride in zip(array.shape, strides, strict=True)]
    before, after = -sum(min(span, 0) for span in spans), sum(max(span, 0) for span in spans)
    buffer = np.zeros(before + after + array.itemsize, dtype=np.uint8)
    out: np.ndarray = np.ndarray(array.shape, array.dtype, buffer, before, strides)
    out[...] = array
    return out
