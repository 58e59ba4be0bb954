import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dynet
from dynet.errors import DivergenceError, InputError
from dynet.torch import LyapunovMonitor, SequenceModel, evaluate, train


class FirstSign:
    """Two classes, told apart by the sign of the first entry: a network has to remember it."""

    loss = "cross_entropy"

    def __init__(self, n=256, n_steps=6):
        rng = np.random.default_rng(0)
        self.inputs = rng.standard_normal((n, n_steps, 1)).astype(np.float32)
        self.classes = (self.inputs[:, 0, 0] > 0).astype(np.int64)
        self.parts = {"train": slice(0, 3 * n // 4), "validation": slice(3 * n // 4, n)}

    def batches(self, split, batch_size, rng):
        inputs, classes = self.inputs[self.parts[split]], self.classes[self.parts[split]]
        order = rng.permutation(len(classes)) if split == "train" else np.arange(len(classes))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield inputs[rows], classes[rows]

    def metric(self, outputs, targets):
        return float((outputs.argmax(axis=-1) == targets).mean())


def model(seed=0, dropout=0.0):
    net = SequenceModel("tanh", 1, 8, 2, rng=seed)
    return nn.Sequential(net, nn.Dropout(dropout)) if dropout else net


def test_it_learns_what_has_to_be_remembered():
    net, task = model(), FirstSign()
    before = evaluate(net, task)
    ds = train(net, task, n_epochs=25, learning_rate=0.02, n_threads=1)
    after = evaluate(net, task)
    assert ds.loss[-1] < 0.3 * ds.loss[0]
    assert after["metric"] > 0.95 > before["metric"]
    assert ds.metric[-1] == after["metric"]
    np.testing.assert_allclose(ds.validation_loss[-1], after["loss"], rtol=1e-5)
    assert not net.training


def test_a_step_is_the_optimisers_own_on_the_clipped_gradient():
    # one batch of everything and plain gradient descent: one epoch is one step that can be written down
    task, net, rate, clip = FirstSign(64), model().double(), 0.5, 1e-2
    copy = model().double()
    copy.load_state_dict(net.state_dict())
    train(net, task, n_epochs=1, batch_size=64, optimizer="sgd", learning_rate=rate, clip=clip)
    part = task.parts["train"]
    loss = nn.functional.cross_entropy(
        copy(torch.from_numpy(task.inputs[part]).double()), torch.from_numpy(task.classes[part])
    )
    gradients = torch.autograd.grad(loss, list(copy.parameters()))
    norm = torch.sqrt(sum(g.square().sum() for g in gradients))
    assert norm > clip
    for p, q, g in zip(net.parameters(), copy.parameters(), gradients, strict=True):
        torch.testing.assert_close(p, q - rate * clip / norm * g, rtol=0, atol=1e-12)


def test_norms_of_gradients_are_those_before_clipping():
    task, net = FirstSign(64), model().double()
    copy = model().double()
    ds = train(net, task, n_epochs=1, batch_size=64, optimizer="sgd", learning_rate=0.1, clip=1e-3)
    part = task.parts["train"]
    nn.functional.cross_entropy(
        copy(torch.from_numpy(task.inputs[part]).double()), torch.from_numpy(task.classes[part])
    ).backward()
    for name, p in copy.named_parameters():
        np.testing.assert_allclose(ds.gradient_norm.sel(parameter=name, epoch=1), p.grad.norm(), rtol=1e-12)


def test_weighted_targets_are_the_mean_over_those_that_count():
    class Weighted:
        loss = "mean_squared_error"
        splits = ("train",)

        def batches(self, split, batch_size, rng):
            weights = np.zeros((4, 5))
            weights[:, 3:] = 1.0
            yield np.ones((4, 5, 1)), np.full((4, 5, 1), 2.0), weights

    net = SequenceModel("tanh", 1, 3, 1, every_step=True, rng=0).double()
    outputs = net(torch.ones(4, 5, 1, dtype=torch.float64)).detach()
    ds = train(net, Weighted(), n_epochs=1)
    np.testing.assert_allclose(ds.loss[0], ((outputs - 2) ** 2)[:, 3:].mean(), rtol=1e-12)
    assert np.isnan(ds.validation_loss[0])


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine"])
def test_the_same_call_gives_the_same_numbers_and_leaves_torch_as_it_was(schedule):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = train(model(dropout=0.3), FirstSign(), n_epochs=3, schedule=schedule, rng=1)
    assert torch.equal(state, torch.get_rng_state())
    torch.randn(3)
    two = train(model(dropout=0.3), FirstSign(), n_epochs=3, schedule=schedule, rng=1)
    other = train(model(dropout=0.3), FirstSign(), n_epochs=3, schedule=schedule, rng=2)
    np.testing.assert_array_equal(one.loss, two.loss)
    assert (one.loss != other.loss).any()


@pytest.mark.parametrize(("schedule", "optimizer"), [("constant", "adam"), ("one_cycle", "rmsprop"), ("cosine", "sgd")])
def test_a_stopped_training_goes_on_with_identical_losses(tmp_path, schedule, optimizer):
    settings = {"n_epochs": 5, "schedule": schedule, "optimizer": optimizer, "learning_rate": 0.01, "rng": 3}
    whole = model(dropout=0.3)
    expected = train(whole, FirstSign(), **settings)

    def stop(row):
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    path = tmp_path / "training.pt"
    with pytest.raises(KeyboardInterrupt):
        train(model(dropout=0.3), FirstSign(), **settings, checkpoint=path, after_epoch=stop)
    net = model(dropout=0.3)
    result = train(net, FirstSign(), **settings, checkpoint=path)
    for name in ("loss", "validation_loss", "metric", "gradient_norm", "learning_rate"):
        np.testing.assert_array_equal(result[name], expected[name])
    for p, q in zip(net.parameters(), whole.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": np.float32(0.01), "batch_size": np.int64(64), "clip": np.float64(1), "patience": np.int64(9)},
        {"schedule": lambda o, n: torch.optim.lr_scheduler.LambdaLR(o, lambda batch: np.exp(-batch / n))},
    ],
)
def test_numbers_of_numpy_are_read_back_from_a_checkpoint(tmp_path, settings):
    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    expected = train(model(), FirstSign(), n_epochs=3, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(model(), FirstSign(), n_epochs=3, **settings, checkpoint=tmp_path / "run.pt", after_epoch=stop)
    result = train(model(), FirstSign(), n_epochs=3, **settings, checkpoint=tmp_path / "run.pt")
    np.testing.assert_array_equal(result.loss, expected.loss)


def test_what_could_not_be_read_back_is_refused_when_it_is_written(tmp_path):
    class Odd(torch.optim.SGD):
        def state_dict(self):
            return {**super().state_dict(), "own": Odd}

    with pytest.raises(InputError, match=r"run.pt': the state of model, optimizer or schedule holds"):
        train(model(), FirstSign(), n_epochs=2, optimizer=Odd, checkpoint=tmp_path / "run.pt")


def test_a_full_disk_is_named_and_leaves_the_checkpoint_of_before(tmp_path, monkeypatch):
    path, expected = tmp_path / "run.pt", train(model(), FirstSign(), n_epochs=3)
    train(model(), FirstSign(), n_epochs=1, checkpoint=path)

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dynet._files.os.fsync", full)
        with pytest.raises(InputError, match=r"run.pt': cannot be written \(No space left"):
            train(model(), FirstSign(), n_epochs=3, checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    result = train(model(), FirstSign(), n_epochs=3, checkpoint=path)
    np.testing.assert_array_equal(result.loss, expected.loss)


def test_a_training_stopped_within_an_epoch_goes_on_with_identical_losses(tmp_path, monkeypatch):
    monkeypatch.setattr("dynet.torch.training_run._CHECKPOINT_SECONDS", 0.0)  # a checkpoint after every batch
    expected = train(model(dropout=0.3), FirstSign(), n_epochs=3, batch_size=32)

    class Stops(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.left = model(dropout=0.3), 9

        def forward(self, x):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return self.inner(x)

    path, net = tmp_path / "training.pt", Stops()
    with pytest.raises(KeyboardInterrupt):
        train(net, FirstSign(), n_epochs=3, batch_size=32, checkpoint=path)
    assert torch.load(path, weights_only=True)["current"]["n_batches"] == 1  # six batches, validation, one more
    net = Stops()
    net.left = 10**6
    result = train(net, FirstSign(), n_epochs=3, batch_size=32, checkpoint=path)
    np.testing.assert_array_equal(result.loss, expected.loss)
    np.testing.assert_array_equal(result.gradient_norm, expected.gradient_norm)


SCRIPT = f"""
import json, sys, time
import numpy as np
from dynet.torch import SequenceModel, train

{inspect.getsource(FirstSign)}

slow = float(sys.argv[2])
model = SequenceModel("gru", 1, 8, 2, rng=0)
ds = train(model, FirstSign(), n_epochs=6, checkpoint=sys.argv[1], n_threads=1,
           after_epoch=lambda row: (print(row["epoch"], flush=True), time.sleep(slow)))
print(json.dumps(ds.loss.values.tolist()))
"""


def test_a_killed_process_goes_on_with_identical_losses(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(dynet.__file__).parents[1])}

    def start(name, slow):
        return subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / name), slow],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    expected = train(SequenceModel("gru", 1, 8, 2, rng=0), FirstSign(), n_epochs=6, n_threads=1)
    with start("killed.pt", "1") as process:
        while (line := process.stdout.readline()).strip() != "3":
            assert line, "the training ended before it could be killed"
        process.send_signal(signal.SIGKILL)  # in the pause after the third epoch
    lines = start("killed.pt", "0").communicate(timeout=120)[0].splitlines()
    assert lines[0] == "3"  # the epoch that had not been saved is repeated
    assert json.loads(lines[-1]) == expected.loss.values.tolist()


def test_a_finished_training_returns_at_once_and_can_be_made_longer(tmp_path):
    path = tmp_path / "training.pt"
    first = train(model(), FirstSign(), n_epochs=2, checkpoint=path)
    net = model()
    again = train(net, FirstSign(), n_epochs=2, checkpoint=path, after_epoch=lambda row: pytest.fail("it ran again"))
    np.testing.assert_array_equal(first.loss, again.loss)
    longer = train(model(), FirstSign(), n_epochs=4, checkpoint=path)
    np.testing.assert_array_equal(longer.loss, train(model(), FirstSign(), n_epochs=4).loss)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rng": 4}, "rng"),
        ({"learning_rate": 0.5}, "learning_rate is 0.001 there, 0.5 here"),
        ({"batch_size": 7}, "batch_size"),
        ({"schedule": "cosine"}, "schedule"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, named):
    path = tmp_path / "training.pt"
    train(model(), FirstSign(), n_epochs=1, checkpoint=path)
    with pytest.raises(InputError, match=named):
        train(model(), FirstSign(), **({"n_epochs": 2} | change), checkpoint=path)


def test_a_checkpoint_of_another_model_or_task_is_refused(tmp_path):
    path = tmp_path / "training.pt"
    train(model(), FirstSign(), n_epochs=1, checkpoint=path)
    with pytest.raises(InputError, match=r"initial weights .*make the model anew"):
        train(model(seed=1), FirstSign(), n_epochs=2, checkpoint=path)
    with pytest.raises(InputError, match="task"):
        train(model(), FirstSign(128), n_epochs=2, checkpoint=path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "training.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no checkpoint of a training"):
        train(model(), FirstSign(), n_epochs=1, checkpoint=path)


def test_a_loss_that_is_not_finite_stops_with_the_epoch_and_keeps_the_last_good_checkpoint(tmp_path):
    class Spoilt(FirstSign):
        epoch = 0

        def batches(self, split, batch_size, rng):
            self.epoch += split == "train"
            for inputs, classes in super().batches(split, batch_size, rng):
                yield (inputs * np.float32(np.nan) if self.epoch == 3 and split == "train" else inputs), classes

    path, net = tmp_path / "training.pt", model()
    with pytest.raises(DivergenceError, match=r"the loss is nan in epoch 3, batch 0: .* last good checkpoint"):
        train(net, Spoilt(), n_epochs=5, checkpoint=path)
    kept = torch.load(path, weights_only=True)
    assert len(kept["rows"]) == 2
    for name, value in net.state_dict().items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, kept["model"][name])


