"""A checked run taken step by step with its Jacobians: the way that everything about finite times goes along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dynet.kernels.namespace import as_array, is_numpy, to_numpy
from dynet.lyapunov.problem import Problem, raise_if_diverged
from dynet.lyapunov.setup import make_problem, require_map
from dynet.systems.runge_kutta import as_multiplier
from dynet.typing import ArrayLike, Rng


class Step(NamedTuple):
    """One step: ``J`` multiplies frames (..., n, k) and is the derivative of ``after`` with respect to ``before``."""

    number: int  # counted from the first step of the run, transient included
    before: Any  # (..., n)
    J: Any
    after: Any  # (..., n)


def make_walk(
    system: Any,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    n_exponents: int | None = None,
    n_transient: int = 0,
    rng: Rng = None,
    check: bool = True,
    counted: str = "n_transient + n_steps",
) -> Problem:
    """Check the arguments of a run of ``n_transient + n_steps`` steps, as `lyapunov_spectrum` does.

    ``counted`` is how errors call these steps.
    """
    return make_problem(
        require_map(system),
        x0,
        n_steps,
        inputs=inputs,
        n_exponents=n_exponents,
        n_transient=n_transient,
        rng=rng,
        check=check,
        counted=counted,
    )


def walk(problem: Problem, sequences: int | slice, first: int, n_steps: int, x: Any = None) -> Iterator[Step]:
    """Yield ``n_steps`` steps, the first of them number ``first``, from the states ``x`` (the start if not given).

    An int walks one sequence, states (n,); a slice walks several at once, states (sequence, n), which only
    vectorized systems can.
    """
    system = problem.system
    # Jacobians that were recorded for several sequences come all at once
    of_all = isinstance(sequences, int) and system.limits()[1] is not None
    x = problem.x0[sequences, :] if x is None else x
    rows = None if problem.inputs is None else problem.inputs[sequences, ...]
    for number in range(first, first + n_steps):
        u = x[..., :0] if rows is None else rows[..., number, :]
        with np.errstate(over="ignore", invalid="ignore"):
            y, J = system.linearize(number * system.dt, x, u, system.params)
            y = as_array(y, x)
            if of_all:
                y, J = y[sequences, :], J[sequences, ...]
        _raise_if_diverged(problem, sequences, number, y)
        yield Step(number, x, as_multiplier(J, x), y)
        x = y


def settled(problem: Problem, sequences: int | slice, n_steps: int) -> Any:
    """Return the states after ``n_steps`` from the start, Jacobians aside."""
    system = problem.system
    of_all = isinstance(sequences, int) and system.limits()[1] is not None
    x = problem.x0[sequences, :]
    rows = None if problem.inputs is None else problem.inputs[sequences, ...]
    for number in range(n_steps):
        u = x[..., :0] if rows is None else rows[..., number, :]
        with np.errstate(over="ignore", invalid="ignore"):
            x = as_array(system.step(number * system.dt, x, u, system.params), x)
            x = x[sequences, :] if of_all else x
        _raise_if_diverged(problem, sequences, number, x)
    return x


def _raise_if_diverged(problem: Problem, sequences: int | slice, number: int, x: Any) -> None:
    if is_numpy(x) and np.isfinite(x).all():
        return
    states = to_numpy(x).reshape(-1, x.shape[-1])
    first = sequences if isinstance(sequences, int) else sequences.indices(len(problem.numbers))[0]
    frame = np.zeros((x.shape[-1], 1))
    for s, state in enumerate(states):
        raise_if_diverged(state, frame, number, first + s, problem)
