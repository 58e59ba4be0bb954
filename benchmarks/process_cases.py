"""What only a process of its own can show: import, compilation on first use, and memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from timing import Row, figure, in_process, missing

LINUX = Path("/proc/self/clear_refs").exists()

IMPORT = """
import time
start = time.process_time()
import numpy, dynet
print(time.process_time() - start)
"""

FIRST_CALL = """
import time
import dynet
start = time.process_time()
dynet.lyapunov_spectrum(dynet.zoo.{system}, [0.1] * {n}, 1_000)
print(time.process_time() - start)
"""

MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
import dynet

def mebibytes(name):
    return int(re.search(name + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

n, k, n_steps = map(int, sys.argv[1:])
W = np.random.default_rng(1).normal(0, 1.5 / np.sqrt(n), (n, n))
x0 = np.random.default_rng(2).standard_normal(n)
system = dynet.networks.tanh_rnn(W)
dynet.lyapunov_spectrum(dynet.networks.tanh_rnn(W[:32, :32]), x0[:32], 20)
Path("/proc/self/clear_refs").write_text("5")  # what imports needed for a moment does not count
before = mebibytes("VmRSS")
dynet.lyapunov_spectrum(system, x0, n_steps, n_exponents=k)
print(mebibytes("VmHWM") - before)
"""

LSTM_BATCH = """
import re
from pathlib import Path
import numpy as np
import dynet
n = 128
rng = np.random.default_rng(0)
system = dynet.networks.lstm(rng.normal(0, 0.1, (4 * n, n)), rng.normal(0, 0.1, (4 * n, 8)))
dynet.lyapunov_spectrum(system, None, 100, inputs=rng.normal(size=(10, 100, 8)))
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def start() -> Iterator[Row]:
    """Import, and the first call of a process: it compiles what no earlier process has left on disk."""
    seconds = float(np.median([in_process(IMPORT)[0] for _ in range(7)]))
    yield figure("start", "import numpy, dynet", seconds, 0.2, "s")
    for name, system, n in (("Hénon", "henon()", 2), ("Lorenz-63 RK4", "lorenz63().to_map(0.01)", 3)):
        program = FIRST_CALL.format(system=system, n=n)
        with tempfile.TemporaryDirectory(prefix="dynet-benchmarks-") as folder:
            empty = in_process(program, NUMBA_CACHE_DIR=folder)[0]
            filled = in_process(program, NUMBA_CACHE_DIR=folder)[0]
        yield figure("start", f"{name}, first call, nothing compiled before", empty, None, "s")
        yield figure("start", f"{name}, first call of a later process", filled, None, "s")


def memory() -> Iterator[Row]:
    """Peak memory that a run adds: frames and weights, O(N k + N^2), and nothing that grows with the steps."""

    def added(n: int, k: int, n_steps: int) -> float:
        return in_process(MEMORY, str(n), str(k), str(n_steps))[0]

    if not LINUX:
        yield missing("memory", "peak memory", "limit", "MiB", 1.0, "", "read from Linux' /proc")
        return
    n, k, few, many = 1024, 8, 100, 3_000
    growth = max(added(n, k, many) - added(n, k, few), 0.0)
    trajectory = n * (many - few) * 8 / 2**20
    case = f"peak memory, N = {n}, k = {k}: growth from {few} to {many} steps"
    yield figure("memory", case, growth, 0.1 * trajectory, "MiB", f"the states alone: {trajectory:.0f} MiB")
    small, large = added(512, 512, 20), added(1024, 1024, 20)
    yield figure("memory", "peak memory of a run, N = 1024 over N = 512, full", large / small, 4.4, "x")
    yield figure("memory", "peak memory of a run, N = 1024, full", large * 2**20 / (8 * n * n), None, "N x N matrices")
    case = "LSTM, 128 units, batch 10, 100 steps, full: whole process"
    yield figure("memory", case, in_process(LSTM_BATCH)[0], 500.0, "MiB")
