"""The exceptions that dynet raises on purpose; every one of them is a `DynetError`."""

from __future__ import annotations

from typing import Any

__all__ = ["ConvergenceError", "DivergenceError", "DynetError", "InputError"]


class DynetError(Exception):
    """Base class of everything that dynet raises on purpose."""


class InputError(DynetError, ValueError):
    """An argument cannot be used; the message names the argument, its value and the way out.

    All faults found at the door of one call are gathered into one error, a line each.

    Examples
    --------
    >>> import dynet
    >>> dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 0)
    Traceback (most recent call last):
    ...
    dynet.errors.InputError: n_steps=0: give a whole number of at least 1
    """


class DivergenceError(DynetError, ArithmeticError):
    """The state or the tangent frame stopped being finite.

    Parameters
    ----------
    message : str
        What happened, where, and what to try.
    step : int
        Number of the step (from 0, transient included) whose result is not finite.
    unit : str
        Name of the first unit that is not finite.
    sequence : int
        Number of the sequence it happened in.
    result : object
        What was reached before, where the call can say it: the states up to there, or the last one as an orbit.
    """

    def __init__(
        self, message: str, *, step: int = -1, unit: str = "", sequence: int = 0, result: Any = None
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.step = step
        self.unit = unit
        self.sequence = sequence
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        # keyword arguments do not survive Exception's own pickling; worker processes need them
        return _rebuild, (type(self), self.args[0], self.__dict__.copy())


class NonFiniteStartError(DivergenceError, InputError):
    """The start ``x0`` is not finite: an argument that cannot be used, and a state that has diverged."""


class ConvergenceError(DynetError, ArithmeticError):
    """An iteration ended without reaching its tolerance.

    Parameters
    ----------
    message : str
        What was sought, what was reached, and what it settled on.
    residual : float
        Residual of the best iterate.
    result : object
        The best iterate, in the form the call would have returned.
    """

    def __init__(self, message: str, *, residual: float = float("nan"), result: Any = None) -> None:
        super().__init__(message)
        self.residual = residual
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args[0], self.__dict__.copy())


def _rebuild(kind: type[DynetError], message: str, state: dict[str, Any]) -> DynetError:
    error = kind(message)
    error.__dict__.update(state)
    return error
