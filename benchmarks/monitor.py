"""What LyapunovMonitor costs: one step beside one epoch of the demo's training, in turns in one process.

An LSTM reads handwritten digits pixel by pixel and is trained by `dynet.torch.train`, as in
``dynet demo`` but with 128 units; the monitor takes 16 exponents of 10 sequences of 100 steps. ``--length 100`` adds
blank pixels to the digits, so that the training too has sequences of 100 steps. Beside it the products of the frames
with the weights alone, by BLAS: what a step would take if nothing else had to be done.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from dynet.tasks.images import SequentialImages
from dynet.torch import LyapunovMonitor, SequenceModel, train


class Longer:
    """The same task with blank steps after every sequence."""

    loss = "cross_entropy"
    splits = ("train",)

    def __init__(self, task: SequentialImages, n_blank: int) -> None:
        self.task, self.n_blank = task, n_blank

    def batches(self, split: str, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for inputs, targets in self.task.batches(split, batch_size, rng):
            yield np.pad(inputs, ((0, 0), (0, self.n_blank), (0, 0))), targets


def products_alone(n_units: int, dtype: torch.dtype) -> tuple[float, float]:
    """Return seconds that the products of 100 steps take, 16 columns of 10 sequences with 4 gates, and GFLOP/s."""
    W, V = torch.randn(n_units, 4 * n_units, dtype=dtype), torch.randn(160, n_units, dtype=dtype)
    out, taken = torch.empty(160, 4 * n_units, dtype=dtype), []
    for _ in range(7):
        begun = time.process_time()
        for _ in range(100):
            torch.mm(V, W, out=out)
        taken.append(time.process_time() - begun)
    seconds = float(np.median(taken))
    return seconds, 100 * 2 * 160 * 4 * n_units**2 / seconds / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--length", type=int, default=64, help="steps of a sequence in the training (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = SequentialImages("digits", validation_share=0.0, rng=0)
    longer = Longer(task, options.length - task.n_steps)
    model = SequenceModel("lstm", task.n_channels, options.units, task.n_outputs, rng=0)
    inputs = torch.randn(10, 100, task.n_channels, generator=torch.Generator().manual_seed(0))
    epochs, steps = [], []
    with tempfile.TemporaryDirectory() as folder:
        monitor = LyapunovMonitor(model, inputs, submodule="core", n_transient=10, path=f"{folder}/rows.jsonl")
        monitor.step(0)  # what a process does once
        begun = time.process_time()

        def after_epoch(row: dict[str, Any]) -> None:
            nonlocal begun
            ended = time.process_time()
            epochs.append(ended - begun)
            monitor.step(row["epoch"], loss=row["loss"])
            begun = time.process_time()
            steps.append(begun - ended)

        train(model, longer, n_epochs=options.epochs, learning_rate=0.01, n_threads=1, after_epoch=after_epoch)
        failed = [message for message in monitor.dataset.message.values if message]
    epoch, step = np.median(epochs[1:]), np.median(steps[1:])
    print(f"LSTM-{options.units}, batch 10, T = 100, k = 16: a step takes {1e3 * step:.1f} ms of processor time")
    print(f"an epoch of {len(task.train.targets)} digits of {options.length} steps takes {1e3 * epoch:.0f} ms")
    print(f"share: {100 * step / epoch:.1f} % (steps {1e3 * min(steps):.1f} to {1e3 * max(steps):.1f} ms)")
    for dtype in (torch.float32, torch.float64):
        seconds, rate = products_alone(options.units, dtype)
        share = 100 * seconds / epoch
        print(f"products alone, {str(dtype)[6:]}: {1e3 * seconds:.1f} ms, {rate:.0f} GFLOP/s, {share:.1f} %")
    print(f"{len(failed)} epochs failed")


if __name__ == "__main__":
    main()
