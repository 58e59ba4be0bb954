"""Cycles, their multipliers, and fixed points among trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.plot._axes import FAINT, axes_of, colour, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cycle", "fixed_points", "multipliers", "phase_portrait"]

CYCLE_MAKER = "dynet.find_limit_cycle or dynet.find_periodic_orbit"
#: More lines than these cannot be told apart.
_MOST_UNITS = 7
_ARROWS, _ARROW_LENGTH = 20, 0.12
#: Longer numbers than 0.5 touch if there are more of them along the narrow axis.
_MOST_TICKS = 5
#: Orbits with fewer points are those of maps: their points are drawn.
_POINTS_UP_TO = 64
_LABELS = {"stable": "o", "saddle": "X", "unstable": "D", "undecided": "s"}


def phase_portrait(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    units: Sequence[str] | None = None,
    modes: xr.Dataset | None = None,
    index: int | Sequence[int] | None = None,
) -> Axes:
    """Draw cycles in the plane of two units, with arrows of adjoint modes if wanted.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.find_limit_cycle` or `dynet.find_periodic_orbit`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    units : two str, optional
        Names of the units; the first two if not given.
    modes : Dataset, optional
        From `dynet.floquet_modes`, of a single cycle: draws the directions of adjoint modes.
    index : int or sequence of int, optional
        Of which modes; the trivial one (phase response) if not given, or the first.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not a cycle, or there are no such units or modes.

    Examples
    --------
    >>> import dynet
    >>> found = dynet.find_limit_cycle(dynet.zoo.stuart_landau(), [0.5, 0.0])
    >>> dynet.plot.phase_portrait(found).get_xlabel()
    'x'
    """
    named = named_results(results, "orbit", CYCLE_MAKER)
    faults = Faults()
    available = [str(name) for name in next(iter(named.values()))["unit"].values]
    pair = available[:2] if units is None else [str(unit) for unit in units]
    if len(pair) != 2 or any(not set(pair) <= {str(u) for u in r["unit"].values} for r in named.values()):
        faults.add("units", units, f"name two units out of {', '.join(available[:6])}")
    arrows: list[xr.Dataset] = []
    if modes is not None:
        arrows = _adjoints(faults, modes, index)
        if len(named) > 1:
            faults.say(f"modes belong to one cycle, but results has {len(named)}: give the one whose modes they are")
    faults.raise_if_any()
    ax = axes_of(ax, width=4.6, height=4.2)
    for number, (name, result) in enumerate(named.items()):
        orbit = result["orbit"].sel(unit=pair).values
        is_map = len(orbit) <= _POINTS_UP_TO
        closed = orbit if is_map else np.concatenate([orbit, orbit[:1]])
        style = {"marker": "o", "linestyle": "none", "markersize": 5} if is_map else {"linewidth": 1.8}
        ax.plot(closed[:, 0], closed[:, 1], color=colour(number), label=name or None, **style)
    for number, mode in enumerate(arrows, start=1):
        _draw_arrows(ax, next(iter(named.values()))["orbit"].sel(unit=pair).values, mode.sel(unit=pair), colour(number))
    ax.locator_params(nbins=_MOST_TICKS)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel(pair[0])
    ax.set_ylabel(pair[1])
    if arrows:
        ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    elif any(named):
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def _draw_arrows(ax: Axes, orbit: np.ndarray, mode: xr.Dataset, shade: str) -> None:
    """Draw directions along a cycle (phase, 2), and say in the legend what they are."""
    at = np.unique(np.linspace(0, len(orbit), _ARROWS, endpoint=False).astype(int))
    directions = mode["adjoint_mode"].values.real[at]
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = _ARROW_LENGTH * np.ptp(orbit, axis=0).max() * directions / np.where(lengths > 0, lengths, 1.0)
    ax.quiver(*orbit[at].T, *directions.T, angles="xy", scale_units="xy", scale=1, width=0.004, color=shade)
    ax.update_datalim(orbit[at] + directions)
    label = f"adjoint {int(mode['index'])}, multiplier {abs(mode['multiplier'].item()):.3g}"
    ax.plot([], [], color=shade, linestyle="none", marker=r"$\rightarrow$", markersize=12, label=label)


def _adjoints(faults: Faults, modes: xr.Dataset, index: int | Sequence[int] | None) -> list[xr.Dataset]:
    if not (isinstance(modes, xr.Dataset) and "adjoint_mode" in modes and "phase" in modes["adjoint_mode"].dims):
        faults.add("modes", type(modes).__name__, "give a Dataset from dynet.floquet_modes")
        return []
    default = max(int(modes.attrs["trivial_index"]), 1)
    wanted = [default] if index is None else list(index) if isinstance(index, Sequence) else [index]
    if not wanted or not set(wanted) <= set(modes["index"].values.tolist()):
        faults.add("index", index, f"choose among the modes from 1 to {modes.sizes['index']}")
        return []
    return [modes[["adjoint_mode", "multiplier"]].sel(index=one) for one in wanted]


def cycle(result: xr.Dataset, *, ax: Axes | None = None, units: Sequence[str] | None = None) -> Axes:
    """Draw the units of one cycle against its phase.

    Parameters
    ----------
    result : Dataset
        From `dynet.find_limit_cycle` or `dynet.find_periodic_orbit`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    units : sequence of str, optional
        Names of the units; the seven that vary most if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If ``result`` is not a cycle, or there are no such units.

    Examples
    --------
    >>> import dynet
    >>> found = dynet.find_limit_cycle(dynet.zoo.stuart_landau(), [0.5, 0.0])
    >>> dynet.plot.cycle(found).get_xlabel()
    'phase (period 6.28319 time)'
    """
    (result,) = named_results(result, "orbit", CYCLE_MAKER).values()
    available = result["unit"].values
    if units is None:
        most = np.sort(np.argsort(-np.ptp(result["orbit"].values, axis=0), kind="stable")[:_MOST_UNITS])
        units = [str(name) for name in available[most]]
    if isinstance(units, str) or not set(units) <= set(available.tolist()) or not units:
        raise InputError(f"units={shown(units)}: name units out of {', '.join(map(str, available[:6]))}")
    ax = axes_of(ax)
    orbit = result["orbit"].sel(unit=list(units)).values
    phase = np.append(result["phase"].values, 1.0)
    is_map = len(orbit) <= _POINTS_UP_TO
    for number, name in enumerate(units):
        values = np.append(orbit[:, number], orbit[0, number])
        ax.plot(phase, values, color=colour(number), linewidth=1.6, label=name, marker="o" if is_map else None)
    ax.set_xlabel(f"phase (period {float(result['period']):.6g} {result.attrs['time_unit']})")
    ax.set_ylabel("state")
    ax.set_xlim(0, 1)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)
    return ax


def multipliers(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw Floquet multipliers in the complex plane with the unit circle.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.floquet_multipliers`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.floquet_multipliers`.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.stuart_landau()
    >>> ds = dynet.floquet_multipliers(flow, dynet.find_limit_cycle(flow, [0.5, 0.0]))
    >>> dynet.plot.multipliers(ds).get_xlabel()
    'real part'
    """
    named = named_results(results, "multiplier", "dynet.floquet_multipliers")
    ax = axes_of(ax, width=4.6, height=4.2)
    turn = np.linspace(0, 2 * np.pi, 400)
    ax.plot(np.cos(turn), np.sin(turn), color=FAINT, linewidth=1.0, zorder=0)
    ax.axhline(0, color=FAINT, linewidth=0.5, zorder=0)
    ax.axvline(0, color=FAINT, linewidth=0.5, zorder=0)
    for number, (name, result) in enumerate(named.items()):
        values = result["multiplier"].values
        label = f"{name}: {result['stability'].item()}" if name else str(result["stability"].item())
        # rings of growing size around the first result's discs, so that equal multipliers are all seen
        face = colour(number) if number == 0 else "none"
        size = 5 + 3 * number
        ax.plot(values.real, values.imag, "o", color=colour(number), mfc=face, markersize=size, label=label)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    tidy(ax)
    return ax


def fixed_points(
    result: xr.Dataset, trajectory: xr.Dataset | None = None, *, ax: Axes | None = None, modes: bool = True
) -> Axes:
    """Draw fixed points in two principal components, over trajectories.

    Parameters
    ----------
    result : Dataset
        From `dynet.find_fixed_points`.
    trajectory : Dataset, optional
        With ``state([sequence,] time, unit)``, from `dynet.simulate`: its principal components are the axes; without it
        those of the points.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    modes : bool, default True
        Draw the directions of real growing modes.

    Returns
    -------
    matplotlib.axes.Axes
        Filled markers are fixed points, open ones slow points.

    Raises
    ------
    InputError
        If ``result`` is not from `dynet.find_fixed_points`, ``trajectory`` has other units, or there is a single unit.

    Examples
    --------
    >>> import dynet
    >>> run = dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 500)
    >>> found = dynet.find_fixed_points(dynet.zoo.henon(), dynet.sample_states(run, 30, noise=0.5))
    >>> dynet.plot.fixed_points(found, run).get_xlabel()
    'principal component 1 (93 %)'
    """
    (result,) = named_results(result, "fixed_point", "dynet.find_fixed_points").values()
    n = result.sizes["unit"]
    faults = Faults()
    points = result["fixed_point"].values
    states = points
    if trajectory is not None:
        if not (isinstance(trajectory, xr.Dataset) and "state" in trajectory):
            faults.add("trajectory", type(trajectory).__name__, "give a Dataset from dynet.simulate")
        else:
            states = trajectory["state"].transpose(..., "time", "unit").values
            if states.shape[-1] != n:
                faults.say(f"trajectory has {states.shape[-1]} units, the points have {n}: give one of the same system")
    if n < 2:
        faults.say("the system has one unit: principal components need two")
    if not faults and not states.size:
        faults.say("result has no points: give a trajectory too, or search from more starts")
    faults.raise_if_any()
    flat = states.reshape(-1, n)
    centre = flat.mean(axis=0)
    _, strengths, axes = np.linalg.svd(flat - centre, full_matrices=False)
    plane = axes[:2] if len(axes) > 1 else np.eye(n)[:2]
    ax = axes_of(ax, width=5.2, height=4.2)
    style = {"linestyle": "none", "marker": ".", "markersize": 1.5} if _is_map(result) else {"linewidth": 0.7}
    if trajectory is not None:
        for run in states.reshape(-1, *states.shape[-2:])[:50]:
            ax.plot(*((run - centre) @ plane.T).T, color=FAINT, alpha=0.6, zorder=1, **style)
    _draw_points(ax, result, centre, plane, modes)
    share = strengths**2 / max(float((strengths**2).sum()), 1e-300)
    told = [f" ({100 * part:.0f} %)" for part in share[:2]] + ["", ""]
    ax.set_xlabel(f"principal component 1{told[0]}")
    ax.set_ylabel(f"principal component 2{told[1]}")
    if len(points):
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def _draw_points(ax: Axes, result: xr.Dataset, centre: np.ndarray, plane: np.ndarray, modes: bool) -> None:
    places = (result["fixed_point"].values - centre) @ plane.T
    labels, kinds = result["stability"].values, result["kind"].values
    if modes:
        reach = 0.06 * max(np.ptp(ax.dataLim.get_points(), axis=0).max() if ax.lines else np.ptp(places), 1e-300)
        for point, row, matrix in zip(places, result["eigenvalue"].values, result["mode"].values, strict=True):
            growing = (np.abs(row) > 1 if _is_map(result) else row.real > 0) & (row.imag == 0)
            for direction in (plane @ matrix[:, growing].real).T:
                ends = point + reach * np.outer([-1, 1], direction)
                ax.plot(*ends.T, color=colour(1), linewidth=1.2, zorder=2)
    for number, (label, marker) in enumerate(_LABELS.items()):
        for kind in ("fixed", "slow"):
            rows = (labels == label) & (kinds == kind)
            if rows.any():
                shade = colour(number)
                face = shade if kind == "fixed" else "none"
                name = f"{label} ({rows.sum()})" if kind == "fixed" else f"slow, {label} ({rows.sum()})"
                ax.scatter(*places[rows].T, marker=marker, edgecolors=shade, facecolors=face, label=name, zorder=3)


def _is_map(result: xr.Dataset) -> bool:
    """Tell fixed points of maps from those of flows, whose eigenvalues are rates."""
    return str(result["eigenvalue"].attrs["units"]) == "1"
