"""Decisions at the end of a sequence: on the stronger of two stimuli, on the direction of noisy evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from dynet._validate import Faults, is_number
from dynet.tasks.interface import Batch, GeneratedTask
from dynet.typing import Rng

__all__ = ["DelayedDiscrimination", "EvidenceAccumulation"]


class DelayedDiscrimination(GeneratedTask):
    """Two stimuli with a delay between them, of which the stronger one is to be named.

    Parameters
    ----------
    delay : int, default 30
        Steps between the stimuli.
    duration : int, default 5
        Steps of each stimulus.
    noise : float, default 0.1
        Standard deviation of what is added to the input at every step.
    n_train, n_validation, n_test : int
        Sequences of an epoch of each split.
    rng : Generator or int, optional
        Source of the sequences of validation and test; None means ``default_rng(0)``.

    Notes
    -----
    Inputs (sequence, time, 2): a stimulus of constant strength, drawn between 0 and 1, and a channel that is 1 while
    one is on. Targets (sequence,): 1 if the first was stronger, else 0, to be said after the last step of the second
    stimulus.

    References
    ----------
    Romo, Brody, Hernández & Lemus (1999), doi:10.1038/20939.

    Examples
    --------
    >>> from dynet.tasks import DelayedDiscrimination
    >>> inputs, targets = next(DelayedDiscrimination().batches("train", 8, rng=0))
    >>> inputs.shape, targets.shape
    ((8, 40, 2), (8,))
    """

    n_channels = 2
    n_outputs = 2

    def __init__(
        self,
        delay: int = 30,
        *,
        duration: int = 5,
        noise: float = 0.1,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        faults.integer("delay", delay, 0)
        faults.integer("duration", duration, 1)
        if not (is_number(noise) and 0 <= noise < math.inf):
            faults.add("noise", noise, "give a number of at least 0")
        super().__init__(n_train, n_validation, n_test, rng, faults)
        self.delay, self.duration, self.noise = delay, duration, noise
        self.n_steps = delay + 2 * duration

    def _draw(self, n_sequences: int, rng: np.random.Generator) -> Batch:
        first, second = rng.uniform(0, 1, (2, n_sequences))
        inputs = np.zeros((n_sequences, self.n_steps, 2))
        for strength, steps in ((first, slice(0, self.duration)), (second, slice(-self.duration, None))):
            inputs[:, steps, 0] = strength[:, None]
            inputs[:, steps, 1] = 1
        inputs[:, :, 0] += self.noise * rng.standard_normal(inputs.shape[:2])
        return Batch(inputs.astype(np.float32), (first > second).astype(np.int64))


class EvidenceAccumulation(GeneratedTask):
    """Noisy evidence that points one way or the other on the whole; the way is to be named.

    Parameters
    ----------
    n_steps : int, default 50
        Steps of evidence.
    coherences : sequence of float, default (0.05, 0.1, 0.2, 0.4)
        Mean strengths of the evidence, of which every sequence draws one.
    noise : float, default 1.0
        Standard deviation of the evidence at a step.
    n_train, n_validation, n_test : int
        Sequences of an epoch of each split.
    rng : Generator or int, optional
        Source of the sequences of validation and test; None means ``default_rng(0)``.

    Attributes
    ----------
    ideal_accuracy : float
        Share of right answers of the best observer, who takes the sign of the sum.

    Notes
    -----
    Inputs (sequence, time, 1): ``± coherence + noise``. Targets (sequence,): 1 if the sign is plus, else 0.

    References
    ----------
    Britten, Shadlen, Newsome & Movshon (1992), doi:10.1523/JNEUROSCI.12-12-04745.1992; Gold & Shadlen (2007),
    doi:10.1146/annurev.neuro.29.051605.113038.

    Examples
    --------
    >>> from dynet.tasks import EvidenceAccumulation
    >>> task = EvidenceAccumulation()
    >>> inputs, targets = next(task.batches("train", 8, rng=0))
    >>> inputs.shape, round(task.ideal_accuracy, 3)
    ((8, 50, 1), 0.829)
    """

    n_channels = 1
    n_outputs = 2

    def __init__(
        self,
        n_steps: int = 50,
        *,
        coherences: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
        noise: float = 1.0,
        n_train: int = 10_000,
        n_validation: int = 1_000,
        n_test: int = 1_000,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        faults.integer("n_steps", n_steps, 1)
        faults.positive("noise", noise)
        means = tuple(coherences) if np.ndim(coherences) == 1 else ()
        if not means or not all(is_number(c) and 0 < c < math.inf for c in means):
            faults.add("coherences", coherences, "give a list of positive numbers")
        super().__init__(n_train, n_validation, n_test, rng, faults)
        self.n_steps, self.noise, self.coherences = n_steps, noise, tuple(map(float, means))
        self.ideal_accuracy = float(np.mean(special.ndtr(np.array(self.coherences) * math.sqrt(n_steps) / noise)))

    def _draw(self, n_sequences: int, rng: np.random.Generator) -> Batch:
        targets = rng.integers(0, 2, n_sequences)
        drift = (2 * targets - 1) * rng.choice(self.coherences, n_sequences)
        evidence = drift[:, None] + self.noise * rng.standard_normal((n_sequences, self.n_steps))
        return Batch(evidence[:, :, None].astype(np.float32), targets.astype(np.int64))
