"""Symbols to be kept for a while and said again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dynet._validate import Faults
from dynet.tasks.interface import Batch, GeneratedTask
from dynet.tasks.metrics import accuracy
from dynet.typing import Rng

__all__ = ["CopyMemory"]

#: Class of "nothing", both read and said.
BLANK = 0


class CopyMemory(GeneratedTask):
    """The copy memory task: symbols, a delay, a sign, and then the same symbols are to be said.

    The network reads ``n_recall`` symbols, ``delay - 1`` blanks, the sign, and ``n_recall`` blanks, during which it
    says the symbols in their order; before that it says "blank". Sequences of shorter delays end in more blanks.

    Parameters
    ----------
    delay : int or (int, int), default 100
        Steps from the last symbol to the sign; a pair is the range from which every sequence draws its own.
    n_symbols : int, default 8
        Different symbols.
    n_recall : int, default 10
        Symbols of a sequence.
    n_train, n_validation, n_test : int
        Sequences of an epoch of each split.
    rng : Generator or int, optional
        Source of the sequences of validation and test; None means ``default_rng(0)``.

    Attributes
    ----------
    n_steps : int
        Longest delay and twice ``n_recall``.
    n_channels, n_outputs : int
        One channel for the blank, each symbol and the sign; one class for the blank and each symbol.
    baseline : float
        Loss of an answer without memory, that says blanks and then any symbol with the same chance.

    Notes
    -----
    Inputs are (sequence, time, channel), of which one is 1; targets are classes (sequence, time), 0 the blank. The
    metric is the share of the symbols, blanks left out, that are said rightly.

    References
    ----------
    Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; Arjovsky, Shah & Bengio (2016), arXiv:1511.06464.

    Examples
    --------
    >>> from dynet.tasks import CopyMemory
    >>> task = CopyMemory(delay=100)
    >>> inputs, targets = next(task.batches("train", 32, rng=0))
    >>> inputs.shape, targets.shape, round(task.baseline, 4)
    ((32, 120, 10), (32, 120), 0.1733)
    """

    every_step = True

    def __init__(
        self,
        delay: int | tuple[int, int] = 100,
        *,
        n_symbols: int = 8,
        n_recall: int = 10,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        self.delay = _range(delay, faults)
        faults.integer("n_symbols", n_symbols, 2)
        faults.integer("n_recall", n_recall, 1)
        super().__init__(n_train, n_validation, n_test, rng, faults)
        self.n_symbols, self.n_recall = n_symbols, n_recall
        self.n_steps = self.delay[1] + 2 * n_recall
        self.n_channels, self.n_outputs = n_symbols + 2, n_symbols + 1
        self.baseline = n_recall * math.log(n_symbols) / self.n_steps

    @staticmethod
    def metric(outputs: np.ndarray, targets: np.ndarray) -> float:
        """Return the share of the symbols that are said rightly, of scores (sequence, time, class)."""
        return accuracy(outputs, targets, weights=targets != BLANK)

    def _draw(self, n_sequences: int, rng: np.random.Generator) -> Batch:
        symbols = rng.integers(1, self.n_symbols + 1, (n_sequences, self.n_recall))
        delays = rng.integers(self.delay[0], self.delay[1] + 1, n_sequences)
        read = np.full((n_sequences, self.n_steps), BLANK)
        said = np.full((n_sequences, self.n_steps), BLANK)
        read[:, : self.n_recall] = symbols
        sign = self.n_recall + delays - 1
        read[np.arange(n_sequences), sign] = self.n_symbols + 1
        said[np.arange(n_sequences)[:, None], sign[:, None] + 1 + np.arange(self.n_recall)] = symbols
        return Batch(np.eye(self.n_channels, dtype=np.float32)[read], said.astype(np.int64))


def _range(delay: Any, faults: Faults) -> tuple[int, int]:
    """Return shortest and longest delay."""
    pair = delay if isinstance(delay, tuple | list) else (delay, delay)
    before = len(faults)
    if len(pair) != 2:
        faults.add("delay", delay, "give a number of steps, or the shortest and the longest")
    else:
        faults.integer("delay", pair[0], 1)
        if len(faults) == before:
            faults.integer("delay", pair[1], int(pair[0]), why=": the longest after the shortest")
    return (1, 1) if len(faults) > before else (int(pair[0]), int(pair[1]))
