"""Copies of modules to analyse: in evaluation mode, without gradients, the original left as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from dynet._validate import Faults
from dynet.errors import InputError

#: The dtypes that QR and LU are made for.
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def checked_dtype(faults: Faults, dtype: Any) -> torch.dtype | None:
    """Return ``dtype`` (a torch dtype or its name) if analyses can run in it."""
    if dtype is None:
        return None
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        faults.add("dtype", dtype, "give torch.float64 or torch.float32")
        return None
    return found


def refuse_training(faults: Faults, name: str, module: nn.Module) -> None:
    """Note a fault if ``module`` is random or changes itself in the mode that it is in."""
    dropouts, norms = [], []
    for path, part in module.named_modules():
        where = f"{path or name} ({type(part).__name__})"
        if not part.training:
            continue
        if (isinstance(part, _DropoutNd) and part.p > 0) or (
            isinstance(part, nn.RNNBase) and part.dropout > 0 and part.num_layers > 1
        ):
            dropouts.append(where)
        # without running statistics it mixes sequences in evaluation mode too; the probe of a cell sees that
        elif isinstance(part, _NormBase) and part.track_running_stats:
            norms.append(where)
    if dropouts:
        faults.say(f"{name} is in training mode with active dropout in {', '.join(dropouts)}: call {name}.eval() first")
    if norms:
        faults.say(
            f"{name} is in training mode with batch norm in {', '.join(norms)}, which mixes sequences and "
            f"would change its statistics: call {name}.eval() first"
        )


def evaluation_copy(module: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a deep copy of ``module`` in evaluation mode, without gradients, in ``dtype`` if given."""
    try:
        copied = copy.deepcopy(module)
    except RuntimeError as error:
        raise InputError(
            f"{type(module).__name__} cannot be copied ({first_line(error)}): make weights that hooks "
            "compute permanent, with torch.nn.utils.remove_weight_norm or torch.nn.utils.prune.remove"
        ) from error
    copied.eval().requires_grad_(False)
    return copied if dtype is None else copied.to(dtype)


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers by name, detached."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items()}


def zero_state(n: int, module: Any, dtype: torch.dtype | None, device: Any) -> torch.Tensor:
    """Return the zero state (n,) in dtype and on the device of ``module``, as far as they are not given."""
    tensors = tensors_of(module).values() if isinstance(module, nn.Module) else ()
    held = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
    return torch.zeros(n, dtype=dtype or held.dtype, device=held.device if device is None else device)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name when it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Have every part of ``module`` in evaluation mode for a while, and then each in the mode that it was in.

    The flags alone are set: modules that do more when they change their mode do not notice.
    """
    modes = [(part, part.training) for part in module.modules()]
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
