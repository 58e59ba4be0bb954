"""What a spectrum says of itself: its variables, their labels, and how they were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import spectrum_dataset
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.convergence import SEQUENCES_FOR_SCATTER, error_bars, sequence_rates
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import Run
from dynet.systems.cells import HiddenLSTM
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import Rng

__all__ = ["jacobian_kind", "label_spectrum", "named_rng", "state_kind"]

REFERENCES = (
    "Benettin et al. (1980) doi:10.1007/BF02128236; Dieci & Van Vleck (1995) "
    "doi:10.1016/0168-9274(95)00033-Q; Vogt et al. (2022) doi:10.3389/fams.2022.818799"
)


def named_rng(rng: Rng) -> str:
    """Return what attributes say of a source of random numbers."""
    return "default_rng(0)" if rng is None else f"default_rng({rng})" if isinstance(rng, int) else "given"


def label_spectrum(
    system: Map, problem: Problem, runs: list[Run], members: list[np.ndarray], settings: dict[str, Any]
) -> xr.Dataset:
    """Return the result of all runs, with what it says of itself."""
    S, n = problem.x0.shape
    k = problem.frame.shape[1]
    longest = max(runs, key=lambda run: sum(run.steps))
    grid = np.cumsum(longest.steps)
    growth = np.full((S, grid.size, k), np.nan)
    durations = np.zeros((S, grid.size))
    final = np.empty((S, n), dtype=to_numpy(problem.x0[:1, :1]).dtype)
    for run, rows in zip(runs, members, strict=True):
        count = len(run.steps)
        growth[rows, :count] = run.blocks()
        durations[rows, :count] = run.durations()
        final[rows] = run.state()
    rates = sequence_rates(growth, durations)
    elapsed = np.cumsum(durations, axis=1)[..., None]
    running = np.cumsum(np.where(np.isnan(growth), 0.0, growth), axis=1) / elapsed
    time_unit = system.time_unit
    driven = problem.inputs is not None
    interval = min(run.engine.interval for run in runs)
    attrs = {
        "title": "Lyapunov spectrum",
        "method": f"growth of a tangent frame, {_frame_name(problem)}",
        "references": REFERENCES,
        "engine": problem.engine,
        "frame": problem.frame_method,
        "qr_interval": interval,
        "n_steps": int(grid[-1]),
        "n_exponents": k,
        "n_blocks": int(grid.size),
        "dt": system.dt,
        "time_unit": time_unit,
        "dtype": str(final.dtype),
        "jacobian": jacobian_kind(system),
        "state": state_kind(system),
        "logarithm": "natural",
        "n_below_resolution": 0,
        "sequences": _kind_of_sequences(problem),
        "standard_error_from": _error_source(S, problem.independent),
        **settings,
    }
    if settings["tolerance"] is not None:
        attrs["tolerance_reached"] = all(run.reached for run in runs)
    if driven:
        attrs["conditional_on"] = "the given inputs"
    exponents = rates.mean(axis=0)
    error, degrees = error_bars(growth, durations, independent=problem.independent)
    attrs["n_below_resolution"] = int(np.isneginf(exponents).sum())
    result = spectrum_dataset(
        growth=growth,
        durations=durations,
        times=(settings["n_transient"] + grid) * system.dt,
        exponents=exponents,
        standard_error=error,
        degrees_of_freedom=degrees,
        sequence_exponents=rates,
        running=running,
        final_state=final,
        units=unit_coords(system.units, n),
        time_unit=time_unit,
        attrs=attrs,
    )
    if problem.sets is None:
        return result
    taken = {*result.variables, *result.dims}
    named = {name: ("sequence", values) for name, values in problem.sets.coordinates().items() if name not in taken}
    return result.assign_coords(named)


def _kind_of_sequences(problem: Problem) -> str:
    if problem.sets is not None:
        return "parameter sets"
    return "independent" if problem.independent else "shared input or none"


def _error_source(n_sequences: int, independent: bool) -> str:
    if n_sequences == 1:
        return "blocks, autocorrelation counted"
    if n_sequences < SEQUENCES_FOR_SCATTER:
        return "blocks and sequences" if independent else "blocks of the mean over sequences"
    return "sequences" if independent else "blocks of the mean over sequences, or sequences if they scatter more"


def _frame_name(problem: Problem) -> str:
    return "pivoted LU" if problem.frame_method == "lu" else "QR"


def jacobian_kind(system: Map) -> str:
    """Return how the Jacobian is made: analytic, by differences, or matrix-free."""
    jac: Any = getattr(system.linearize, "jac", system.jac)
    while hasattr(jac, "function") and not hasattr(jac, "kind"):
        jac = getattr(jac.function, "jac", jac.function)
    return str(getattr(jac, "kind", "analytic"))


def state_kind(system: Map) -> str:
    """Return which state the exponents belong to; an LSTM's can be the hidden one alone."""
    recurrence = getattr(system.step, "recurrence", None)
    if recurrence is not None and isinstance(recurrence.cells[0], HiddenLSTM):
        return "hidden"
    return "full"
