"""Finite perturbations: the exponent without any Jacobian, and what is left of perturbations that are not small."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.kernels.namespace import machine_epsilon, move_like, namespace, to_numpy
from dynet.lyapunov.convergence import error_bars, sequence_rates
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import block_size
from dynet.lyapunov.walk import make_walk, settled, walk
from dynet.propagation.many_starts import raise_unless_finite, stepped
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["perturbation_retention", "two_trajectory_exponent"]

#: Spacings of floating point numbers that a separation must hold.
_ROUNDINGS = 1e3
#: Spacings of floating point numbers, at the length of the state, that a distance must be to be one.
_RESOLVED = 10
BENETTIN = "Benettin, Galgani & Strelcyn (1976) doi:10.1103/PhysRevA.14.2338"


def two_trajectory_exponent(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    separation: float | None = None,
    interval: int = 1,
    n_transient: int = 0,
    rng: Rng = None,
    progress: bool = False,
    check: bool = False,
) -> xr.Dataset:
    """Return the largest exponent from two trajectories: an independent check that uses no Jacobian.

    The second one starts at a small distance, and is set back to it in its direction every ``interval`` steps.

    Parameters
    ----------
    system : Map
        The system; its Jacobian is not used.
    x0 : array (n,) or (sequence, n), or None
        Start.
    n_steps : int
        Steps over which growth is counted.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, common to both trajectories.
    separation : float, optional
        Distance that the second trajectory is set back to, in units of the state. Its size and the machine epsilon over
        it are the relative errors of each growth; the root of the epsilon if not given.
    interval : int, default 1
        Steps between.
    n_transient : int, default 0
        Steps before, in which the direction settles.
    rng : Generator or int, optional
        Source of the first direction; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.
    check : bool, default False
        Compare the Jacobian with a difference of the step before.

    Returns
    -------
    Dataset
        ``lyapunov_exponent``, its ``standard_error`` and ``degrees_of_freedom``; ``sequence_exponent(sequence)``;
        ``growth(sequence, time)`` over each block. -inf if the trajectories met.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If a state stops being finite, or grows until rounding leaves nothing of the separation.

    References
    ----------
    Benettin, Galgani & Strelcyn (1976), doi:10.1103/PhysRevA.14.2338.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.two_trajectory_exponent(dynet.zoo.logistic(4.0), [0.3], 5_000, n_transient=100)
    >>> float(ds.lyapunov_exponent.round(2))
    0.69
    """
    faults = Faults()
    if separation is not None:
        faults.positive("separation", separation)
    faults.integer("interval", interval, 1)
    faults.raise_if_any()
    problem = make_walk(
        system, x0, n_steps, inputs=inputs, n_exponents=1, n_transient=n_transient, rng=rng, check=check
    )
    separation = machine_epsilon(problem.x0) ** 0.5 if separation is None else separation
    least = _ROUNDINGS * machine_epsilon(problem.x0) * float(np.abs(to_numpy(problem.x0)).max())
    if separation < least:
        faults.add("separation", separation, f"at states of this size rounding leaves nothing of it: give {least:.1g}")
        faults.raise_if_any()
    size = block_size(n_steps, int(interval))
    growth, steps = _grown(problem, n_transient, float(separation), int(interval), size, progress)
    dt = problem.system.dt
    durations = np.broadcast_to(dt * steps, growth.shape)
    rates = sequence_rates(growth[..., None], durations)[:, 0]
    error, degrees = error_bars(growth[..., None], durations, independent=problem.independent)
    unit = problem.system.time_unit
    per_time = EXPONENT_UNITS.format(time_unit=unit)
    variables = {
        "lyapunov_exponent": ((), rates.mean(), "largest Lyapunov exponent, mean over sequences", per_time),
        "standard_error": ((), error[0], "standard error of the exponent", per_time),
        "degrees_of_freedom": ((), degrees[0], "degrees of freedom of the error", "1"),
        "sequence_exponent": (("sequence",), rates, "largest Lyapunov exponent of each sequence", per_time),
        "growth": (("sequence", "time"), growth, "log growth of the distance over the block", "nat"),
    }
    coords = {
        "sequence": np.arange(len(rates)),
        "time": ("time", dt * (n_transient + np.cumsum(steps)), {"units": unit, "long_name": "end of the block"}),
    }
    return dataset(variables, coords, {
        "title": "Largest exponent by two trajectories",
        "method": "distance of two trajectories, set back every few steps",
        "references": BENETTIN,
        "separation": float(separation),
        "interval": int(interval),
        "n_steps": n_steps,
        "n_transient": n_transient,
        "dt": dt,
        "time_unit": unit,
        "conditional_on": None if inputs is None else "the given inputs",
    })  # fmt: skip


def _grown(
    problem: Problem, n_transient: int, separation: float, interval: int, size: int, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the growth (sequence, block) of the distance, and the steps of each block."""
    xp = namespace(problem.x0)
    S = problem.x0.shape[0]
    direction = problem.frame[:, 0]
    x, y = problem.x0, problem.x0 + separation * direction
    held = _distance(xp, x, y)
    growth: list[np.ndarray] = []
    steps: list[int] = []
    total, first = np.zeros(S), -n_transient
    bar = progress_over(range(problem.n_rows), "Two trajectories", progress)
    for number in bar:
        both = stepped(problem, number, xp.concat((x, y), axis=0))
        raise_unless_finite(problem, number, both, S)
        x, y = both[:S, :], both[S:, :]
        done, is_end = number + 1 - n_transient, number + 1 == problem.n_rows
        if not is_end and done % interval != 0:
            continue
        distance = _distance(xp, x, y)
        _raise_unless_apart(problem, number, held, distance, separation)
        with np.errstate(divide="ignore"):
            total += np.log(to_numpy(distance / held).astype(np.float64))
        met = distance == 0
        length = xp.where(met, xp.ones_like(distance), distance)
        # where they met a new direction, so that the steps after that are not lost too
        y = x + separation * xp.where(met[:, None], direction, (y - x) / length[:, None])
        held = _distance(xp, x, y)  # which rounding makes a little different
        if done > 0 and (is_end or done % size == 0):
            growth.append(total)
            steps.append(done - first)
        if done == 0 or (done > 0 and done % size == 0):
            total, first = np.zeros(S), done
    return np.stack(growth, axis=1), np.array(steps)


