"""Does gradient flossing lengthen the horizon of a delayed copy? Paired over seeds, with and without, as measured.

A tanh network reads random bits and names, at every step, the bit of ``delay`` steps before. Each seed fixes weights,
bits and the order of training. Sides: training alone; flossing (Adam on `flossing_loss` of the leading exponents)
before the same training; as many flossing steps during it, evenly among its steps; half of them before and half during;
and training alone for as much processor time as the dearest of these took, since flossing takes time too.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from dynet.torch import flossing_loss, lyapunov_exponents

#: Which part of the flossing steps comes before the training; None: there is none.
SIDES = {"plain": None, "before": 1.0, "during": 0.0, "both": 0.5, "equal": None}
RIGHT = 0.75  # a bit is held when it is named rightly so often, halfway between chance and always


class Copier(nn.Module):
    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, n_units, batch_first=True)
        self.head = nn.Linear(n_units, 1)

    def forward(self, bits: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(bits)[0])[..., 0]


def bits(n_sequences: int, n_steps: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 2, (n_sequences, n_steps, 1), generator=generator).float() * 2 - 1


class Flossing:
    """Draws the leading exponents of a model to zero, one step of Adam at a time."""

    def __init__(self, model: Copier, n_exponents: int, generator: torch.Generator) -> None:
        self.model, self.n_exponents, self.generator = model, n_exponents, generator
        self.optimizer = torch.optim.Adam(model.rnn.parameters(), lr=1e-3)
        self.largest: list[float] = []

    def step(self) -> None:
        exponents = lyapunov_exponents(
            self.model,
            None,
            submodule="rnn",
            inputs=bits(4, 40, self.generator),
            n_exponents=self.n_exponents,
            n_transient=10,
            qr_interval=5,
            check=False,
        )
        self.largest.append(float(exponents.detach().max()))
        self.optimizer.zero_grad()
        flossing_loss(exponents).backward()
        self.optimizer.step()


def train(
    model: Copier, delay: int, n_steps: int, generator: torch.Generator, flossing: Flossing, n_floss: int, until: float
) -> int:
    """Train with so many flossing steps among those of training, or on until a processor time; return the steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    taken = 0
    while taken < n_steps or time.process_time() < until:
        if (taken + 1) * n_floss // n_steps > taken * n_floss // n_steps and taken < n_steps:
            flossing.step()
        given = bits(32, delay + 20, generator)
        loss = loss_of(model, given, delay)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        taken += 1
    return taken


def loss_of(model: Copier, given: torch.Tensor, delay: int) -> torch.Tensor:
    wanted = (given[:, :-delay, 0] + 1) / 2
    return nn.functional.binary_cross_entropy_with_logits(model(given)[:, delay:], wanted)


def one(seed: int, delay: int, side: str, seconds: float, options: argparse.Namespace) -> dict[str, float]:
    torch.manual_seed(seed)
    model = Copier(options.units)
    flossing = Flossing(model, options.exponents, torch.Generator().manual_seed(10_000 + seed))
    share, begun = SIDES[side], time.process_time()
    before = 0 if share is None else round(share * options.floss)
    during = 0 if share is None else options.floss - before
    for _ in range(before):
        flossing.step()
    until = begun + seconds if side == "equal" else 0.0
    steps = train(model, delay, options.steps, torch.Generator().manual_seed(seed), flossing, during, until)
    spent = time.process_time() - begun
    with torch.no_grad():
        given = bits(200, delay + 20, torch.Generator().manual_seed(20_000 + seed))
        loss = float(loss_of(model, given, delay))
        right = float(((model(given)[:, delay:] > 0) == (given[:, :-delay, 0] > 0)).float().mean())
    largest = flossing.largest or [np.nan]
    return {
        "loss": loss, "right": right, "first": largest[0], "last": largest[-1], "steps": steps, "seconds": spent,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--delays", type=int, nargs="+", default=[16, 24])
    parser.add_argument("--steps", type=int, default=200, help="steps of training (%(default)s)")
    parser.add_argument("--floss", type=int, default=40, help="steps of flossing (%(default)s)")
    parser.add_argument("--exponents", type=int, default=24, help="exponents drawn to zero (%(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file for all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept: list[dict[str, Any]] = []
    print(f"share named rightly (seeds that hold the bit, of {options.seeds}); loss less that of equal cost, paired t")
    print(f"delay | {' | '.join(SIDES)} | before - equal [95 %], p | during - equal | both - equal")
    for delay in options.delays:
        rows: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for seed in range(options.seeds):
            seconds = 0.0
            for side in SIDES:
                row = one(seed, delay, side, seconds, options)
                seconds = max(seconds, row["seconds"])
                rows[side].append(row)
                kept.append({"delay": delay, "seed": seed, "side": side, **row})
        loss, right = ({s: np.array([row[name] for row in rows[s]]) for s in SIDES} for name in ("loss", "right"))
        shares = (f"{right[s].mean():.3f} ± {stats.sem(right[s]):.3f} ({(right[s] > RIGHT).sum()})" for s in SIDES)
        against = (difference(loss[side], loss["equal"]) for side in ("before", "during", "both"))
        print(f"{delay} | {' | '.join(shares)} | {' | '.join(against)}", flush=True)
    of = {s: [row for row in kept if row["side"] == s] for s in SIDES}
    for side in ("before", "during", "both"):
        first, last = (np.mean([row[name] for row in of[side]]) for name in ("first", "last"))
        print(f"{side}: largest exponent {first:+.3f} at the first flossing step, {last:+.3f} at the last")
    print("processor seconds a run:", ", ".join(f"{s} {np.mean([row['seconds'] for row in of[s]]):.1f}" for s in SIDES))
    print(f"steps of equal cost: {np.mean([row['steps'] for row in of['equal']]):.0f} instead of {options.steps}")
    if options.out is not None:
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def difference(a: np.ndarray, b: np.ndarray) -> str:
    """Return the mean of paired differences with its interval and p."""
    test = stats.ttest_rel(a, b)
    low, high = test.confidence_interval(0.95)
    return f"{(a - b).mean():+.3f} [{low:+.3f}, {high:+.3f}], {test.pvalue:.2g}"


if __name__ == "__main__":
    main()
