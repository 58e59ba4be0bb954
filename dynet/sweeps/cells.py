"""One cell of a sweep: a call with a generator of its own, and what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Number
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import plain_attrs
from dynet.errors import ConvergenceError, DivergenceError

__all__ = ["CONVERGENCE", "DIVERGENCE", "ERROR", "OK", "Job", "Outcome", "failure"]

OK, DIVERGENCE, CONVERGENCE, ERROR = range(4)
_LONGEST_MESSAGE = 500

#: Dimensions, values and attributes of a variable.
Variable = tuple[tuple[str, ...], np.ndarray, dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What came of one call: plain arrays, that travel between processes."""

    status: int
    message: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    coords: dict[str, Variable] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    seconds: float = 0.0
    error: BaseException | None = None


@dataclass(frozen=True)
class Job:
    """What is done in every cell.

    Parameters
    ----------
    function : callable
        ``function(**point, rng=child)``.
    keep : tuple of str
        Variables that are kept although they have a dimension ``time``.
    entropy : tuple of int
        Root of all generators.
    raises : bool
        Whether outcomes carry the exception itself.
    """

    function: Callable[..., Any]
    keep: tuple[str, ...]
    entropy: tuple[int, ...]
    raises: bool = False

    def generator(self, cell: int, repeat: int) -> np.random.Generator:
        """Return the generator of a call: it depends on cell and repeat, not on what ran before."""
        return np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(cell, repeat)))

    def run(self, cell: int, repeat: int, point: dict[str, Any]) -> Outcome:
        """Call the function and return what came of it; whatever it raises becomes a status and a message."""
        begun = time.perf_counter()
        try:
            returned = self.function(**point, rng=self.generator(cell, repeat))
            content = self._content(returned)
        except (Exception, SystemExit) as error:  # one bad point must not lose the others
            return failure(error, time.perf_counter() - begun, self.raises)
        return Outcome(OK, **content, seconds=time.perf_counter() - begun)

    def _content(self, returned: Any) -> dict[str, Any]:
        """Return variables, coordinates and attributes of a result."""
        result = _as_dataset(returned)
        dropped = [name for name in result.data_vars if "time" in result[name].dims and name not in self.keep]
        kept = result.drop_vars(dropped)
        dims = {dim for name in kept.data_vars for dim in kept[name].dims}
        coords = [name for name in kept.coords if kept[name].dims and set(kept[name].dims) <= dims]
        return {
            "variables": {str(name): _number(_plain(kept[name])) for name in kept.data_vars},
            "coords": {str(name): _plain(kept[name]) for name in coords},
            "attrs": {name: value for name, value in plain_attrs(result.attrs).items() if name != "dynet_version"},
            "dropped": tuple(map(str, dropped)),
        }


def _as_dataset(returned: Any) -> xr.Dataset:
    if isinstance(returned, xr.Dataset):
        return returned
    if isinstance(returned, xr.DataArray):
        return returned.to_dataset(name="value" if returned.name is None else returned.name)
    if isinstance(returned, Mapping):
        scalars = {name: ((), value) for name, value in returned.items() if not isinstance(value, xr.DataArray)}
        return xr.Dataset({**returned, **scalars})
    if isinstance(returned, Number | np.generic) or (isinstance(returned, np.ndarray) and returned.ndim == 0):
        return xr.Dataset({"value": ((), returned)})
    raise TypeError(
        f"the function returned a {type(returned).__name__}: return a Dataset, a DataArray, a number or a mapping of "
        "names to numbers"
    )


def _plain(array: xr.DataArray) -> Variable:
    """Return a variable as numpy array of numbers or text, with attributes that files can hold."""
    values = np.asarray(array.values)
    if values.dtype.kind == "O" and all(isinstance(entry, str) for entry in values.ravel()):
        values = values.astype(str)
    if values.dtype.kind not in "iufbcU":
        raise TypeError(f"the function returned '{array.name}' of dtype {values.dtype}: return numbers or words")
    attrs = {str(name): value for name, value in array.attrs.items()}
    return tuple(map(str, array.dims)), values, plain_attrs(attrs)


def _number(variable: Variable) -> Variable:
    """Return a variable in a kind that can be missing: float64, complex128 or text."""
    dims, values, attrs = variable
    if values.dtype.kind in "fiub":
        values = values.astype(np.float64)
    elif values.dtype.kind == "c":
        values = values.astype(np.complex128)
    return dims, values, attrs


def failure(error: BaseException, seconds: float = 0.0, raises: bool = False) -> Outcome:
    """Return the outcome of a call that failed."""
    if isinstance(error, DivergenceError):
        status = DIVERGENCE
    elif isinstance(error, ConvergenceError):
        status = CONVERGENCE
    else:
        status = ERROR
    try:
        text = str(error)
    except Exception:  # an exception of someone else's that cannot say what it is
        text = "no message"
    # names of files may hold what no encoding has
    message = f"{type(error).__name__}: {text}".encode("utf-8", "backslashreplace").decode()
    if status == ERROR and (frames := traceback.extract_tb(error.__traceback__)):
        message += f" ({frames[-1].filename}, line {frames[-1].lineno})"
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 3] + "..."
    return Outcome(status, message, seconds=seconds, error=error if raises else None)
