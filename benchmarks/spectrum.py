"""Speed and memory of spectra as ratios to a peer in the same run: `python benchmarks/spectrum.py`.

Each ratio is the median over repetitions in which both sides take turns, with one BLAS thread. The table is
printed and written to `benchmarks/results/spectrum.json`.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import json  # noqa: E402
import platform  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

import dynet  # noqa: E402


@njit(error_model="numpy")
def henon_by_hand(x: float, y: float, a: float, b: float, n_steps: int) -> tuple[float, float]:
    """Hénon with Gram-Schmidt in every step, written out: the best that numba does."""
    q00, q10, q01, q11 = 1.0, 0.0, 0.0, 1.0
    first, second = 0.0, 0.0
    for _ in range(n_steps):
        slope = -2 * a * x
        x, y = 1 - a * x * x + y, b * x
        v00, v10 = slope * q00 + q10, b * q00
        v01, v11 = slope * q01 + q11, b * q01
        length = np.sqrt(v00 * v00 + v10 * v10)
        q00, q10 = v00 / length, v10 / length
        overlap = q00 * v01 + q10 * v11
        v01, v11 = v01 - overlap * q00, v11 - overlap * q10
        width = np.sqrt(v01 * v01 + v11 * v11)
        q01, q11 = v01 / width, v11 / width
        first += np.log(length)
        second += np.log(width)
    return first / n_steps, second / n_steps


@njit
def array_step(t, x, u, p):
    out = np.empty(2)
    out[0] = 1 - p[0] * x[0] * x[0] + x[1]
    out[1] = p[1] * x[0]
    return out


@njit
def array_jac(t, x, u, p):
    J = np.empty((2, 2))
    J[0, 0], J[0, 1] = -2 * p[0] * x[0], 1.0
    J[1, 0], J[1, 1] = p[1], 0.0
    return J


@njit
def literal_step(t, x, u, p):
    return np.array([1 - p[0] * x[0] * x[0] + x[1], p[1] * x[0]])


@njit
def literal_jac(t, x, u, p):
    return np.array([[-2 * p[0] * x[0], 1.0], [p[1], 0.0]])


def numpy_loop(W: np.ndarray, x: np.ndarray, n_steps: int) -> np.ndarray:
    """The loop that everybody writes first: dense Jacobian, np.linalg.qr in every step."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal(W.shape))[0]
    total = np.zeros(len(x))
    for _ in range(n_steps):
        x = np.tanh(W @ x)
        Q, R = np.linalg.qr(((1 - x**2)[:, None] * W) @ Q)
        total += np.log(np.abs(R.diagonal()))
    return total / n_steps


def ratio(ours: Callable[[], object], peer: Callable[[], object], repetitions: int) -> tuple[float, float, float]:
    """Return median seconds of both sides and the median of their pairwise ratios."""
    ours(), peer()
    pairs = []
    for _ in range(repetitions):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        peer()
        pairs.append((middle - start, time.perf_counter() - middle))
    times = np.array(pairs)
    a, b = np.median(times, axis=0)
    return float(a), float(b), float(np.median(times[:, 0] / times[:, 1]))


def henon_cases(n_steps: int = 1_000_000) -> list[dict[str, object]]:
    params = (1.4, 0.3)
    systems = {
        "tuples": dynet.zoo.henon(),
        "arrays (np.empty)": dynet.Map(array_step, array_jac, params=params),
        "arrays (np.array of lists)": dynet.Map(literal_step, literal_jac, params=params),
    }
    rows = []
    for name, system in systems.items():
        a, b, r = ratio(
            lambda system=system: dynet.lyapunov_spectrum(system, [0.1, 0.1], n_steps, qr_interval=1),
            lambda: henon_by_hand(0.1, 0.1, 1.4, 0.3, n_steps),
            7,
        )
        unit = 1e9 / n_steps
        rows.append(row(f"Hénon, QR every step, {name}", a * unit, b * unit, "ns / step", r, "numba loop by hand"))
    return rows


def network_case(n: int = 512, n_steps: int = 100) -> dict[str, object]:
    W = np.random.default_rng(1).normal(0, 1.5 / np.sqrt(n), (n, n))
    x0 = np.random.default_rng(2).standard_normal(n)
    system = dynet.networks.tanh_rnn(W)
    a, b, r = ratio(
        lambda: dynet.lyapunov_spectrum(system, x0, n_steps, check=False), lambda: numpy_loop(W, x0, n_steps), 5
    )
    unit = 1e3 / n_steps
    return row(f"tanh RNN, N = {n}, full spectrum", a * unit, b * unit, "ms / step", r, "numpy loop, np.linalg.qr")


MEMORY_PROGRAM = """
import resource
import numpy as np
import dynet
n = 128
rng = np.random.default_rng(0)
system = dynet.networks.lstm(rng.normal(0, 0.1, (4 * n, n)), rng.normal(0, 0.1, (4 * n, 8)))
ds = dynet.lyapunov_spectrum(system, None, 100, inputs=rng.normal(size=(10, 100, 8)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def memory_case() -> dict[str, object]:
    peak = float(
        subprocess.run([sys.executable, "-c", MEMORY_PROGRAM], capture_output=True, text=True, check=True).stdout
    )
    return row("LSTM, 128 units, batch 10, T = 100, full state", peak, 500.0, "MB peak", peak / 500, "limit 500 MB")


def row(case: str, ours: float, peer: float, unit: str, r: float, against: str) -> dict[str, object]:
    return {"case": case, "dynet": ours, "peer": peer, "unit": unit, "ratio": r, "against": against}


def main() -> None:
    rows = [*henon_cases(), network_case(), memory_case()]
    width = max(len(str(r["case"])) for r in rows)
    print(f"{'case':<{width}}  {'dynet':>9}  {'peer':>9}  {'unit':<9}  {'ratio':>6}  against")
    for r in rows:
        numbers = f"{r['dynet']:>9.4g}  {r['peer']:>9.4g}  {r['unit']:<9}  {r['ratio']:>6.3g}"
        print(f"{r['case']:<{width}}  {numbers}  {r['against']}")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    about = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    (folder / "spectrum.json").write_text(json.dumps({"machine": about, "cases": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
