"""Lyapunov exponents of any map, from the growth of a tangent frame along its trajectory."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.checkpoint import Checkpoint, Identity
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import Run, blas_threads, block_size
from dynet.lyapunov.setup import make_problem, require_map
from dynet.lyapunov.spectrum_labels import label_spectrum, named_rng
from dynet.lyapunov.time_chunks import ChunkedRun, chunks_for
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["lyapunov_spectrum"]


def lyapunov_spectrum(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    params: Any = None,
    n_exponents: int | None = None,
    n_transient: int = 0,
    qr_interval: int | Literal["auto"] = "auto",
    tolerance: float | None = None,
    frame: Literal["auto", "qr", "lu"] = "auto",
    initial_frame: ArrayLike | None = None,
    time_chunks: int | Literal["auto"] = 1,
    rng: Rng = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    check: bool = True,
) -> xr.Dataset:
    r"""Return the leading Lyapunov exponents with their error bars.

    A frame of k tangent vectors follows the trajectory, :math:`V_{t+1} = J_t V_t`, and is factored every few
    steps; :math:`\lambda_i = \frac{1}{T\,dt} \sum_t \log R_{ii,t}`, in natural logarithms and time order
    :math:`J_T \cdots J_1`.

    Parameters
    ----------
    system : Map
        Any step with its Jacobian; for a flow give ``flow.to_map(dt)``.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; None means zeros, for driven networks and recorded Jacobians only.
    n_steps : int
        Steps over which growth is counted.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows. Exponents are then conditional on it.
    lengths : array of int (sequence,), optional
        Number of rows that count in each sequence, transient included, when they differ; the rest is padding.
    params : mapping or object, optional
        A set of parameters for each sequence: entries of the system's parameters by name, or all of them, with an axis
        (sequence, ...) in front of those that vary. An entry of the shape that the system has is shared. Sets of
        floats of small compiled systems run as lanes.
    n_exponents : int, optional
        How many exponents, the leading ones; all n if not given.
    n_transient : int, default 0
        Steps before, in which state and frame settle and nothing is counted.
    qr_interval : int or "auto"
        Steps between factorisations. "auto": in the compiled loop as many as keep the frame well resolved,
        otherwise 1. An interval after which the frame would be lost to rounding is halved until it is not;
        ``attrs["qr_interval"]`` is what was used in the end.
    tolerance : float, optional
        Stop as soon as every standard error is below it (at least 20 blocks); ``n_steps`` is then the most.
    frame : {"auto", "qr", "lu"}
        Factorisation of the array engine: Householder, or pivoted elimination (same exponents, faster).
    initial_frame : array (n, k), optional
        Frame to start with, orthonormalised; a random one, the same for every sequence, if not given.
    time_chunks : int or "auto", default 1
        Cut the time of compiled systems into so many chunks that run at once, as lanes of one loop and in threads.
        The states are run once, before; the first steps of a chunk are taken again, from the frame in which the
        chunk before ended, until its frames agree with those of the first time. The exponents are those of
        one piece: ``attrs["overlap"]`` is the most steps that were taken again, ``attrs["overlap_error"]`` how far
        the frames still were apart, as an error of the exponents. "auto": as many as keep the processors busy, 1 for
        short runs, other systems, with a tolerance or a checkpoint.
    rng : Generator or int, optional
        Source of the random frame; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.
    checkpoint : str or path, optional
        A file in which the run is kept, written every few seconds and at the end. The same call continues it, if
        it was killed or interrupted, and ends with exactly the numbers of a run in one piece.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the loop.

    Returns
    -------
    xarray.Dataset
        ``lyapunov_exponent(exponent)`` and ``standard_error(exponent)``, per unit of ``Map.dt``, in frame
        order (never sorted); ``degrees_of_freedom(exponent)`` of the error;
        ``sequence_exponent(sequence, exponent)``;
        ``running_estimate(sequence, time, exponent)``; ``growth(sequence, time, exponent)`` and
        ``duration(sequence, time)`` of every block, ``time`` being its end; ``final_state(sequence, unit)``;
        ``below_resolution(exponent)``. Settings stand in ``attrs``.

    Raises
    ------
    InputError
        If an argument cannot be used, the Jacobian disagrees with the step, or ``checkpoint`` belongs to another
        call or is damaged.
    DivergenceError
        If state or frame stop being finite; it names step and unit.

    Notes
    -----
    The standard error is the half width of a 68 % interval: from the scatter between sequences when there
    are five or more with inputs of their own, otherwise from blocks with their autocorrelation. Intervals of other
    levels are those of Student's distribution with ``degrees_of_freedom``. A pivot below
    ``n eps max|R|`` of its factorisation, or below its own rounding error, counts as zero: such exponents are -inf and
    marked from then on, because the rank of a product never rises again. LU frames hand over to Householder ones there.

    References
    ----------
    Benettin et al. (1980), doi:10.1007/BF02128236; Dieci & Van Vleck (1995),
    doi:10.1016/0168-9274(95)00033-Q; Vogt et al. (2022), doi:10.3389/fams.2022.818799.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 20_000, n_transient=100)
    >>> ds.lyapunov_exponent.values.round(1)
    array([ 0.4, -1.6])
    >>> bool(ds.standard_error.sel(exponent=1) < 0.02)
    True

    Many parameters in one call; the result keeps them as a coordinate:

    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.logistic(), [0.3], 5_000, params={"r": [3.2, 3.5, 4.0]}, n_transient=500)
    >>> ds.sequence_exponent.sel(exponent=1).values.round(1), ds.r.values
    (array([-0.9, -0.9,  0.7]), array([3.2, 3.5, 4. ]))
    """
    system = require_map(system)
    if time_chunks == "auto" and (tolerance is not None or checkpoint is not None):
        time_chunks = 1
    problem = make_problem(
        system,
        x0,
        n_steps,
        inputs=inputs if lengths is None else _without_padding(inputs, lengths),
        params=params,
        n_exponents=n_exponents,
        n_transient=n_transient,
        qr_interval=qr_interval,
        frame=frame,
        initial_frame=initial_frame,
        rng=rng,
        tolerance=tolerance,
        checkpoint=checkpoint,
        time_chunks=time_chunks,
        check=check,
    )
    counts = np.full(problem.x0.shape[0], n_steps + n_transient)
    if lengths is not None:
        counts = _checked_lengths(lengths, problem, n_steps, n_transient)
    # sequences of equal length run together; the longest sets the grid of blocks for all of them
    members = [np.flatnonzero(counts == count) for count in np.unique(counts)[::-1]]
    runs = [
        _make_run(_part(problem, rows, int(counts[rows[0]])), n_transient, tolerance, time_chunks, progress)
        for rows in members
    ]
    # the grid depends on the arguments alone, so that runs of other networks can be compared block by block
    size = block_size(int(counts.max()) - n_transient, problem.qr_interval or 1, tuple(problem.frame.shape))
    interval = min(size, *(run.engine.interval for run in runs))
    for run in runs:
        run.engine.interval = interval
    keeper = None
    if checkpoint is not None:
        identity = Identity(problem, n_steps=n_steps, n_transient=n_transient, lengths=counts, tolerance=tolerance)
        keeper = Checkpoint(checkpoint, identity, runs)
    with blas_threads(problem), keeper or nullcontext():
        for run, rows in zip(runs, members, strict=True):
            run.finish(int(counts[rows[0]]) - n_transient, size)
    return label_spectrum(system, problem, runs, members, {
        "n_transient": n_transient,
        "tolerance": tolerance,
        "rng": named_rng(rng),
        "initial_frame": "given" if initial_frame is not None else f"random orthonormal, rng={named_rng(rng)}",
        "check": check,
        **_alignment(runs, system.dt),
        **({} if keeper is None else keeper.attrs()),
    })  # fmt: skip


def _make_run(
    problem: Problem, n_transient: int, tolerance: float | None, time_chunks: int | str, progress: bool
) -> Run:
    n_chunks = chunks_for(problem) if time_chunks == "auto" else int(time_chunks)
    if n_chunks == 1:
        return Run(problem, n_transient, tolerance, progress)
    return ChunkedRun(problem, n_transient, n_chunks, progress)


def _alignment(runs: list[Run], dt: float) -> dict[str, Any]:
    """Return what the attributes say of the chunks of time."""
    chunked = [run for run in runs if isinstance(run, ChunkedRun)]
    attrs: dict[str, Any] = {"time_chunks": max([run.alignment.chunks for run in chunked], default=1)}
    if chunked:
        attrs["overlap"] = max(run.alignment.overlap for run in chunked)
        attrs["overlap_error"] = max(run.alignment.error / (sum(run.steps) * dt) for run in chunked)
    return attrs


def _checked_lengths(lengths: ArrayLike, problem: Problem, n_steps: int, n_transient: int) -> np.ndarray:
    counts = np.asarray(to_numpy(lengths))
    faults = Faults()
    S, most = problem.x0.shape[0], n_steps + n_transient
    if counts.shape != (S,) or counts.dtype.kind not in "iu":
        faults.add("lengths", lengths, f"give one whole number for each of the {S} sequences")
    elif counts.min() <= n_transient or counts.max() > most:
        faults.add("lengths", lengths, f"each must lie between n_transient + 1 = {n_transient + 1} and {most}")
    faults.raise_if_any()
    return counts


def _without_padding(inputs: Any, lengths: Any) -> Any:
    """Return inputs with zeros in place of the padding, which may hold anything; checks of both come later."""
    counts = np.asarray(to_numpy(lengths))
    if getattr(inputs, "ndim", 0) != 3 or counts.shape != (inputs.shape[0],) or counts.dtype.kind not in "iu":
        return inputs
    cleaned = inputs.clone() if hasattr(inputs, "clone") else np.array(inputs)
    for s, count in enumerate(counts.tolist()):
        cleaned[s, max(count, 0) :] = 0
    return cleaned


def _part(problem: Problem, rows: np.ndarray, length: int) -> Problem:
    """Return the problem of some sequences of equal length."""
    if len(rows) == len(problem.numbers):
        return problem
    inputs = problem.inputs
    return replace(
        problem,
        x0=problem.x0[rows, :],
        inputs=None if inputs is None else inputs[rows, :length, ...],
        numbers=[int(row) for row in rows],
        n_rows=length,
        sets=None if problem.sets is None else problem.sets.kept(rows),
        states=None if problem.states is None else problem.states[rows, : length + 1, :],
    )
