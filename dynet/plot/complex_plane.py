"""Eigenvalues and pseudospectra in the complex plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.plot._axes import FAINT, axes_of, colour, line_style, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.contour import ContourSet

__all__ = ["eigenvalues", "pseudospectrum"]

_SIZE = 4.6
_LEVEL = "log10 of the smallest singular value"
#: Lines of a single result, whose colour tells the level, and of several.
_MOST_LEVELS, _MOST_SHARED_LEVELS = 12, 6


def eigenvalues(
    results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, boundary: str = "circle"
) -> Axes:
    """Draw eigenvalues in the complex plane, with the line at which powers or flows neither grow nor fade.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        With ``eigenvalue``: from `dynet.non_normality` (all times together), `dynet.pseudospectrum`; names of a mapping
        become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    boundary : {"circle", "axis"}
        The unit circle (maps) or the imaginary axis (flows).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than results with eigenvalues is given.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ax = dynet.plot.eigenvalues(dynet.non_normality(np.diag([0.5, 0.2])))
    >>> ax.get_xlabel()
    'real part'
    """
    named = named_results(results, "eigenvalue", "dynet.non_normality")
    faults = Faults()
    faults.choice("boundary", boundary, ("circle", "axis"))
    faults.raise_if_any()
    ax = axes_of(ax, width=_SIZE, height=_SIZE)
    for number, (name, result) in enumerate(named.items()):
        values = result["eigenvalue"].values.ravel()
        size = 3.5 if values.size > 60 else 6.0
        ax.plot(
            values.real,
            values.imag,
            ".",
            markersize=size,
            color=colour(number),
            label=name or None,
            zorder=2 - number / 99,
        )
    if boundary == "circle":
        _draw_circle(ax)
    else:
        ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    _label(ax)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, loc="upper right", markerscale=2)
    return ax


def pseudospectrum(
    results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, boundary: str = "circle"
) -> Axes:
    """Draw the lines at which the smallest singular value of ``z I - A`` is a power of ten, and the eigenvalues.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.pseudospectrum`; of several, lines of each in a colour and a line style of its own, at the same
        levels, which are written on them.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    boundary : {"circle", "axis"}
        The unit circle (maps) or the imaginary axis (flows).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than pseudospectra is given.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ax = dynet.plot.pseudospectrum(dynet.pseudospectrum(np.diag([1.0, 1.0], 1), n_points=20))
    >>> ax.get_ylabel()
    'imaginary part'
    """
    named = named_results(results, "smallest_singular_value", "dynet.pseudospectrum")
    faults = Faults()
    faults.choice("boundary", boundary, ("circle", "axis"))
    faults.raise_if_any()
    from matplotlib.lines import Line2D

    single = len(named) == 1
    ax = axes_of(ax, width=_SIZE + (0.8 if single else 1.2), height=_SIZE)
    planes = [
        np.log10(result["smallest_singular_value"].transpose("imaginary_part", "real_part").values)
        for result in named.values()
    ]
    # the same of all results, which can then be compared
    levels = _levels(np.concatenate([logs.ravel() for logs in planes]), _MOST_LEVELS if single else _MOST_SHARED_LEVELS)
    key = []
    for number, ((name, result), logs) in enumerate(zip(named.items(), planes, strict=True)):
        real, imaginary = result["real_part"].values, result["imaginary_part"].values
        within = levels[(levels >= logs.min()) & (levels <= logs.max())]
        dashes: Any = line_style(number)
        options: dict[str, Any] = {"cmap": "viridis"} if single else {"colors": colour(number), "linestyles": [dashes]}
        if within.size:
            lines = ax.contour(real, imaginary, logs, within, linewidths=1.2, **options)
            if single and within.size > 1:
                bar = ax.figure.colorbar(lines, ax=ax, shrink=0.8, ticks=within)
                bar.set_label(_LEVEL)
                bar.lines[0].set_linewidth(4)
            else:
                _write_levels(ax, lines)
        values = result["eigenvalue"].values
        shade = "0.1" if single else colour(number)
        ax.plot(values.real, values.imag, ".", markersize=4, color=shade)
        key.append(Line2D([], [], color=shade, linestyle=dashes, linewidth=1.2, marker=".", label=name))
    if not single or len(levels) == 1:
        ax.set_title(f"lines: {_LEVEL}", fontsize="medium")
    if boundary == "circle":
        _draw_circle(ax)
    else:
        ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    _label(ax)
    if not single:
        ax.legend(handles=key, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif "" not in named:  # beside it stands the colour bar
        ax.legend(handles=key, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return ax


def _levels(logs: np.ndarray, most: int) -> np.ndarray:
    """Return powers of ten within the values, not too many; finer ones if there are few."""
    lowest, highest = float(logs.min()), float(logs.max())
    for step in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0):
        levels = step * np.arange(np.ceil(lowest / step), np.floor(highest / step) + 1)
        if 0 < levels.size <= most:
            return levels
    return np.array([(lowest + highest) / 2])


def _write_levels(ax: Axes, lines: ContourSet) -> None:
    """Write the levels on the lines, level and on white: lines around an eigenvalue are too small to be cut."""
    for text in ax.clabel(lines, fmt="%g", fontsize=7, inline=False):
        text.set_rotation(0)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4})


def _draw_circle(ax: Axes) -> None:
    angles = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(angles), np.sin(angles), color=FAINT, linewidth=0.8, zorder=0)


def _label(ax: Axes) -> None:
    ax.set_xlabel("real part")
    ax.set_ylabel("imaginary part")
    ax.set_aspect("equal")
    tidy(ax)
