"""Images read pixel by pixel: one pixel a step, the class at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dynet._optional import import_optional
from dynet._validate import Faults
from dynet.typing import Rng

__all__ = ["Batch", "SequentialImages"]


class Batch(NamedTuple):
    """Inputs (sequence, time, channel) in float32 and classes (sequence,)."""

    inputs: np.ndarray
    labels: np.ndarray


class SequentialImages:
    """Handwritten digits, read pixel by pixel.

    Parameters
    ----------
    dataset : {"digits"}
        "digits" are scikit-learn's bundled 8 x 8 images: 64 steps of one channel in [0, 1], 10 classes.
    test_share : float, default 0.2
        Share of the images kept for testing.
    rng : Generator or int, optional
        Source of the split; None means ``default_rng(0)``.

    Attributes
    ----------
    train, test : Batch
        All images of either part.
    n_steps, n_channels, n_classes : int
        Sizes.

    Raises
    ------
    InputError
        If the dataset is unknown or the share not in (0, 1).
    ImportError
        If scikit-learn is missing (extra ``tasks``).

    References
    ----------
    Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, doi:10.24432/C50P49; the sequential
    task: Le, Jaitly & Hinton (2015), arXiv:1504.00941.

    Examples
    --------
    >>> from dynet.tasks import SequentialImages
    >>> task = SequentialImages("digits")
    >>> task.train.inputs.shape, task.test.inputs.shape
    ((1438, 64, 1), (359, 64, 1))
    """

    def __init__(self, dataset: str = "digits", *, test_share: float = 0.2, rng: Rng = None) -> None:
        faults = Faults()
        faults.choice("dataset", dataset, ("digits",))
        if not (isinstance(test_share, float) and 0 < test_share < 1):
            faults.add("test_share", test_share, "give a share in (0, 1)")
        faults.raise_if_any()
        sklearn_datasets = import_optional("sklearn.datasets", extra="tasks", purpose="SequentialImages")
        images, labels = sklearn_datasets.load_digits(return_X_y=True)
        inputs = (images / 16.0).astype(np.float32)[:, :, None]
        order = np.random.default_rng(0 if rng is None else rng).permutation(len(labels))
        n_test = int(test_share * len(labels))
        test, train = order[:n_test], order[n_test:]
        self.train = Batch(inputs[train], labels[train])
        self.test = Batch(inputs[test], labels[test])
        self.n_steps, self.n_channels, self.n_classes = inputs.shape[1], 1, 10

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the training images once, in random order, ``size`` at a time."""
        order = rng.permutation(len(self.train.labels))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield Batch(self.train.inputs[rows], self.train.labels[rows])
