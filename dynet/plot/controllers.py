"""States of controllers in the plane of their principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet.errors import InputError
from dynet.plot._axes import FAINT, axes_of, only_result, require_one, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["controller"]


def controller(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw paths of a controller under drives of several levels, and the curve on which they settle.

    Parameters
    ----------
    result : Dataset
        From `dynet.controller_manifold`, of one unit, with two components or more.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If ``result`` is not from `dynet.controller_manifold`, holds several units, or has one component only.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> levels = xr.DataArray([1.0, 2.0, 4.0], dims="level", coords={"level": [1.0, 2.0, 4.0]})
    >>> fall = np.exp(-xr.DataArray(np.arange(100), dims="time") / 10.0)
    >>> g = xr.concat([np.tanh(levels * (1 - fall)), levels * fall], dim="controller")
    >>> dynet.plot.controller(dynet.controller_manifold(g)).get_xlabel()
    'component 1 (92 % of the variance)'
    """
    result = only_result(result, "steady_state", "dynet.controller_manifold")
    level, time = result.attrs["level_dimension"], result.attrs["time_dimension"]
    score = result["score"]
    if score.sizes["component"] < 2:
        raise InputError(
            "result has one component, a picture needs two: give n_components=2 to dynet.controller_manifold"
        )
    require_one("", (d for d in score.dims if d not in (level, time, "component")), "units")
    ax = axes_of(ax, width=5.2, height=4.0)
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0, 0.9, score.sizes[level]))
    score = score.transpose(level, time, "component")
    steady = result["steady_state"].transpose(level, "component").values
    ax.plot(steady[:, 0], steady[:, 1], color=FAINT, linewidth=3, zorder=1, label="steady states")
    for i, shade in enumerate(shades):
        path = score.values[i]
        name = f"{level} {score[level].values[i]:.3g}" if level in score.coords else f"{level} {i}"
        ax.plot(path[:, 0], path[:, 1], color=shade, linewidth=1.1, zorder=2, label=name)
        ax.plot(*steady[i, :2], "o", color=shade, markersize=6, zorder=3)
    shares = 100 * result["explained"].values
    ax.set_xlabel(f"component 1 ({shares[0]:.0f} % of the variance)")
    ax.set_ylabel(f"component 2 ({shares[1]:.0f} %)")
    ax.legend(frameon=False, fontsize="small")
    tidy(ax)
    return ax
