"""Memories that have to be kept at every step: an interval to be reproduced, bits that pulses set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dynet._validate import Faults, is_number
from dynet.tasks.interface import Batch, GeneratedTask
from dynet.typing import Rng

__all__ = ["FlipFlop", "IntervalReproduction"]


class IntervalReproduction(GeneratedTask):
    """Two pulses, "ready" and "set": as much time as was between them has to go by before the answer.

    Parameters
    ----------
    intervals : (int, int), default (10, 30)
        Shortest and longest interval, in steps; every sequence draws its own.
    n_train, n_validation, n_test : int
        Sequences of an epoch of each split.
    rng : Generator or int, optional
        Source of the sequences of validation and test; None means ``default_rng(0)``.

    Notes
    -----
    Inputs (sequence, time, 1): two pulses of 1, the first at one of the first five steps. Targets (sequence, time, 1):
    0 up to the answer, and 1 from as many steps after the second pulse as that came after the first. The metric is the
    distance in steps between the answer, the first step at which the output exceeds 1/2, and the right time; it is the
    mean over sequences, and an answer that never comes counts as one after the last step.

    References
    ----------
    Jazayeri & Shadlen (2010), doi:10.1038/nn.2590; Remington, Narain, Hosseini & Jazayeri (2018),
    doi:10.1016/j.neuron.2018.05.020.

    Examples
    --------
    >>> from dynet.tasks import IntervalReproduction
    >>> inputs, targets = next(IntervalReproduction().batches("train", 8, rng=0))
    >>> inputs.shape, targets.shape, IntervalReproduction.metric(targets, targets)
    ((8, 70, 1), (8, 70, 1), 0.0)
    """

    loss = "mean_squared_error"
    every_step = True
    n_channels = 1
    n_outputs = 1
    _FIRST_STEPS = 5
    _AFTER = 5

    def __init__(
        self,
        intervals: tuple[int, int] = (10, 30),
        *,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        if not isinstance(intervals, Sequence) or len(intervals) != 2:
            faults.add("intervals", intervals, "give the shortest and the longest interval")
        elif faults.integer("intervals", intervals[0], 1):
            faults.integer("intervals", intervals[1], int(intervals[0]), why=": the longest after the shortest")
        super().__init__(n_train, n_validation, n_test, rng, faults)
        self.intervals = int(intervals[0]), int(intervals[1])
        self.n_steps = self._FIRST_STEPS + 2 * self.intervals[1] + self._AFTER

    @staticmethod
    def metric(outputs: np.ndarray, targets: np.ndarray) -> float:
        """Return how many steps the answers come too early or too late, of outputs (sequence, time, 1)."""
        answers, right = (_first_step_above_half(values[..., 0]) for values in (outputs, targets))
        return float(np.abs(answers - right).mean())

    def _draw(self, n_sequences: int, rng: np.random.Generator) -> Batch:
        rows = np.arange(n_sequences)
        ready = rng.integers(0, self._FIRST_STEPS, n_sequences)
        interval = rng.integers(self.intervals[0], self.intervals[1] + 1, n_sequences)
        inputs = np.zeros((n_sequences, self.n_steps, 1), dtype=np.float32)
        inputs[rows, ready] = inputs[rows, ready + interval] = 1
        late = np.arange(self.n_steps) >= (ready + 2 * interval)[:, None]
        return Batch(inputs, late.astype(np.float32)[:, :, None])


def _first_step_above_half(values: np.ndarray) -> np.ndarray:
    """Return the first step at which values (sequence, time) exceed 1/2; the number of steps where none does."""
    above = values > 0.5
    return np.where(above.any(axis=1), above.argmax(axis=1), values.shape[1])


class FlipFlop(GeneratedTask):
    """Bits that are set by pulses and have to be kept until the next one.

    Parameters
    ----------
    n_bits : int, default 3
        Bits, each with a channel of its own.
    n_steps : int, default 100
        Steps of a sequence.
    pulse_probability : float, default 0.05
        Chance of a pulse of a bit at a step; every bit gets one at the first step.
    n_train, n_validation, n_test : int
        Sequences of an epoch of each split.
    rng : Generator or int, optional
        Source of the sequences of validation and test; None means ``default_rng(0)``.

    Notes
    -----
    Inputs (sequence, time, bit): pulses of +1 or -1, 0 elsewhere. Targets (sequence, time, bit): the sign of the last
    pulse of the bit. The metric is the share of steps and bits at which the output has that sign.

    References
    ----------
    Sussillo & Barak (2013), doi:10.1162/NECO_a_00409.

    Examples
    --------
    >>> from dynet.tasks import FlipFlop
    >>> inputs, targets = next(FlipFlop(n_bits=2).batches("train", 8, rng=0))
    >>> inputs.shape, bool((inputs[:, 0] == targets[:, 0]).all())
    ((8, 100, 2), True)
    """

    loss = "mean_squared_error"
    every_step = True

    def __init__(
        self,
        n_bits: int = 3,
        *,
        n_steps: int = 100,
        pulse_probability: float = 0.05,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        faults.integer("n_bits", n_bits, 1)
        faults.integer("n_steps", n_steps, 1)
        if not (is_number(pulse_probability) and 0 <= pulse_probability <= 1):
            faults.add("pulse_probability", pulse_probability, "give a number in [0, 1]")
        super().__init__(n_train, n_validation, n_test, rng, faults)
        self.n_channels = self.n_outputs = n_bits
        self.n_steps, self.pulse_probability = n_steps, pulse_probability

    @staticmethod
    def metric(outputs: np.ndarray, targets: np.ndarray) -> float:
        """Return the share of outputs (sequence, time, bit) with the sign of the target."""
        return float((np.sign(outputs) == np.sign(targets)).mean())

    def _draw(self, n_sequences: int, rng: np.random.Generator) -> Batch:
        shape = (n_sequences, self.n_steps, self.n_outputs)
        pulsed = rng.random(shape) < self.pulse_probability
        pulsed[:, 0] = True
        signs = 2.0 * rng.integers(0, 2, shape) - 1
        last = np.maximum.accumulate(np.where(pulsed, np.arange(self.n_steps)[None, :, None], 0), axis=1)
        targets = np.take_along_axis(signs, last, axis=1)
        return Batch((signs * pulsed).astype(np.float32), targets.astype(np.float32))
