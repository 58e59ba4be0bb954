"""Encoders: what a model does to its raw inputs before the recurrent part reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.torch.copies import evaluation_copy, first_line, refuse_training

__all__ = ["Encoder"]

#: Entries of the encoded inputs that are made at once.
_MOST_ENTRIES = 2**24


class Encoder:
    """Turns raw inputs into the rows that a recurrent module reads.

    Parameters
    ----------
    function : callable
        Takes tokens (sequence, time) or numbers (sequence, time, channel), always with a sequence axis;
        returns (sequence, time, channel). A module, or a method of one, is copied in evaluation mode.
    n_channels : int
        Channels that the recurrent module reads.
    like : Tensor
        Carries dtype and device of the analysis.
    dtype : torch.dtype
        What plain functions take (the model's own dtype); copies of modules take that of ``like``.

    Raises
    ------
    InputError
        If the module is in training mode with active dropout or batch norm.
    """

    def __init__(self, function: Any, n_channels: int, like: torch.Tensor, dtype: torch.dtype) -> None:
        self.n_channels, self.like, self.dtype = n_channels, like, dtype
        owner = function if isinstance(function, nn.Module) else getattr(function, "__self__", None)
        if isinstance(owner, nn.Module):
            faults = Faults()
            refuse_training(faults, "encode", owner)
            faults.raise_if_any()
            copied = evaluation_copy(owner, like.dtype)
            function = copied if function is owner else getattr(copied, function.__name__)
            self.dtype = like.dtype
        self.function = function

    def __call__(self, inputs: Any) -> torch.Tensor:
        """Return (time, channel), or (sequence, time, channel) if the raw inputs have a sequence axis."""
        raw, is_single = self._raw(inputs)
        T = raw.shape[1]
        rows = max(1, _MOST_ENTRIES // max(T * self.n_channels, 1))
        with torch.no_grad():
            encoded = torch.cat([self._encode(part, T) for part in raw.split(rows)])
        return encoded[0] if is_single else encoded

    def _raw(self, inputs: Any) -> tuple[torch.Tensor, bool]:
        faults = Faults()
        raw = inputs
        if not isinstance(raw, torch.Tensor):
            is_whole = _is_whole(inputs)
            array = np.asarray(inputs) if is_whole else faults.real_array("inputs", inputs)
            faults.raise_if_any()
            # a plain copy: torch takes no read-only, reversed or byte-swapped arrays
            raw = torch.from_numpy(np.array(array, dtype=np.int64 if is_whole else np.float64, order="C"))
        if raw.is_complex():
            faults.add("inputs", raw, "the entries are complex numbers: give tokens or real ones")
        is_float = raw.is_floating_point()
        expected = (2, 3) if is_float else (1, 2, 3)
        if raw.ndim not in expected or 0 in raw.shape:
            faults.add(
                "inputs",
                raw if raw.ndim else inputs,
                "give tokens (whole numbers) as (time,) or (sequence, time), or numbers as (time, channel) "
                "or (sequence, time, channel)",
            )
        faults.raise_if_any()
        raw = raw.to(device=self.like.device, dtype=self.dtype if is_float else torch.long)
        is_single = raw.ndim == expected[0]
        return (raw[None] if is_single else raw), is_single

    def _encode(self, raw: torch.Tensor, T: int) -> torch.Tensor:
        shape = tuple(raw.shape)
        try:
            encoded = self.function(raw)
        except Exception as error:  # whatever a user's function may raise
            raise InputError(
                f"encode failed on inputs of shape {shape} with {type(error).__name__}: "
                f"{first_line(error)}. It is called with a sequence axis in front, in {raw.dtype} on "
                f"{raw.device}, and returns (sequence, time, {self.n_channels})"
            ) from error
        expected = (shape[0], T, self.n_channels)
        if not isinstance(encoded, torch.Tensor) or tuple(encoded.shape) != expected:
            found = tuple(encoded.shape) if isinstance(encoded, torch.Tensor) else type(encoded).__name__
            raise InputError(
                f"encode gave {found} for inputs of shape {shape}: the network reads {expected}, one row a "
                "step. An encoder that changes the number of steps is applied beforehand, its result given "
                "as inputs"
            )
        return encoded.to(self.like)


def _is_whole(inputs: Any) -> bool:
    """Tell tokens from numbers; what is neither is named later."""
    try:
        return np.asarray(inputs).dtype.kind in "iub"
    except (ValueError, TypeError):
        return False
