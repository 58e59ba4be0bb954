"""Activations as adaptation shapes them, and maps over gain and saturation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.plot._axes import FAINT, axes_of, colour, label_of, named_results, tidy
from dynet.systems.gamma import gamma_parts, gamma_value
from dynet.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["activation", "jacobian_map"]

_POINTS = 201
_MOST_LINES = 9
#: The band holds the middle of the neurons.
_QUANTILES = (0.1, 0.9)
_HALF_WIDTH = 5.0
#: Where a quantity turns from fading to growth, and how it is called.
_CRITICAL = {
    "jacobian_norm": (1.0, "mean spectral norm of the Jacobian"),
    "rms_gain": (1.0, "mean root mean square gain"),
    "lyapunov_exponent": (0.0, "largest Lyapunov exponent"),
}


def activation(
    results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, x: ArrayLike | None = None
) -> Axes:
    """Draw the activation that gains and saturations make, its median over neurons, against the pre-activation.

    Of one result lines tell times (or drives), from dark to light; of several the last time of each is drawn, with a
    band that holds 80 % of the neurons.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        With ``gain`` and ``saturation``: from `dynet.adaptation_trace` or `dynet.adaptive_exponents`; names of a
        mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    x : array (points,), optional
        Pre-activations; by default those that the result has, or (-5, 5).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result has no gains and saturations, those of several sequences, or ``x`` is no array (points,).

    Examples
    --------
    >>> import dynet, numpy as np
    >>> system = dynet.networks.adaptive_rnn(
    ...     np.zeros((2, 2)), W_ag=[0.1], W_gg=[[0.5]], W_gn=[-2.0], b_n=5.0, W_gs=[0.1], b_s=0.3
    ... )
    >>> dynet.plot.activation(dynet.adaptation_trace(system, n_steps=30, drive=3.0)).get_xlabel()
    'pre-activation'
    """
    named = named_results(results, "gain", "dynet.adaptation_trace")
    for name, result in named.items():
        if "saturation" not in result or "neuron" not in result["gain"].dims or "sequence" in result["gain"].dims:
            raise InputError(
                f"{label_of(name)} has gains over {', '.join(map(str, result['gain'].dims))}: give a Dataset from "
                "dynet.adaptation_trace, of one sequence"
            )
    faults = Faults()
    points = None if x is None else faults.real_array("x", x, finite=True)
    if points is not None and points.ndim != 1:
        faults.add("x", points, "give pre-activations (points,), such as numpy.linspace(-5, 5, 201)")
    faults.raise_if_any()
    if points is None:
        points = _points(list(named.values()))
    ax = axes_of(ax)
    if len(named) == 1:
        ((name, result),) = named.items()
        _draw_along(ax, result, points, name)
    else:
        for number, (name, result) in enumerate(named.items()):
            curves = _curves(result, points)[-1]
            low, middle, high = np.quantile(curves, (_QUANTILES[0], 0.5, _QUANTILES[1]), axis=0)
            ax.plot(points, middle, color=colour(number), linewidth=1.6, label=name)
            ax.fill_between(points, low, high, color=colour(number), alpha=0.2, linewidth=0)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
    ax.set_xlabel("pre-activation")
    ax.set_ylabel("activity")
    tidy(ax)
    return ax


def _points(results: list[xr.Dataset]) -> np.ndarray:
    seen = [np.abs(r["pre_activation"].values).max() for r in results if "pre_activation" in r]
    half = float(max(seen, default=_HALF_WIDTH)) or _HALF_WIDTH
    return np.linspace(-half, half, _POINTS)


def _curves(result: xr.Dataset, points: np.ndarray) -> np.ndarray:
    """Return activations (time or drive, neuron, point)."""
    n, s = (result[name].transpose(..., "neuron").values for name in ("gain", "saturation"))
    n, s = (np.atleast_2d(values).reshape(-1, values.shape[-1]) for values in (n, s))
    chosen = _chosen(len(n))
    n, s = n[chosen][..., None], s[chosen][..., None]
    with np.errstate(under="ignore"):
        values: np.ndarray = gamma_value(gamma_parts(points, n), n, s)
    return values


def _chosen(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_LINES)).round().astype(int))


def _draw_along(ax: Axes, result: xr.Dataset, points: np.ndarray, name: str) -> None:
    """Draw the median over neurons at several times (or drives), told by their colours."""
    import matplotlib as mpl
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    curves = np.median(_curves(result, points), axis=1)
    along = [str(dim) for dim in result["gain"].dims if dim != "neuron"]
    if not along:
        ax.plot(points, curves[0], color=colour(0), linewidth=1.6, label=name or None)
        return
    values = result[along[0]].values[_chosen(result.sizes[along[0]])]
    shades = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))  # yellow is hard to see
    scale = Normalize(float(values.min()), float(values.max()))
    for value, curve in zip(values, curves, strict=True):
        ax.plot(points, curve, color=shades(scale(float(value))), linewidth=1.4)
    bar = ax.figure.colorbar(ScalarMappable(scale, shades), ax=ax)
    bar.set_label(along[0])


def jacobian_map(
    results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None, variable: str = "jacobian_norm"
) -> Axes:
    """Draw a quantity over gain and saturation, with the line on which growth and fading balance.

    Blue fades, red grows; grey cells are networks that diverge. Of several results only their lines are drawn.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.jacobian_map`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    variable : {"jacobian_norm", "rms_gain", "lyapunov_exponent"}
        What to draw; the line is at 1 (norms, whose colours are logarithmic) or 0 (exponents).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.jacobian_map`, or there is no such ``variable``.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ds = dynet.jacobian_map(np.eye(2), n=[1.0, 5.0, 9.0], s=[0.0, 0.5, 1.0], n_steps=20, n_transient=0)
    >>> dynet.plot.jacobian_map(ds).get_xlabel()
    'gain n'
    """
    faults = Faults()
    faults.choice("variable", variable, tuple(_CRITICAL))
    faults.raise_if_any()
    named = named_results(results, variable, "dynet.jacobian_map")
    for name, result in named.items():
        if set(result[variable].dims) != {"gain", "saturation"}:
            raise InputError(
                f"{label_of(name)} is no map over gain and saturation: give a Dataset from dynet.jacobian_map"
            )
    single = len(named) == 1
    ax = axes_of(ax)
    critical, words = _CRITICAL[variable]
    for number, (name, result) in enumerate(named.items()):
        values = result[variable].transpose("saturation", "gain")
        if single:
            _draw_cells(ax, values, critical, words)
        if min(values.shape) > 1 and np.nanmin(values) < critical < np.nanmax(values):
            shade = "0.1" if single else colour(number)
            gains, saturations = result["gain"].values, result["saturation"].values
            ax.contour(gains, saturations, values.values, [critical], colors=[shade], linewidths=1.6)
        if not single:
            ax.plot([], [], color=colour(number), linewidth=1.6, label=name)
    if not single:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        ax.set_title(f"lines: {words} = {critical:g}", fontsize="medium")
    ax.set_xlabel("gain n")
    ax.set_ylabel("saturation s")
    tidy(ax)
    return ax


def _draw_cells(ax: Axes, values: xr.DataArray, critical: float, words: str) -> None:
    import matplotlib as mpl
    from matplotlib.colors import CenteredNorm, LogNorm

    shades = mpl.colormaps["RdBu_r"].with_extremes(bad="0.8")
    norm: Any
    if critical:
        finite = values.values[np.isfinite(values.values) & (values.values > 0)]
        reach = max(float(np.exp(np.abs(np.log(finite)).max())) if finite.size else 1.0, 1.01)
        norm = LogNorm(1 / reach, reach)
    else:
        norm = CenteredNorm(0.0)
    mesh = ax.pcolormesh(
        values["gain"].values, values["saturation"].values, values.values, cmap=shades, norm=norm, shading="nearest"
    )
    bar = ax.figure.colorbar(mesh, ax=ax)
    units = values.attrs.get("units", "1")
    bar.set_label(words if units == "1" else f"{words} ({units})")
    bar.ax.axhline(critical, color=FAINT, linewidth=1.0)
