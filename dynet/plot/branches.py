"""Branches of fixed points and cycles against a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.plot._axes import axes_of, colour, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["continuation"]

_MARKS = {
    "fold": "v",
    "Hopf": "o",
    "Neimark-Sacker": "s",
    "flip": "D",
    "branch point": "P",
    "SNIC": "*",
    "homoclinic": "X",
    "diverging period": "1",
}


def continuation(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    unit: str | None = None,
    quantity: Literal["state", "frequency", "period"] = "state",
) -> Axes:
    """Draw branches against their parameter, solid where stable, with their bifurcations.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.continue_orbit`, along one parameter; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    unit : str, optional
        Which unit; the first one if not given. Of cycles its lowest and highest values are drawn.
    quantity : {"state", "frequency", "period"}
        What is drawn; frequency (1 / period) against a current is the f-I curve.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.continue_orbit`, their parameters differ, or there is no such unit.

    Examples
    --------
    >>> import dynet
    >>> branch = dynet.continue_orbit(dynet.zoo.logistic(2.5), [0.6], "r", (1.5, 4.0))
    >>> dynet.plot.continuation(branch).get_xlabel()
    'r'
    """
    named = named_results(results, "bifurcation_kind", "dynet.continue_orbit")
    faults = Faults()
    faults.choice("quantity", quantity, ("state", "frequency", "period"))
    parameters = {str(result.attrs["parameter"]) for result in named.values()}
    if len(parameters) > 1:
        faults.say(
            f"results are along different parameters ({', '.join(sorted(parameters))}): draw them on axes of their own"
        )
    names = [str(name) for name in next(iter(named.values()))["unit"].values]
    unit = names[0] if unit is None else unit
    if any(unit not in result["unit"].values for result in named.values()):
        faults.add("unit", unit, f"name one out of {', '.join(names[:6])}")
    faults.raise_if_any()
    ax = axes_of(ax)
    marks: dict[str, list[tuple[float, float]]] = {}
    for number, (name, result) in enumerate(named.items()):
        x = result["parameter"].values
        for row, y in enumerate(_heights(result, unit, quantity)):
            _draw(ax, x, y, result["n_unstable"].values == 0, colour(number), name if row == 0 else "")
        heights = _mark_heights(result, unit, quantity)
        for kind, value, height in zip(
            result["bifurcation_kind"].values, result["bifurcation_parameter"].values, heights, strict=True
        ):
            if np.isfinite(height):
                marks.setdefault(str(kind), []).append((float(value), float(height)))
    for kind, places in marks.items():
        at, height = np.array(places).T
        ax.plot(at, height, _MARKS[kind], color="black", markersize=6, zorder=4, label=kind)
    ax.set_xlabel(next(iter(parameters)))
    time_unit = next(iter(named.values())).attrs["time_unit"]
    ax.set_ylabel(
        {"state": unit, "frequency": f"frequency (1 / {time_unit})", "period": f"period ({time_unit})"}[quantity]
    )
    if marks or any(named):
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(ax)
    return ax


def _heights(result: xr.Dataset, unit: str, quantity: str) -> list[np.ndarray]:
    if quantity == "state":
        low, high = (result[name].sel(unit=unit).values for name in ("minimum", "maximum"))
        return [low] if np.array_equal(low, high) else [high, low]
    period = result["period"].values
    return [period if quantity == "period" else 1 / period]


def _mark_heights(result: xr.Dataset, unit: str, quantity: str) -> np.ndarray:
    if quantity != "state":
        period = result["bifurcation_period"].values
        # of fixed points it is that of the cycle that starts there, which is not on the branch
        known = np.isfinite(result["period"].values).any()
        if quantity == "period":
            return np.where(np.isfinite(period) & known, period, np.nan)
        with np.errstate(divide="ignore"):
            out: np.ndarray = np.where(known, 1 / period, np.nan)
        return out
    highest: np.ndarray = result["bifurcation_maximum"].sel(unit=unit).values
    return highest


def _draw(ax: Axes, x: np.ndarray, y: np.ndarray, stable: np.ndarray, shade: str, name: str) -> None:
    """Draw a line in parts, each up to the first point of the next."""
    changes = np.flatnonzero(stable[1:] != stable[:-1]) + 1
    edges = [0, *changes.tolist(), len(x)]
    named = next((a for a in edges[:-1] if stable[a]), 0)  # the legend shows a solid line if there is one
    for a, b in pairwise(edges):
        part = slice(a, b + 1)
        style = "-" if stable[a] else "--"
        label = name if a == named and name else None
        ax.plot(x[part], y[part], style, color=shade, linewidth=1.6, label=label)
