"""Running estimates of exponents, with the error bars that a run of that length would have had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.lyapunov.convergence import error_bars
from dynet.lyapunov.dimension import are_independent, half_width, interval_widths
from dynet.plot._axes import FAINT, axes_of, colour, named_results, require_exponents, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["convergence"]

_MOST_EXPONENTS = 3
#: Exponents farther apart than so many error bars squeeze each other's bands to lines.
_FARTHEST = 25
#: The limits of the axis are those of what comes after this part of the run: the bands begin very wide.
_BEGINNING = 0.1
_TIMES = 50
#: More lines of single sequences hide the bands.
_FAINT_LINES_UP_TO = 12
_FAINT_LINE: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.35}


def convergence(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    exponents: int | Sequence[int] | None = None,
    level: float = 0.95,
) -> Axes:
    """Draw running estimates against time, with the error bands that a run up to that time would have had.

    The dark band is the 68 % interval, the light one the interval of ``level``; both are computed from the growth
    up to each of some fifty times alone. Faint lines are single sequences, if they are few; the dashed line is the
    final value.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.lyapunov_spectrum`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    exponents : int or sequence of int, optional
        How many of the leading exponents to draw, or which: ``[1, 2, 64]``. If not given, up to three that lie
        close enough together for their bands to be seen; of several results the first one each.
    level : float, default 0.95
        Level of the light band.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than spectra is given, ``exponents`` are none of theirs, or ``level`` is not in (0, 1).

    Notes
    -----
    Exponents of -inf cannot be drawn. The axis shows what comes after the first tenth of the run, and zero if that is
    near.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000)
    >>> dynet.plot.convergence(ds, exponents=1).get_xlabel()
    'time (step)'
    """
    named = named_results(results, "growth", "dynet.lyapunov_spectrum")
    require_exponents(named)
    half_width(level, np.inf)  # before anything is drawn
    chosen = {name: _chosen(result, exponents, len(named)) for name, result in named.items()}
    ax = axes_of(ax)
    lines = sum(result.sizes["sequence"] * len(chosen[name]) for name, result in named.items())
    number, edges = 0, []
    for name, result in named.items():
        for exponent in chosen[name]:
            one = result.sel(exponent=[exponent])
            edges += _one_estimate(ax, one, name, colour(number), level)
            if lines <= _FAINT_LINES_UP_TO and result.sizes["sequence"] > 1:
                ax.plot(one["time"], one["running_estimate"].values[..., 0].T, color=colour(number), **_FAINT_LINE)
            number += 1
    _limit(ax, np.array(edges))
    first = next(iter(named.values()))
    ax.set_xlabel(f"time ({first.attrs['time_unit']})")
    ax.set_ylabel(f"running estimate ({first['lyapunov_exponent'].attrs['units']})")
    if number:
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def _chosen(result: xr.Dataset, exponents: int | Sequence[int] | None, n_results: int) -> list[int]:
    """Return the labels of the finite exponents to draw."""
    labels, values = result["exponent"].values, result["lyapunov_exponent"].values
    finite = np.isfinite(values)
    faults = Faults()
    if exponents is None:
        distances = np.abs(values[finite] - values[finite][:1])
        near = distances <= _FARTHEST * interval_widths(result, 0.95)[finite][:1]
        wanted = labels[finite][near].tolist()[: _MOST_EXPONENTS if n_results == 1 else 1]
    elif isinstance(exponents, Sequence | np.ndarray) and not isinstance(exponents, str):
        wanted = [label for label in exponents if label in labels]
        if len(wanted) < len(exponents) or not len(exponents):
            faults.add("exponents", exponents, f"choose some of 1 to {labels.max()}")
    else:
        faults.integer("exponents", exponents, 1)
        wanted = labels[:exponents].tolist() if not faults else []
    faults.raise_if_any()
    return [label for label in wanted if label in labels[finite]]


def _one_estimate(ax: Axes, one: xr.Dataset, name: str, shade: str, level: float) -> list[float]:
    """Draw one exponent, and return the values that should be in sight."""
    time = one["time"].values
    mean, value = one["running_estimate"].values[..., 0].mean(axis=0), float(one["lyapunov_exponent"][0])
    blocks = np.unique(np.geomspace(1, time.size, _TIMES).astype(int))
    bars = [_bar(one, int(b)) for b in blocks]
    narrow = np.array([error for error, _ in bars])
    wide = np.array([half_width(level, degrees) * error for error, degrees in bars])
    at, centre = time[blocks - 1], mean[blocks - 1]
    known = np.isfinite(narrow)
    for width, alpha in ((wide, 0.12), (narrow, 0.25)):
        low, high = centre[known] - width[known], centre[known] + width[known]
        ax.fill_between(at[known], low, high, color=shade, alpha=alpha, linewidth=0)
    label = f"{name} λ{int(one['exponent'][0])} = {_with_error(value, float(one['standard_error'][0]))}".strip()
    ax.plot(time, mean, color=shade, linewidth=1.6, marker="o" if time.size == 1 else None, label=label)
    ax.axhline(value, color=shade, linewidth=0.8, linestyle="--", zorder=1)
    late = mean[int(_BEGINNING * time.size) :]
    seen = known & (blocks > _BEGINNING * time.size)
    return [*late, *(centre + narrow)[seen], *(centre - narrow)[seen], value - wide[-1], value + wide[-1]]


def _bar(one: xr.Dataset, n_blocks: int) -> tuple[float, float]:
    """Return standard error and degrees of freedom of the run up to that block."""
    growth, durations = one["growth"].values[:, :n_blocks, 0], one["duration"].values[:, :n_blocks]
    error, degrees = error_bars(growth, durations, independent=are_independent(one))
    return float(error), float(degrees)


def _with_error(value: float, error: float) -> str:
    """Return "value ± error" with the digits that the error leaves."""
    if not (np.isfinite(error) and error > 0):
        return f"{value:.4g}"
    digits = max(0, min(12, 1 - int(np.floor(np.log10(error)))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _limit(ax: Axes, edges: np.ndarray) -> None:
    """Set the limits, with the zero line if it is near; farther away it would press the curves against one side."""
    edges = edges[np.isfinite(edges)]
    if not edges.size:
        return
    low, high = edges.min(), edges.max()
    span = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-12)
    if low - 0.5 * span < 0 < high + 0.5 * span:
        low, high = min(low, 0.0), max(high, 0.0)
    ax.set_ylim(low - 0.08 * span, high + 0.08 * span)
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
