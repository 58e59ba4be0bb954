"""The start and the inputs of a run, checked and brought to one number of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.errors import NonFiniteStartError
from dynet.kernels.namespace import is_numpy, move_like, namespace, to_numpy
from dynet.systems.binding import has_bound_input
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords


def start_and_inputs(faults: Faults, system: Map, x0: Any, inputs: Any, n_rows: int, steps: str) -> tuple[Any, Any]:
    """Return the start (sequence, n) and the inputs (sequence, time, channel) or None, or raise every fault.

    ``n_rows`` is the number of steps of the run, ``steps`` how the caller calls it. Encoders that a system brings are
    applied to the inputs.
    """
    rows = _rows(faults, system, inputs, n_rows, steps)
    start = _start(faults, system, x0, inputs is not None)
    _check_limits(faults, system, n_rows, steps)
    faults.raise_if_any()
    start, rows = _batch(faults, system, start, rows)
    faults.raise_if_any()
    return start, rows


def encoded(system: Map, inputs: Any) -> tuple[Map, Any]:
    """Return a system that reads encoded inputs, and the inputs encoded: both unchanged if it has no encoder."""
    encode = getattr(system.step, "encode", None)
    if encode is None or inputs is None:
        return system, inputs
    step = copy(system.step)
    step.encode = None  # type: ignore[attr-defined]
    return replace(system, step=step), encode(inputs)


def _rows(faults: Faults, system: Map, inputs: Any, n_rows: int, steps: str) -> Any:
    """Return the inputs as an array (time, channel) or (sequence, time, channel), or None."""
    encode = getattr(system.step, "encode", None)
    if inputs is None:
        return None
    if callable(inputs):
        faults.add("inputs", inputs, "give an array; functions of time enter by system.with_input(function)")
        return None
    if has_bound_input(system.step):
        faults.say("inputs: the system has an input of its own (with_input): give one or the other")
        return None
    if encode is not None:
        inputs = encode(inputs)
    known = len(faults)
    rows = inputs if hasattr(inputs, "detach") else faults.real_array("inputs", inputs)
    if len(faults) > known:
        return rows
    if rows.ndim not in (2, 3):
        way_out = "give (time, channel) or (sequence, time, channel)"
        if rows.ndim == 1:
            way_out += "; a single channel is inputs[:, None]"
        faults.add("inputs", rows if rows.ndim else inputs, way_out)
        return rows
    if rows.ndim == 3 and rows.shape[0] == 0:
        faults.add("inputs", rows, "give at least one sequence")
    elif rows.shape[-2] != n_rows:
        faults.say(
            f"inputs has {rows.shape[-2]} rows; {steps} need {n_rows} rows: give one row a step, or change n_steps"
        )
    if not bool(namespace(rows).all(namespace(rows).isfinite(rows))):
        where = np.argwhere(~np.isfinite(to_numpy(rows)))[0].tolist()
        faults.say(f"inputs is not finite at {where}: repair or leave out that row")
    check_width(faults, system, rows)
    if faults and getattr(inputs, "dtype", None) is not None and "int" in str(inputs.dtype):
        faults.say(
            "inputs are whole numbers: if they are tokens, give the model's embedding as from_module(..., encode=)"
        )
    return rows


def _start(faults: Faults, system: Map, x0: Any, driven: bool) -> Any:
    """Return the start as a floating array (n,) or (sequence, n)."""
    like = system.like
    if x0 is None:
        driven = driven or has_bound_input(system.step)
        n_channels = getattr(system.step, "n_channels", None)
        reads = n_channels(system.params) if n_channels is not None else 0
        if like is not None and reads and not driven:
            faults.say(
                f"inputs are missing: the network reads {reads} channels, one row a step; to run it without them, "
                "give a start x0"
            )
            return None
        if like is None or not (driven or system.limits()[0] is not None):
            faults.say(
                "x0 is None: give a start (n,); zeros stand in only for driven networks and recorded "
                "Jacobians, because zero is often a fixed point"
            )
            return None
        sequences = system.limits()[1]
        zero = like * 0
        return zero if sequences is None else namespace(like).stack([zero] * sequences)
    known = len(faults)
    start = x0 if hasattr(x0, "detach") else faults.real_array("x0", x0).copy()  # a step might write into it
    if len(faults) > known:
        return start
    if start.ndim not in (1, 2) or 0 in start.shape:
        faults.add("x0", start if start.ndim else x0, "give a state (n,) or several (sequence, n)")
        return start
    n = n_units(system)
    widths = {n, 2 * n} if n is not None and hasattr(system.step, "freeze") else {n}
    if n is not None and start.shape[-1] not in widths:
        told = f"the system has {n} units" if system.like is not None else f"units has {n} entries, one a unit"
        faults.add("x0", start, f"{told}: give shape ({n},) or (sequence, {n})")
        return start
    if not bool(namespace(start).all(namespace(start).isfinite(start))):
        where = np.argwhere(~np.isfinite(to_numpy(start)))[0]
        unit = unit_coords(system.units, start.shape[-1])["unit"][where[-1]]
        sequence = int(where[0]) if start.ndim == 2 else 0
        of = f" of sequence {sequence}" if start.ndim == 2 else ""
        raise NonFiniteStartError(
            f"x0 is not finite in unit {unit}{of}: give a finite start", step=-1, unit=str(unit), sequence=sequence
        )
    return start if like is None else move_like(start, like)


def n_units(system: Map) -> int | None:
    """Return the number of units that the system itself tells, by its zero state or by their names."""
    if system.like is not None:
        return int(system.like.shape[-1])
    units = next(iter(system.units.values()), None) if isinstance(system.units, Mapping) else system.units
    return None if units is None else len(units)


def _check_limits(faults: Faults, system: Map, n_rows: int, steps: str) -> None:
    held, _ = system.limits()
    if held is not None and n_rows > held:
        faults.say(f"the system holds {held} steps, but {steps} = {n_rows}: take fewer")


def check_width(faults: Faults, system: Map, rows: Any) -> None:
    """Note a fault if the network of a system reads another number of channels."""
    n_channels = getattr(system.step, "n_channels", None)
    if n_channels is not None:
        expected = n_channels(system.params)
        if rows.shape[-1] != expected:
            reads = f"reads {expected} channels" if expected else "has no input weights"
            faults.say(f"inputs has {rows.shape[-1]} channels, but the network {reads}")


def _batch(faults: Faults, system: Map, start: Any, rows: Any) -> tuple[Any, Any]:
    """Return start (sequence, n) and inputs (sequence, time, channel) of one number of sequences."""
    n_starts = start.shape[0] if start.ndim == 2 else None
    n_inputs = rows.shape[0] if rows is not None and rows.ndim == 3 else None
    held = system.limits()[1]
    counts = {"x0": n_starts, "inputs": n_inputs, "the recorded Jacobians": held}
    given = {name: count for name, count in counts.items() if count is not None}
    S = max(given.values(), default=1)
    if any(count != S for count in given.values()):
        listed = ", ".join(f"{name} has {count} sequences" for name, count in given.items())
        faults.say(f"{listed}: give equal numbers, or one of them without sequence axis")
        return start, rows
    xp = namespace(start)
    if start.ndim == 1:
        start = xp.broadcast_to(start, (S, start.shape[0]))
        start = start.copy() if is_numpy(start) else start.clone()
    if rows is not None and rows.ndim == 2:
        rows = namespace(rows).broadcast_to(rows, (S, *rows.shape))
    return start, rows
