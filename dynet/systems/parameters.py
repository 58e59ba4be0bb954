"""Parameters of any structure as one vector, and derivatives with respect to them by differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dynet.kernels.namespace import as_array, move_like, to_numpy
from dynet.typing import Array, StepFunction

__all__ = ["ParameterDifference", "flattened", "parameter_names", "replaced"]


def flattened(p: Any) -> np.ndarray:
    """Return all numbers in ``p`` (n_params,): tuples, namedtuples, dicts and arrays in their order, arrays row by row.

    Examples
    --------
    >>> from dynet.systems.parameters import flattened
    >>> flattened({"W": np.eye(2), "b": 3.0})
    array([1., 0., 0., 1., 3.])
    """
    leaves = [np.asarray(to_numpy(leaf), dtype=np.float64).ravel() for _, leaf in _leaves(p, "")]
    return np.concatenate(leaves) if leaves else np.empty(0)


def parameter_names(p: Any) -> list[str]:
    """Return a name for each number in ``p``.

    Examples
    --------
    >>> from dynet.systems.parameters import parameter_names
    >>> parameter_names({"W": np.eye(2), "b": 3.0})
    ['W[0,0]', 'W[0,1]', 'W[1,0]', 'W[1,1]', 'b']
    """
    names = []
    for name, leaf in _leaves(p, ""):
        shape = np.shape(to_numpy(leaf))
        name = name or "p"
        names += [name + (f"[{','.join(map(str, index))}]" if shape else "") for index in np.ndindex(shape)]
    return names


def replaced(p: Any, vector: np.ndarray) -> Any:
    """Return ``p`` with the numbers of ``vector`` in place of its own."""
    return _filled(p, iter(np.asarray(vector, dtype=np.float64)))


def _leaves(p: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(p, dict):
        for key, value in p.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(p, tuple | list):
        keys = getattr(p, "_fields", range(len(p)))
        for key, value in zip(keys, p, strict=True):
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(p, np.ndarray | np.generic | int | float) or hasattr(p, "detach"):
        yield name, p


def _filled(p: Any, numbers: Iterator[float]) -> Any:
    if isinstance(p, dict):
        return {key: _filled(value, numbers) for key, value in p.items()}
    if isinstance(p, tuple | list):
        values = [_filled(value, numbers) for value in p]
        return type(p)(*values) if hasattr(p, "_fields") else type(p)(values)
    if isinstance(p, np.ndarray) or hasattr(p, "detach"):
        shape = tuple(p.shape)
        array = np.array([next(numbers) for _ in range(int(np.prod(shape)))]).reshape(shape)
        return move_like(array, p)
    return float(next(numbers)) if isinstance(p, np.generic | int | float) else p


class ParameterDifference:
    """A ``jac_params`` by central differences of ``function``, two calls for each parameter.

    The relative error is near ``eps**(2/3)``, 4e-11 in float64; parameters count as of size one near zero.
    """

    kind = "finite_difference"

    def __init__(self, function: StepFunction) -> None:
        self.function = function

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Array:
        """Return the derivative (n, n_params)."""
        base = flattened(p)
        state = x[0] if isinstance(x, tuple) else x
        epsilon = np.finfo(np.float64 if isinstance(x, tuple) else to_numpy(state).dtype).eps
        prototype = np.asarray(x) if isinstance(x, tuple) else x
        columns = []
        for i, value in enumerate(base):
            h = float(epsilon) ** (1 / 3) * max(abs(value), 1.0)
            ends = []
            for sign in (1.0, -1.0):
                moved = base.copy()
                moved[i] += sign * h
                ends.append(to_numpy(as_array(self.function(t, x, u, replaced(p, moved)), prototype)))
            columns.append((ends[0] - ends[1]) / (2 * h))
        J = np.stack(columns, axis=-1) if columns else np.empty((len(to_numpy(prototype)), 0))
        return J if isinstance(prototype, np.ndarray) else move_like(J, prototype)
