"""What a system computes, in a few digests, for checkpoints and stores to tell whether they belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dynet._validate import shown
from dynet.systems.binding import JacobianOf, Linearization
from dynet.systems.digests import Digests, is_plain, joined
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.runge_kutta import RungeKuttaLinearization

_LONGEST_TEXT = 80


class Part(NamedTuple):
    """One thing that is compared: what messages say of it, and its digest."""

    text: str
    digest: str


@dataclass(frozen=True)
class Fingerprint:
    """What a system computes.

    Parameters
    ----------
    name : str
        The cell, or the function that takes a step.
    parts : dict of Part
        Functions, parameters and the time step, each by itself.
    unknown : tuple of str
        What could not be looked into: if that changes, the fingerprint does not.
    """

    name: str
    parts: dict[str, Part]
    unknown: tuple[str, ...]

    @property
    def digest(self) -> str:
        """One digest of all parts."""
        return joined(*(f"{name}={part.digest}".encode() for name, part in sorted(self.parts.items()))).hex()


def fingerprint(system: Map | Flow) -> Fingerprint:
    """Return the fingerprint of a system.

    Functions count by their code and by all that they read (defaults, closures, global names), parameters by their
    values. Names of units and of time do not count: they change no number.

    Parameters
    ----------
    system : Map or Flow

    Returns
    -------
    Fingerprint
        The same in every process that runs the same version of Python.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> from dynet.systems.fingerprint import fingerprint
    >>> one, same, other = (fingerprint(dynet.networks.tanh_rnn(a * np.eye(2))) for a in (1.0, 1.0, 2.0))
    >>> one.name, one.digest == same.digest, one.digest == other.digest
    ('tanh RNN', True, False)
    """
    digests = Digests()
    functions = _functions(system)
    parts = {name: Part(_name(function), digests.of(name, function)) for name, function in functions.items()}
    settings = {"params": system.params, "vectorized": system.vectorized}
    if isinstance(system, Map):
        settings["dt"] = system.dt
    parts |= {name: Part(_described(value), digests.of(name, value)) for name, value in settings.items()}
    return Fingerprint(_name(next(iter(functions.values()))), parts, tuple(digests.unknown))


def part_of(value: Any) -> Part:
    """Return how a number, a word or an array is compared."""
    return Part(_described(value), Digests().of("value", value))


def _described(value: Any) -> str:
    """Return what messages say of a value: all of it if it is short and plain, otherwise its kind."""
    if isinstance(value, np.generic):
        value = value.item()
    if is_plain(value) and len(repr(value)) <= _LONGEST_TEXT:
        return shown(value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def _functions(system: Map | Flow) -> dict[str, Any]:
    """Return the functions that a system is made of, none of them twice."""
    if isinstance(system, Flow):
        return {"rhs": system.rhs, "jac": system.jac}
    linearize = system.linearize
    if isinstance(linearize, RungeKuttaLinearization):
        method = linearize.method if linearize.dt == system.dt else f"{linearize.method}, dt={linearize.dt}"
        return {"rhs": linearize.rhs, "jac": linearize.jac, "method": method}
    found: dict[str, Any] = {"step": system.step}
    if not isinstance(system.jac, JacobianOf):
        found["jac"] = system.jac
    if not isinstance(linearize, Linearization):
        found["linearize"] = linearize
    return found


def _name(function: Any) -> str:
    """Return how messages call a function: by its cell or its own name."""
    if function is None or isinstance(function, str):
        return str(function)
    recurrence = getattr(function, "recurrence", None)
    if recurrence is not None:
        layers = len(recurrence.cells)
        return str(recurrence.cells[0].name) + (f", {layers} layers" if layers > 1 else "")
    if hasattr(function, "description"):
        return str(function.description)
    for held in ("function", "fun", "py_func"):
        if hasattr(function, held):
            return _name(getattr(function, held))
    return str(getattr(function, "__name__", type(function).__name__))
