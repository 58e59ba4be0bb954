"""One plain training loop, that a killed process continues bit by bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from dynet._progress import progress_bar
from dynet.torch.training_run import TrainingRun
from dynet.torch.training_settings import Settings, check_training
from dynet.typing import Rng

__all__ = ["train"]


def train(
    model: nn.Module,
    task: Any,
    *,
    n_epochs: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adam",
    schedule: str | Callable[[torch.optim.Optimizer, int], Any] = "constant",
    clip: float | None = 1.0,
    patience: int | None = None,
    monitor: Any = None,
    after_epoch: Callable[[dict[str, Any]], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    n_threads: int | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> xr.Dataset:
    """Train a model on a task, and return what happened epoch by epoch.

    Parameters
    ----------
    model : torch.nn.Module
        Maps inputs (sequence, time, channel), or tokens (sequence, time), to what the task's loss takes. Changed in
        place, on the device where it is.
    task : object
        One of `dynet.tasks`, or anything with ``batches(split, batch_size, rng)``, ``loss`` and ``metric``.
    n_epochs : int
        Passes over the training split.
    batch_size : int, default 64
        Sequences of a batch.
    learning_rate : float, default 1e-3
        Rate; the highest one, if the schedule changes it.
    optimizer : {"adam", "rmsprop", "sgd"} or callable, default "adam"
        Or ``optimizer(parameters, lr=learning_rate)``.
    schedule : {"constant", "one_cycle", "cosine"} or callable, default "constant"
        How the rate goes, batch by batch; or ``schedule(optimizer, n_batches)``, with the number of batches of the
        whole training, that returns one of torch's schedulers.
    clip : float or None, default 1.0
        Largest norm of the whole gradient.
    patience : int, optional
        Stop when the loss on the validation split has not fallen for so many epochs; the model then gets the weights of
        its best epoch back, also where it reaches ``n_epochs``.
    monitor : LyapunovMonitor, optional
        Its `step` is called after each epoch, with the losses.
    after_epoch : callable, optional
        Called with the row of each epoch, a dict; it may read the model.
    checkpoint : str or path, optional
        File that is written after every epoch and every 30 seconds. If it is there the training goes on from it, with
        bit-identical losses; one of another training is refused.
    n_threads : int, optional
        Threads of torch meanwhile; steps of small networks gain nothing from more than one.
    rng : Generator or int, optional
        Order of the batches and all that torch draws (dropout); None means ``default_rng(0)``. torch's own random state
        is left as it was.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    Dataset
        ``loss(epoch)``, ``validation_loss(epoch)``, ``metric(epoch)`` (NaN if there is no validation split),
        ``learning_rate(epoch)``, ``gradient_norm(epoch, parameter)`` before clipping, ``duration(epoch)`` in seconds.
        Epochs count from 1. ``attrs["stopped"]`` says what ended it, ``attrs["best_epoch"]`` where the validation loss
        was lowest.

    Raises
    ------
    InputError
        If an argument cannot be used, or the checkpoint is damaged or of another training.
    DivergenceError
        If loss or gradient stop being finite: the model keeps the weights of before. Or if, at the end of an epoch, the
        weights or the validation loss are not finite. The checkpoint stays the last good one.

    See Also
    --------
    LyapunovMonitor : Exponents, epoch by epoch.
    dynet.tasks : Tasks.

    Examples
    --------
    >>> from dynet.tasks import SequentialImages
    >>> from dynet.torch import SequenceModel, train
    >>> task = SequentialImages("digits")
    >>> model = SequenceModel("gru", task.n_channels, 16, task.n_outputs, rng=0)
    >>> ds = train(model, task, n_epochs=2, learning_rate=0.01)
    >>> bool(ds.loss[1] < ds.loss[0])
    True
    """
    settings = Settings(n_epochs, batch_size, learning_rate, optimizer, schedule, clip, patience)
    generator = check_training(
        model,
        task,
        settings,
        monitor=monitor,
        after_epoch=after_epoch,
        n_threads=n_threads,
        checkpoint=checkpoint,
        rng=rng,
    )
    with _threads(n_threads), _own_randomness(model, generator):
        run = TrainingRun(model, task, settings.plain(), generator, None if checkpoint is None else Path(checkpoint))
        with progress_bar(n_epochs, "training", progress, unit="epoch") as bar:
            bar.update(len(run.rows))
            while run.goes_on():
                row = run.epoch()
                bar.update(1)
                bar.set_postfix({name: f"{row[name]:.3g}" for name in ("loss", "validation_loss") if name in row})
                if monitor is not None:
                    scalars = ("loss", "validation_loss", "metric", "learning_rate")
                    monitor.step(row["epoch"], **{name: row[name] for name in scalars if name in row})
                if after_epoch is not None:
                    after_epoch(row)
                run.save()  # only now: a process that is killed before repeats the epoch and both calls
        return run.finish()


@contextmanager
def _threads(n_threads: int | None) -> Iterator[None]:
    """Run torch on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _own_randomness(model: nn.Module, rng: np.random.Generator) -> Iterator[None]:
    """Let torch draw from a stream that follows from ``rng``, and put its own state back at the end."""
    devices = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)):
        torch.manual_seed(int(np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0]).integers(2**63)))  # type: ignore[attr-defined]
        yield
