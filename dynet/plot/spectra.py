"""Pictures of Lyapunov spectra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.plot._axes import FAINT, axes_of, colour, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["convergence", "spectrum"]

#: Up to this many exponents each is a marker with its bar; more of them are a line with a band.
_MARKERS_UP_TO = 48


def spectrum(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, errors: float = 1.96) -> Axes:
    """Draw exponents against their index, with error bars and the zero line.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.lyapunov_spectrum`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    errors : float, default 1.96
        Length of the error bars in standard errors.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than spectra is given.

    Notes
    -----
    Exponents of -inf cannot be drawn; how many there are stands in the legend.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000)
    >>> dynet.plot.spectrum(ds).get_xlabel()
    'exponent'
    """
    named = named_results(results, "lyapunov_exponent", "dynet.lyapunov_spectrum")
    _check_errors(errors)
    ax = axes_of(ax)
    for number, (name, result) in enumerate(named.items()):
        _one_spectrum(ax, result, name, colour(number), errors)
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    first = next(iter(named.values()))
    units = {str(result["lyapunov_exponent"].attrs["units"]) for result in named.values()}
    ax.set_xlabel("exponent")
    ax.set_ylabel(f"Lyapunov exponent ({', '.join(sorted(units))})")
    if first.sizes["exponent"] <= 12:
        ax.set_xticks(first["exponent"].values)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def _one_spectrum(ax: Axes, result: xr.Dataset, name: str, shade: str, errors: float) -> None:
    index = result["exponent"].values
    values, bars = result["lyapunov_exponent"].values, errors * result["standard_error"].values
    drawn = np.isfinite(values)
    bars = np.where(np.isfinite(bars), bars, 0.0)
    lost = int((~drawn).sum())
    label: str | None = (name + (f" ({lost} of {values.size} are -inf)" if lost else "")).strip() or None
    if values.size <= _MARKERS_UP_TO:
        ax.errorbar(
            index[drawn],
            values[drawn],
            bars[drawn],
            fmt="o",
            markersize=4,
            capsize=2,
            color=shade,
            label=label,
        )
        return
    ax.plot(index[drawn], values[drawn], color=shade, linewidth=1.6, label=label)
    ax.fill_between(
        index[drawn],
        values[drawn] - bars[drawn],
        values[drawn] + bars[drawn],
        color=shade,
        alpha=0.25,
        linewidth=0,
    )


def convergence(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    exponents: int = 3,
    errors: float = 1.96,
) -> Axes:
    """Draw running estimates against time, with the final error band.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.lyapunov_spectrum`.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    exponents : int, default 3
        How many of the leading exponents to draw.
    errors : float, default 1.96
        Half width of the band in standard errors.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than spectra is given, or ``exponents`` is not a positive whole number.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 2_000)
    >>> dynet.plot.convergence(ds, exponents=1).get_xlabel()
    'time (step)'
    """
    named = named_results(results, "running_estimate", "dynet.lyapunov_spectrum")
    faults = Faults()
    faults.integer("exponents", exponents, 1)
    faults.raise_if_any()
    _check_errors(errors)
    ax = axes_of(ax)
    number = 0
    for name, result in named.items():
        for exponent in result["exponent"].values[:exponents]:
            one = result.sel(exponent=exponent)
            if not np.isfinite(one["lyapunov_exponent"]):
                continue
            shade = colour(number)
            number += 1
            for sequence in range(result.sizes["sequence"]):
                ax.plot(one["time"], one["running_estimate"][sequence], color=shade, linewidth=0.6, alpha=0.35)
            mean = one["running_estimate"].mean("sequence")
            label = f"{name} λ{exponent}".strip()
            marker = "o" if result.sizes["time"] == 1 else None
            ax.plot(one["time"], mean, color=shade, linewidth=1.6, marker=marker, label=label)
            value, bar = float(one["lyapunov_exponent"]), errors * float(one["standard_error"])
            if np.isfinite(bar):
                ax.axhspan(value - bar, value + bar, color=shade, alpha=0.15, linewidth=0)
    low, high = ax.get_ylim()
    if low - 0.5 * (high - low) < 0 < high + 0.5 * (high - low):
        # farther away it would press the curves against one side
        ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    first = next(iter(named.values()))
    ax.set_xlabel(f"time ({first.attrs['time_unit']})")
    ax.set_ylabel(f"running estimate ({first['lyapunov_exponent'].attrs['units']})")
    if number:
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def _check_errors(errors: float) -> None:
    faults = Faults()
    faults.positive("errors", errors)
    faults.raise_if_any()
