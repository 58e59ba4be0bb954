"""A small training loop for tasks that end in a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from dynet.systems.map import Map
from dynet.torch.adapter import from_module

__all__ = ["SequenceClassifier", "accuracy", "train_classifier"]


class SequenceClassifier(nn.Module):
    """An LSTM that reads a sequence and names its class after the last step.

    Parameters
    ----------
    n_channels, n_units, n_classes : int
        Sizes of input, state and output.
    seed : int, default 0
        Seed of the initial weights; torch's own random state is left as it was.
    """

    def __init__(self, n_channels: int, n_units: int, n_classes: int, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTM(n_channels, n_units, batch_first=True)
            self.head = nn.Linear(n_units, n_classes)

    def system(self) -> Map:
        """Return the LSTM as a system in double precision, driven by inputs (..., time, channel)."""
        return from_module(self, submodule="lstm", dtype=torch.float64)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return class scores (sequence, class) of inputs (sequence, time, channel)."""
        outputs, _ = self.lstm(inputs)
        scores: torch.Tensor = self.head(outputs[:, -1, :])
        return scores


def train_classifier(
    model: nn.Module,
    task: Any,
    *,
    n_epochs: int,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    rng: np.random.Generator,
    after_epoch: Callable[[int, float], None] | None = None,
) -> None:
    """Train ``model`` on the classes of ``task`` with Adam, a one-cycle rate and clipped gradients.

    Parameters
    ----------
    model : torch.nn.Module
        Maps inputs (sequence, time, channel) to class scores; changed in place.
    task : object
        Has ``batches(size, rng)`` that yields (inputs, labels) as numpy arrays, and ``train``.
    n_epochs, batch_size : int
        Length of the training and of a batch.
    learning_rate : float
        Highest rate of the cycle.
    rng : Generator
        Order of the batches.
    after_epoch : callable, optional
        Called with the number of the epoch (from 1) and its mean loss.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    n_batches = -(-len(task.train.labels) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=n_epochs * n_batches)
    model.train()
    with _one_thread():
        for epoch in range(1, n_epochs + 1):
            losses = []
            for inputs, labels in task.batches(batch_size, rng):
                loss = nn.functional.cross_entropy(model(torch.from_numpy(inputs)), torch.from_numpy(labels))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
            if after_epoch is not None:
                after_epoch(epoch, float(np.mean(losses)))
    model.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: steps of small networks gain nothing from more, and stall on a busy machine."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def accuracy(model: nn.Module, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of sequences whose class ``model`` names rightly."""
    with torch.no_grad():
        named = model(torch.from_numpy(inputs)).argmax(dim=1).numpy()
    return float((named == labels).mean())
