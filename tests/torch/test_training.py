import numpy as np
import torch

from dynet.tasks import Batch
from dynet.torch.training import SequenceClassifier, accuracy, train_classifier


class Parity:
    """Two classes, told apart by the sign of the first entry: a network has to remember it."""

    def __init__(self):
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((256, 6, 1)).astype(np.float32)
        self.train = Batch(inputs, (inputs[:, 0, 0] > 0).astype(np.int64))

    def batches(self, split, batch_size, rng):
        order = rng.permutation(256)
        for start in range(0, 256, batch_size):
            rows = order[start : start + batch_size]
            yield Batch(self.train.inputs[rows], self.train.targets[rows])


def test_training_learns_what_has_to_be_remembered():
    task, losses = Parity(), []
    model = SequenceClassifier(1, 8, 2, seed=1)
    train_classifier(
        model, task, n_epochs=25, rng=np.random.default_rng(0), after_epoch=lambda epoch, loss: losses.append(loss)
    )
    assert len(losses) == 25
    assert losses[-1] < 0.3 * losses[0]
    assert accuracy(model, *task.train) > 0.95
    assert not model.training


def test_a_seed_fixes_the_weights_and_leaves_torch_as_it_was():
    before = torch.random.get_rng_state()
    first, again = SequenceClassifier(1, 4, 2, seed=5), SequenceClassifier(1, 4, 2, seed=5)
    assert torch.equal(first.lstm.weight_hh_l0, again.lstm.weight_hh_l0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_system_steps_like_the_network():
    model = SequenceClassifier(1, 4, 2)
    inputs = torch.randn(3, 5, 1, generator=torch.Generator().manual_seed(0))
    system = model.system()
    x = system.like.expand(3, 8)
    for step in range(5):
        x = system.step(float(step), x, inputs[:, step].double(), system.params)
    expected = model.double().lstm(inputs.double())[1]
    torch.testing.assert_close(x, torch.cat([expected[0][0], expected[1][0]], dim=-1).detach(), rtol=0, atol=1e-12)
