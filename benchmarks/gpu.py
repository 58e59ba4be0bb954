"""dynet on a GPU: `python benchmarks/gpu.py`; `--device cpu --small` tries the same code without one.

LU and Householder frames of tanh RNNs whose weights live on the device, one sequence and a batch, beside the
product of a step (torch.matmul) and beside torch.linalg.qr; and the method that is parallel over time
(prefix_scan.py, which says how it differs from the paper) on recorded Jacobians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

import dynet
import prefix_scan
import results
from timing import Alternated, Row, Side, agree, figure, use_one_thread

MS = ("ms / step", 1e3)


def waiting(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return a call that is over when the device has done its work."""

    def run() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def networks(device: torch.device, sizes: tuple[int, ...], batches: tuple[int, ...], n_steps: int) -> Iterator[Row]:
    """Full spectra of tanh RNNs in float64."""
    for n in sizes:
        for batch in batches:
            generator = torch.Generator().manual_seed(0)
            W = (torch.randn(n, n, generator=generator, dtype=torch.float64) * 1.5 / np.sqrt(n)).to(device)
            x0 = torch.randn(batch, n, generator=generator, dtype=torch.float64).to(device)
            V = torch.randn(batch, n, n, generator=generator, dtype=torch.float64).to(device)
            system = dynet.networks.tanh_rnn(W)

            def spectrum(frame: str, steps: int, system: dynet.Map = system, x0: torch.Tensor = x0) -> object:
                return dynet.lyapunov_spectrum(system, x0, steps, frame=frame).lyapunov_exponent

            agree(f"tanh RNN {n}, LU and QR frames", spectrum("lu", 5), spectrum("qr", 5), 1e-8)
            sides = {
                frame: Side(
                    lambda frame=frame, spectrum=spectrum: spectrum(frame, n_steps),
                    n_steps - 1,
                    lambda frame=frame, spectrum=spectrum: spectrum(frame, 1),
                    clock=time.perf_counter,
                )
                for frame in ("lu", "qr")
            }
            sides["torch.matmul"] = Side(
                waiting(lambda W=W, V=V: torch.matmul(W, V), device), 1, clock=time.perf_counter
            )
            sides["torch.linalg.qr"] = Side(waiting(lambda V=V: torch.linalg.qr(V), device), 1, clock=time.perf_counter)
            times = Alternated(sides, 3)
            case = f"tanh RNN, N = {n}, batch {batch}, full"
            yield times.row("gpu", f"{case}, LU frames", "torch.matmul", MS, ours="lu")
            yield times.row("gpu", f"{case}, LU frames", "torch.linalg.qr", MS, ours="lu")
            yield times.row("gpu", f"{case}, QR frames", "torch.linalg.qr", MS, ours="qr")


def over_time(device: torch.device, n_steps_map: int, n_steps_network: int) -> Iterator[Row]:
    """dynet step by step, states included, beside the scan over time of Jacobians that are given to it."""
    x, y = 0.1, 0.1
    slopes = np.empty(n_steps_map)
    for step in range(n_steps_map):
        slopes[step] = -2.8 * x
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
    J = np.zeros((n_steps_map, 2, 2))
    J[:, 0, 0], J[:, 0, 1], J[:, 1, 0] = slopes, 1.0, 0.3
    yield from _beside_scan("Hénon (dynet on the CPU)", dynet.zoo.henon(), np.array([0.1, 0.1]), J, device)
    n = 32
    rng = np.random.default_rng(1)
    W, x0 = rng.normal(0, 1.5 / np.sqrt(n), (n, n)), rng.standard_normal(n)
    J, h = np.empty((n_steps_network, n, n)), x0
    for step in range(n_steps_network):
        h = np.tanh(W @ h)
        J[step] = (1 - h**2)[:, None] * W
    system = dynet.networks.tanh_rnn(torch.as_tensor(W, device=device))
    yield from _beside_scan(f"tanh RNN, N = {n}", system, torch.as_tensor(x0, device=device), J, device)


def _beside_scan(name: str, system: dynet.Map, x0: object, J: np.ndarray, device: torch.device) -> Iterator[Row]:
    n_steps, n, _ = J.shape
    tensor = torch.as_tensor(J, device=device)
    # chaos amplifies rounding: the exact exponents are those of the same Jacobians
    exact = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, n_steps, initial_frame=np.eye(n))
    difference = np.abs(prefix_scan.spectrum(tensor).cpu().numpy() - exact.lyapunov_exponent.values)
    sides = {
        "dynet": Side(lambda: dynet.lyapunov_spectrum(system, x0, n_steps), n_steps, clock=time.perf_counter),
        "prefix scan": Side(waiting(lambda: prefix_scan.spectrum(tensor), device), n_steps, clock=time.perf_counter),
    }
    yield Alternated(sides, 3).row("gpu", f"{name}, {n_steps} steps", "prefix scan", ("us / step", 1e6))
    unit = "nats / step"
    yield figure("gpu", f"{name}: error of the scan, first exponent", float(difference[0]), None, unit)
    yield figure("gpu", f"{name}: error of the scan, any exponent", float(difference.max()), None, unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="a torch device; cuda if not given")
    parser.add_argument("--small", action="store_true", help="sizes that take seconds on a CPU, to try the code")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("No CUDA GPU is at hand: nothing was measured. `--device cpu --small` tries the code without one.")
        return
    use_one_thread()
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}: no figures for a GPU")
    sizes, batches, n_steps = ((32, 64), (1, 4), 20) if arguments.small else ((512, 1024, 2048), (1, 10), 50)
    rows = [*networks(device, sizes, batches, n_steps)]
    rows += over_time(device, *((2_000, 500) if arguments.small else (100_000, 20_000)))
    print(results.text(rows))


if __name__ == "__main__":
    main()
