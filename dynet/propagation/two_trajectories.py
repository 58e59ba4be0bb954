"""The largest exponent from two trajectories, without any Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.kernels.namespace import machine_epsilon, namespace, to_numpy
from dynet.lyapunov.convergence import error_bars, sequence_rates
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import block_size
from dynet.lyapunov.walk import make_walk
from dynet.propagation.many_starts import distances, raise_unless_finite, stepped
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["two_trajectory_exponent"]

#: Spacings of floating point numbers that a separation must hold.
_ROUNDINGS = 1e3
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
    held = distances(x, y)
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
        distance = distances(x, y)
        _raise_unless_apart(problem, number, held, distance, separation)
        with np.errstate(divide="ignore"):
            total += np.log(to_numpy(distance / held).astype(np.float64))
        met = distance == 0
        length = xp.where(met, xp.ones_like(distance), distance)
        # where they met a new direction, so that the steps after that are not lost too
        y = x + separation * xp.where(met[:, None], direction, (y - x) / length[:, None])
        held = distances(x, y)  # which rounding makes a little different
        if done > 0 and (is_end or done % size == 0):
            growth.append(total)
            steps.append(done - first)
        if done == 0 or (done > 0 and done % size == 0):
            total, first = np.zeros(S), done
    return np.stack(growth, axis=1), np.array(steps)


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