@pytest.mark.parametrize("splits", [("train",), ("train", "validation")])
def test_weights_that_overflow_in_the_last_step_of_an_epoch_are_not_kept(tmp_path, splits):
    class Grows:
        loss = "mean_squared_error"
        epoch = 0

        def batches(self, split, batch_size, rng):
            self.epoch += split == "train"
            target = 1e18 if self.epoch == 3 and split == "train" else 0
            yield np.ones((1, 1, 1), np.float32), np.full((1, 1), target, np.float32)

    task, path = Grows(), tmp_path / "run.pt"
    task.splits = splits
    with pytest.raises(
        DivergenceError, match=r"weights 1.weight are not finite in epoch 3, after batch 0; .* last good"
    ):
        train(model_of_one(), task, n_epochs=9, optimizer="sgd", learning_rate=1e21, clip=None, checkpoint=path)
    kept = torch.load(path, weights_only=True)
    assert len(kept["rows"]) == 2
    assert all(torch.isfinite(value).all() for value in kept["model"].values())


def model_of_one():
    """A model whose answer, and gradient, is zero where the target is."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
    for p in net.parameters():
        nn.init.zeros_(p)
    return net


@pytest.mark.parametrize(
    ("outputs", "targets", "loss", "message"),
    [
        ((8, 1), (8, 8, 1), "mean_squared_error", r"returns values \(8, 1\) where .* are \(8, 8, 1\)"),
        ((8, 8, 1), (8, 8, 3), "mean_squared_error", r"returns values \(8, 8, 1\)"),
        ((8, 2), (8, 8), "cross_entropy", r"return scores of classes \(8, 8, classes\)"),
    ],
)
def test_answers_of_another_shape_than_the_targets_are_not_stretched(outputs, targets, loss, message):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.weight.expand(outputs)

    class Task:
        splits = ("train",)

        def batches(self, split, batch_size, rng):
            yield np.zeros((8, 8, 1), np.float32), np.zeros(targets, np.float32 if "mean" in loss else np.int64)

    task = Task()
    task.loss = loss
    with pytest.raises(InputError, match=message):
        train(Constant(), task, n_epochs=1)


def test_patience_ends_a_training_and_gives_the_best_weights_back():
    net = model()
    ds = train(net, FirstSign(64), n_epochs=200, learning_rate=0.05, patience=3, n_threads=1)
    best = int(ds.attrs["best_epoch"])
    assert ds.attrs["stopped"] == "patience"
    assert ds.sizes["epoch"] == best + 3
    assert best == int(ds.epoch[np.argmin(ds.validation_loss.values)])
    np.testing.assert_allclose(evaluate(net, FirstSign(64))["loss"], ds.validation_loss.min(), rtol=1e-6)


def test_a_monitor_sees_every_epoch():
    net = model()
    monitor = LyapunovMonitor(net, torch.randn(4, 30, 1), submodule="core", n_exponents=3)
    ds = train(net, FirstSign(), n_epochs=3, monitor=monitor)
    seen = monitor.dataset
    np.testing.assert_array_equal(seen.epoch, ds.epoch)
    np.testing.assert_allclose(seen.loss, ds.loss, rtol=1e-12)
    alone = train(model(), FirstSign(), n_epochs=3)
    np.testing.assert_array_equal(ds.loss, alone.loss)


def test_all_faults_are_named_at_once():
    with pytest.raises(InputError) as error:
        train(
            model(), object(), n_epochs=0, optimizer="newton", clip=-1.0, patience=0, monitor=3, after_epoch=3, rng="x"
        )
    for name in ("task", "n_epochs", "optimizer", "clip", "patience", "monitor", "after_epoch", "rng"):
        assert f"{name}=" in str(error.value)
    with pytest.raises(InputError, match="nothing to train"):
        train(nn.Flatten(), FirstSign(), n_epochs=1)
    with pytest.raises(InputError, match="LBFGS"):
        train(model(), FirstSign(), n_epochs=1, optimizer=torch.optim.LBFGS)
    with pytest.raises(InputError, match="ReduceLROnPlateau"):
        train(model(), FirstSign(), n_epochs=1, schedule=lambda o, n: torch.optim.lr_scheduler.ReduceLROnPlateau(o))
    with pytest.raises(InputError, match=r"model=None(?s:.*)task=None"):
        evaluate(None, None)
