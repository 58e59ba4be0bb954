"""Gradients carried backwards through a run, each with the logarithm of its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dynet.kernels.namespace import move_like
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import Step, walk
from dynet.propagation.runs import log_length, raise_not_finite
from dynet.systems.operators import transpose


class Gradient(NamedTuple):
    """Gradients (..., n, k) as ``exp(log) direction``, the direction of unit length."""

    direction: Any
    log: np.ndarray


def forward(problem: Problem, group: int | slice, first: int, n_steps: int, x: Any) -> list[Any]:
    """Return the states before each of ``n_steps`` and after the last."""
    return [x, *(step.after for step in walk(problem, group, first, n_steps, x))]


def backward(
    problem: Problem, group: int | slice, first: int, states: list[Any], numbers: Iterable[int]
) -> Iterator[Step]:
    """Yield the steps of ``numbers``, in their order, from the states of `forward`; each Jacobian is made anew."""
    for number in numbers:
        yield from walk(problem, group, number, 1, states[number - first])


def normalised(g: Any, log: Any = 0.0) -> Gradient:
    """Return gradients with their lengths taken out."""
    lengths = log_length(g)
    lengths_or_one = np.exp(np.where(np.isfinite(lengths), lengths, 0.0))[..., None, None]
    return Gradient(g / move_like(lengths_or_one, g), log + lengths)


def pulled_back(gradient: Gradient, step: Step) -> Gradient:
    """Return the gradients with respect to the state before a step from those after it."""
    with np.errstate(over="ignore", invalid="ignore"):
        after = normalised(transpose(step.J) @ gradient.direction, gradient.log)
    if np.isnan(after.log).any() or np.isposinf(after.log).any():
        raise_not_finite(step)
    return after
