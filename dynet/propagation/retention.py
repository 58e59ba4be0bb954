"""What is left of perturbations that are not small, beside what the Jacobians say."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.kernels.namespace import machine_epsilon, move_like, namespace, to_numpy
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import make_walk, settled, walk
from dynet.propagation.many_starts import distances, raise_unless_finite, stepped
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["perturbation_retention"]

#: Spacings of floating point numbers, at the length of the state, that a distance must be to be one.
_RESOLVED = 10


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
        distance = to_numpy(distances(reference, clouds)).astype(np.float64)
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
