"""Paths of gain and saturation, and the boundaries beyond which noise is amplified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet.adaptation.stability import stability_boundary as boundary_of
from dynet.errors import InputError
from dynet.plot._axes import FAINT, axes_of, colour, label_of, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["stability_boundary"]

_FINE = 1200


def stability_boundary(
    results: xr.Dataset | Mapping[str, xr.Dataset], *, dim: str = "time", ax: Axes | None = None
) -> Axes:
    """Draw paths in the plane of gain and saturation with the boundary of amplified noise.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.boundary_distance`, of one drive each; names of a mapping become the legend.
    dim : str, default "time"
        Dimension along which points are joined, if there is such a one; a triangle is its begin, a square its end.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.boundary_distance`, or holds several values of drive or deviation.

    Notes
    -----
    Boundaries are dashed; one whose saturation is outside the picture at all gains is in its legend alone.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> fall = xr.DataArray(np.exp(-np.arange(50) / 10), dims="time")
    >>> ds = dynet.boundary_distance(2 + 4 * fall, 0.3 + 0.5 * fall, xi=0.3)
    >>> dynet.plot.stability_boundary(ds).get_ylabel()
    'saturation s'
    """
    named = named_results(results, "nearest_gain", "dynet.boundary_distance")
    for name, result in named.items():
        for given in ("drive", "deviation"):
            if np.ptp(result[given].values) > 0:
                raise InputError(
                    f"{label_of(name)} holds several values of {given}: give one result for each, in a dict"
                )
    ax = axes_of(ax)
    # a grid that is fine next to where all gains are
    highest = max(float(result["gain"].max()) for result in named.values())
    gains = np.linspace(highest / _FINE, 1.25 * highest, _FINE)
    for number, (name, result) in enumerate(named.items()):
        shade = colour(number)
        drive, deviation = (float(result[given].values.flat[0]) for given in ("drive", "deviation"))
        curve = boundary_of(gains, xi=drive, sigma=deviation, margin=float(result.attrs["margin"]))
        # the curve has two branches, apart where the slope does not depend on s
        shown = np.where(np.abs(curve) < 3, curve, np.nan)
        label = name or f"boundary, drive {drive:.3g}"
        ax.plot(gains, shown, "--", color=shade, linewidth=1.2, label=label)
        n, s = result["gain"], result["saturation"]
        if dim not in n.dims:
            ax.plot(n.values.ravel(), s.values.ravel(), "o", color=shade, markersize=4)
            continue
        for x, y in zip(
            n.transpose(..., dim).values.reshape(-1, n.sizes[dim]),
            s.transpose(..., dim).values.reshape(-1, n.sizes[dim]),
            strict=True,
        ):
            ax.plot(x, y, color=shade, linewidth=1.2)
            ax.plot(x[0], y[0], "^", color=shade, markersize=6)
            ax.plot(x[-1], y[-1], "s", color=shade, markersize=6)
    lowest, top = (
        pick(float(pick(result["saturation"].values.ravel())) for result in named.values()) for pick in (min, max)
    )
    ax.set_ylim(min(0.0, lowest) - 0.05, max(1.0, top) + 0.05)
    for edge in (0.0, 1.0):
        ax.axhline(edge, color=FAINT, linewidth=0.6, zorder=0)
    ax.set_xlabel("gain n")
    ax.set_ylabel("saturation s")
    ax.legend(frameon=False, fontsize="small")
    tidy(ax)
    return ax
