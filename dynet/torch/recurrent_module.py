"""What dynet's own recurrent modules share: their sizes, and the checks of what they run over."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError

__all__ = ["RecurrentModule", "first_state", "two_states"]


class RecurrentModule(nn.Module):
    """A layer that reads ``W_xh x + b`` at every step; its parameters are made by those who inherit.

    Parameters
    ----------
    batch_first : bool
        Whether sequences are (batch, time, channel) instead of (time, batch, channel).
    **sizes : int
        ``input_size``, ``hidden_size`` and further ones, positive; kept as attributes.

    Raises
    ------
    InputError
        If a size is not a positive whole number.
    """

    input_size: int
    hidden_size: int
    W_hh: nn.Parameter
    W_xh: nn.Parameter
    b: nn.Parameter | None

    def __init__(self, *, batch_first: bool, **sizes: int) -> None:
        faults = Faults()
        for name, size in sizes.items():
            faults.integer(name, size, 1)
        faults.raise_if_any()
        super().__init__()
        self.batch_first = batch_first
        for name, size in sizes.items():
            setattr(self, name, size)

    def driven_steps(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what each step reads of the inputs, all steps computed at once.

        Raises
        ------
        InputError
            If ``x`` is no tensor (time, batch, channel) or (time, channel), or has no steps.
        """
        if not isinstance(x, torch.Tensor):
            raise InputError(f"x={type(x).__name__}: give a tensor (time, batch, {self.input_size})")
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            raise InputError(f"x has shape {tuple(x.shape)}: give (time, batch, {self.input_size})")
        steps = nn.functional.linear(x, self.W_xh, self.b).unbind(self._time(x))
        if not steps:
            raise InputError("x has no time steps: give at least one")
        return steps

    def series(self, states: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return the states after each step, in the order of the inputs ``x``."""
        return torch.stack(states, self._time(x))

    def _time(self, x: torch.Tensor) -> int:
        return 1 if self.batch_first and x.ndim == 3 else 0

    def extra_repr(self) -> str:
        """Return the sizes, as representations of torch's modules show them."""
        settings = ", ".join(f"{name}={value}" for name, value in self.settings().items())
        return f"{self.input_size}, {self.hidden_size}, {settings}"

    def settings(self) -> dict[str, Any]:
        """Return what representations show besides the two sizes."""
        return {"batch_first": self.batch_first}


def first_state(name: str, given: torch.Tensor | None, like: torch.Tensor, *further: int) -> torch.Tensor:
    """Return a state of the shape of ``like`` and ``further`` sizes: zeros, or the one entry of ``given``.

    Raises
    ------
    InputError
        If ``given`` has another shape.
    """
    if given is None:
        return like.new_zeros(*like.shape, *further)
    shape = (1, *like.shape, *further)
    if not isinstance(given, torch.Tensor):
        raise InputError(f"{name}={type(given).__name__}: give a tensor {shape}")
    if given.shape != shape:
        raise InputError(f"{name} has shape {tuple(given.shape)}: give {shape}")
    return given[0]


def two_states(state: Any, first: str, second: str) -> tuple[Any, Any]:
    """Return the two entries of ``state``, None for both if there is none.

    Raises
    ------
    InputError
        If ``state`` is no pair.
    """
    if state is None:
        return None, None
    if not (isinstance(state, tuple | list) and len(state) == 2):
        raise InputError(f"state={type(state).__name__}: give a tuple ({first}, {second})")
    return state[0], state[1]
