"""The points of a sweep: a grid of values, or points drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.typing import Rng

__all__ = ["Grid", "grid_of", "sample_points"]

#: Names that the result of a sweep needs for itself.
RESERVED = ("repeat", "status", "message", "rng")


@dataclass(frozen=True)
class Grid:
    """The points of a sweep.

    Parameters
    ----------
    dims : dict of str to int
        Dimensions in front of every result, with their sizes.
    coords : dict
        Values along them: name -> (dimension, array).
    points : list of dict
        Arguments of every call, in the order of the flattened dimensions.
    """

    dims: dict[str, int]
    coords: dict[str, tuple[str, np.ndarray]]
    points: list[dict[str, Any]]


def grid_of(grid: Any, faults: Faults) -> Grid:
    """Return the points that ``grid`` means, or note what is wrong with it."""
    empty = Grid({}, {}, [])
    if isinstance(grid, xr.Dataset):
        return _of_points(grid, faults)
    if not isinstance(grid, Mapping) or not grid:
        faults.add("grid", grid, "give a mapping of names of arguments to lists of values, or points of sample_points")
        return empty
    for name in grid:
        _check_name(name, f"grid['{name}']", faults)
    values = {name: _values(name, entries, faults) for name, entries in grid.items()}
    if len(faults):
        return empty
    for name, array in values.items():
        if len(np.unique(array)) < len(array):
            faults.say(f"grid['{name}'] holds a value twice: n_repeats= runs a point several times")
    points = [dict(zip(values, point, strict=True)) for point in product(*(a.tolist() for a in values.values()))]
    return Grid(
        {name: len(array) for name, array in values.items()},
        {name: (name, array) for name, array in values.items()},
        points,
    )


def _of_points(grid: xr.Dataset, faults: Faults) -> Grid:
    names = [str(name) for name in grid.variables if name != "point"]
    wrong = [name for name in names if grid[name].dims != ("point",)]
    if wrong or not names:
        faults.say(
            f"grid: a Dataset of points has variables along 'point' alone, but {wrong[0] if wrong else 'this one'} has "
            f"{grid[wrong[0]].dims if wrong else 'none'}: take sample_points"
        )
        return Grid({}, {}, [])
    for name in names:
        _check_name(name, f"grid['{name}']", faults)
    values = {name: _values(name, grid[name].values, faults) for name in names}
    rows = zip(*(array.tolist() for array in values.values()), strict=True)
    points = [dict(zip(values, row, strict=True)) for row in rows]
    coords = {name: ("point", array) for name, array in values.items()}
    return Grid({"point": len(points)}, {"point": ("point", np.arange(len(points))), **coords}, points)


def _values(name: Any, entries: Any, faults: Faults) -> np.ndarray:
    """Return the values of one argument as an array of numbers, words or flags."""
    label = f"grid['{name}']"
    entries = entries.values if isinstance(entries, xr.DataArray) else entries
    if isinstance(entries, str | bytes) or np.ndim(entries) == 0:
        faults.add(label, entries, "give a list of values")
        return np.zeros(0)
    try:
        array = np.asarray(entries)
    except ValueError:
        array = np.zeros((0, 0))
    words = [isinstance(entry, str) for entry in entries]
    if array.ndim != 1 or array.dtype.kind not in "iufbU" or (any(words) and not all(words)):
        faults.add(label, entries, "give a list of numbers, or one of words")
    elif not array.size:
        faults.add(label, entries, "give at least one value")
    elif array.dtype.kind == "f" and np.isnan(array).any():
        faults.add(label, entries, "a value is NaN")
    return array


def _check_name(name: Any, label: str, faults: Faults, taken: tuple[str, ...] = RESERVED) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name in taken:
        faults.say(f"{label}: give the name of an argument of the function, none of {', '.join(taken)}")


def _drawn(name: str, distribution: Any, n_points: int, rng: np.random.Generator) -> np.ndarray:
    """Return a number for each point, or say why a distribution gives none."""
    try:
        values = np.asarray(distribution.rvs(size=n_points, random_state=rng))
        found = f"draws of shape {values.shape}"
    except Exception as error:  # whatever an object of the user's may raise
        values, found = np.zeros(0), f"{type(error).__name__}: {error}"
    if values.shape != (n_points,) or values.dtype.kind not in "iufb":
        raise InputError(
            f"distributions['{name}']={shown(distribution)}: it gives {found}, expected {n_points} numbers: give a "
            "distribution of one variable with its parameters, such as scipy.stats.uniform(0, 2)"
        )
    return values


def sample_points(distributions: Mapping[str, Any], n_points: int, *, rng: Rng = None) -> xr.Dataset:
    """Draw points of a space of parameters at random, for `sweep`.

    Parameters
    ----------
    distributions : mapping of str to distribution or list
        For each argument a distribution with ``rvs(size=, random_state=)``, such as those of ``scipy.stats``, or a list
        to choose from, each value with the same chance.
    n_points : int
        Number of points.
    rng : Generator or int, optional
        Source; None means ``default_rng(0)``. Every argument has a generator of its own.

    Returns
    -------
    Dataset
        A variable for each argument, along ``point``.

    Raises
    ------
    InputError
        If an argument has neither a distribution nor a list.

    References
    ----------
    Bergstra & Bengio (2012), Random search for hyper-parameter optimization, JMLR 13, 281-305.

    Examples
    --------
    >>> import dynet
    >>> from scipy import stats
    >>> points = dynet.sample_points({"g": stats.uniform(1, 2), "cell": ["gru", "lstm"]}, 5, rng=0)
    >>> dict(points.sizes), bool(((points.g >= 1) & (points.g < 3)).all())
    ({'point': 5}, True)
    """
    faults = Faults()
    faults.integer("n_points", n_points, 1)
    if not isinstance(distributions, Mapping) or not distributions:
        faults.add("distributions", distributions, "give a mapping of names of arguments to distributions or lists")
        faults.raise_if_any()
    choices: dict[str, np.ndarray] = {}
    for name, distribution in distributions.items():
        _check_name(name, f"distributions[{name!r}]", faults, (*RESERVED, "point"))
        if not hasattr(distribution, "rvs"):
            choices[name] = _values(name, distribution, faults)
    generator = faults.generator("rng", rng)
    faults.raise_if_any()
    variables: dict[str, tuple[tuple[str, ...], Any, str, str]] = {}
    for name, distribution in distributions.items():
        own = np.random.default_rng(generator.integers(2**63, size=4))
        if name in choices:
            values = own.choice(choices[name], size=n_points)
        else:
            values = _drawn(name, distribution, n_points, own)
        variables[name] = (("point",), values, name, "")
    attrs = {"title": "points of a space of parameters", "method": "random sampling", "n_points": n_points}
    return dataset(variables, {"point": np.arange(n_points)}, attrs)
