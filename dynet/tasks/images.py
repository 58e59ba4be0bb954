"""Images read pixel by pixel: one pixel a step, the class at the end."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from dynet._optional import import_optional
from dynet._validate import Faults, is_number
from dynet.errors import InputError
from dynet.tasks.files import existing, folder_of, matching, read_bytes, read_idx
from dynet.tasks.interface import Batch, FixedTask
from dynet.typing import Rng

__all__ = ["SequentialImages"]

_CIFAR_RECORD = 1 + 3 * 32 * 32


class Images(NamedTuple):
    """Grey levels (image, row, column) in bytes and classes (image,)."""

    pixels: np.ndarray
    labels: np.ndarray


class SequentialImages(FixedTask):
    """Grey images of ten classes, read pixel by pixel from the top left, row by row.

    Parameters
    ----------
    dataset : {"digits", "mnist", "cifar10"}, default "digits"
        "digits" are the 8 x 8 images that come with scikit-learn: 64 steps. "mnist" are handwritten digits in four idx
        files: 784 steps. "cifar10" are photographs, in CIFAR's binary version, turned to grey: 1024 steps.
    folder : str or path, optional
        Where the files of "mnist" or "cifar10" are, packed by gzip or not: their folder, or the one that holds it. If
        not given, the one that the environment variable ``DYNET_DATA`` tells.
    permute : bool, default False
        Read the pixels in a random order, the same for all images. It depends on ``rng`` alone.
    angle : float, default 0
        Degrees by which images are turned anticlockwise; corners are filled with zeros.
    validation_share : float, default 0.1
        Share of the training images that are kept for validation; with 0 there is no such split.
    test_share : float, default 0.2
        Share of the images kept for testing, for "digits", which come in one piece.
    rng : Generator or int, optional
        Source of splits and order of pixels; None means ``default_rng(0)``.

    Attributes
    ----------
    train, validation, test : Batch
        All images of a split: inputs (sequence, time, 1) in [0, 1], classes (sequence,).
    order : array of int (time,)
        Pixel that is read at each step.
    n_steps, n_channels, n_outputs : int
        Sizes.

    Raises
    ------
    InputError
        If an argument cannot be used, or a file is missing, truncated or not what its name says.
    ImportError
        If scikit-learn is missing for "digits" (extra ``tasks``).

    References
    ----------
    Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, doi:10.24432/C50P49; LeCun et al. (1998),
    doi:10.1109/5.726791; Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images; the sequential
    task: Le, Jaitly & Hinton (2015), arXiv:1504.00941; the grey levels are those of ITU-R 601.

    Examples
    --------
    >>> from dynet.tasks import SequentialImages
    >>> task = SequentialImages("digits", permute=True)
    >>> task.train.inputs.shape, task.validation.inputs.shape, task.test.inputs.shape
    ((1295, 64, 1), (143, 64, 1), (359, 64, 1))
    """

    def __init__(
        self,
        dataset: str = "digits",
        *,
        folder: Any = None,
        permute: bool = False,
        angle: float = 0.0,
        validation_share: float = 0.1,
        test_share: float = 0.2,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        faults.choice("dataset", dataset, ("digits", "mnist", "cifar10"))
        if not isinstance(permute, bool):
            faults.add("permute", permute, "give True or False")
        if not (is_number(angle) and abs(angle) <= 360):
            faults.add("angle", angle, "give degrees from -360 to 360")
        if not (is_number(validation_share) and 0 <= validation_share < 1):
            faults.add("validation_share", validation_share, "give a share in [0, 1)")
        if not (is_number(test_share) and 0 < test_share < 1):
            faults.add("test_share", test_share, "give a share in (0, 1)")
        generator = faults.generator("rng", rng)
        faults.raise_if_any()
        pixel_generator = generator.spawn(1)[0]
        if dataset == "digits":
            self._scale, train, test = 16.0, *_digits(test_share, generator)
        else:
            self._scale, (train, test) = 255.0, (_mnist if dataset == "mnist" else _cifar)(folder)
            shuffled = generator.permutation(len(train.labels))
            train = Images(train.pixels[shuffled], train.labels[shuffled])
        n_train = len(train.labels) - int(validation_share * len(train.labels))
        kept = Images(train.pixels[n_train:], train.labels[n_train:])
        train = Images(train.pixels[:n_train], train.labels[:n_train])
        self._parts = {"train": train, **({"validation": kept} if len(kept.labels) else {}), "test": test}
        self.splits = tuple(self._parts)
        if angle:
            self._parts = {name: Images(_turned(part.pixels, angle), part.labels) for name, part in self._parts.items()}
        self.n_steps, self.n_channels, self.n_outputs = int(np.prod(train.pixels.shape[1:])), 1, 10
        self.order = pixel_generator.permutation(self.n_steps) if permute else np.arange(self.n_steps)

    @cached_property
    def train(self) -> Batch:
        """All images to train on."""
        return self._whole("train")

    @cached_property
    def validation(self) -> Batch:
        """All images for validation."""
        return self._whole("validation")

    @cached_property
    def test(self) -> Batch:
        """All images for testing."""
        return self._whole("test")

    def _count(self, split: str) -> int:
        return len(self._parts[split].labels)

    def _batch(self, split: str, rows: np.ndarray) -> Batch:
        images = self._parts[split]
        pixels = images.pixels[rows].reshape(len(rows), -1)[:, self.order]
        return Batch((pixels / np.float32(self._scale)).astype(np.float32)[:, :, None], images.labels[rows])


def _digits(test_share: float, rng: np.random.Generator) -> tuple[Images, Images]:
    datasets = import_optional("sklearn.datasets", extra="tasks", purpose="SequentialImages")
    levels, labels = datasets.load_digits(return_X_y=True)
    pixels = levels.reshape(-1, 8, 8).astype(np.uint8)
    order = rng.permutation(len(labels))
    n_test = max(1, int(test_share * len(labels)))
    test, train = order[:n_test], order[n_test:]
    return Images(pixels[train], labels[train]), Images(pixels[test], labels[test])


def _mnist(folder: Any) -> tuple[Images, Images]:
    path = folder_of(folder, "mnist", "MNIST's four files, train-images-idx3-ubyte.gz and so on")
    parts = []
    for part in ("train", "t10k"):
        # both spellings are about
        image_file = existing(path, (f"{part}-images-idx3-ubyte", f"{part}-images.idx3-ubyte"))
        label_file = existing(path, (f"{part}-labels-idx1-ubyte", f"{part}-labels.idx1-ubyte"))
        pixels, labels = read_idx(image_file, 3), read_idx(label_file, 1)
        if len(pixels) != len(labels):
            raise InputError(f"'{label_file}': {len(labels)} labels, expected {len(pixels)}, one for each image")
        if not len(pixels):
            raise InputError(f"'{image_file}': no images, expected at least one")
        if pixels.shape[1:] != (28, 28):
            raise InputError(f"'{image_file}': images of {pixels.shape[1]} x {pixels.shape[2]}, expected 28 x 28")
        parts.append(Images(pixels, _classes(labels, str(label_file))))
    return parts[0], parts[1]


def _cifar(folder: Any) -> tuple[Images, Images]:
    needs = "data_batch_1.bin to data_batch_5.bin and test_batch.bin, CIFAR-10's binary version"
    path = folder_of(folder, "cifar10", needs)
    parts = []
    for patterns in (("data_batch_*.bin", "train*.bin"), ("test*.bin",)):
        files = next((found for pattern in patterns if (found := matching(path, pattern))), [])
        if not files:
            raise InputError(
                f"'{path / patterns[0]}': there is no such file: give the folder that holds {needs} (the files of the "
                "Python version are pickles, which are never read)"
            )
        records = []
        for file in files:
            content = read_bytes(file)
            if not content or len(content) % _CIFAR_RECORD:
                raise InputError(
                    f"'{file}': {len(content)} bytes, expected a multiple of {_CIFAR_RECORD} (a label and 3 x 32 x 32 "
                    "bytes an image): truncated, or not the binary version"
                )
            records.append(np.frombuffer(content, dtype=np.uint8).reshape(-1, _CIFAR_RECORD))
            _classes(records[-1][:, 0], str(file))
        together = np.concatenate(records)
        parts.append(Images(_grey(together[:, 1:].reshape(-1, 3, 32, 32)), together[:, 0].astype(np.int64)))
    return parts[0], parts[1]


def _classes(labels: np.ndarray, file: str) -> np.ndarray:
    if labels.max(initial=0) > 9:
        row = int(np.argmax(labels > 9))
        raise InputError(f"'{file}': label {labels[row]} of image {row}, expected 0 to 9: damaged, or of another kind")
    return labels.astype(np.int64)


def _grey(colours: np.ndarray) -> np.ndarray:
    """Return grey levels (image, row, column) of colours (image, 3, row, column), rounded to bytes."""
    red, green, blue = (colours[:, channel].astype(np.uint32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16).astype(np.uint8)


def _turned(pixels: np.ndarray, angle: float) -> np.ndarray:
    """Return images turned anticlockwise about their centre, interpolated linearly."""
    turned = ndimage.rotate(pixels.astype(np.float32), angle, axes=(1, 2), reshape=False, order=1)
    return np.rint(turned).astype(np.uint8)
