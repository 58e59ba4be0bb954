"""What `dynet.sweep` spends on a call beyond the function itself, beside plain loops and pools in the same run.

The function returns one number at once, so that all of the time is overhead. Processor milliseconds a call of this
process, all of its threads together; on the cluster the clock on the wall, with what the scheduler takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import dynet

#: Milliseconds a call that threads may take.
LIMIT = 5.0


def number(a: float, b: float, rng: np.random.Generator) -> float:
    return a + b + rng.standard_normal()


def several(a: float, b: float, rng: np.random.Generator) -> dict[str, float]:
    return {f"value_{i}": a + b + rng.standard_normal() for i in range(8)}


def by_hand(points: list[dict[str, float]]) -> list[float]:
    """A loop with a generator for each call."""
    children = np.random.SeedSequence(0).spawn(len(points))
    return [number(**point, rng=np.random.default_rng(child)) for point, child in zip(points, children, strict=True)]


def pool(points: list[dict[str, float]]) -> list[float]:
    """The same in a pool of two threads."""
    children = np.random.SeedSequence(0).spawn(len(points))
    with ThreadPoolExecutor(2) as threads:
        return list(
            threads.map(
                lambda pair: number(**pair[0], rng=np.random.default_rng(pair[1])), zip(points, children, strict=True)
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls of a sweep (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every side (%(default)s)")
    parser.add_argument("--cluster", action="store_true", help="also a LocalCluster of two processes")
    options = parser.parse_args()
    n = max(1, options.calls // 25)
    grid = {"a": np.arange(n, dtype=float), "b": np.arange(25.0)}
    points = [{"a": float(a), "b": float(b)} for a in grid["a"] for b in grid["b"]]
    folder = tempfile.TemporaryDirectory()
    numbers = iter(range(10**6))

    def swept(function: Callable[..., Any] = number, stored: bool = False, **arguments: Any) -> Callable[[], Any]:
        def run() -> Any:
            store = Path(folder.name) / str(next(numbers)) if stored else None
            return dynet.sweep(function, grid, store=store, progress=False, **arguments)

        return run

    sides: dict[str, tuple[Callable[[], Any], Callable[[], float], float | None]] = {
        "a loop by hand": (lambda: by_hand(points), time.process_time, None),
        "a pool of 2 threads by hand": (lambda: pool(points), time.process_time, None),
        "sweep, serial": (swept(), time.process_time, None),
        "sweep, 2 threads": (swept(client=2), time.process_time, LIMIT),
        "sweep, 2 threads, store": (swept(client=2, stored=True), time.process_time, LIMIT),
        "sweep, 2 threads, store, 8 variables": (swept(several, True, client=2), time.process_time, None),
    }
    cluster = None
    if options.cluster:
        from distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
        sides["sweep, LocalCluster of 2 processes"] = (swept(client=Client(cluster)), time.perf_counter, None)
    times: dict[str, list[float]] = {name: [] for name in sides}
    dynet.sweep(number, {"a": [0.0], "b": [0.0]}, progress=False)  # what a process imports once
    for _ in range(options.rounds):
        for name, (run, clock, _) in sides.items():
            begun = clock()
            run()
            times[name].append(1e3 * (clock() - begun) / len(points))
    reference = np.median(times["a loop by hand"])
    print(f"{len(points)} calls, median of {options.rounds} rounds\n")
    print(f"{'':40s}{'ms a call':>10s}{'of the loop':>13s}{'limit':>8s}")
    for name, values in times.items():
        limit = sides[name][2]
        median = np.median(values)
        mark = "" if limit is None else f"{limit:8.1f}" + ("" if median <= limit else "  NOT REACHED")
        print(f"{name:40s}{median:10.3f}{median / reference:12.1f}x{mark}")
    folder.cleanup()
    if cluster is not None:
        cluster.close()


if __name__ == "__main__":
    main()
