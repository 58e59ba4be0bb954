"""Tasks whose sequences are drawn: what is to be said follows from what is read."""

import numpy as np
import pytest
from scipy import stats

import dynet
from dynet.tasks import CopyMemory, DelayedDiscrimination, EvidenceAccumulation, FlipFlop, IntervalReproduction

GENERATED = [CopyMemory, DelayedDiscrimination, EvidenceAccumulation, FlipFlop, IntervalReproduction]


@pytest.mark.parametrize("kind", GENERATED)
def test_training_is_drawn_anew_and_the_other_splits_stay(kind):
    task, same, other = (kind(n_train=30, n_validation=20, n_test=20, rng=rng) for rng in (1, 1, 2))
    sizes = [len(batch.targets) for batch in task.batches("train", 12, rng=0)]
    assert sizes == [12, 12, 6]
    generator = np.random.default_rng(0)
    first, second = (next(task.batches("train", 30, generator)) for _ in range(2))
    assert (first.inputs != second.inputs).any()
    assert first.inputs.shape == (30, task.n_steps, task.n_channels)
    whole = next(task.batches("validation", 20, rng=5))
    pieces = [batch.inputs for batch in same.batches("validation", 7, rng=6)]
    np.testing.assert_array_equal(whole.inputs, np.concatenate(pieces))
    assert (whole.inputs != next(task.batches("test", 20)).inputs).any()
    assert (whole.inputs != next(other.batches("validation", 20)).inputs).any()
    expected = task.n_outputs if task.loss == "mean_squared_error" else None
    assert whole.targets.shape == (20, *([task.n_steps] if task.every_step else []), *([expected] if expected else []))
    assert whole.inputs.dtype == np.float32
    assert whole.targets.dtype == (np.float32 if expected else np.int64)


@pytest.mark.parametrize("delay", [7, (5, 9)])
def test_symbols_come_back_after_the_sign(delay):
    task = CopyMemory(delay, n_symbols=4, n_recall=3)
    inputs, targets = next(task.batches("train", 400, rng=0))
    read = inputs.argmax(axis=-1)
    assert (inputs.sum(axis=-1) == 1).all()
    delays = set()
    for row, said in zip(read, targets, strict=True):
        (sign,) = np.flatnonzero(row == 5)
        delays.add(int(sign) - 2)
        np.testing.assert_array_equal(said[sign + 1 : sign + 4], row[:3])
        assert np.count_nonzero(said) == np.count_nonzero(row[:3]) == 3
        assert not row[3:sign].any()
    assert delays == ({7} if delay == 7 else {5, 6, 7, 8, 9})
    assert stats.chisquare(np.bincount(read[:, :3].ravel(), minlength=5)[1:5]).pvalue > 0.01


def test_copy_memory_has_the_baseline_of_the_literature():
    task = CopyMemory(delay=100)
    targets = next(task.batches("test", 1_000)).targets
    scores = np.full((*targets.shape, 9), -np.inf)
    answered = targets > 0
    scores[~answered, 0] = 0.0
    scores[answered, 1:] = -np.log(8)
    loss = -np.take_along_axis(scores, targets[..., None], axis=-1).mean()
    assert loss == pytest.approx(task.baseline)
    assert task.baseline == pytest.approx(10 * np.log(8) / 120)
    assert task.metric(np.eye(9)[targets], targets) == 1
    assert task.metric(np.eye(9)[np.where(targets > 4, 4, targets)], targets) == pytest.approx(0.5, abs=0.02)
    assert CopyMemory((100, 120)).n_steps == 140


def test_the_stronger_stimulus_is_named():
    task = DelayedDiscrimination(delay=6, duration=4, noise=0.05)
    inputs, targets = next(task.batches("train", 2_000, rng=0))
    first, second = inputs[:, :4, 0].mean(axis=1), inputs[:, -4:, 0].mean(axis=1)
    clear = np.abs(first - second) > 0.2
    np.testing.assert_array_equal((first > second)[clear], targets[clear] == 1)
    np.testing.assert_array_equal(inputs[0, :, 1], [1] * 4 + [0] * 6 + [1] * 4)
    assert stats.binomtest(int(targets.sum()), 2_000).pvalue > 0.01


def test_the_best_observer_of_evidence_is_as_good_as_on_paper():
    task = EvidenceAccumulation(n_steps=20, coherences=[0.1, 0.3], n_test=20_000)
    right = sum(int(((x.sum(axis=(1, 2)) > 0) == y).sum()) for x, y in task.batches("test", 5_000))
    assert stats.binomtest(right, 20_000, task.ideal_accuracy).pvalue > 0.01
    assert task.ideal_accuracy == pytest.approx(stats.norm.cdf(np.array([0.1, 0.3]) * np.sqrt(20)).mean())


def test_bits_are_those_of_the_last_pulse():
    inputs, targets = next(FlipFlop(n_bits=2, n_steps=60).batches("train", 50, rng=0))
    bits = np.zeros((50, 2))
    for step in range(60):
        bits = np.where(inputs[:, step] != 0, inputs[:, step], bits)
        np.testing.assert_array_equal(bits, targets[:, step])
    share = (inputs[:, 1:] != 0).mean()
    assert stats.binomtest(int(share * 50 * 59 * 2), 50 * 59 * 2, 0.05).pvalue > 0.01
    assert FlipFlop.metric(0.3 * targets, targets) == 1
    assert FlipFlop.metric(-targets, targets) == 0


def test_the_answer_comes_after_the_interval_once_more():
    task = IntervalReproduction((4, 12))
    inputs, targets = next(task.batches("train", 300, rng=0))
    intervals = set()
    for read, said in zip(inputs[:, :, 0], targets[:, :, 0], strict=True):
        ready, ends = np.flatnonzero(read)
        intervals.add(int(ends - ready))
        np.testing.assert_array_equal(said, np.arange(task.n_steps) >= 2 * ends - ready)
    assert intervals == set(range(4, 13))
    late = np.roll(targets, 3, axis=1)
    late[:, :3] = 0
    assert task.metric(late, targets) == 3
    assert task.metric(np.zeros_like(targets), targets) == pytest.approx(
        (1 - targets).argmin(axis=1).mean() * -1 + task.n_steps
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CopyMemory(0), "delay=0"),
        (lambda: CopyMemory((120, 100)), "delay=100.*longest after the shortest"),
        (lambda: CopyMemory((1, 2, 3)), "shortest and the longest"),
        (lambda: CopyMemory(n_symbols=1, n_train=0), r"n_symbols=1(?s:.*)n_train=0"),
        (lambda: DelayedDiscrimination(-1, noise=-1), r"delay=-1(?s:.*)noise=-1"),
        (lambda: EvidenceAccumulation(coherences=[]), r"coherences=\[\]"),
        (lambda: FlipFlop(0, pulse_probability=2), r"n_bits=0(?s:.*)pulse_probability=2"),
        (lambda: IntervalReproduction((30, 10)), "intervals=10"),
        (lambda: IntervalReproduction(10), "intervals=10"),
        (lambda: EvidenceAccumulation(coherences=0.1, rng=1.5), r"coherences=0.1(?s:.*)rng=1.5"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(dynet.InputError, match=message):
        make()
