"""What the controllers of adaptive units do along a run: gains, saturations and pre-activations of every neuron."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.kernels.namespace import move_like, to_numpy
from dynet.systems.adaptive_networks import require_adaptive
from dynet.systems.arguments import encoded, start_and_inputs
from dynet.systems.map import Map
from dynet.typing import ArrayLike

__all__ = ["adaptation_trace"]


def adaptation_trace(
    system: Map,
    x0: ArrayLike | None = None,
    n_steps: int | None = None,
    *,
    drive: ArrayLike = 0.0,
    inputs: ArrayLike | None = None,
) -> xr.Dataset:
    """Return gains, saturations and pre-activations of adaptive units along a run.

    Parameters
    ----------
    system : Map
        Adaptive units, from `dynet.networks.adaptive_rnn` or `dynet.torch.from_module`.
    x0 : array (n,) or (sequence, n), optional
        Start (h, g); zeros if not given.
    n_steps : int, optional
        Number of steps; if not given, the rows of ``drive`` or of ``inputs``.
    drive : float or array, default 0.0
        Added to the pre-activations: one number, (time,), (time, unit) or (sequence, time, unit); an axis of units may
        have length 1. What `dynet.gain_scaling_stimulus` returns goes in as ``stimulus.values[..., None]``.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_steps`` rows.

    Returns
    -------
    xarray.Dataset
        ``gain(time, neuron)`` n, ``saturation(time, neuron)`` s, ``pre_activation(time, neuron)`` a with the drive,
        and ``activity(time, neuron)`` h, which the step that starts at that time makes; with ``sequence`` in front if
        ``x0``, ``drive`` or ``inputs`` have it. ``final_state(unit)`` is (h, g) after the last step.
        ``attrs["saturation_outside"]`` is the part of the saturations that are outside [0, 1].

    Raises
    ------
    InputError
        If the system has no adaptive units, or an argument does not fit.
    DivergenceError
        If a gain is not positive, or a state not finite; it names step and neuron.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.networks.adaptive_rnn(
    ...     np.zeros((2, 2)), W_ag=[0.1], W_gg=[[0.5]], W_gn=[-2.0], b_n=5.0, W_gs=[0.1], b_s=0.3
    ... )
    >>> trace = dynet.adaptation_trace(system, n_steps=30, drive=3.0)
    >>> trace.gain.isel(time=[0, 29], neuron=0).values.round(3)
    array([4.417, 3.998])
    """
    _, w = require_adaptive(system)
    system, inputs = encoded(system, inputs)
    faults = Faults()
    H = w.W_hh.shape[-1]
    xi = faults.real_array("drive", to_numpy(drive) if hasattr(drive, "detach") else drive, finite=True)
    if xi.ndim > 3 or (xi.ndim > 1 and xi.shape[-1] not in (1, H)):
        faults.add("drive", xi, f"give one number, (time,), (time, {H}) or (sequence, time, {H})")
    faults.raise_if_any()
    if n_steps is None:
        n_steps = _steps_of(faults, xi, inputs)
        faults.raise_if_any()
    faults.integer("n_steps", n_steps, 1)
    faults.raise_if_any()
    assert n_steps is not None
    if xi.ndim and xi.shape[-2 if xi.ndim > 1 else 0] != n_steps:
        faults.add("drive", xi, f"give a row for each of the {n_steps} steps")
    start, rows = start_and_inputs(faults, system, 0 * system.like if x0 is None else x0, inputs, n_steps, "n_steps")
    n_drives = xi.shape[0] if xi.ndim == 3 else 1
    if n_drives > 1 and start.shape[0] not in (1, n_drives):
        faults.say(f"drive has {n_drives} sequences, x0 or inputs {start.shape[0]}: give equal numbers, or one")
    faults.raise_if_any()
    xi = np.broadcast_to(xi[:, None] if xi.ndim == 1 else xi, (n_drives, n_steps, H))
    start = move_like(np.broadcast_to(to_numpy(start), (max(n_drives, start.shape[0]), start.shape[-1])), start)
    if rows is not None:
        rows = move_like(rows, start)
    record, final = _run(system, start, rows, move_like(xi, start))
    batched = len(final) > 1 or 3 in (np.ndim(drive), getattr(inputs, "ndim", 0)) or getattr(x0, "ndim", 0) == 2
    return _label(system, record, final, batched, {"n_steps": n_steps})


def _steps_of(faults: Faults, xi: np.ndarray, inputs: Any) -> int | None:
    if xi.ndim:
        return int(xi.shape[-2 if xi.ndim > 1 else 0])
    if getattr(inputs, "ndim", 0) >= 2:
        return int(inputs.shape[-2])
    faults.say("n_steps is missing: give it, or a drive or inputs with one row a step")
    return None


def _run(system: Map, x: Any, rows: Any, xi: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return gain, saturation, pre-activation and activity (4, sequence, time, neuron), and the last states."""
    cell, w = require_adaptive(system)
    H, bias = w.W_hh.shape[-1], w.b_hh
    h, g = x[..., :H], x[..., H:]
    kept = []
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(xi.shape[1]):
            drive = xi[:, step] if bias is None else xi[:, step] + bias
            u = None if rows is None else rows[:, step]
            (h, g), (a, _, controllers) = cell.forward(u, (h, g), w._replace(b_hh=drive))
            n, s = cell.gain_and_saturation(controllers, w)
            kept.append(np.stack([to_numpy(one) for one in (n, s, a, h)]))
            if not np.isfinite(kept[-1]).all():
                _raise(kept[-1], step)
    return np.stack(kept, axis=2), np.concatenate([to_numpy(h), to_numpy(g)], axis=-1)


