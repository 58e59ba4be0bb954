"""Adaptation of single neurons: steady gains against the level of the stimulus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet.plot._axes import axes_of, colour, named_results, require_one, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["gain_scaling"]

_STYLES = {"power": "-", "exponential": "--", "constant": ":"}
_DIMS = {"model", "name", "bound"}


def gain_scaling(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw fitted gains against the level of the stimulus, with the curves of the models.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.fit_gain_scaling`, of one gain each; names of a mapping become the legend. Of several results
        only the best models are drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.fit_gain_scaling`, or holds several gains.

    Examples
    --------
    >>> import dynet, numpy as np, xarray as xr
    >>> xi = np.array([1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0])
    >>> ds = dynet.fit_gain_scaling(xr.DataArray(4 / xi + 1, dims="level", coords={"level": xi}), dim="level")
    >>> dynet.plot.gain_scaling(ds).get_xscale()
    'log'
    """
    named = named_results(results, "best_model", "dynet.fit_gain_scaling")
    for name, result in named.items():
        require_one(name, result["best_model"].dims, "gains")
    ax = axes_of(ax)
    label = "level"
    for number, (name, result) in enumerate(named.items()):
        best = str(result["best_model"].item())
        (label,) = (str(d) for d in result["residual"].dims if d not in _DIMS)
        levels = result[label].values
        gains = result["residual"].sel(model="constant").values + _curve(result, "constant", levels)
        ax.plot(levels, gains, "o", color=colour(number), label=name or "gain", zorder=3)
        fine = np.geomspace(levels.min(), levels.max(), 300)
        for i, model in enumerate(_STYLES):
            if len(named) > 1 and model != best:
                continue
            note = f"{model}{' (least AICc)' if model == best else ''}" if len(named) == 1 else None
            shade = colour(number if len(named) > 1 else i + 1)
            ax.plot(fine, _curve(result, model, fine), _STYLES[model], color=shade, linewidth=1.4, label=note)
    ax.set_xscale("log")
    ax.set_xlabel(label)
    ax.set_ylabel(f"gain ({next(iter(named.values()))['residual'].attrs['units']})")
    ax.legend(frameon=False)
    tidy(ax)
    return ax


def _curve(result: xr.Dataset, model: str, levels: np.ndarray) -> np.ndarray:
    """Return a model at levels; NaN where its parameters are not numbers."""
    a, b, c = (float(result["parameter"].sel(model=model, name=name)) for name in "abc")
    if model == "constant":
        return np.full(levels.shape, c)
    return a * (levels**-b if model == "power" else np.exp(-b * levels)) + c
