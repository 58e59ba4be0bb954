"""Motion capture: the joint angles of a body, and what they will be next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynet._validate import Faults, is_number
from dynet.errors import InputError
from dynet.tasks.files import folder_of, matching, read_text
from dynet.tasks.interface import Batch, FixedTask
from dynet.tasks.metrics import mean_squared_error
from dynet.typing import Rng

__all__ = ["MotionCapture"]

#: Numbers of a frame: position and turn of the root, and 37 joints, three each.
N_COLUMNS = 117
ACTIONS = ("basketball", "jumping", "soccer", "walking")
#: Columns that move less than this do not count.
_LEAST_DEVIATION = 1e-4


class MotionCapture(FixedTask):
    """Prediction of the next frame of motion capture data.

    Parameters
    ----------
    folder : str or path, optional
        Where ``train/<action>/<action>_<k>.txt`` and ``test/<action>/<action>_<k>.txt`` are, packed by gzip or not:
        text with commas, a frame a line, 117 numbers each (root and joints as exponential maps). "cmu_mocap" stands
        for the folder of that name in the one that the environment variable ``DYNET_DATA`` tells. If not given, a
        synthetic gait with as many columns: walking at several speeds, made of harmonics.
    actions : sequence of str, optional
        Folders that are read; those of the paper if not given: basketball, jumping, soccer, walking.
    n_steps : int, default 25
        Frames of a sequence.
    n_features : int, default 20
        The first so many of the columns that move.
    every : int, default 2
        Every second frame is read, as by Li et al.
    validation_share : float, default 0.2
        Share of each file of ``train`` kept for validation: its end.
    rng : Generator or int, optional
        Source of the synthetic gait; None means ``default_rng(0)``.

    Attributes
    ----------
    columns : array of int (feature,)
        Columns of the files that the features are.
    mean, deviation : array (feature,)
        Of each feature over all frames of the training split: what was taken off, and what was divided by.
    n_columns_moving : int
        Columns with a standard deviation of at least 1e-4 over the training files.

    Raises
    ------
    InputError
        If a file is missing, or a line has missing columns or something else than numbers: file and line are named.

    Notes
    -----
    Inputs are (sequence, time, feature), the frames at ``n_steps`` steps; targets, of the same shape, are the frames
    one step later. Sequences begin at every frame and never go from one file into another. The preprocessing is that
    of Vogt et al., appendix A.2, with means and deviations of the training split alone.

    References
    ----------
    Li, Zhang, Lee & Lee (2018), doi:10.1109/CVPR.2018.00548; Vogt et al. (2022), doi:10.3389/fams.2022.818799. The data
    used in this project was obtained from mocap.cs.cmu.edu; the database was created with funding from NSF EIA-0196217.

    Examples
    --------
    >>> from dynet.tasks import MotionCapture
    >>> task = MotionCapture()
    >>> inputs, targets = next(task.batches("train", 250, rng=0))
    >>> inputs.shape, bool((inputs[:, 1:] == targets[:, :-1]).all())
    ((250, 25, 20), True)
    """

    loss = "mean_squared_error"
    metric = staticmethod(mean_squared_error)
    every_step = True

    def __init__(
        self,
        folder: Any = None,
        *,
        actions: Sequence[str] = ACTIONS,
        n_steps: int = 25,
        n_features: int = 20,
        every: int = 2,
        validation_share: float = 0.2,
        rng: Rng = None,
    ) -> None:
        faults = Faults()
        for name, value in (("n_steps", n_steps), ("n_features", n_features), ("every", every)):
            faults.integer(name, value, 1)
        if isinstance(actions, str) or not actions or not all(isinstance(action, str) for action in actions):
            faults.add("actions", actions, "give a list of names of folders")
        if not (is_number(validation_share) and 0 < validation_share < 1):
            faults.add("validation_share", validation_share, "give a share in (0, 1)")
        generator = faults.generator("rng", rng)
        faults.raise_if_any()
        if folder is None:
            train, test = _gait(len(actions), generator)
        else:
            path = folder_of(folder, "cmu_mocap", "train/<action>/<action>_<k>.txt and test/<action>/<action>_<k>.txt")
            train, test = (_recordings(path / split, actions) for split in ("train", "test"))
        train, test = [frames[::every] for frames in train], [frames[::every] for frames in test]
        cuts = [len(frames) - int(validation_share * len(frames)) for frames in train]
        parts = {
            "train": [frames[:cut] for frames, cut in zip(train, cuts, strict=True)],
            "validation": [frames[cut:] for frames, cut in zip(train, cuts, strict=True)],
            "test": test,
        }
        together = np.concatenate(parts["train"])
        mean, deviation = together.mean(axis=0), together.std(axis=0)
        moving = np.flatnonzero(deviation >= _LEAST_DEVIATION)
        self.n_columns_moving = len(moving)
        if n_features > len(moving):
            raise InputError(
                f"n_features={n_features}: only {len(moving)} columns move in these data: give at most as many"
            )
        self.columns = moving[:n_features]
        self.mean, self.deviation = mean[self.columns], deviation[self.columns]
        self.n_steps, self.n_channels, self.n_outputs = n_steps, n_features, n_features
        self._frames: dict[str, np.ndarray] = {}
        self._starts: dict[str, np.ndarray] = {}
        for split, recordings in parts.items():
            normal = [((frames[:, self.columns] - self.mean) / self.deviation) for frames in recordings]
            self._frames[split] = np.concatenate(normal).astype(np.float32)
            begins = np.cumsum([0, *map(len, recordings)])
            starts = [begin + np.arange(max(0, len(r) - n_steps)) for begin, r in zip(begins, recordings, strict=False)]
            self._starts[split] = np.concatenate(starts)
            if not len(self._starts[split]):
                raise InputError(f"n_steps={n_steps}: no recording of '{split}' is longer: give fewer steps")

    def _count(self, split: str) -> int:
        return len(self._starts[split])

    def _batch(self, split: str, rows: np.ndarray) -> Batch:
        steps = self._starts[split][rows][:, None] + np.arange(self.n_steps)
        return Batch(self._frames[split][steps], self._frames[split][steps + 1])


def _recordings(folder: Path, actions: Sequence[str]) -> list[np.ndarray]:
    """Return the frames of all files of some actions."""
    recordings = []
    for action in actions:
        files = matching(folder / action, f"{action}_*.txt")
        if not files:
            raise InputError(f"'{folder / action / f'{action}_1.txt'}': there is no such file, nor with the ending .gz")
        recordings += [read_motion(file) for file in files]
    return recordings


def read_motion(path: Path) -> np.ndarray:
    """Return the frames (frame, column) of a file, or name the line that cannot be one."""
    frames = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        entries = line.split(",")
        if len(entries) != N_COLUMNS:
            raise InputError(f"'{path}', line {number}: {len(entries)} columns, expected {N_COLUMNS}")
        try:
            frame = [float(entry) for entry in entries]
        except ValueError:
            frame = [math.nan]
        if not all(map(math.isfinite, frame)):
            raise InputError(f"'{path}', line {number}: expected {N_COLUMNS} finite numbers with commas between them")
        frames.append(frame)
    if not frames:
        raise InputError(f"'{path}': no frames, expected lines of {N_COLUMNS} numbers")
    return np.array(frames)


def _gait(n_speeds: int, rng: np.random.Generator, n_frames: int = 600) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return recordings of joints that swing with harmonics of a step, at several speeds, for training and test.

    Columns 0 to 2 are a root that walks ahead and 67 others swing: with 47 that stand still, as many as in the files.
    """
    moving = rng.choice(np.arange(6, N_COLUMNS), 67, replace=False)
    size, shift = rng.gamma(2.0, 0.1, (3, 67)) / np.array([[1], [2], [4]]), rng.uniform(0, 2 * np.pi, (3, 67))
    recordings = []
    for speed in np.repeat(np.linspace(0.8, 1.4, n_speeds), 2):
        # steps a second at 120 frames a second, that drift a little
        step = 2 * np.pi * np.cumsum(speed * (1 + 0.03 * rng.standard_normal(n_frames))) / 120 + rng.uniform(
            0, 2 * np.pi
        )
        frames = np.zeros((n_frames, N_COLUMNS))
        frames[:, 2] = 4 * speed * np.arange(n_frames) / 120
        frames[:, :2] = np.stack([0.1 * np.sin(step), 0.2 * np.cos(2 * step)], axis=1)
        harmonics = np.arange(1, 4)[:, None] * step[:, None, None] + shift
        frames[:, moving] = (size * np.sin(harmonics)).sum(axis=1)
        recordings.append(frames)
    return recordings[::2], recordings[1::2]
