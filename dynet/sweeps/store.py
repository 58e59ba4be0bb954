"""The zarr store of a sweep: every finished cell is written as it ends, and the same call goes on from there."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dynet._labels import dynet_version
from dynet._optional import import_optional
from dynet._validate import shown
from dynet.errors import InputError
from dynet.sweeps.cells import ERROR, Job
from dynet.sweeps.grid import Grid
from dynet.sweeps.table import PENDING, Column, Table
from dynet.systems.digests import Digests
from dynet.systems.fingerprint import Part, part_of

__all__ = ["Store", "identity"]

#: Changes whenever a store of before could be misread.
FORMAT = 1
_MARK = "dynet_sweep"
#: Cells that took longer are written at once, others when so many seconds have passed since the last write.
SECONDS_BETWEEN = 0.2
#: Entries of an array that is kept in one file.
_SMALL = 100_000
_FILL = {"f": float("nan"), "c": complex(np.nan, np.nan), "U": ""}
_NO_LAYOUT = '{"sizes": {}, "attrs": null, "columns": {}, "coords": {}}'
_DTYPE: dict[str, Any] = {"f": "float64", "c": "complex128", "U": str}


def identity(job: Job, grid: Grid, n_repeats: int) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return what the numbers of a sweep depend on, and what of it cannot be looked into."""
    digests = Digests()
    function = job.function
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
    parts = {
        "function": Part(name, digests.of("function", function)),
        "keep": part_of(", ".join(sorted(job.keep))),
        "n_repeats": part_of(n_repeats),
        "rng": part_of(" ".join(map(str, job.entropy))),
        "dynet": part_of(dynet_version()),
        "python": part_of(".".join(platform.python_version_tuple()[:2])),
    }
    parts["dimensions"] = part_of(", ".join(grid.dims))
    for name, (dim, values) in grid.coords.items():
        text = shown(values.tolist()) + ("" if name == dim else f" along {dim}")
        parts[f"grid['{name}']"] = Part(text, digests.of(name, [dim, values]))
    return parts, tuple(digests.unknown)


