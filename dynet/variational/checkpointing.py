"""A run that is kept at some of its times and repeated from there, with one tangent and the loss so far."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np

from dynet.errors import DivergenceError
from dynet.variational.integration import integrate
from dynet.variational.path import Path, Running, advanced, states_until

__all__ = ["Checkpointed"]

#: Runs of more numbers than this are not kept as a whole.
_MOST_NUMBERS = 2**22


class _Checkpoint(NamedTuple):
    first: int  # number of the time
    z: np.ndarray  # (2 n + 2,): state, tangent, loss, derivative of the loss along the tangent
    scale: float  # size of the states before


class Checkpointed:
    """The run of a path that holds the start alone, and its parts, the last one first.

    Parameters
    ----------
    path : Path
        Of the run; its only state is the start.
    running : callable, optional
        ``running(t, x) -> (value, derivative)``, integrated over time or summed over the states after each step.
    """

    def __init__(self, path: Path, running: Running | None) -> None:
        self.path, self.running = path, running
        n, K = path.field.n, len(path.times) - 1
        #: (time,), the derivative of the loss so far along the tangent
        self.collected = np.zeros(K + 1)
        self._length = K if (K + 1) * (3 * n + 2) <= _MOST_NUMBERS else ceil(sqrt(K))
        z = np.concatenate([path.states[0], np.random.default_rng(0).standard_normal(n), [0.0, 0.0]])
        self._checkpoints: list[_Checkpoint] = []
        scale = 0.0
        for first in range(0, K, self._length):
            self._checkpoints.append(_Checkpoint(first, z, scale))
            self._latest = self._run(self._checkpoints[-1])
            z, scale = self._latest[1][-1].copy(), self._latest[0].scale  # a view would keep the whole part
        self.n_checkpoints, self._scale = len(self._checkpoints), scale
        self.loss, self.last_state = float(z[-2]), z[:n].copy()

    def backwards(self) -> Iterator[tuple[int, Path, np.ndarray]]:
        """Yield the number of the first time of a part, its path, and the tangents (time, n) along it."""
        n = self.path.field.n
        for number, checkpoint in enumerate(reversed(self._checkpoints)):
            part, z = self._latest if number == 0 else self._run(checkpoint)
            yield checkpoint.first, part._replace(least_scale=self._scale), z[:, n : 2 * n]

    def _run(self, checkpoint: _Checkpoint) -> tuple[Path, np.ndarray]:
        """Return a part of the path, with its states, and all that was carried along, (time, 2 n + 2)."""
        path, n, first = self.path, self.path.field.n, checkpoint.first
        last = min(first + self._length, len(path.times) - 1)
        z = np.repeat(checkpoint.z[None, :], last - first + 1, axis=0)
        rows = None if path.rows is None else path.rows[first:last, ...]
        part = Path(path.field, path.times[first : last + 1], z[:, :n], rows, checkpoint.scale)
        for k in range(last - first):
            size = max(1.0, float(np.abs(z[k, n : 2 * n]).max()))
            z[k + 1] = _one_interval(part, k, z[k], self.running, size)
        self.collected[first : last + 1] = z[:, -1]
        return part, z


def _one_interval(path: Path, k: int, z: np.ndarray, running: Running | None, size: float) -> np.ndarray:
    """Return state, tangent, loss and its derivative along the tangent after interval ``k``."""
    field, n, u = path.field, path.field.n, path.row(k)
    t0, t1 = float(path.times[k]), float(path.times[k + 1])
    if not path.is_flow:
        x, V, _ = advanced(path, k, z[:n], z[n : 2 * n, None], None)
        value, derivative = (0.0, np.zeros(n)) if running is None else running(t1, x)
        return np.concatenate([x, V[:, 0], [z[-2] + value, z[-1] + derivative @ V[:, 0]]])

    def fun(t: float, y: np.ndarray) -> np.ndarray:
        rate, J = field.linearized(t, y[:n], u)
        value, derivative = (0.0, np.zeros(n)) if running is None else running(t, y[:n])
        return np.concatenate([rate, (J @ y[n : 2 * n, None])[:, 0], [value, derivative @ y[n : 2 * n]]])

    atol = 0.1 * field.tolerance * np.concatenate([np.full(n, path.scale), np.full(n, size), [1.0, size]])
    try:
        return integrate(fun, t0, z, t1, field.tolerance, atol, short=True)[0]
    except DivergenceError as error:
        error.result = states_until(path, k)
        raise
