"""f-I curves, and how distributions of responses change with the level of the stimulus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet.plot._axes import axes_of, colour, named_results, only_result, require_one, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["response_curve", "response_distribution"]


def response_curve(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw f-I curves with bars of two standard errors.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.response_curve`; names of a mapping become the legend. Several curves of one result have one colour.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.response_curve`.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> current = xr.DataArray(np.random.default_rng(0).normal(0, 1, 2000), dims="time")
    >>> curve = dynet.response_curve(dynet.gamma_activation(current, 5.0, 0.5), current)
    >>> dynet.plot.response_curve(curve).get_ylabel()
    'response'
    """
    named = named_results(results, "current", "dynet.response_curve")
    ax = axes_of(ax)
    for number, (name, result) in enumerate(named.items()):
        columns = [
            result[v].transpose(..., "bin").values.reshape(-1, result.sizes["bin"])
            for v in ("current", "rate", "standard_error")
        ]
        for i, (current, rate, error) in enumerate(zip(*columns, strict=True)):
            label = name or None if i == 0 else None
            ax.errorbar(
                current, rate, 2 * error, color=colour(number), fmt=".-", linewidth=1.2, elinewidth=0.8, label=label
            )
    ax.set_xlabel("stimulus")
    ax.set_ylabel("response")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    tidy(ax)
    return ax


def response_distribution(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the distribution functions of responses at several levels of the stimulus.

    Parameters
    ----------
    result : Dataset
        From `dynet.response_distribution`, of one unit.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If ``result`` is not from `dynet.response_distribution`, or holds several units.

    Notes
    -----
    The area between two lines is the Wasserstein distance of the two levels; lines on one another are responses that
    do not tell the level.

    Examples
    --------
    >>> import dynet
    >>> stimulus = dynet.gain_scaling_stimulus([1.0, 10.0]).isel(time=slice(200, 400))
    >>> ds = dynet.response_distribution(dynet.gamma_activation(stimulus, 5.0, 1.0))
    >>> dynet.plot.response_distribution(ds).get_ylabel()
    'share of the samples below'
    """
    result = only_result(result, "effective_range", "dynet.response_distribution")
    level = result.attrs["level_dimension"]
    quantile = result["quantile"]
    require_one("", (d for d in quantile.dims if d not in (level, "probability")), "units")
    ax = axes_of(ax)
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0, 0.9, quantile.sizes[level]))
    for i, (values, shade) in enumerate(zip(quantile.transpose(level, "probability").values, shades, strict=True)):
        name = f"{level} {quantile[level].values[i]:.3g}" if level in quantile.coords else f"{level} {i}"
        ax.plot(values, quantile["probability"].values, color=shade, linewidth=1.4, label=name)
    ax.set_xlabel(f"response ({quantile.attrs['units']})")
    ax.set_ylabel("share of the samples below")
    ax.legend(frameon=False, fontsize="small")
    tidy(ax)
    return ax
