"""Covariant vectors beside the spectrum alone: the time of a run, and the memory of a step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import dynet
from process_cases import LINUX
from timing import Alternated, Row, Side, agree, figure, in_process, missing

MS = ("ms / step", 1e3)
N, K, STEPS, SETTLE = 200, 50, 2_000, 100

MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
import dynet

def mebibytes(name):
    return int(re.search(name + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

n, k, n_steps, every = map(int, sys.argv[1:])
system = dynet.networks.random_tanh(n, 2.0, rng=1)
x0 = np.random.default_rng(2).standard_normal(n)
dynet.covariant_vectors(system, x0, 20, n_exponents=k)
Path("/proc/self/clear_refs").write_text("5")  # what imports needed for a moment does not count
before = mebibytes("VmRSS")
dynet.covariant_vectors(system, x0, n_steps, n_exponents=k, every=every)
print(mebibytes("VmHWM") - before)
"""


def covariant() -> Iterator[Row]:
    """Vectors of every step against the spectrum alone, and what a step adds to the memory."""
    system = dynet.networks.random_tanh(N, 2.0, rng=1)
    x0 = np.random.default_rng(2).standard_normal(N)
    options = {"n_exponents": K, "n_transient": SETTLE}
    found = dynet.covariant_vectors(system, x0, 200, **options)
    agree(
        "covariant vectors, spectrum",
        found.frame_exponent,
        dynet.lyapunov_spectrum(system, x0, 200, **options).lyapunov_exponent,
        1e-8,
    )
    agree("covariant vectors, J v and the next v", found.invariance_residual, 0.0, 1e-8)
    sides = {
        "dynet": Side(lambda: dynet.covariant_vectors(system, x0, STEPS, **options), STEPS),
        "spectrum": Side(lambda: dynet.lyapunov_spectrum(system, x0, STEPS, **options), STEPS),
        "every 20": Side(lambda: dynet.covariant_vectors(system, x0, STEPS, every=20, **options), STEPS),
    }
    times = Alternated(sides, 3)
    case = f"tanh RNN, N = {N}, {K} covariant vectors"
    yield times.row("covariant", f"{case} of every step", "spectrum", MS, limit=3.0)
    yield times.row("covariant", f"{case} of every 20th step", "spectrum", MS, limit=3.0, ours="every 20")

    if not LINUX:
        yield missing("covariant", "memory of a step", "limit", "k x k matrices", 1.0, "", "read from Linux' /proc")
        return
    few, many = 500, 1_500

    def added(n: int, n_steps: int) -> float:
        return in_process(MEMORY, str(n), str(K), str(n_steps), str(n_steps))[0]

    for n in (N, 2 * N):
        matrices = (added(n, many) - added(n, few)) * 2**20 / (many - few) / (8 * K * K)
        case = f"memory of a step without vectors, N = {n}, k = {K}"
        yield figure("covariant", case, matrices, 2.0, "k x k matrices")
