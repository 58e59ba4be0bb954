"""A checked call, the engines' common face, and how they tell that a run went wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dynet.errors import DivergenceError
from dynet.kernels.namespace import is_numpy
from dynet.systems.compiled import CompiledParts
from dynet.systems.parameter_sets import ParameterSets

#: Between factorisations pivots may come to differ by the machine epsilon to this power.
RESOLUTION_KEPT = 1 / 2


@dataclass
class Problem:
    """A checked call: arrays of one dtype, ready to run."""

    system: Any
    parts: CompiledParts | None
    tuples: bool
    x0: Any  # (sequence, n)
    frame: Any  # (n, k)
    inputs: Any  # (sequence, time, channel) or None
    names: list[str]
    frame_method: str
    numbers: list[int]  # of the sequences, as the caller counts them
    n_rows: int  # steps of the run, transient included
    independent: bool  # whether the sequences have inputs of their own
    qr_interval: int | None  # None: automatic
    sets: ParameterSets | None = None  # parameters of each sequence, if they have their own
    states: Any = None  # (sequence, step + 1, n) where the trajectory had to be run beforehand
    #: machine code of loops for this problem: finding it by the types of its arguments takes as long as many steps
    loops: dict[Any, Any] = field(default_factory=dict, repr=False)

    def params(self, sequence: int) -> Any:
        """Return the parameters of a sequence."""
        return self.system.params if self.sets is None else self.sets.of(sequence)

    def loop(self, dispatcher: Any, types: Callable[[], tuple[Any, ...]]) -> Any:
        """Return the machine code of a loop for arguments of ``types()``, the same in all of this problem."""
        if dispatcher not in self.loops:
            self.loops[dispatcher] = dispatcher.compile(types())
        return self.loops[dispatcher]

    @property
    def engine(self) -> str:
        """Name of the loop that runs the problem."""
        if self.parts is not None:
            return "compiled"
        return "array (numpy)" if is_numpy(self.x0) else "array (torch)"


class Engine(ABC):
    """State and frame of some sequences, advanced by blocks."""

    interval: int

    @abstractmethod
    def advance(self, first: int, n_steps: int) -> np.ndarray:
        """Advance by ``n_steps``, the first of them number ``first``; return the log growth (sequence, k)."""

    @abstractmethod
    def state(self) -> np.ndarray:
        """Return the present states (sequence, n)."""

    @abstractmethod
    def saved(self) -> dict[str, np.ndarray]:
        """Return all that `resume` needs to go on exactly from the end of a block."""

    @abstractmethod
    def resume(self, saved: dict[str, np.ndarray]) -> None:
        """Go on from what another engine of the same problem saved."""


def is_fine(growth: np.ndarray) -> bool:
    """Tell growth that is finite, or -inf below resolution, from growth that is not a number."""
    return bool((growth < np.inf).all())


def is_resolved(growth: np.ndarray, worst: float, epsilon: float) -> bool:
    """Tell whether a block was factored often enough: no pivot lost, none close to it."""
    return bool(worst >= epsilon**RESOLUTION_KEPT and not np.isneginf(growth).any())


def raise_if_diverged(
    x: np.ndarray,
    V: np.ndarray,
    step: int,
    sequence: int,
    problem: Problem,
    growth: np.ndarray | None = None,
) -> None:
    """Raise if the state or the frame (or its growth) after ``step`` is not finite, naming the first bad unit."""
    bad_state = ~np.isfinite(x)
    bad_frame = ~np.isfinite(V).all(axis=1)
    if not bad_state.any() and not bad_frame.any() and (growth is None or is_fine(growth)):
        return
    bad = bad_state if bad_state.any() else bad_frame
    unit = problem.names[int(np.argmax(bad))]
    what = "the state" if bad_state.any() else "the Jacobian times the frame"
    number = problem.numbers[sequence]
    where = f" of sequence {number}" if number or len(problem.numbers) > 1 else ""
    value = x[int(np.argmax(bad))] if bad_state.any() else "not finite"
    raise DivergenceError(
        f"{what} is not finite after step {step}{where}, first in unit {unit} ({value}): start inside the "
        "basin of an attractor, take a smaller dt, or check the parameters and inputs",
        step=step,
        unit=unit,
        sequence=number,
    )


def raise_overflow(first: int, n_steps: int, sequence: int) -> None:
    """Raise for a block in which every step is finite but their product is not."""
    raise DivergenceError(
        f"the frame overflowed between two factorisations in steps {first} to {first + n_steps - 1}: "
        "make qr_interval smaller",
        step=first,
        sequence=sequence,
    )
