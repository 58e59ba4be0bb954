"""Checks at the door. All faults of one call are gathered into one error."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from dynet.errors import InputError


class Faults:
    """What is wrong with the arguments of one call."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, name: str, value: Any, way_out: str) -> None:
        """Note that argument ``name`` has an unusable ``value``, and what to give instead."""
        self._lines.append(f"{name}={shown(value)}: {way_out}")

    def say(self, sentence: str) -> None:
        """Note a fault that is a whole sentence of its own."""
        self._lines.append(sentence)

    def raise_if_any(self) -> None:
        """Raise one InputError that names every fault."""
        if self._lines:
            raise InputError("\n".join(self._lines))

    def callable(self, name: str, value: Any, form: str, *, optional: bool = False) -> None:
        """Check a function."""
        if not (callable(value) or (optional and value is None)):
            self.add(name, value, f"give a function {form}")

    def positive(self, name: str, value: Any) -> None:
        """Check a positive, finite number."""
        if not (is_number(value) and 0 < value < math.inf):
            self.add(name, value, "give a positive number")

    def integer(self, name: str, value: Any, least: int, most: int | None = None, why: str = "") -> bool:
        """Check a whole number in a range; return whether it is one."""
        fine = (
            isinstance(value, numbers.Integral)
            and not isinstance(value, bool | np.bool_)
            and int(value) >= least
            and (most is None or int(value) <= most)
        )
        if not fine:
            span = f"of at least {least}" if most is None else f"from {least} to {most}"
            self.add(name, value, f"give a whole number {span}{why}")
        return fine

    def choice(self, name: str, value: Any, choices: Iterable[str]) -> None:
        """Check a name out of a list."""
        choices = tuple(choices)
        if not isinstance(value, str) or value not in choices:
            self.add(name, value, "give one of " + ", ".join(f'"{c}"' for c in choices))

    def generator(self, name: str, value: Any) -> np.random.Generator:
        """Return the generator that ``value`` means, by default ``default_rng(0)``; note a fault if it means none."""
        usable = not isinstance(value, np.random.RandomState)  # the old kind cannot be split
        try:
            generator = np.random.default_rng(value if usable and value is not None else 0)
        except (TypeError, ValueError):
            usable, generator = False, np.random.default_rng(0)
        if not usable:
            self.add(name, value, "give a whole number of at least 0, a numpy.random.Generator or None")
        return generator

    def real_array(self, name: str, value: Any, *, finite: bool = False) -> np.ndarray:
        """Return ``value`` as a floating numpy array; note a fault if it is not numeric and real."""
        try:
            array = np.asarray(value)
        except (ValueError, TypeError) as error:
            self.add(name, value, f"give a rectangular array of numbers ({error})")
            return np.zeros(0)
        if array.dtype.kind in "iub":
            array = array.astype(np.float64)
        if array.dtype.kind != "f":
            what = "complex numbers: give real ones" if array.dtype.kind == "c" else "no numbers: give numbers"
            self.add(name, value, f"the entries are {what}")
            return np.zeros(array.shape)
        if finite and not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            self.add(name, array[where], f"entry {where} is not finite")
        return array


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a real number (no bool, no NaN)."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_) and value == value


def shown(value: Any) -> str:
    """Return ``value`` as it should stand in an error: short, on one line."""
    if isinstance(value, np.generic):
        value = value.item()
    if getattr(value, "shape", ()):
        return f"array of shape {tuple(value.shape)}"
    text = value if isinstance(value, str) and value.startswith("array of shape") else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


def check_with_input(u: Any, n_channels: Callable[[Any], int] | None, params: Any) -> None:
    """Check what ``with_input`` takes: a row, as wide as the system reads if it tells, or a function of time."""
    if callable(u):
        return
    faults = Faults()
    row = np.asarray(u.detach().cpu()) if hasattr(u, "detach") else faults.real_array("u", u, finite=True)
    if not faults and row.ndim > 1:
        faults.add("u", row, "give one row (channel,) or a function of time; series go in as inputs=")
    elif not faults and n_channels is not None and row.size != n_channels(params):
        faults.say(f"u has {row.size} channels, but the network reads {n_channels(params)}")
    faults.raise_if_any()


def check_functions(faults: Faults, name: str, function: Any, form: str, jac: Any, jac_params: Any = None) -> None:
    """Check the functions of a system: its step or vector field, and its Jacobians, functions or a name."""
    faults.callable(name, function, form)
    for argument, value, returned in (("jac", jac, "J"), ("jac_params", jac_params, "(n, n_params)")):
        if not isinstance(value, str):
            faults.callable(argument, value, f"{argument}(t, x, u, p) -> {returned}", optional=True)
        elif value != "finite_difference":
            faults.add(argument, value, 'the only name it takes is "finite_difference"')
