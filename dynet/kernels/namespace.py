"""The array namespace (numpy or torch) of an array, and the few moves between the two."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

#: what belongs to numpy
_OWN = (np.ndarray, np.generic, float, int)


def namespace(x: Any) -> Any:
    """Return the array namespace of ``x``; numpy's own for everything that is not a foreign array."""
    if isinstance(x, _OWN):
        return np
    return array_api_compat.array_namespace(x)


def is_numpy(x: Any) -> bool:
    """Tell numpy arrays from those of another namespace."""
    return isinstance(x, np.ndarray)


def on_host(x: Any) -> bool:
    """Tell whether compiled code can work on the memory of ``x``: numpy arrays, and tensors of the host."""
    return is_numpy(x) or (hasattr(x, "detach") and x.device.type == "cpu")


def to_numpy(x: Any) -> np.ndarray:
    """Bring ``x`` to the host as a numpy array (no copy when it is there already)."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "detach"):
        return x.detach().cpu().numpy()
    return np.asarray(x)


def move_like(x: Any, like: Any) -> Any:
    """Return ``x`` in the namespace, dtype and device of ``like``."""
    if isinstance(like, np.ndarray):
        return np.asarray(to_numpy(x), dtype=like.dtype)
    xp = namespace(like)
    if isinstance(x, np.ndarray):
        x = np.require(x, requirements=["C", "W"])  # torch takes no read-only arrays, such as broadcast ones
    return xp.asarray(x, dtype=like.dtype, device=array_api_compat.device(like))


def device_of(x: Any) -> dict[str, Any]:
    """Return the keyword that makes a new array where ``x`` lives."""
    return {} if isinstance(x, np.ndarray) else {"device": array_api_compat.device(x)}


def as_array(value: Any, x: Any) -> Any:
    """Return tuples, lists and foreign arrays as arrays in the namespace of ``x``, their own dtype kept."""
    if isinstance(value, type(x)):
        return value
    if isinstance(x, np.ndarray):
        return np.asarray(value)
    return namespace(x).asarray(value, **device_of(x))


def placed(array: np.ndarray, like: Any) -> Any:
    """Return a numpy array where ``like`` lives, its own dtype and order in memory kept."""
    if isinstance(like, np.ndarray):
        return array
    # a copy, so that the namespace aligns its memory as for arrays of its own
    return namespace(like).asarray(array, copy=True, **device_of(like))


def machine_epsilon(x: Any) -> float:
    """Return the spacing of floating point numbers at one in the dtype of ``x``."""
    return float(namespace(x).finfo(x.dtype).eps)
