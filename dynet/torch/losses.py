"""Losses that tasks name, on torch tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dynet._validate import Faults, shown
from dynet.errors import InputError

__all__ = ["batch_loss", "loss_function", "to_tensors"]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return -log softmax of the target's class, of scores (..., class) and classes (...)."""
    _check_shapes(outputs, targets, "cross_entropy", "scores of classes", wanted=(*targets.shape, -1))
    return nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)


def _squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return squared errors, mean over channels, of outputs and targets (..., channel)."""
    _check_shapes(outputs, targets, "mean_squared_error", "values", wanted=tuple(targets.shape))
    return (outputs - targets).square().mean(dim=-1)


def _check_shapes(outputs: Any, targets: torch.Tensor, loss: str, what: str, *, wanted: tuple[int, ...]) -> None:
    """Raise unless outputs are ``wanted``, -1 for any size: torch would stretch one of them to the other's shape."""
    shape = tuple(getattr(outputs, "shape", ()))
    fits = len(shape) == len(wanted) and all(size in (-1, given) for size, given in zip(wanted, shape, strict=True))
    if not fits or not isinstance(outputs, torch.Tensor):
        found = f"{what} {shape}" if isinstance(outputs, torch.Tensor) else f"a {type(outputs).__name__}"
        expected = ", ".join("classes" if size == -1 else str(size) for size in wanted)
        raise InputError(
            f"model: it returns {found} where the targets of {loss} are {tuple(targets.shape)}: return {what} "
            f"({expected}); SequenceModel(every_step=True) answers after every step"
        )


#: Name of a loss -> loss of every target, unreduced.
_LOSSES: dict[str, Loss] = {"cross_entropy": _cross_entropy, "mean_squared_error": _squared_error}


def check_task(task: Any, faults: Faults) -> None:
    """Note what a task lacks."""
    missing = [name for name in ("batches", "loss") if not hasattr(task, name)]
    if missing:
        way_out = f"it has no {' and no '.join(missing)}: give one of dynet.tasks, or an object like them"
        faults.add("task", task, way_out)


def loss_function(loss: Any) -> Loss:
    """Return the function (outputs, targets) -> loss of every target that a task names, or brings along."""
    if callable(loss):
        return loss
    if isinstance(loss, str) and loss in _LOSSES:
        return _LOSSES[loss]
    raise InputError(
        f"task.loss={shown(loss)}: give one of {', '.join(_LOSSES)}, or a function of (outputs, targets) that returns "
        "a tensor"
    )


def to_tensors(
    batch: tuple[Any, ...], device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return inputs, targets and weights of a batch of arrays; a batch without weights counts all its targets.

    Numbers with a fraction take ``dtype``; whole ones are classes or tokens.
    """
    tensors = []
    for array in batch:
        tensor = torch.as_tensor(array)
        tensors.append(tensor.to(device, dtype if tensor.is_floating_point() else torch.int64))
    return tensors[0], tensors[1], tensors[2] if len(tensors) > 2 else None


def batch_loss(loss: Loss, outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the mean loss of a batch, over targets of weight one if there are ``weights``."""
    each = loss(outputs, targets)
    if weights is not None and weights.shape != each.shape:
        raise InputError(
            f"task: a batch has weights {tuple(weights.shape)} for losses {tuple(each.shape)}: give one weight a target"
        )
    return each.mean() if weights is None else (each * weights).sum() / weights.sum()
