"""What survives finite times: singular values against the horizon, gradient norms against the steps back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.plot._axes import COLOURS, FAINT, LineStyle, axes_of, colour, line_style, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["gradient_norms", "singular_values"]

_MOST_LINES = 24
#: Up to this many horizons each is marked.
_MARKERS_UP_TO = 12
#: Longer legends stand beside the picture.
_LEGEND_UP_TO = 4
_RUNS = {"sequence", "start", "end"}
#: The band holds the middle of the runs.
_QUANTILES = (0.1, 0.9)
_Curve = tuple[str, str, LineStyle, xr.DataArray]


def singular_values(
    results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, per_time: bool = False
) -> Axes:
    """Draw log singular values of products against their horizon, or those by the input against the lag.

    Lines are medians over sequences and windows: of one result all values, thinned out if they are many, of several
    the largest and the smallest; the bands of these two hold 80 % of the runs.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.singular_values`, or all from `dynet.input_singular_values`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    per_time : bool, default False
        Divide by the duration of the horizon: the lines then tend to the Lyapunov exponents.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than singular values is given.

    Notes
    -----
    Zero singular values cannot be drawn: their lines end.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.singular_values(dynet.zoo.henon(), [0.1, 0.1], 100)
    >>> dynet.plot.singular_values(ds).get_xlabel()
    'horizon (step)'
    """
    named = named_results(results, "log_singular_value", "dynet.singular_values")
    lengths = {"lag" if "lag" in result.dims else "horizon" for result in named.values()}
    if len(lengths) > 1:
        raise InputError("results: some are against a horizon, some against a lag: draw them in pictures of their own")
    (length,) = lengths
    ax = axes_of(ax)
    for number, (name, result) in enumerate(named.items()):
        logs = result["log_singular_value"]
        if per_time:
            logs = (logs / result["duration"].where(result["duration"] > 0)).dropna(length, how="all")
        n = result.sizes["index"]
        inner: Any = (
            np.unique(np.linspace(0, n - 1, min(n, _MOST_LINES)).round().astype(int)) if len(named) == 1 else []
        )
        horizons = logs[length].values
        for i in sorted({0, n - 1, *inner}):
            outer = i in (0, n - 1)
            label = {n - 1: "smallest", 0: "largest"}.get(int(i), "") if len(named) == 1 else name if i == 0 else ""
            shade = colour(number if len(named) > 1 else 0 if i == 0 else 1) if outer else FAINT
            style: dict[str, Any] = {"linewidth": 1.6 if outer else 0.6, "zorder": 3 if outer else 1}
            if horizons.size <= _MARKERS_UP_TO:
                style |= {"marker": "o", "markersize": 4.0 if outer else 2.5}
            _curve(ax, horizons, logs.isel(index=int(i)), length, shade, label, style, band=outer)
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    if length == "horizon":  # a lag may be zero
        ax.set_xscale("log")
    ax.set_xlabel(f"{length} (step)")
    units = next(iter(named.values()))["duration"].attrs["units"]
    ax.set_ylabel(f"log singular value (nat / {units})" if per_time else "log singular value (nat)")
    _legend(ax)
    tidy(ax)
    return ax


def gradient_norms(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    parameters: str | Sequence[str] | None = None,
    horizon: xr.Dataset | None = None,
) -> Axes:
    """Draw gradient norms, as powers of ten, against the steps that the gradient has gone back.

    Lines are medians over sequences and times of the loss; bands hold 80 % of them.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.gradient_norms` or `dynet.torch.gradient_norms`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    parameters : str or sequence of str, optional
        Draw the gradients of these parameters, accumulated over the last steps, instead of those of the state (results
        of `dynet.torch.gradient_norms`).
    horizon : Dataset, optional
        From `dynet.gradient_horizon`: its level is drawn, dashed, and its median.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than gradient norms is given, or they have no such parameter.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.gradient_norms(dynet.zoo.henon(), [0.1, 0.1], 100)
    >>> dynet.plot.gradient_norms(ds).get_xlabel()
    'steps before the loss'
    """
    named = named_results(results, "log_gradient_norm", "dynet.gradient_norms")
    curves = _curves(named, parameters)
    if horizon is not None:
        named_results(horizon, "horizon", "dynet.gradient_horizon")
    ax = axes_of(ax)
    for label, shade, dashes, logs in curves:
        style: dict[str, Any] = {"linewidth": 1.6, "linestyle": dashes}
        _curve(ax, logs["lag"].values, logs / np.log(10), "lag", shade, label, style, band=True)
    if horizon is not None:
        _draw_level(ax, horizon, curves[0][-1])
    ax.set_xlabel("steps before the loss" if parameters is None else "last steps that are accumulated")
    ax.set_ylabel("log10 norm of the gradient")
    _legend(ax)
    tidy(ax)
    return ax


def _curves(named: dict[str, xr.Dataset], parameters: str | Sequence[str] | None) -> list[_Curve]:
    """Return what is to be drawn: label, colour, line style and numbers.

    Of several results the colour tells the result and the line style the parameter.
    """
    if parameters is None:
        return [
            (name, colour(i), line_style(i // len(COLOURS)), result["log_gradient_norm"])
            for i, (name, result) in enumerate(named.items())
        ]
    wanted = [parameters] if isinstance(parameters, str) else list(parameters)
    curves, faults = [], Faults()
    for i, (name, result) in enumerate(named.items()):
        known = result["parameter"].values.tolist() if "parameter" in result else []
        for j, parameter in enumerate(wanted):
            shade, dashes = (i, j) if len(named) > 1 else (j, j // len(COLOURS))
            if parameter not in known:
                faults.add(
                    "parameters", parameter, f"give some of {', '.join(known) or 'a result that has parameters'}"
                )
            else:
                logs = result["log_parameter_gradient_norm"].sel(parameter=parameter)
                curves.append((f"{name} {parameter}".strip(), colour(shade), line_style(dashes), logs))
    faults.raise_if_any()
    return curves


def _curve(
    ax: Axes,
    x: np.ndarray,
    logs: xr.DataArray,
    along: str,
    shade: str,
    label: str,
    style: dict[str, Any],
    *,
    band: bool,
) -> None:
    """Draw the median over runs, and the band that holds most of them."""
    values = logs.transpose(..., along).values.reshape(-1, x.size)
    # the lower of two: a mean of finite and infinite values is no value
    median = np.quantile(values, 0.5, axis=0, method="inverted_cdf")
    seen = np.isfinite(median)
    ax.plot(x, np.where(seen, median, np.nan), color=shade, label=label if label and seen.any() else None, **style)
    if band and len(values) > 1:
        low, high = np.quantile(values, _QUANTILES, axis=0, method="inverted_cdf")
        drawn = np.isfinite(low) & np.isfinite(high)
        if x.size == 1:
            ax.vlines(x[drawn], low[drawn], high[drawn], color=shade, alpha=0.4, linewidth=4)
            return
        ax.fill_between(x, low, high, where=drawn.tolist(), color=shade, alpha=0.2, linewidth=0)


def _legend(ax: Axes) -> None:
    """Name the lines; many names stand beside the picture, where they hide nothing."""
    count = len(ax.get_legend_handles_labels()[1])
    if count > _LEGEND_UP_TO:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3.2)
    elif count:
        ax.legend(frameon=False)


def _draw_level(ax: Axes, horizon: xr.Dataset, logs: xr.DataArray) -> None:
    """Draw the level that counts as vanished, and after how many steps half of the runs have reached it."""
    level = float(horizon.attrs["log_vanished"])
    if horizon.attrs["levels_are"].startswith("relative"):
        level += float(np.quantile(logs.isel(lag=0).values, 0.5, method="inverted_cdf"))
    ax.axhline(level / np.log(10), color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    ax.annotate(
        str(horizon.attrs["level"]),
        (1.0, level / np.log(10)),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color=FAINT,
    )
    median = float(horizon["median_horizon"].sel(fate="vanishing"))
    if np.isfinite(median):
        ax.axvline(median, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