def _distance(xp: Any, x: Any, y: Any) -> Any:
    with np.errstate(over="ignore"):
        return xp.sqrt(xp.sum((y - x) ** 2, axis=-1))


def _raise_unless_apart(problem: Problem, number: int, held: Any, distance: Any, separation: float) -> None:
    """Raise if the states are so large that their distance overflows, or was lost to rounding when it was set."""
    before, after = to_numpy(held), to_numpy(distance)
    bad = ~np.isfinite(after) | (before < separation / 2)
    if bad.any():
        s = int(np.argmax(bad))
        raise DivergenceError(
            f"the states of sequence {problem.numbers[s]} have grown by step {number} until nothing is left of "
            f"separation={separation:g} beside them: give a larger one, or start inside the basin of an attractor",
            step=number,
            sequence=problem.numbers[s],
        )


def perturbation_retention(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    sizes: ArrayLike = (1e-3, 1e-1, 1.0),
    n_directions: int = 16,
    inputs: ArrayLike | None = None,
    n_transient: int = 0,
    rng: Rng = None,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    """Return what is left of perturbations of finite size after some steps, beside that of infinitesimal ones.

    Parameters
    ----------
    system : Map
        The system.
    x0 : array (n,) or None
        Start.
    n_steps : int
        Steps to watch.
    sizes : array (size,), default (1e-3, 1e-1, 1)
        Lengths of the perturbations, in units of the state.
    n_directions : int, default 16
        Random directions to average over, the same for all sizes.
    inputs : array (time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows.
    n_transient : int, default 0
        Steps before the perturbation.
    rng : Generator or int, optional
        Source of the directions; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before.

    Returns
    -------
    Dataset
        ``log_retention(size, time)``, the mean over directions of the log of distance over size, and its
        ``standard_error(size, time)``; ``linear_log_retention(time)``, the same by the Jacobians, and
        ``linear_standard_error(time)``. Time counts from the perturbation; -inf where one is wholly forgotten.
        ``below_resolution(size, time)``: so little is left that rounding of the states shows more of itself than of it.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If a state stops being finite.

    Examples
    --------
    Tanh saturates: large perturbations are cut down to what the linear theory knows nothing of.

    >>> import dynet, numpy as np
    >>> ds = dynet.perturbation_retention(dynet.networks.tanh_rnn([[0.9]]), [0.0], 10, sizes=[1e-6, 10.0])
    >>> ds.log_retention.isel(time=-1).values.round(2), float(ds.linear_log_retention[-1].round(2))
    (array([-1.05, -3.88]), -1.05)
    """
    faults = Faults()
    lengths = faults.real_array("sizes", sizes, finite=True)
    if lengths.ndim != 1 or lengths.size == 0 or not (lengths > 0).all():
        faults.add("sizes", sizes, "give an array of positive lengths")
    faults.integer("n_directions", n_directions, 2)
    faults.raise_if_any()
    problem = make_walk(
        system, x0, n_steps, inputs=inputs, n_exponents=1, n_transient=n_transient, rng=rng, check=check
    )
    if problem.x0.shape[0] != 1:
        faults.say(f"there are {problem.x0.shape[0]} sequences: give one start (n,) and one series of inputs")
        faults.raise_if_any()
    n = problem.x0.shape[1]
    V = np.random.default_rng(0 if rng is None else rng).standard_normal((n, int(n_directions)))
    V /= np.linalg.norm(V, axis=0)
    finite, linear, lost = _retained(problem, n_transient, n_steps, lengths, V, progress)
    unit = problem.system.time_unit
    mean, error = _mean_and_error(finite)
    linear_mean, linear_error = _mean_and_error(linear)
    variables = {
        "log_retention": (("size", "time"), mean, "mean log of distance over size", "nat"),
        "standard_error": (("size", "time"), error, "standard error over directions", "nat"),
        "below_resolution": (("size", "time"), lost, "what is left is rounding", "1"),
        "linear_log_retention": (("time",), linear_mean, "the same, of infinitesimal perturbations", "nat"),
        "linear_standard_error": (("time",), linear_error, "standard error over directions", "nat"),
    }
    coords = {
        "size": lengths,
        "time": ("time", problem.system.dt * np.arange(n_steps + 1), {"units": unit}),
    }
    return dataset(variables, coords, {
        "title": "Retention of perturbations",
        "method": "perturbed trajectories beside products of Jacobians",
        "n_directions": int(n_directions),
        "n_steps": n_steps,
        "n_transient": n_transient,
        "dt": problem.system.dt,
        "time_unit": unit,
        "conditional_on": None if inputs is None else "the given inputs",
    })  # fmt: skip


def _retained(
    problem: Problem, n_transient: int, n_steps: int, lengths: np.ndarray, V: np.ndarray, progress: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the log retention (size, time, direction), (time, direction) of the linear one, and what is rounding."""
    xp = namespace(problem.x0)
    sequences: int | slice = slice(0, 1) if problem.system.vectorized else 0
    start = settled(problem, sequences, n_transient)
    directions = move_like(V.T.copy(), problem.x0)
    W = move_like(V, problem.x0)
    reference = start.reshape(1, -1)
    clouds = xp.concat([reference + float(length) * directions for length in lengths], axis=0)
    k = V.shape[1]
    finite = np.zeros((lengths.size, n_steps + 1, k))
    linear = np.zeros((n_steps + 1, k))
    lost = np.zeros((lengths.size, n_steps + 1), dtype=bool)
    rounding = _RESOLVED * machine_epsilon(problem.x0)
    steps = walk(problem, sequences, n_transient, n_steps, start)
    for i, step in enumerate(progress_over(steps, "Retention", progress, n_steps), 1):
        clouds = stepped(problem, step.number, clouds)
        raise_unless_finite(problem, step.number, clouds, 1)
        reference = step.after.reshape(1, -1)
        distance = to_numpy(_distance(xp, reference, clouds)).astype(np.float64)
        W = (step.J @ W).reshape(W.shape)
        length = xp.sqrt(xp.sum(W**2, axis=0))
        size = float(np.linalg.norm(to_numpy(reference)))
        lost[:, i] = (distance.reshape(lengths.size, k) <= rounding * size).any(axis=1)
        with np.errstate(divide="ignore"):
            finite[:, i] = np.log(distance.reshape(lengths.size, k) / lengths[:, None])
            linear[i] = linear[i - 1] + np.log(to_numpy(length).astype(np.float64))
        W = W / xp.where(length == 0, xp.ones_like(length), length)
    return finite, linear, lost


def _mean_and_error(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean over directions and its standard error; 0 where all are -inf, inf where only some are."""
    lost = np.isneginf(logs)
    error = np.where(lost, 0.0, logs).std(axis=-1, ddof=1) / np.sqrt(logs.shape[-1])
    error = np.where(lost.all(axis=-1), 0.0, np.where(lost.any(axis=-1), np.inf, error))
    return logs.mean(axis=-1), error
