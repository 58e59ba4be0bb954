"""What all analyses of finite times share: their runs, windows of time, and the attributes of results."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.kernels.namespace import machine_epsilon, namespace, to_numpy
from dynet.lyapunov.convergence import error_bars
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.spectrum_labels import jacobian_kind, state_kind
from dynet.lyapunov.walk import Step
from dynet.systems.operators import assemble
from dynet.typing import Array


def is_batched(problem: Problem, x0: Any, inputs: Any) -> bool:
    """Return whether the call had a sequence axis: then its result has one too."""
    axes = (getattr(x0, "ndim", None) or np.ndim(x0)) if x0 is not None else 0
    given = axes == 2 or getattr(inputs, "ndim", 0) == 3 or problem.system.limits()[1] is not None
    return given or problem.x0.shape[0] > 1


def groups(problem: Problem) -> list[int | slice]:
    """Return the sequences as they are walked: all at once if the system can, otherwise one by one."""
    return [slice(None)] if problem.system.vectorized else list(range(problem.x0.shape[0]))


def members(problem: Problem, group: int | slice) -> range:
    """Return the numbers of the sequences of a group."""
    S = problem.x0.shape[0]
    return range(S) if isinstance(group, slice) else range(group, group + 1)


def window_starts(faults: Faults, n_steps: int, length: int, every: Any, n_transient: int) -> np.ndarray:
    """Return the steps at which windows of ``length`` steps start: the first one, or one every ``every`` steps."""
    if every is None:
        return np.array([n_transient])
    if not faults.integer("every", every, 1):
        return np.zeros(0, dtype=int)
    return n_transient + np.arange(0, n_steps - length + 1, int(every))


def dense(step: Step, count: int) -> tuple[np.ndarray, float]:
    """Return Jacobians (count, n, n) in float64, and the epsilon to which their own dtype knows them."""
    J = assemble(step.J)
    epsilon = machine_epsilon(J) if "float" in str(J.dtype) else float(np.finfo(float).eps)
    matrices = to_numpy(J).astype(np.float64)
    if not np.isfinite(matrices).all():
        raise_not_finite(step)
    return np.broadcast_to(matrices, (count, *matrices.shape[-2:])), epsilon


def raise_not_finite(step: Step) -> NoReturn:
    """Raise for a Jacobian that is not finite at a finite state."""
    raise DivergenceError(
        f"the Jacobian of step {step.number} is not finite although the state is: check jac at that state, or the "
        "parameters",
        step=step.number,
    )


def log_length(g: Array) -> np.ndarray:
    """Return the log of the Frobenius norm of frames (..., n, k), in float64."""
    xp = namespace(g)
    largest = xp.max(xp.abs(g), axis=(-2, -1), keepdims=True)
    safe = xp.where(largest > 0, largest, xp.ones_like(largest))
    squares = xp.sum((g / safe) ** 2, axis=(-2, -1))
    with np.errstate(divide="ignore"):
        total = np.log(to_numpy(squares).astype(np.float64))
    return np.asarray(0.5 * total + np.log(to_numpy(safe[..., 0, 0]).astype(np.float64)))


def run_attrs(problem: Problem, **settings: Any) -> dict[str, Any]:
    """Return what the attributes of every result say of its run."""
    system = problem.system
    attrs = {
        "n_units": int(problem.x0.shape[-1]),
        "dt": system.dt,
        "time_unit": system.time_unit,
        "dtype": str(to_numpy(problem.x0).dtype),
        "jacobian": jacobian_kind(system),
        "state": state_kind(system),
        "logarithm": "natural",
        **settings,
    }
    if problem.inputs is not None:
        attrs["conditional_on"] = "the given inputs"
    return attrs


def mean_and_error(samples: np.ndarray, *, independent: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of samples (sequence, window, ...) and its standard error, as exponents have it.

    Windows of a sequence may be correlated. The error is inf for a single sample, 0 where every one is -inf.
    """
    error, _ = error_bars(samples, np.ones(samples.shape[:2]), independent=independent)
    return samples.mean(axis=(0, 1)), error
