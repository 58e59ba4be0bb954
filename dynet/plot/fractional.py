"""Fractional orders of many units, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynet.plot._axes import FAINT, axes_of, colour, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fractional_order"]


def fractional_order(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw fractional orders with their intervals, from the smallest to the largest.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.fractional_order`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than orders is given.

    Notes
    -----
    Units without an order are left out; how many there are stands in the legend. Ends of intervals that lie beyond
    the range of the search are drawn at the edge of the picture.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> stimulus = np.repeat([0.0, 1.0], [20, 80])
    >>> response = dynet.fractional_derivative(stimulus, 0.2) + np.random.default_rng(0).normal(0, 0.05, (5, 100))
    >>> ax = dynet.plot.fractional_order(dynet.fractional_order(response, stimulus, axis=-1))
    >>> ax.get_ylabel()
    'fractional order'
    """
    named = named_results(results, "order_interval", "dynet.fractional_order")
    ax = axes_of(ax)
    for number, (name, result) in enumerate(named.items()):
        _one_group(ax, result, name, colour(number))
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    # bars without an end reach over the edge, they do not move it
    heights = np.concatenate([result["order"].values.ravel() for result in named.values()])
    ends = np.concatenate([result["order_interval"].values.ravel() for result in named.values()])
    drawn = np.concatenate([heights[np.isfinite(heights)], ends[np.isfinite(ends)], [0.0]])
    margin = 0.05 * max(float(np.ptp(drawn)), 0.1)
    ax.set_ylim(drawn.min() - margin, drawn.max() + margin)
    ax.set_xlabel("share of the units")
    ax.set_ylabel("fractional order")
    for y, word, side in ((1.0, "differentiates", "top"), (0.0, "integrates", "bottom")):
        ax.annotate(word, (1.0, y), xycoords="axes fraction", ha="right", va=side, color=FAINT)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, loc="upper left")
    tidy(ax)
    return ax


def _one_group(ax: Axes, result: xr.Dataset, name: str, shade: str) -> None:
    orders = result["order"].values.ravel()
    ends = result["order_interval"].transpose(..., "bound").values.reshape(-1, 2)
    told = np.isfinite(orders)
    lost = int((~told).sum())
    ranks = np.argsort(orders[told], kind="stable")
    orders, ends = orders[told][ranks], ends[told][ranks]
    share = (np.arange(orders.size) + 0.5) / max(orders.size, 1)
    # the search goes no further than orders of 3 either way
    bars = np.abs(np.clip(ends, -7, 7) - orders[:, None]).T
    label = (name + (f" ({lost} without an order)" if lost else "")).strip() or None
    ax.errorbar(
        share,
        orders,
        bars,
        fmt="o",
        markersize=3 if orders.size <= 100 else 1.5,
        elinewidth=0.8,
        color=shade,
        ecolor=shade,
        alpha=0.8,
        label=label,
    )
