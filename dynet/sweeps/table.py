"""The results of all cells in arrays that grow to hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet.errors import InputError
from dynet.sweeps.cells import ERROR, Outcome, Variable
from dynet.sweeps.grid import RESERVED, Grid

__all__ = ["PENDING", "Column", "Table", "missing"]

#: Status of a cell that has not been run.
PENDING = -1
_MISSING = {"f": np.nan, "c": complex(np.nan, np.nan), "U": ""}
_KINDS = {"f": "numbers", "c": "complex numbers", "U": "words"}


@dataclass
class Column:
    """One variable of all cells: its dimensions behind those of the grid, kind of entries, attributes."""

    dims: tuple[str, ...]
    kind: str
    attrs: dict[str, Any]


class Table:
    """Outcomes of all cells, by the position of their cell in the grid.

    Parameters
    ----------
    grid : Grid
    n_repeats : int
    keep : tuple of str
        Names that results must have.

    Attributes
    ----------
    sizes : dict
        Length of each dimension of the results: that of the longest one.
    coords : dict
        Coordinates of the results.
    columns : dict of Column
    attrs : dict or None
        Attributes in which all results agree.
    """

    def __init__(self, grid: Grid, n_repeats: int, keep: tuple[str, ...]) -> None:
        self.grid, self.n_repeats, self.keep = grid, n_repeats, keep
        self.front = (*grid.dims, "repeat")
        self.shape = (*grid.dims.values(), n_repeats)
        self.status = np.full(self.shape, PENDING, dtype=np.int8)
        self.message = np.full(self.shape, "", dtype=object)
        self.sizes: dict[str, int] = {}
        self.coords: dict[str, Variable] = {}
        self.columns: dict[str, Column] = {}
        self.attrs: dict[str, Any] | None = None
        self.values: dict[str, np.ndarray] = {}

    def where(self, cell: int, repeat: int) -> tuple[int, ...]:
        """Return the position of a cell in the arrays."""
        return (*map(int, np.unravel_index(cell, self.shape[:-1])), repeat)

    def pending(self) -> list[tuple[int, int]]:
        """Return (cell, repeat) of all that has not been run."""
        flat = self.status.reshape(-1, self.n_repeats)
        return [(int(cell), int(repeat)) for cell, repeat in np.argwhere(flat == PENDING)]

    def add(self, cell: int, repeat: int, outcome: Outcome) -> Outcome:
        """Take an outcome in, and return it; one that does not fit the others comes back as a failure."""
        if outcome.status == 0:
            self._check_names(outcome)
            if fault := self._misfit(outcome):
                outcome = Outcome(ERROR, f"InputError: {fault}", seconds=outcome.seconds, error=InputError(fault))
        where = self.where(cell, repeat)
        if outcome.status == 0:
            self._grow(outcome)
            for name, (_, values, _) in outcome.variables.items():
                room: Any = (*where, *(slice(0, size) for size in values.shape))
                self.values[name][room] = values
        self.status[where] = outcome.status
        self.message[where] = outcome.message
        return outcome

    def _check_names(self, outcome: Outcome) -> None:
        """Raise if names of the call and of its results do not go together: no cell could be kept."""
        if unknown := [name for name in self.keep if name not in outcome.variables]:
            has = ", ".join([*outcome.variables, *outcome.dropped])
            raise InputError(f"keep='{unknown[0]}': the function's result has no such variable; it has {has}")
        if not outcome.variables:
            raise InputError(
                f"the function's result has nothing without a dimension 'time' ({', '.join(outcome.dropped)}): name "
                "with keep= what is to be kept"
            )
        taken = {*self.front, *self.grid.coords, *RESERVED}
        dims = {dim for dims, _, _ in outcome.variables.values() for dim in dims}
        used = {*outcome.variables, *outcome.coords, *dims}
        if both := sorted(taken & used):
            raise InputError(
                f"'{both[0]}' is a name both of the sweep and of the function's result: give it another name in either"
            )

    def _misfit(self, outcome: Outcome) -> str:
        """Return in what a result cannot stand beside those before it."""
        for name, (dims, values, _) in outcome.variables.items():
            column = self.columns.get(name)
            if column is None:
                continue
            if column.dims != dims:
                return f"'{name}' has dimensions {dims} where other cells have {column.dims}"
            if column.kind != values.dtype.kind:
                return f"'{name}' holds {_KINDS[values.dtype.kind]} where other cells have {_KINDS[column.kind]}"
        for name, (dims, values, _) in outcome.coords.items():
            if name not in self.coords:
                continue
            old_dims, old, _ = self.coords[name]
            shared = tuple(slice(0, min(pair)) for pair in zip(old.shape, values.shape, strict=False))
            if old_dims != dims or not _same(old[shared], values[shared]):
                return f"its coordinate '{name}' is not that of other cells, nor a part or a continuation of it"
        return ""

    def _grow(self, outcome: Outcome) -> None:
        """Make room for a result."""
        for _, (dims, values, _) in (*outcome.variables.items(), *outcome.coords.items()):
            for dim, size in zip(dims, values.shape, strict=True):
                self.sizes[dim] = max(size, self.sizes.get(dim, 0))
        for name, variable in outcome.coords.items():
            old = self.coords.get(name)
            if old is None or variable[1].size > old[1].size:
                self.coords[name] = variable
        for name, (dims, values, attrs) in outcome.variables.items():
            if name not in self.columns:
                self.columns[name] = Column(dims, values.dtype.kind, attrs)
        self.attrs = (
            dict(outcome.attrs)
            if self.attrs is None
            else {key: value for key, value in self.attrs.items() if _same(outcome.attrs.get(key), value)}
        )
        self.settle()

    def full_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a variable with the grid in front."""
        return (*self.shape, *(self.sizes[dim] for dim in self.columns[name].dims))

    def settle(self) -> None:
        """Give every array the size that its column has come to."""
        for name, column in self.columns.items():
            shape, old = self.full_shape(name), self.values.get(name)
            if old is not None and old.shape == shape:
                continue
            self.values[name] = missing(shape, column.kind)
            if old is not None:
                self.values[name][tuple(slice(0, size) for size in old.shape)] = old

    def restore(self, name: str, values: np.ndarray) -> None:
        """Take the values of a column as they were stored.

        Stored arrays grow before the layout says so: what a process that was killed in between made longer is empty.
        """
        array = self.values[name]
        shared = tuple(slice(0, min(sizes)) for sizes in zip(array.shape, values.shape, strict=True))
        array[shared] = values[shared]

    @property
    def n_bytes(self) -> int:
        """Memory of all arrays."""
        return sum(array.nbytes for array in self.values.values())

    def dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """Return the labelled result."""
        variables: dict[str, tuple[tuple[str, ...], Any, str, str]] = {}
        for name, column in self.columns.items():
            values = self.values[name]
            variables[name] = (
                (*self.front, *column.dims),
                values.astype(str) if column.kind == "U" else values,
                column.attrs.get("long_name", name),
                column.attrs.get("units", ""),
            )
        meaning = "0 ok, 1 diverged, 2 not converged, 3 error"
        variables["status"] = (self.front, self.status.copy(), meaning, "1")
        variables["message"] = (self.front, self.message.astype(str), "what a failed call said", "")
        coords = {
            **{name: (dim, values) for name, (dim, values) in self.grid.coords.items()},
            "repeat": np.arange(self.n_repeats),
            **self.coords,
        }
        return dataset(variables, coords, {**(self.attrs or {}), **attrs})


def missing(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Return an array in which everything is missing: NaN, or an empty word."""
    return np.full(shape, _MISSING[kind], dtype=object if kind == "U" else None)


def _same(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    both_floating = one.dtype.kind == "f" and other.dtype.kind == "f"
    return bool(np.array_equal(one, other, equal_nan=both_floating))