def _raise(last: np.ndarray, step: int) -> None:
    is_gain = not np.isfinite(last[0]).all()
    sequence, neuron = np.argwhere(~np.isfinite(last[:1] if is_gain else last).all(axis=0))[0]
    what = (
        f"the gain of neuron {neuron} is not positive in step {step}: the activation has a pole at n = 0; take a "
        "smaller W_gn or a larger b_n"
        if is_gain
        else f"neuron {neuron} is not finite after step {step}: with s < 1 the activation has no upper bound; take "
        "smaller recurrent weights or a weaker drive"
    )
    raise DivergenceError(what, step=step, unit=f"h[{neuron}]", sequence=int(sequence))


def _label(system: Map, record: np.ndarray, final: np.ndarray, batched: bool, settings: dict[str, Any]) -> xr.Dataset:
    lead: tuple[str, ...] = ("sequence",) if batched else ()
    n, s, a, h = record if batched else record[:, 0]
    dims = (*lead, "time", "neuron")
    units: Any = system.units
    coords: dict[str, Any] = {
        "time": ("time", np.arange(record.shape[2]) * system.dt, {"units": system.time_unit}),
        "neuron": np.arange(record.shape[3]),
        "unit": ("unit", np.asarray(units["unit"])),
        "part": ("unit", np.asarray(units["part"])),
        **({"sequence": np.arange(record.shape[1])} if batched else {}),
    }
    variables = {
        "gain": (dims, n, "gain n", "1"),
        "saturation": (dims, s, "saturation s", "1"),
        "pre_activation": (dims, a, "pre-activation", "1"),
        "activity": (dims, h, "activity h", "1"),
        "final_state": ((*lead, "unit"), final if batched else final[0], "state after the last step", "1"),
    }
    attrs = {
        "title": "Gains and saturations of adaptive units",
        "method": "controllers along a run",
        "references": "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567",
        "dt": system.dt,
        "time_unit": system.time_unit,
        "saturation_outside": float(((s < 0) | (s > 1)).mean()),
        **settings,
    }
    return dataset(variables, coords, attrs)
