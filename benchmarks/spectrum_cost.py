"""What the spectrum of an LSTM costs beside its training, in the settings of Vogt et al. (2022).

One layer of 512 units without biases reads characters of an alphabet of 82. A training iteration is a batch of 100
sequences of 100 steps with Adam; a spectrum is that of 10 sequences of 100 steps. Both run on one thread, in turns in
one process, and are counted in processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import dynet
from dynet.torch import SequenceModel

LETTERS, UNITS, STEPS = 82, 512, 100
#: Most iterations that a spectrum may cost.
LIMITS = {"hidden": 15.0, "full": 60.0}


def processor_time(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns that are taken (%(default)s)")
    parser.add_argument("--sequences", type=int, default=10, help="sequences of a spectrum (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    core = torch.nn.LSTM(LETTERS, UNITS, bias=False, batch_first=True)
    one_hot = torch.nn.Embedding.from_pretrained(torch.eye(LETTERS))
    model = SequenceModel(core, LETTERS, UNITS, LETTERS, every_step=True, encoder=one_hot)
    optimizer = torch.optim.Adam(core.parameters())
    text = torch.randint(LETTERS, (100, STEPS + 1))

    def iteration() -> None:
        optimizer.zero_grad()
        outputs = model(text[:, :-1])
        torch.nn.functional.cross_entropy(outputs.flatten(0, 1), text[:, 1:].flatten()).backward()
        optimizer.step()

    def spectrum(state: str) -> None:
        system = dynet.torch.from_module(
            model, submodule="core", encode=model.encoder, state=state, dtype=torch.float64
        )
        dynet.lyapunov_spectrum(system, None, STEPS, inputs=text[: options.sequences, :STEPS])

    sides: dict[str, Callable[[], None]] = {"iteration": iteration}
    for name in LIMITS:
        sides[name] = lambda name=name: spectrum(name)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    model.eval()
    iteration()
    with threadpool_limits(1):
        for _ in range(options.rounds):
            for name, work in sides.items():
                seconds[name].append(processor_time(work))
    unit = float(np.median(seconds["iteration"]))
    print(f"a training iteration: {unit:.2f} s (median of {options.rounds}, one thread)")
    for name, limit in LIMITS.items():
        cost = float(np.median(seconds[name]))
        print(f"spectrum, {name} state: {cost:.1f} s = {cost / unit:.1f} iterations (limit {limit:g})")


if __name__ == "__main__":
    main()
