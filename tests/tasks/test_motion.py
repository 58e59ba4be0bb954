import gzip

import numpy as np
import pytest

import dynet
from dynet.tasks import MotionCapture


@pytest.fixture
def folder(tmp_path):
    """Files in which every frame tells its file and its place, in the columns that move."""
    for split, n_files in (("train", 2), ("test", 1)):
        for action in ("walking", "jumping"):
            (tmp_path / split / action).mkdir(parents=True)
            for k in range(1, n_files + 1):
                frames = np.zeros((100, 117))
                frames[:, 4] = 7.0
                frames[:, [2, 9, 30]] = np.arange(100)[:, None] * [1, 2, -1] + 1000 * k
                lines = "\n".join(",".join(map(repr, map(float, frame))) for frame in frames)
                with gzip.open(tmp_path / split / action / f"{action}_{k}.txt.gz", "wt") as file:
                    file.write(lines + "\n")
    return tmp_path


def test_preprocessing_is_that_of_the_paper(folder):
    task = MotionCapture(folder, actions=["walking", "jumping"], n_features=2, n_steps=8)
    assert task.columns.tolist() == [2, 9]
    assert task.n_columns_moving == 3
    # 50 of 100 frames of each file, 80 % for training
    steps = np.arange(0, 80, 2)
    expected = np.concatenate([steps + 1000, steps + 2000] * 2)
    assert task.mean[0] == pytest.approx(expected.mean())
    assert task.deviation[0] == pytest.approx(expected.std())
    assert task._count("train") == 4 * (40 - 8)
    assert task._count("test") == 2 * (50 - 8)
    for split in task.splits:
        for inputs, targets in task.batches(split, 16, rng=1):
            assert inputs.shape == targets.shape
            np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
            raw = np.concatenate([inputs, targets[:, -1:]], axis=1)[:, :, 0] * task.deviation[0] + task.mean[0]
            # every second frame, and never from one file into the next
            np.testing.assert_allclose(np.diff(raw, axis=1), 2.0, atol=1e-3)
    assert task.metric(targets + 2.0, targets) == pytest.approx(4.0, rel=1e-5)


def test_the_synthetic_gait_swings():
    task = MotionCapture(rng=2)
    assert task.n_columns_moving == 70
    inputs, targets = next(task.batches("train", 200, rng=0))
    assert inputs.std() == pytest.approx(1.0, abs=0.1)
    # the next frame is near the last one, and nearer still where a line through the last two leads
    hold, line = inputs[:, 1:-1], 2 * inputs[:, 1:-1] - inputs[:, :-2]
    following = targets[:, 1:-1]
    assert task.metric(line, following) < 0.3 * task.metric(hold, following) < 0.1
    again = next(MotionCapture(rng=2).batches("train", 200, rng=0))
    np.testing.assert_array_equal(inputs, again.inputs)


def rewrite(path, old_line, new_line):
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    lines[old_line] = new_line(lines[old_line])
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.rsplit(",", 1)[0], r"line 13: 116 columns, expected 117"),
        (lambda line: line.replace("7.0", "seven"), r"line 13: expected 117 finite numbers"),
        (lambda line: line.replace("7.0", "nan"), r"line 13: expected 117 finite numbers"),
    ],
)
def test_bad_lines_are_named(folder, change, message):
    rewrite(folder / "train" / "jumping" / "jumping_2.txt.gz", 12, change)
    with pytest.raises(dynet.InputError, match=r"jumping_2.txt.gz', " + message):
        MotionCapture(folder, actions=["walking", "jumping"], n_features=2)


def test_what_is_missing_is_named(folder):
    with pytest.raises(dynet.InputError, match=r"train/soccer/soccer_1.txt': there is no such file"):
        MotionCapture(folder, actions=["soccer"])
    with pytest.raises(dynet.InputError, match="only 3 columns move"):
        MotionCapture(folder, actions=["walking"])
    with pytest.raises(dynet.InputError, match="no recording of 'validation' is longer"):
        MotionCapture(folder, actions=["walking"], n_features=2, n_steps=20)
    (folder / "test" / "walking" / "walking_1.txt.gz").write_bytes(gzip.compress(b"\n"))
    with pytest.raises(dynet.InputError, match=r"walking_1.txt.gz': no frames"):
        MotionCapture(folder, actions=["walking"], n_features=2)
    with pytest.raises(dynet.InputError, match=r"n_steps=0(?s:.*)actions='walking'"):
        MotionCapture(n_steps=0, actions="walking")


def test_the_real_motions(data):
    from dynet.tasks.motion import ACTIONS, _recordings

    counts = {
        split: [[len(frames) for frames in _recordings(data / "cmu_mocap" / split, [action])] for action in ACTIONS]
        for split in ("train", "test")
    }
    assert counts["test"] == [[577], [2086], [598], [359]]
    assert counts["train"] == [
        [722, 528, 397, 386, 403],
        [416, 1505, 427, 337, 352],
        [802, 591, 363, 437, 573],
        [344, 599, 495, 317, 330],
    ]
    together = np.concatenate(_recordings(data / "cmu_mocap" / "train", ACTIONS))
    assert together.shape == (10_324, 117)
    assert (together.std(axis=0) >= 1e-4).sum() == 70
    task = MotionCapture("cmu_mocap")
    assert task.n_columns_moving == 70
    inputs, targets = next(task.batches("train", 250, rng=0))
    assert inputs.shape == targets.shape == (250, 25, 20)
    whole = task._frames["train"]
    np.testing.assert_allclose(whole.mean(axis=0, dtype=float), 0, atol=1e-5)
    np.testing.assert_allclose(whole.std(axis=0, dtype=float), 1, atol=1e-5)
