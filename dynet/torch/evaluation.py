"""What a model reaches on a split of its task."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.torch.losses import batch_loss, check_task, loss_function, to_tensors

__all__ = ["evaluate"]


def evaluate(model: nn.Module, task: Any, *, split: str = "validation", batch_size: int = 256) -> dict[str, float]:
    """Return loss and metric of a model on a split, in evaluation mode and without gradients.

    Parameters
    ----------
    model : torch.nn.Module
        In any mode; its modes are put back.
    task : object
        One of `dynet.tasks`, or an object like them.
    split : {"train", "validation", "test"}, default "validation"
        What it is measured on.
    batch_size : int, default 256
        Sequences at a time.

    Returns
    -------
    dict
        ``"loss"`` and, if the task has one, ``"metric"``: means over the sequences.

    Raises
    ------
    InputError
        If the task has no such split.

    Examples
    --------
    >>> from dynet.tasks import SequentialImages
    >>> from dynet.torch import SequenceModel, evaluate
    >>> task = SequentialImages("digits")
    >>> model = SequenceModel("gru", task.n_channels, 8, task.n_outputs, rng=0)
    >>> 0 <= evaluate(model, task, split="test")["metric"] <= 0.3  # untrained
    True
    """
    faults = Faults()
    if not isinstance(model, nn.Module) or next(model.parameters(), None) is None:
        faults.add("model", model, "give a torch.nn.Module with parameters")
    check_task(task, faults)
    faults.raise_if_any()
    loss_of, metric = loss_function(task.loss), getattr(task, "metric", None)
    first = next(model.parameters())
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    count, losses, metrics = 0, 0.0, 0.0
    try:
        with torch.no_grad():
            for batch in task.batches(split, batch_size, np.random.default_rng(0)):
                inputs, targets, weights = to_tensors(batch, first.device, first.dtype)
                outputs = model(inputs)
                n = len(outputs)
                losses += n * float(batch_loss(loss_of, outputs, targets, weights))
                if metric is not None:
                    metrics += n * float(metric(outputs.cpu().numpy(), *(np.asarray(x) for x in batch[1:])))
                count += n
    finally:
        for module, training in modes:
            module.training = training
    if not count:
        raise InputError(f"split='{split}': the task has no sequences there")
    return {"loss": losses / count} | ({} if metric is None else {"metric": metrics / count})
