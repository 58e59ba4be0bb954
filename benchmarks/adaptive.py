"""Adaptive units at the size of a paper: a step of the leading exponents of the full state, its memory; gamma in torch.

400 units with 50 controller states each have a state of 20,400 numbers, whose Jacobian is never formed.
"""

from __future__ import annotations

import argparse
import inspect

import numpy as np
import torch

import dynet
from dynet.torch.gamma import Gamma
from process_cases import LINUX
from timing import Alternated, Row, Side, agree, figure, in_process, missing, use_one_thread


def network(H: int, G: int) -> dynet.Map:
    random = np.random.default_rng(0)
    return dynet.networks.adaptive_rnn(
        np.linalg.qr(random.standard_normal((H, H)))[0],
        0.1 * random.standard_normal((H, 1)),
        W_ag=0.2 * random.standard_normal(G),
        W_gg=0.9 * np.linalg.qr(random.standard_normal((G, G)))[0],
        W_gn=0.05 * random.standard_normal(G),
        b_n=5.0,
        W_gs=0.01 * random.standard_normal(G),
        b_s=0.3,
    )


MEMORY = f"""
from __future__ import annotations
import re, sys
from pathlib import Path
import numpy as np
import dynet

{inspect.getsource(network)}

def mebibytes(name):
    return int(re.search(name + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

H, G, k, n_steps = map(int, sys.argv[1:])
inputs = np.random.default_rng(1).standard_normal((n_steps, 1))
dynet.lyapunov_spectrum(network(4, 3), None, n_steps, inputs=inputs, n_exponents=2)
Path("/proc/self/clear_refs").write_text("5")  # what imports needed for a moment does not count
before = mebibytes("VmRSS")
dynet.lyapunov_spectrum(network(H, G), None, n_steps, inputs=inputs, n_exponents=k)
print(mebibytes("VmHWM") - before)
"""


def small_case() -> None:
    """Compare with a loop of dense matrices, whose times mean nothing."""
    system = network(8, 5)
    inputs = np.random.default_rng(1).standard_normal((80, 1))
    found = dynet.lyapunov_spectrum(system, None, 80, inputs=inputs, n_exponents=6)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((48, 6)))[0]
    x, growth = np.zeros(48), np.zeros(6)
    for u in inputs:
        J = system.jac(0.0, x, u, system.params).assemble()
        x = system.step(0.0, x, u, system.params)
        Q, R = np.linalg.qr(J @ Q)
        growth += np.log(np.abs(R.diagonal()))
    agree("leading exponents of 8 adaptive units", found.lyapunov_exponent, growth / 80, 1e-9)


def step_case(H: int, G: int, k: int, n_steps: int, repetitions: int) -> list[Row]:
    """Time of a step beside the limit, and beside what numpy takes to factor the frame alone."""
    system = network(H, G)
    inputs = np.random.default_rng(1).standard_normal((n_steps, 1))

    def run(steps: int) -> None:
        dynet.lyapunov_spectrum(system, None, steps, inputs=inputs[:steps], n_exponents=k, check=False)

    V = np.linalg.qr(np.random.default_rng(2).standard_normal((H * (1 + G), k)))[0]

    def numpy_qr() -> None:
        for _ in range(5):
            np.linalg.qr(V)

    sides = {
        "dynet": Side(lambda: run(n_steps), n_steps - 1, lambda: run(1)),
        "numpy's QR of the frame alone": Side(numpy_qr, 5),
    }
    turns = Alternated(sides, repetitions)
    case = f"{H} units x {G} controller states, {k} exponents, a step"
    milliseconds = 1e3 * turns.median("dynet")
    return [
        figure("adaptive", case, milliseconds, 6.0, "ms"),
        turns.row("adaptive", case, "numpy's QR of the frame alone", ("ms", 1e3)),
    ]


def memory_case(H: int, G: int, k: int, n_steps: int) -> Row:
    case = f"{H} units x {G} controller states, {k} exponents: peak memory above the imports"
    if not LINUX:
        return missing("adaptive", case, "limit", "MiB", 1.0, "", "read from Linux' /proc")
    added = in_process(MEMORY, str(H), str(G), str(k), str(n_steps))[0]
    return figure("adaptive", case, added * 2**20 / 1e6, 200.0, "MB")


def gamma_case(batch: int, H: int, repetitions: int) -> list[Row]:
    """Forward and backward of gamma with trainable n and s beside softplus + sigmoid of the same tensor."""
    rows = []
    ones = torch.ones(batch, H)
    for name in ("shared n and s, not trained", "n and s of each unit, trained"):
        x = torch.randn(batch, H, requires_grad=True)
        trained = name.endswith(", trained")
        n, s = (torch.full((H,) if trained else (), value, requires_grad=trained) for value in (5.0, 0.3))

        def ours(x: torch.Tensor = x, n: torch.Tensor = n, s: torch.Tensor = s) -> None:
            for _ in range(20):
                Gamma.apply(x, n, s).backward(ones)

        def theirs(x: torch.Tensor = x) -> None:
            for _ in range(20):
                (torch.nn.functional.softplus(x) + torch.sigmoid(x)).backward(ones)

        turns = Alternated({"dynet": Side(ours, 20), "softplus + sigmoid": Side(theirs, 20)}, repetitions)
        case = f"gamma forward + backward, {batch} x {H}, {name}"
        rows.append(turns.row("adaptive", case, "softplus + sigmoid", ("us", 1e6), limit=3.0))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=400)
    parser.add_argument("--states", type=int, default=50)
    parser.add_argument("--exponents", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    use_one_thread()
    small_case()
    H, G, k = options.units, options.states, options.exponents
    rows = step_case(H, G, k, options.steps, options.repetitions)
    rows.append(memory_case(H, G, k, options.steps))
    rows += gamma_case(256, H, options.repetitions)
    print("case | dynet | beside | ratio | must reach")
    for row in rows:
        beside = f"{row.peer:.3g} {row.unit} ({row.against})"
        verdict = "" if row.ok is None else " yes" if row.ok else " NO"
        print(f"{row.case} | {row.dynet:.3g} {row.unit} | {beside} | {row.ratio:.2f} | {row.must_reach}{verdict}")


if __name__ == "__main__":
    main()
