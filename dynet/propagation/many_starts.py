"""Many starts under a common input: how far they are apart at every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dynet.kernels.namespace import as_array, namespace, to_numpy
from dynet.lyapunov.problem import Problem, raise_if_diverged


class Spread(NamedTuple):
    """Distances (time,) of the starts, their mean states (time, n), and the states at the end (start, n)."""

    rms: np.ndarray
    largest: np.ndarray
    mean: np.ndarray
    final: np.ndarray


def stepped(problem: Problem, number: int, x: Any) -> Any:
    """Return the states (many, n) after step ``number``; the inputs go round for every so many of them."""
    system = problem.system
    u = x[..., :0]
    if problem.inputs is not None:
        row = problem.inputs[:, number, :]
        u = row if row.shape[0] == x.shape[0] else namespace(row).concat([row] * (x.shape[0] // row.shape[0]), axis=0)
    t = number * system.dt
    with np.errstate(over="ignore", invalid="ignore"):
        if system.vectorized:
            return as_array(system.step(t, x, u, system.params), x)
        rows = [as_array(system.step(t, x[s, :], u[s, :], system.params), x) for s in range(x.shape[0])]
        return namespace(x).stack(rows)


def raise_unless_finite(problem: Problem, number: int, x: Any, n_sequences: int) -> None:
    """Raise if one of the states (many, n) after step ``number`` is not finite; sequences go round."""
    states = to_numpy(x)
    if np.isfinite(states).all():
        return
    for k, state in enumerate(states):
        raise_if_diverged(state, np.zeros((state.size, 1)), number, k % n_sequences, problem)


def distances(x: Any, y: Any) -> Any:
    """Return the Euclidean distances of states (..., n)."""
    with np.errstate(over="ignore"):
        return namespace(x).sqrt(namespace(x).sum((y - x) ** 2, axis=-1))


def all_states(problem: Problem) -> Iterator[np.ndarray]:
    """Yield the states (start, n) of every start, before the first step and after each."""
    x = problem.x0
    yield to_numpy(x)
    for number in range(problem.n_rows):
        x = stepped(problem, number, x)
        raise_unless_finite(problem, number, x, x.shape[0])
        yield to_numpy(x)


def spread_of(problem: Problem, bar: Any) -> Spread:
    """Run all starts to the end; ``bar`` is told of every step."""
    shape = (problem.n_rows + 1,)
    rms, largest = np.empty(shape), np.empty(shape)
    mean = np.empty((*shape, problem.x0.shape[1]))
    states = np.empty((0, 0))
    for k, states in enumerate(all_states(problem)):
        states = states.astype(np.float64)
        # about one of them, so that starts which have become equal are exactly equal
        shifted = states - states[0]
        centre = shifted.mean(axis=0)
        deviation = shifted - centre
        squares = (deviation**2).sum(axis=1)
        rms[k] = np.sqrt(2 * squares.sum() / (len(states) - 1))
        largest[k] = np.sqrt(squares.max())
        mean[k] = states[0] + centre
        if k:
            bar.update()
    return Spread(rms, largest, mean, states)