class Store:
    """A zarr group that holds the table of a sweep.

    Parameters
    ----------
    place : str, path or zarr store
    parts : dict of Part
        What the numbers depend on.
    table : Table
        Filled with what the store holds already.
    """

    def __init__(self, place: Any, parts: dict[str, Part], table: Table) -> None:
        self._zarr = import_optional("zarr", extra="dask", purpose="store")
        self.place = os.fspath(place) if isinstance(place, os.PathLike) else place
        if not isinstance(self.place, str | Mapping | self._zarr.abc.store.Store) or self.place == "":
            raise InputError(f"store={shown(place)}: give the name of a folder, or a zarr store")
        self.table = table
        self._written: dict[str, Any] = {}
        self._layout = ""
        self._waiting: list[tuple[int, ...]] = []
        self._flushed = time.monotonic()
        group = self._open()
        if group is None:
            header = {name: part._asdict() for name, part in parts.items()}
            self.group = self._create({_MARK: FORMAT, "sweep": header})
        else:
            self.group = group
            self._check(parts)
            self._read()
        for name, dtype, fill in (("status", "int8", PENDING), ("message", str, "")):
            if name not in self.group:
                self._array(name, table.shape, dtype, table.front, fill)
        for name, (dim, values) in (*table.grid.coords.items(), ("repeat", ("repeat", np.arange(table.n_repeats)))):
            if name not in self.group:
                self._whole(name, (dim,), values)

    def _open(self) -> Any:
        if isinstance(self.place, str) and "://" not in self.place:
            path = Path(self.place)
            if path.exists() and not path.is_dir():
                raise InputError(f"store='{path}': this is a file; a zarr store is a folder: give another name")
            # a process that was killed as it began leaves a file without its name
            if not path.exists() or all(entry.suffix == ".partial" for entry in path.iterdir()):
                return None
        try:
            group = self._zarr.open_group(self.place, mode="r+")
        except (FileNotFoundError, KeyError, ValueError) as error:
            if not isinstance(self.place, str) or "://" in self.place:
                return None  # nothing there yet
            raise InputError(
                f"store='{self.place}': this folder is not empty and holds no zarr group: give another name"
            ) from error
        if group.attrs.get(_MARK) != FORMAT:
            raise InputError(
                f"store='{self.place}': this is no store that this version of sweep wrote: give another name"
            )
        return group

    def _create(self, attrs: dict[str, Any]) -> Any:
        try:
            # the attributes come with the group: a process killed in between leaves no store without them
            return self._zarr.create_group(self.place, zarr_format=3, attributes=attrs)
        except OSError as error:
            raise InputError(
                f"store='{self.place}': cannot be written ({error.strerror or error}): give a folder that may be "
                "written to"
            ) from error

    def _check(self, parts: dict[str, Part]) -> None:
        """Refuse the store of another sweep, and say what differs."""
        then = {name: Part(**part) for name, part in self.group.attrs["sweep"].items()}
        differences = []
        for name in sorted(then.keys() | parts, key=[*parts, *then].index):
            old, new = then.get(name), parts.get(name)
            if old is None or new is None:
                differences.append(f"written {'without' if old is None else 'with'} {name}")
            elif old.digest != new.digest:
                same = " (another one of that description)" if old.text == new.text else ""
                differences.append(f"written with {name}={old.text}, called with {new.text}{same}")
        if differences:
            raise InputError(
                f"store='{self.place}' belongs to another sweep: {'; '.join(differences)}. To continue that sweep make "
                "the same call again; to start a new one give another name"
            )

    def _read(self) -> None:
        """Fill the table with what has been stored; cells that ended in an error are run again."""
        table = self.table
        if "status" not in self.group or "message" not in self.group:
            return
        try:
            layout = json.loads(self.group.attrs.get("layout", _NO_LAYOUT))
            table.sizes, table.attrs = layout["sizes"], layout["attrs"]
            table.columns = {
                name: Column(tuple(dims), kind, attrs) for name, (dims, kind, attrs) in layout["columns"].items()
            }
            table.coords = {
                name: (tuple(dims), np.asarray(values), attrs)
                for name, (dims, values, attrs) in layout["coords"].items()
            }
            table.settle()
            stored = {name: self.group[name] for name in table.columns if name in self.group}
            for name, array in stored.items():
                table.restore(name, np.asarray(array[...], dtype=table.values[name].dtype))
            table.status[...] = self.group["status"][...]
            table.message[...] = self.group["message"][...]
        except Exception as error:  # whatever a damaged store may lead to
            raise InputError(f"store='{self.place}': damaged ({type(error).__name__}: {error}): start anew") from error
        table.message[table.status == ERROR] = ""
        table.status[table.status == ERROR] = PENDING

    def write(self, cell: int, repeat: int, seconds: float) -> None:
        """Write what the table holds of a cell that took so many seconds; short ones wait for each other."""
        self._waiting.append(self.table.where(cell, repeat))
        if max(seconds, time.monotonic() - self._flushed) >= SECONDS_BETWEEN:
            self.flush()

    def flush(self) -> None:
        """Write all that waits, or raise an InputError that says why that cannot be."""
        if not self._waiting:
            return
        try:
            self._write_waiting()
        except OSError as error:
            raise InputError(
                f"store='{self.place}': cannot be written ({error.strerror or error}). What was written before "
                "stays: see to it, and make the same call again"
            ) from error

    def _write_waiting(self) -> None:
        """Write all that waits; the status comes last, so that a killed process leaves no cell half written."""
        table = self.table
        self._sync()
        for name, values in table.values.items():
            array = self._written[name]
            if array.chunks[: len(table.shape)] == table.shape:
                array[...] = values
            else:
                for where in self._waiting:
                    array[where] = values[where]
        self.group["message"][...] = table.message
        self.group["status"][...] = table.status
        self._waiting, self._flushed = [], time.monotonic()

    def _sync(self) -> None:
        """Bring layout and sizes of the arrays to what the table has come to."""
        table, coords = self.table, self.table.coords
        layout = json.dumps(
            {
                "sizes": table.sizes,
                "attrs": table.attrs,
                "columns": {name: [c.dims, c.kind, c.attrs] for name, c in table.columns.items()},
                "coords": {name: (dims, values.tolist(), attrs) for name, (dims, values, attrs) in coords.items()},
            }
        )
        if layout == self._layout:
            return
        for name, column in table.columns.items():
            self._written[name] = self._column(name, column)
        for name, (dims, values, _) in coords.items():
            self._whole(name, dims, values)
        self.group.attrs["layout"] = self._layout = layout

    def _column(self, name: str, column: Column) -> Any:
        """Return the array of a column with room for all that the table holds."""
        shape = self.table.full_shape(name)
        if name in self.group:
            array = self.group[name]
            if array.shape != shape:
                array.resize(shape)
            return array
        return self._array(name, shape, _DTYPE[column.kind], (*self.table.front, *column.dims), _FILL[column.kind])

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any, dims: tuple[str, ...], fill: Any) -> Any:
        """Make an array in one file if it is small, which takes one write for many cells; else in one a cell."""
        front = len(self.table.front)
        whole = math.prod(shape) <= _SMALL
        chunks = tuple(max(1, size) if whole or dim >= front else 1 for dim, size in enumerate(shape))
        return self.group.create_array(
            name, shape=shape, chunks=chunks, dtype=dtype, dimension_names=dims, fill_value=fill, overwrite=True
        )

    def _whole(self, name: str, dims: tuple[str, ...], values: np.ndarray) -> None:
        """Write a coordinate, for readers of the store."""
        words = values.dtype.kind == "U"
        array = self.group.create_array(
            name, shape=values.shape, dtype=str if words else values.dtype, dimension_names=dims, overwrite=True
        )
        array[...] = values.astype(object) if words else values
