"""Does gradient flossing lengthen the horizon of a delayed copy? Paired over seeds, with and without, as measured.

A tanh network reads random bits and names, at every step, the bit of ``delay`` steps before. Each seed fixes weights,
bits and the order of training. Sides: training alone, flossing (Adam on `flossing_loss` of the leading exponents)
before the same training, and training alone for ``--longer`` times as many steps, since flossing takes time too.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import nn

from dynet.torch import flossing_loss, lyapunov_exponents

SIDES = ("plain", "longer", "flossed")
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


def floss(model: Copier, n_steps: int, n_exponents: int, generator: torch.Generator) -> list[float]:
    """Draw the leading exponents to zero; return the largest before and after."""
    optimizer = torch.optim.Adam(model.rnn.parameters(), lr=1e-3)
    largest = []
    for _ in range(n_steps):
        exponents = lyapunov_exponents(
            model,
            None,
            submodule="rnn",
            inputs=bits(4, 40, generator),
            n_exponents=n_exponents,
            n_transient=10,
            qr_interval=5,
            check=False,
        )
        largest.append(float(exponents.detach().max()))
        optimizer.zero_grad()
        flossing_loss(exponents).backward()
        optimizer.step()
    return [largest[0], largest[-1]]


def train(model: Copier, delay: int, n_steps: int, generator: torch.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(n_steps):
        given = bits(32, delay + 20, generator)
        loss = loss_of(model, given, delay)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def loss_of(model: Copier, given: torch.Tensor, delay: int) -> torch.Tensor:
    wanted = (given[:, :-delay, 0] + 1) / 2
    return nn.functional.binary_cross_entropy_with_logits(model(given)[:, delay:], wanted)


def one(seed: int, delay: int, side: str, options: argparse.Namespace) -> dict[str, float]:
    torch.manual_seed(seed)
    model = Copier(options.units)
    begun, largest = time.process_time(), [np.nan, np.nan]
    if side == "flossed":
        largest = floss(model, options.floss, options.exponents, torch.Generator().manual_seed(10_000 + seed))
    spent = time.process_time() - begun
    n_steps = options.steps * (options.longer if side == "longer" else 1)
    train(model, delay, n_steps, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        given = bits(200, delay + 20, torch.Generator().manual_seed(20_000 + seed))
        loss = float(loss_of(model, given, delay))
        right = float(((model(given)[:, delay:] > 0) == (given[:, :-delay, 0] > 0)).float().mean())
    return {
        "loss": loss,
        "right": right,
        "before": largest[0],
        "after": largest[1],
        "flossing_s": spent,
        "total_s": time.process_time() - begun,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--delays", type=int, nargs="+", default=[5, 10, 15, 20])
    parser.add_argument("--steps", type=int, default=300, help="steps of training (%(default)s)")
    parser.add_argument("--floss", type=int, default=60, help="steps of flossing before (%(default)s)")
    parser.add_argument("--longer", type=int, default=4, help="factor of the longer training (%(default)s)")
    parser.add_argument("--exponents", type=int, default=24, help="exponents drawn to zero (%(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file for all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = []
    print("share named rightly (seeds that hold the bit, of " + f"{options.seeds}); loss flossed less plain, paired t")
    print("delay | plain | longer | flossed | difference [95 %] | p | p against longer")
    for delay in options.delays:
        rows = {side: [one(seed, delay, side, options) for seed in range(options.seeds)] for side in SIDES}
        loss, right = ({s: np.array([row[name] for row in rows[s]]) for s in SIDES} for name in ("loss", "right"))
        test, against = (stats.ttest_rel(loss["flossed"], loss[other]) for other in ("plain", "longer"))
        low, high = test.confidence_interval(0.95)
        shares = (f"{right[s].mean():.3f} ± {stats.sem(right[s]):.3f} ({(right[s] > RIGHT).sum()})" for s in SIDES)
        difference = f"{(loss['flossed'] - loss['plain']).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        print(f"{delay} | {' | '.join(shares)} | {difference} | {test.pvalue:.2g} | {against.pvalue:.2g}", flush=True)
        kept += [{"delay": delay, "seed": seed, "side": s, **row} for s in SIDES for seed, row in enumerate(rows[s])]
    of = {s: [row for row in kept if row["side"] == s] for s in SIDES}
    before, after = (np.mean([row[name] for row in of["flossed"]]) for name in ("before", "after"))
    seconds = ", ".join(f"{s} {np.mean([row['total_s'] for row in of[s]]):.1f}" for s in SIDES)
    print(f"largest exponent {before:+.3f} before flossing, {after:+.3f} after; processor seconds a run: {seconds}")
    if options.out is not None:
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
