"""Trajectories: the states of a system, labelled by time and unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import trajectory_dataset
from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.kernels.namespace import as_array, is_numpy, move_like, to_numpy
from dynet.systems.arguments import start_and_inputs
from dynet.systems.compiled import TUPLES_UP_TO, compiled_parts
from dynet.systems.flow import Flow
from dynet.systems.jitted import inlined
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike

__all__ = ["simulate"]


def simulate(
    system: Map | Flow,
    x0: ArrayLike,
    n_steps: int | None = None,
    *,
    duration: float | None = None,
    dt: float | None = None,
    inputs: ArrayLike | None = None,
) -> xr.Dataset:
    """Return the trajectory that starts at ``x0``.

    Parameters
    ----------
    system : Map or Flow
        A flow is advanced by classical Runge-Kutta steps of ``dt``, the steps that exponents are taken of.
    x0 : array (n,) or (sequence, n)
        Start.
    n_steps : int, optional
        Number of steps (maps; for a flow it may replace ``duration``).
    duration : float, optional
        Time to cover (flows).
    dt : float, optional
        Time step (flows).
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of each step, held over it; ``n_steps`` rows.

    Returns
    -------
    Dataset
        ``state([sequence,] time, unit)`` with the start as its first row, ``n_steps + 1`` rows in all; with
        inputs also ``input([sequence,] time, channel)``, whose last row is NaN: no step starts there.

    Raises
    ------
    InputError
        If an argument does not fit.
    DivergenceError
        If the state stops being finite.

    Examples
    --------
    >>> import dynet
    >>> dynet.simulate(dynet.zoo.henon(), [0.0, 0.0], 3).state.sel(unit="x").values
    array([ 0.   ,  1.   , -0.4  ,  1.076])
    """
    faults = Faults()
    system, n_steps = _as_map(faults, system, n_steps, duration, dt)
    batched = np.ndim(x0) == 2 or system.limits()[1] is not None
    start, rows = start_and_inputs(faults, system, x0, inputs, n_steps, "n_steps")
    batched = batched or start.shape[0] > 1 or getattr(inputs, "ndim", 0) == 3
    if rows is not None:
        rows = move_like(rows, start)
    states = _run(system, start, rows, n_steps)
    seen = None
    if rows is not None:
        padding = np.full((start.shape[0], 1, rows.shape[-1]), np.nan)
        seen = np.concatenate([to_numpy(rows), padding], axis=1)
    units = unit_coords(system.units, states.shape[-1])
    finite = np.isfinite(states).all(axis=-1)
    if not finite.all():
        sequence, step = np.argwhere(~finite)[np.argwhere(~finite)[:, 1].argmin()]
        unit = units["unit"][int(np.argmax(~np.isfinite(states[sequence, step])))]
        raise DivergenceError(
            f"the state is not finite after step {step - 1}, first in unit {unit}: start inside the basin of an "
            "attractor, take a smaller dt, or check the parameters and inputs",
            step=int(step) - 1,
            unit=str(unit),
            sequence=int(sequence),
        )
    attrs = {"title": "Trajectory", "dt": system.dt, "n_steps": n_steps, "time_unit": system.time_unit}
    times = np.arange(n_steps + 1) * system.dt
    return trajectory_dataset(times, states, seen, units, system.time_unit, batched, attrs)


def _as_map(
    faults: Faults, system: Any, n_steps: int | None, duration: float | None, dt: float | None
) -> tuple[Map, int]:
    if not isinstance(system, Map | Flow):
        faults.add("system", type(system).__name__, "give a dynet.Map or dynet.Flow")
        faults.raise_if_any()
    if isinstance(system, Flow):
        faults.positive("dt", dt)
        if n_steps is None:
            faults.positive("duration", duration)
        elif duration is not None:
            faults.say("n_steps and duration are both given: give one of them")
        faults.raise_if_any()
        assert dt is not None
        if n_steps is None:
            assert duration is not None
            n_steps = max(round(duration / dt), 1)
        system = system.to_map(dt)
    elif duration is not None or dt is not None:
        faults.say("duration and dt belong to flows: a map takes n_steps")
    faults.integer("n_steps", n_steps, 1)
    faults.raise_if_any()
    assert n_steps is not None
    return system, int(n_steps)


def _run(system: Map, starts: Any, rows: Any, n_steps: int) -> np.ndarray:
    """Return the states (sequence, time, n)."""
    parts = compiled_parts(system, tangent=False) if is_numpy(starts) else None
    sequences = range(starts.shape[0])
    with np.errstate(over="ignore", invalid="ignore"):
        if parts is not None:
            return np.stack([_compiled(system, parts, starts, rows, s, n_steps) for s in sequences])
        if system.vectorized:
            return _array(system, starts, rows, n_steps)
        alone = [(starts[s, :], None if rows is None else rows[s, ...]) for s in sequences]
        return np.stack([_array(system, x, u, n_steps) for x, u in alone])


def _array(system: Map, x: Any, rows: Any, n_steps: int) -> np.ndarray:
    out = [to_numpy(x)]
    for step in range(n_steps):
        u = x[..., :0] if rows is None else rows[..., step, :]
        x = as_array(system.step(step * system.dt, x, u, system.params), x)
        out.append(to_numpy(x))
    return np.stack(out, axis=-2)


def _compiled(system: Map, parts: Any, starts: Any, rows: Any, s: int, n_steps: int) -> np.ndarray:
    from numba.core.errors import NumbaError

    from dynet.kernels.qr import TRAJECTORY_BLOCKS

    x = np.ascontiguousarray(starts[s])
    states = np.empty((n_steps, x.size), dtype=x.dtype)
    if parts.row is not None:
        inputs = np.asarray(parts.row, dtype=x.dtype)
    else:
        inputs = np.empty(0, dtype=x.dtype) if rows is None else np.ascontiguousarray(rows[s])
    tuples = False
    if x.size <= TUPLES_UP_TO:
        try:
            tuples = isinstance(parts.f(0.0, x, inputs[0] if inputs.ndim == 2 else inputs, system.params), tuple)
        except NumbaError:
            tuples = True  # it unpacks its state
    state = tuple(x) if tuples else x
    stops = np.arange(1, n_steps + 1)
    TRAJECTORY_BLOCKS[parts.kind](inlined(parts.f), state, inputs, system.params, 0, system.dt, stops, states)
    return np.concatenate([x[None, :], states])
