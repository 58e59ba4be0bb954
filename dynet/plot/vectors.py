"""Covariant vectors: the angles between them, and where they live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.plot._axes import axes_of, colour, label_of, named_results, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["covariant_angles", "participation"]

_MOST_PAIRS = 4
#: Fewest and most bins that are chosen.
_BINS = (5, 60)
#: Up to this many groups each is a line; more of them are a picture.
_LINES_UP_TO = 6


def covariant_angles(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: Axes | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    bins: int | None = None,
) -> Axes:
    """Draw histograms of the angles between covariant vectors over time and sequences.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.covariant_vectors`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    pairs : sequence of pairs of int, optional
        Which angles, by the numbers of the two exponents: ``[(1, 2), (1, 3)]``. If not given, the first up to four
        pairs of neighbours, of several results the first pair each.
    bins : int, optional
        Number of bins from 0 to a right angle; if not given, the square root of the smallest number of angles, from 5
        to 60.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.covariant_vectors`, or a pair has no angle: its exponents are below resolution,
        equal or not there.

    Notes
    -----
    Angles that come down to zero are tangencies: the splitting is not hyperbolic there.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.covariant_vectors(dynet.zoo.henon(), [0.1, 0.1], 500, n_transient=100)
    >>> dynet.plot.covariant_angles(ds).get_xlabel()
    'angle (rad)'
    """
    named = named_results(results, "angle", "dynet.covariant_vectors")
    chosen = {name: _chosen(result, pairs, len(named)) for name, result in named.items()}
    faults = Faults()
    if bins is not None:
        faults.integer("bins", bins, 1)
    faults.raise_if_any()
    ax = axes_of(ax)
    series = {
        f"{name} {i} and {j}".strip(): named[name]["angle"].sel(exponent=i, exponent_2=j).values.ravel()
        for name, some in chosen.items()
        for i, j in some
    }
    if bins is None:
        fewest = min(angles.size for angles in series.values())
        bins = int(np.clip(round(np.sqrt(fewest)), *_BINS))
    edges = np.linspace(0, np.pi / 2, bins + 1)
    for number, (label, angles) in enumerate(series.items()):
        # results of other programs and float32 hold right angles that are rounded upwards
        density, _ = np.histogram(np.clip(angles, 0, np.pi / 2), edges, density=True)
        ax.stairs(density, edges, color=colour(number), linewidth=1.6, label=label)
        ax.stairs(density, edges, color=colour(number), alpha=0.12, fill=True)
    ax.set_xlim(0, np.pi / 2)
    ax.set_ylim(bottom=0)
    ax.set_xticks(np.linspace(0, np.pi / 2, 5), ["0", "π/8", "π/4", "3π/8", "π/2"])
    ax.set_xlabel("angle (rad)")
    ax.set_ylabel("density")
    ax.legend(frameon=False, title="vectors")
    tidy(ax)
    return ax


def _chosen(result: xr.Dataset, pairs: Any, n_results: int) -> list[tuple[int, int]]:
    """Return the pairs of exponents to draw."""
    below = result["below_resolution"]
    if "sequence" in below.dims:
        below = below.any("sequence")
    defined = [int(label) for label in result["exponent"].values[~below.values]]
    faults = Faults()
    if pairs is None:
        found = list(pairwise(defined))[: _MOST_PAIRS if n_results == 1 else 1]
        if not found:
            faults.say(f"result has {len(defined)} covariant vectors: an angle needs two")
        faults.raise_if_any()
        return found
    if not isinstance(pairs, Sequence | np.ndarray) or isinstance(pairs, str) or not len(pairs):
        faults.add("pairs", pairs, "give a list of pairs, such as [(1, 2)]")
    faults.raise_if_any()
    wanted = [tuple(pair) if isinstance(pair, Sequence | np.ndarray) else (pair,) for pair in pairs]
    for pair in wanted:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(defined):
            faults.add("pairs", pair, f"give two different exponents that have vectors, of {defined}")
    faults.raise_if_any()
    return [(int(i), int(j)) for i, j in wanted]


def participation(results: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw the weight of parts, layers or units in each covariant vector.

    A few groups are lines against the exponent, with bands of one standard error; many are a picture, unit by
    exponent.

    Parameters
    ----------
    results : Dataset or mapping of str to Dataset
        From `dynet.vector_participation`; names of a mapping become the legend.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a result is not from `dynet.vector_participation`, or several are given that need a picture each.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.covariant_vectors(dynet.zoo.henon(), [0.1, 0.1], 500, n_transient=100)
    >>> dynet.plot.participation(dynet.vector_participation(ds)).get_ylabel()
    'weight'
    """
    named = named_results(results, "participation_number", "dynet.vector_participation")
    groups = {name: str(result["weight"].dims[0]) for name, result in named.items()}
    many = [name for name, result in named.items() if result.sizes[groups[name]] > _LINES_UP_TO]
    if many and len(named) > 1:
        raise InputError(
            f"{label_of(many[0])} has more than {_LINES_UP_TO} groups: give it alone, its picture fills the Axes"
        )
    ax = axes_of(ax)
    ax.set_xlabel("exponent")
    if many:
        _picture(ax, next(iter(named.values())))
        return ax
    number = 0
    for name, result in named.items():
        for group, weight in zip(result[groups[name]].values, result["weight"].values, strict=True):
            error = result["standard_error"].sel({groups[name]: group}).values
            label = f"{name} {_group_label(groups[name], group)}".strip()
            ax.plot(result["exponent"], weight, color=colour(number), linewidth=1.6, marker=".", label=label)
            low, high = weight - error, weight + error
            ax.fill_between(result["exponent"].values, low, high, color=colour(number), alpha=0.25, linewidth=0)
            number += 1
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("weight")
    ax.legend(frameon=False)
    tidy(ax)
    return ax


def _group_label(by: str, group: Any) -> str:
    return f"{by} {group}" if by == "layer" else str(group)


def _picture(ax: Axes, result: xr.Dataset) -> None:
    weight = result["weight"]
    by, names = str(weight.dims[0]), weight[weight.dims[0]].values
    k = weight.sizes["exponent"]
    image = ax.imshow(
        weight.values,
        aspect="auto",
        origin="lower",
        cmap="viridis",
        vmin=0,
        interpolation="nearest",
        extent=(0.5, k + 0.5, -0.5, len(names) - 0.5),
    )
    shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), 8)).astype(int))
    ax.set_yticks(shown, [str(names[i]) for i in shown])
    ax.set_ylabel(by)
    ax.figure.colorbar(image, ax=ax, label="weight")
