"""Spectra by epoch, as a monitor recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.lyapunov.dimension import half_width
from dynet.plot._axes import FAINT, axes_of, colour, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["training_spectra"]

MAKER = "dynet.torch.LyapunovMonitor"
#: Lines of one result run through this map, from the first exponent to the last.
_LINE_COLOURS, _MAP_COLOURS = "viridis", "RdBu_r"


def training_spectra(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    kind: Literal["lines", "map"] = "lines",
    level: float = 0.95,
) -> Axes:
    """Draw exponents against the epoch of the training.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        ``dataset`` of a `dynet.torch.LyapunovMonitor`, or what its ``load`` returned. Of one result all exponents are
        drawn, of several the largest exponent of each; names become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    kind : {"lines", "map"}, default "lines"
        A line for each exponent, or a map of epoch and exponent (of a single result) whose colours part at zero.
    level : float, default 0.95
        Level of the band around the largest exponent.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If something else than recorded trainings is given, or a map of several of them.

    Notes
    -----
    Epochs that failed, and exponents of -inf, are gaps.

    Examples
    --------
    >>> import dynet, torch
    >>> model = torch.nn.GRU(2, 6, batch_first=True)
    >>> monitor = dynet.torch.LyapunovMonitor(model, torch.randn(6, 30, 2))
    >>> for epoch in range(3):
    ...     monitor.step(epoch)
    >>> dynet.plot.training_spectra(monitor.dataset).get_xlabel()
    'epoch'
    """
    named = named_results(results, "largest_error", MAKER)
    half_width(level, np.inf)  # before anything is drawn
    faults = Faults()
    faults.choice("kind", kind, ("lines", "map"))
    if kind == "map" and len(named) > 1:
        faults.add("kind", kind, f"a map shows one result, not {len(named)}: draw each on axes of its own")
    faults.raise_if_any()
    ax = axes_of(ax)
    (name, first), *others = named.items()
    unit = first["lyapunov_exponent"].attrs["units"]
    if kind == "map":
        _map(ax, first, unit)
    else:
        if not others:
            _all_lines(ax, first)
        for number, (name, result) in enumerate(named.items()):
            _largest(ax, result, name, colour(number) if others else "black", level)
        ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        ax.set_ylabel(f"{'largest exponent' if others else 'Lyapunov exponent'} ({unit})")
        ax.legend(frameon=False)
        tidy(ax)
    ax.set_xlabel("epoch")
    return ax


def _drawable(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _all_lines(ax: Axes, result: xr.Dataset) -> None:
    import matplotlib

    shades = matplotlib.colormaps[_LINE_COLOURS]
    epochs, values = result["epoch"].values, _drawable(result["lyapunov_exponent"].values)
    k = values.shape[1]
    marker: dict[str, Any] = {"marker": "o", "markersize": 2.5} if epochs.size < 30 else {}
    for i in range(k):
        label = f"exponent {i + 1}" if i in (0, k - 1) else None
        ax.plot(epochs, values[:, i], color=shades(0.9 * i / max(k - 1, 1)), linewidth=1.0, label=label, **marker)


def _largest(ax: Axes, result: xr.Dataset, name: str, shade: str, level: float) -> None:
    """Draw the largest exponent and its interval."""
    epochs, values = result["epoch"].values, _drawable(result["largest"].values)
    exponents = result["lyapunov_exponent"].values
    # an epoch that failed is NaN throughout
    leading = np.where(np.isnan(exponents), -np.inf, exponents).argmax(axis=1)
    degrees = result["degrees_of_freedom"].values[np.arange(epochs.size), leading]
    width = _drawable(half_width(level, degrees) * result["largest_error"].values)
    label = name or f"{100 * level:g} % interval of the largest"
    if name:
        ax.plot(epochs, values, color=shade, linewidth=1.6, label=label)
    ax.fill_between(
        epochs,
        values - width,
        values + width,
        color=shade,
        alpha=0.2,
        linewidth=0,
        label=None if name else label,
        zorder=0.5,
    )


def _map(ax: Axes, result: xr.Dataset, unit: str) -> None:
    values = _drawable(result["lyapunov_exponent"].values)
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max()) if finite.size else 1.0
    mesh = ax.pcolormesh(
        result["epoch"].values,
        result["exponent"].values,
        values.T,
        cmap=_MAP_COLOURS,
        vmin=-largest,
        vmax=largest,
        shading="nearest",
    )
    ax.set_ylabel("exponent")
    ax.invert_yaxis()
    bar = ax.figure.colorbar(mesh, ax=ax, label=f"Lyapunov exponent ({unit})")
    if finite.size:
        bar.ax.set_ylim(min(float(finite.min()), 0.0), max(float(finite.max()), 0.0))
