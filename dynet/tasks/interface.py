"""What every task offers to a training loop: numpy batches of three splits, the name of a loss, a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dynet._validate import Faults
from dynet.tasks.metrics import accuracy
from dynet.typing import Rng

__all__ = ["Batch", "FixedTask", "GeneratedTask", "Task", "WeightedBatch", "rows_in_batches"]

SPLITS = ("train", "validation", "test")


class Batch(NamedTuple):
    """Inputs and what is to be said about them.

    Parameters
    ----------
    inputs : array (sequence, time, channel) in float32, or (sequence, time) of tokens in int64
    targets : array
        Classes in int64, (sequence,) for one at the end or (sequence, time) for one at every step; or values
        (sequence, time, output) in float32.
    """

    inputs: np.ndarray
    targets: np.ndarray


class WeightedBatch(NamedTuple):
    """A batch in which not every step counts.

    Parameters
    ----------
    inputs, targets : array
        As in `Batch`.
    weights : array (sequence, time) in float32
        Weight of each step in loss and metric.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Task(ABC):
    """A task on which networks are trained; `dynet.torch.train` takes any object with these members.

    Attributes
    ----------
    splits : tuple of str
        The splits there are, out of "train", "validation" and "test".
    loss : {"cross_entropy", "mean_squared_error"}
        Name of the loss: of classes, for scores (..., output), or of values (..., output).
    metric : callable
        ``metric(outputs, targets)``, or ``metric(outputs, targets, weights)`` where batches have weights: numpy arrays
        in, a float out, the mean over the sequences.
    every_step : bool
        Whether an answer is wanted after every step, or after the last one only.
    n_channels, n_outputs, n_steps : int
        Channels of the input, classes or values of the answer, steps of a sequence.
    """

    splits: tuple[str, ...] = SPLITS
    loss: ClassVar[str] = "cross_entropy"
    metric: ClassVar[Callable[..., float]] = staticmethod(accuracy)
    every_step: ClassVar[bool] = False
    n_channels: int
    n_outputs: int
    n_steps: int

    @abstractmethod
    def batches(self, split: str, batch_size: int, rng: Rng = None) -> Iterator[Batch | WeightedBatch]:
        """Yield one epoch of a split, ``batch_size`` sequences at a time; the last batch may be smaller.

        Parameters
        ----------
        split : str
            One of ``splits``.
        batch_size : int
        rng : Generator or int, optional
            Source of the order, and of all that is drawn, of the training split; the other splits come in the same
            order and with the same numbers every time.
        """

    def _checked(self, split: Any, batch_size: Any, rng: Any) -> np.random.Generator:
        """Return the source of an epoch, or raise if there is no such split or no batches of that size."""
        faults = Faults()
        faults.choice("split", split, self.splits)
        faults.integer("batch_size", batch_size, 1)
        generator = faults.generator("rng", rng)
        faults.raise_if_any()
        return generator


def rows_in_batches(n: int, batch_size: int, rng: np.random.Generator | None) -> Iterator[np.ndarray]:
    """Yield the numbers 0 to n - 1, ``batch_size`` at a time, in random order if there is a generator."""
    order = np.arange(n) if rng is None else rng.permutation(n)
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]


class FixedTask(Task):
    """A task with as many examples as it has: every epoch goes through each of them once."""

    @abstractmethod
    def _count(self, split: str) -> int:
        """Return the number of examples of a split."""

    @abstractmethod
    def _batch(self, split: str, rows: np.ndarray) -> Batch:
        """Return the examples ``rows`` of a split."""

    def batches(self, split: str, batch_size: int, rng: Rng = None) -> Iterator[Batch]:
        """Yield the examples of a split once, ``batch_size`` at a time, those for training in random order.

        Parameters
        ----------
        split : str
            One of ``splits``.
        batch_size : int
        rng : Generator or int, optional
            Order of the training examples; None means ``default_rng(0)``.

        Yields
        ------
        Batch
        """
        generator = self._checked(split, batch_size, rng)
        for rows in rows_in_batches(self._count(split), batch_size, generator if split == "train" else None):
            yield self._batch(split, rows)

    def _whole(self, split: str) -> Batch:
        return self._batch(split, np.arange(self._count(split)))


class GeneratedTask(Task):
    """A task whose sequences are drawn: new ones for training in every epoch, always the same for the other splits.

    Parameters
    ----------
    n_sequences : dict of str to int
        Sequences of an epoch of each split.
    rng : Generator or int, optional
        Source of the sequences of validation and test.
    """

    def __init__(self, n_train: int, n_validation: int, n_test: int, rng: Rng, faults: Faults) -> None:
        self.n_sequences = {"train": n_train, "validation": n_validation, "test": n_test}
        for split, number in self.n_sequences.items():
            faults.integer(f"n_{split}", number, 1)
        generator = faults.generator("rng", rng)
        faults.raise_if_any()
        # numbers, not a generator: a task is the same however often it has been used
        self._roots = generator.integers(2**63, size=3).tolist()

    @abstractmethod
    def _draw(self, n_sequences: int, rng: np.random.Generator) -> Batch | WeightedBatch:
        """Return so many new sequences."""

    def batches(self, split: str, batch_size: int, rng: Rng = None) -> Iterator[Batch | WeightedBatch]:
        """Yield one epoch of a split, ``batch_size`` sequences at a time.

        Parameters
        ----------
        split : str
            One of ``splits``.
        batch_size : int
        rng : Generator or int, optional
            Source of the training sequences; None means ``default_rng(0)``.

        Yields
        ------
        Batch or WeightedBatch
        """
        generator = self._checked(split, batch_size, rng)
        n = self.n_sequences[split]
        if split == "train":
            for start in range(0, n, batch_size):
                yield self._draw(min(batch_size, n - start), generator)
            return
        whole = self._draw(n, np.random.default_rng(self._roots[SPLITS.index(split)]))
        for start in range(0, n, batch_size):
            yield type(whole)(*(part[start : start + batch_size] for part in whole))
