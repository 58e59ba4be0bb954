"""Exponents against their index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet.lyapunov.dimension import half_width, interval_widths
from dynet.plot._axes import FAINT, axes_of, colour, named_results, require_exponents, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["spectrum"]

#: Up to this many exponents each is a marker with its bar; more of them are a line with a band.
_MARKERS_UP_TO = 48


def spectrum(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, level: float = 0.95) -> Axes:
    """Draw exponents against their index, with error bars and the zero line.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.lyapunov_spectrum`, or exponents known on paper, such as `dynet.theory.ginibre_exponents`, which are
        drawn without error bars; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    level : float, default 0.95
        Level of the intervals that the error bars show.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than spectra is given, or ``level`` is not in (0, 1).

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
    half_width(level, np.inf)  # before anything is drawn
    require_exponents(named)
    widths = [_widths(result, level) for result in named.values()]
    ax = axes_of(ax)
    for number, (name, result) in enumerate(named.items()):
        _one_spectrum(ax, result, name, colour(number), widths[number])
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


def _widths(result: xr.Dataset, level: float) -> np.ndarray | None:
    """Return half the lengths of the intervals; exponents known on paper have none."""
    return interval_widths(result, level) if "degrees_of_freedom" in result else None


def _one_spectrum(ax: Axes, result: xr.Dataset, name: str, shade: str, widths: np.ndarray | None) -> None:
    index, values = result["exponent"].values, result["lyapunov_exponent"].values
    drawn = np.isfinite(values)
    bars = None if widths is None else np.where(np.isfinite(widths), widths, 0.0)[drawn]
    lost = int((~drawn).sum())
    label: str | None = (name + (f" ({lost} of {values.size} are -inf)" if lost else "")).strip() or None
    if values.size <= _MARKERS_UP_TO:
        ax.errorbar(
            index[drawn],
            values[drawn],
            bars,
            fmt="o",
            markersize=4,
            capsize=2,
            color=shade,
            label=label,
        )
        return
    ax.plot(index[drawn], values[drawn], color=shade, linewidth=1.6, label=label)
    if bars is None:
        return
    ax.fill_between(
        index[drawn],
        values[drawn] - bars,
        values[drawn] + bars,
        color=shade,
        alpha=0.25,
        linewidth=0,
    )
