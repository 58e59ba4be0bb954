"""Exponents over a plane of parameters, and zero exponents against the size of a perturbation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.plot._axes import COLOURS, axes_of, colour, line_style, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["exponent_map", "robustness"]

_CURVE_POINTS = 400
#: Of the longer half of the scale of exponents.
_LEAST_HALF = 0.2
_TICKS_UP_TO = 10


def exponent_map(
    result: xr.Dataset,
    *,
    quantity: Literal["lyapunov_exponent", "frequency", "period", "label"] = "lyapunov_exponent",
    exponent: int = 1,
    boundaries: Mapping[str, Callable[[np.ndarray], Any]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw an exponent, the frequency or the kind of attractor over two parameters, with boundaries known on paper.

    Parameters
    ----------
    result : Dataset
        From `dynet.exponent_map`, over two parameters: the first is drawn along x.
    quantity : {"lyapunov_exponent", "frequency", "period", "label"}
        What the colours show; NaN is left blank.
    exponent : int, default 1
        Which exponent.
    boundaries : mapping of str to callable, optional
        Curves by name: functions of the values along x that return those along y, (x,), or several, (x, curve), such as
        `dynet.theory.cycle_window`; where they are NaN nothing is drawn.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If ``result`` is not from `dynet.exponent_map`, has another number of parameters than two, or no such exponent.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> grid = {"alpha": np.linspace(1.1, 2, 3), "theta": np.linspace(0.1, 1.2, 4)}
    >>> ds = dynet.exponent_map(dynet.zoo.tanh_oscillator(), [0.5, 0.1], grid, 1_000, dt=0.1)
    >>> dynet.plot.exponent_map(ds, exponent=2, boundaries={"Hopf": dynet.theory.hopf_angle}).get_ylabel()
    'theta'
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap, TwoSlopeNorm

    (result,) = named_results(result, "evidence", "dynet.exponent_map").values()
    faults = Faults()
    faults.choice("quantity", quantity, ("lyapunov_exponent", "frequency", "period", "label"))
    dims = [str(dim) for dim in result["label"].dims]
    if len(dims) != 2:
        faults.say(
            f"result has the parameters {', '.join(dims) or 'none'}: select two, and a value of each other with .sel"
        )
    if exponent not in result["exponent"].values:
        faults.add("exponent", exponent, f"choose one from 1 to {result.sizes['exponent']}")
    for name, curve in (boundaries or {}).items():
        faults.callable(f"boundaries[{name!r}]", curve, "of the values along x")
    faults.raise_if_any()
    x, y = (result[dim].values for dim in dims)
    ax = axes_of(ax, width=5.6, height=4.0)
    if quantity == "label":
        # the most frequent first: they get the colours that are told apart best
        names, counts = np.unique(result["label"].values, return_counts=True)
        names = names[np.argsort(-counts, kind="stable")]
        place = {name: number for number, name in enumerate(names)}
        values = np.vectorize(place.__getitem__, otypes=[float])(result["label"].values)
        shades = ListedColormap([_pale(COLOURS[number % len(COLOURS)]) for number in range(len(names))])
        edges = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
        drawn = ax.pcolormesh(x, y, values.T, cmap=shades, norm=edges, shading="nearest")
        bar = ax.figure.colorbar(drawn, ax=ax, ticks=np.arange(len(names)))
        bar.ax.set_yticklabels(names)
    else:
        data = result[quantity].sel(exponent=exponent) if quantity == "lyapunov_exponent" else result[quantity]
        values = np.where(np.isfinite(data.values), data.values, np.nan)
        if quantity == "lyapunov_exponent":
            # white is zero; either half of the colours has a scale of its own, but none that shows noise
            low, high = (float(f(values[np.isfinite(values)], initial=0.0)) for f in (np.min, np.max))
            low, high = min(low, -_LEAST_HALF * high, -1e-12), max(high, -_LEAST_HALF * low, 1e-12)
            drawn = ax.pcolormesh(x, y, values.T, cmap="RdBu_r", norm=TwoSlopeNorm(0.0, low, high), shading="nearest")
            label = f"exponent {exponent} ({data.attrs['units']})"
        else:
            drawn = ax.pcolormesh(x, y, values.T, cmap="viridis", shading="nearest")
            label = f"{data.attrs['long_name']} ({data.attrs['units']})"
        ax.figure.colorbar(drawn, ax=ax, label=label)
    along = np.linspace(x.min(), x.max(), _CURVE_POINTS)
    limits = ax.get_xlim(), ax.get_ylim()
    for number, (name, curve) in enumerate((boundaries or {}).items()):
        lines = np.asarray(curve(along)).reshape(along.size, -1)
        for column, line in enumerate(lines.T):
            ax.plot(along, line, "k", linestyle=line_style(number), linewidth=1.3, label=None if column else name)
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])
    if boundaries:
        ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    ax.set_xlabel(dims[0])
    ax.set_ylabel(dims[1])
    return ax


def _pale(shade: str) -> tuple[float, float, float]:
    """Return a colour that lines can be seen on."""
    from matplotlib.colors import to_rgb

    red, green, blue = (0.45 + 0.55 * part for part in to_rgb(shade))
    return red, green, blue


def robustness(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw how many exponents are zero against the size of the perturbation.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.zero_exponent_robustness`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are standard errors over the draws.

    Raises
    ------
    InputError
        If a result is not from `dynet.zero_exponent_robustness`.

    Examples
    --------
    >>> import dynet
    >>> flow = dynet.zoo.tanh_oscillator()
    >>> ds = dynet.zero_exponent_robustness(flow, [0.5, 0.1], [0.0, 0.1], 1_000, dt=0.1, n_draws=2)
    >>> dynet.plot.robustness(ds).get_xlabel()
    'size of the perturbation'
    """
    named = named_results(results, "n_zero", "dynet.zero_exponent_robustness")
    ax = axes_of(ax)
    smallest = min(
        (float(sizes[sizes > 0].min()) for r in named.values() if ((sizes := r["size"].values) > 0).any()), default=1.0
    )
    for number, (name, result) in enumerate(named.items()):
        ax.errorbar(
            result["size"], result["n_zero"], result["standard_error"],
            fmt="o-", markersize=4, capsize=2, color=colour(number), label=name or None,
        )  # fmt: skip
    # zero has a place on the axis, and sizes many orders of magnitude
    ax.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    ticks = np.unique(np.concatenate([result["size"].values for result in named.values()]))
    if ticks.size <= _TICKS_UP_TO:
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    ax.set_xlim(left=-0.1 * smallest)
    ax.set_ylim(bottom=-0.2)
    ax.set_xlabel("size of the perturbation")
    ax.set_ylabel("zero exponents")
    if any(named):
        ax.legend(frameon=False)
    tidy(ax)
    return ax
