"""Text read character by character: after each, the next one is to be said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynet._validate import Faults, is_number, shown
from dynet.errors import InputError
from dynet.tasks.files import existing, folder_of, read_text
from dynet.tasks.interface import Batch, Task, rows_in_batches
from dynet.typing import Rng

__all__ = ["Characters"]

WAR_AND_PEACE = "war_and_peace"


class Characters(Task):
    """Prediction of the next character of a text.

    Parameters
    ----------
    path : str or path, optional
        A text in UTF-8, packed by gzip or not. "war_and_peace" stands for the text in the folder of that name, in the
        one that the environment variable ``DYNET_DATA`` tells. If not given: the documentation of the language that
        comes with Python (half a million characters; it differs from one version of Python to the next).
    n_steps : int, default 100
        Characters of a sequence.
    vocabulary : str, optional
        The characters in the order of their tokens, such as ``vocabulary`` of another task; if not given, those of the
        text in the order of their code points.
    shares : (float, float), default (0.1, 0.1)
        Shares of the text kept for validation and test: its end, in that order.

    Attributes
    ----------
    text : str
        The text, with line ends as one character and without byte order mark.
    vocabulary : str
        The character of every token.
    n_tokens, n_outputs : int
        Length of the vocabulary.

    Raises
    ------
    InputError
        If the file is missing or no text, shorter than a sequence in one of the splits, or has a character that the
        vocabulary does not have.

    Notes
    -----
    Inputs and targets are tokens (sequence, time) in int64; targets are one character ahead. An epoch of training goes
    once through the text, in sequences side by side whose first one begins at a random place.

    References
    ----------
    Karpathy, Johnson & Fei-Fei (2015), arXiv:1506.02078; the settings of Vogt et al. (2022),
    doi:10.3389/fams.2022.818799, appendix A.1.

    Examples
    --------
    >>> from dynet.tasks import Characters
    >>> task = Characters(n_steps=50)
    >>> inputs, targets = next(task.batches("train", 8, rng=0))
    >>> inputs.shape, task.decode(inputs[0, 1:]) == task.decode(targets[0, :-1])
    ((8, 50), True)
    """

    every_step = True

    def __init__(
        self,
        path: Any = None,
        *,
        n_steps: int = 100,
        vocabulary: str | None = None,
        shares: Sequence[float] = (0.1, 0.1),
    ) -> None:
        faults = Faults()
        faults.integer("n_steps", n_steps, 1)
        if path is not None and not isinstance(path, str | os.PathLike):
            faults.add("path", path, "give the name of a file")
        if vocabulary is not None and (
            not isinstance(vocabulary, str) or len(set(vocabulary)) < max(len(vocabulary), 1)
        ):
            faults.add("vocabulary", vocabulary, "give a string of characters, none of them twice")
        pair = tuple(shares) if np.ndim(shares) == 1 else ()
        if len(pair) != 2 or not all(is_number(share) and 0 < share < 1 for share in pair) or sum(pair) >= 1:
            faults.add("shares", shares, "give shares of validation and test that leave something to train on")
        faults.raise_if_any()
        if path == WAR_AND_PEACE:
            path = existing(folder_of(path, WAR_AND_PEACE, "warpeace_input.txt.gz"), ("warpeace_input.txt",))
        self.source = "the documentation that comes with Python" if path is None else f"'{Path(path)}'"
        self.text = _documentation() if path is None else _file(Path(path))
        self.vocabulary = "".join(sorted(set(self.text))) if vocabulary is None else vocabulary
        self._token = {character: token for token, character in enumerate(self.vocabulary)}
        self.n_steps, self.n_channels = n_steps, 1
        self.n_tokens = self.n_outputs = len(self.vocabulary)
        tokens = self.encode(self.text)
        n_validation, n_test = (int(share * len(tokens)) for share in pair)
        n_train = len(tokens) - n_validation - n_test
        self._parts = dict(zip(self.splits, np.split(tokens, [n_train, n_train + n_validation]), strict=True))
        for split, part in self._parts.items():
            if len(part) <= n_steps:
                raise InputError(
                    f"{self.source}: {len(part)} characters for {split}, expected more than n_steps={n_steps}: "
                    "give a longer text"
                )

    def encode(self, text: str) -> np.ndarray:
        """Return the tokens (time,) of a text.

        Raises
        ------
        InputError
            If the vocabulary lacks one of its characters.
        """
        try:
            return np.fromiter(map(self._token.__getitem__, text), dtype=np.int64, count=len(text))
        except KeyError as error:
            place = text.index(error.args[0])
            where = self.source if text is self.text else "the text"
            raise InputError(
                f"{where}: character {error.args[0]!r} at {place} is not in the vocabulary of {self.n_tokens}: "
                f"{shown(self.vocabulary)}"
            ) from None

    def decode(self, tokens: Any) -> str:
        """Return the text of tokens (time,).

        Raises
        ------
        InputError
            If one of them is not a number of the vocabulary.
        """
        array = np.asarray(tokens)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise InputError(f"tokens={shown(tokens)}: give whole numbers (time,)")
        outside = np.flatnonzero((array < 0) | (array >= self.n_tokens))
        if outside.size:
            raise InputError(f"tokens: {array[outside[0]]} at {outside[0]} is none of the {self.n_tokens} characters")
        return "".join(self.vocabulary[token] for token in array.tolist())

    def batches(self, split: str, batch_size: int, rng: Rng = None) -> Iterator[Batch]:
        """Yield the sequences of a split once, ``batch_size`` at a time, those for training in random order.

        Parameters
        ----------
        split : {"train", "validation", "test"}
        batch_size : int
        rng : Generator or int, optional
            Order and place of the training sequences; None means ``default_rng(0)``.

        Yields
        ------
        Batch
        """
        source = self._checked(split, batch_size, rng)
        part, T = self._parts[split], self.n_steps
        generator = source if split == "train" else None
        begin = 0 if generator is None else int(generator.integers(min(T, len(part) - T)))
        for rows in rows_in_batches((len(part) - 1 - begin) // T, batch_size, generator):
            steps = begin + rows[:, None] * T + np.arange(T)
            yield Batch(part[steps], part[steps + 1])


def _documentation() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _file(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"'{path}': there is no such file: give a text, or nothing for the one that comes with Python")
    return read_text(path)
