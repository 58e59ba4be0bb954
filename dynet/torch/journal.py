"""Rows that a training appends to a file, one JSON line an epoch, and the Dataset that they make."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet.errors import InputError

__all__ = ["Journal", "read_journal", "training_dataset"]

KIND = "dynet.torch.LyapunovMonitor"
#: Scalar quantities of a row: name, long name and units; "rate" stands for nat per unit of time.
SUMMARIES = {
    "largest": ("largest exponent", "rate"),
    "largest_error": ("standard error of the largest exponent", "rate"),
    "mean": ("mean of the finite exponents", "rate"),
    "mean_error": ("standard error of the mean", "rate"),
    "variance": ("variance of the finite exponents", "rate squared"),
    "variance_error": ("standard error of the variance, to first order", "rate squared"),
    "n_zero": ("exponents that hold zero in their 95 % interval", "1"),
}
SPECTRA = {
    "lyapunov_exponent": ("Lyapunov exponent, mean over sequences", "rate"),
    "standard_error": ("standard error of the exponent", "rate"),
    "degrees_of_freedom": ("degrees of freedom of the error", "1"),
}
#: Settings in which a file and the monitor that continues it must agree.
IDENTITY = ("n_exponents", "n_units", "n_transient", "n_steps", "n_sequences", "time_unit", "dt", "inputs_sha256")


class Journal:
    """The rows of one training, in memory and, if there is a path, in a file that only grows.

    A row of an epoch replaces those of the same and of later epochs: a training that goes on from an earlier checkpoint
    takes them back. A row that says the same to the last bit takes nothing back: the later ones followed from this very
    state. The file keeps all of them.

    Parameters
    ----------
    header : dict
        Settings, the first line of the file.
    path : path, optional
        If the file exists it is continued.

    Raises
    ------
    InputError
        If the file is of another kind or belongs to other settings, or cannot be written to.
    """

    def __init__(self, header: dict[str, Any], path: Path | None) -> None:
        self.header, self.path = header, path
        self.rows: list[dict[str, Any]] = []
        self.latest: dict[str, Any] | None = None
        self._unwritten: list[dict[str, Any]] = []
        if path is None:
            return
        try:
            if path.exists() and path.stat().st_size:
                self._continue()
            else:
                self._append([{"kind": KIND, **header}])
        except OSError as error:
            raise InputError(
                f"path='{path}': cannot be written ({error.strerror or error}): give a file in a folder that exists "
                "and may be written to"
            ) from error

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row and write it, together with those that could not be written before."""
        _keep(self.rows, row)
        self.latest = row
        if self.path is not None:
            self._unwritten.append(row)
            self._append(self._unwritten)
            self._unwritten.clear()

    def _continue(self) -> None:
        assert self.path is not None
        header, self.rows, size = _read(self.path)
        self.latest = self.rows[-1] if self.rows else None
        different = [
            f"{name} ({header.get(name)} in the file, {self.header[name]} here)"
            for name in IDENTITY
            if header.get(name) != self.header[name]
        ]
        if different:
            raise InputError(
                f"path='{self.path}': it belongs to a monitor that differs in {', '.join(different)}: give another "
                "path, or remove the file"
            )
        if size < self.path.stat().st_size:
            os.truncate(self.path, size)  # a line that a crash has cut off

    def _append(self, rows: list[dict[str, Any]]) -> None:
        assert self.path is not None
        text = "".join(json.dumps(row) + "\n" for row in rows)
        with self.path.open("a", encoding="utf-8") as file:
            begun = file.tell()
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, begun)  # the rows are written again with the next one
                raise


def read_journal(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the header and the rows of a file; a last line that a crash has cut off is left out.

    Raises
    ------
    InputError
        If there is no such file, or it is of another kind or damaged.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"path='{source}': there is no such file")
    header, rows, _ = _read(source)
    return header, rows


def _read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """Return header, rows, and the bytes up to which the file is whole."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].splitlines()
    rows: list[dict[str, Any]] = []
    header: dict[str, Any] = {}
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if number == 0:
            header = row if isinstance(row, dict) else {}
        elif isinstance(row, dict) and "epoch" in row:
            _keep(rows, row)
        else:
            raise InputError(f"path='{path}': line {number + 1} is damaged: remove that line, or the file")
    if header.get("kind") != KIND:
        raise InputError(f"path='{path}': this is not a file of a LyapunovMonitor: give another path")
    return header, rows, whole


def _keep(rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    for place, earlier in enumerate(rows):
        if earlier["epoch"] == row["epoch"] and _said(earlier) == _said(row):
            rows[place] = row
            return
    rows[:] = [earlier for earlier in rows if earlier["epoch"] < row["epoch"]]
    rows.append(row)


def _said(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return spectrum and scalars of a row; no two are equal if one is NaN."""
    numbers = [*row.get("lyapunov_exponent", ()), *row.get("scalars", {}).values()]
    return row.get("scalars", {}).keys(), [number if number == number else object() for number in numbers]


def training_dataset(header: dict[str, Any], rows: list[dict[str, Any]]) -> xr.Dataset:
    """Label rows: spectra (epoch, exponent), gradient norms (epoch, parameter), and a variable for every scalar."""
    k, rate = header["n_exponents"], EXPONENT_UNITS.format(time_unit=header["time_unit"])
    units = {"rate": rate, "rate squared": f"({rate})^2", "1": "1"}
    parameters = list(dict.fromkeys(name for row in rows for name in row["gradient_norm"]))
    scalars = list(dict.fromkeys(name for row in rows for name in row["scalars"]))
    E = len(rows)
    variables: dict[str, Any] = {
        name: (("epoch", "exponent"), np.array([row[name] for row in rows], float).reshape(E, k), label, units[unit])
        for name, (label, unit) in SPECTRA.items()
    }
    for name, (label, unit) in SUMMARIES.items():
        variables[name] = (("epoch",), np.array([row[name] for row in rows], float), label, units[unit])
    norms = [[row["gradient_norm"].get(name, np.nan) for name in parameters] for row in rows]
    variables["gradient_norm"] = (
        ("epoch", "parameter"),
        np.array(norms, float).reshape(E, len(parameters)),
        "Euclidean norm of the gradient, as it stood at the end of the epoch",
        "1",
    )
    for name in scalars:
        values = [row["scalars"].get(name, np.nan) for row in rows]
        variables[name] = (("epoch",), np.array(values, float), name, "1")
    variables["message"] = (("epoch",), np.array([row["message"] for row in rows], dtype=str), "what failed", "1")
    coords = {
        "epoch": np.array([row["epoch"] for row in rows], dtype=np.int64),
        "exponent": np.arange(1, k + 1),
        "parameter": np.array(parameters, dtype=str),
    }
    return dataset(
        variables,
        coords,
        {
            "title": "Lyapunov spectra during training",
            "references": "Vogt et al. (2022) doi:10.3389/fams.2022.818799",
            **{name: value for name, value in header.items() if name not in ("kind", "dynet_version")},
        },
    )
