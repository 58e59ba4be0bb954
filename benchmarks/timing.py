"""What benchmarks share: sides that take turns, rows of a table, one BLAS thread, and what machine it was."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

#: What a process of its own is started with.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_PACKAGES = ("dynet-analysis", "numpy", "scipy", "numba", "torch", "pynamicalsys", "lyapynov")


@dataclass(frozen=True)
class Side:
    """One way to the numbers: ``run()`` takes ``steps`` steps; ``setup()`` is what it spends before the first.

    A side with a setup is charged for the difference of the two, which is what a further step costs. The clock
    counts the processor seconds of the process, all of its threads together, so that other work on the machine
    disturbs little; what runs in parallel or on another device is given `time.perf_counter`.
    """

    run: Callable[[], object]
    steps: float
    setup: Callable[[], object] | None = None
    clock: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Row:
    """One line of the table: dynet beside a peer, or beside a figure it must reach (``against`` is then "limit")."""

    group: str
    case: str
    dynet: float | None
    peer: float | None
    against: str
    unit: str
    ratio: float | None
    limit: float | None = None
    must_reach: str = ""
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the limit is reached; None without a limit or a figure."""
        return None if self.limit is None or self.ratio is None else bool(self.ratio <= self.limit)


class Alternated:
    """Seconds a step of several sides, measured in turns."""

    def __init__(self, sides: Mapping[str, Side], repetitions: int) -> None:
        self._seconds: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            (side.setup or side.run)()  # what is compiled or loaded on first use
        for _ in range(repetitions):
            for name, side in sides.items():
                self._seconds[name].append(seconds(side))

    def __contains__(self, name: str) -> bool:
        return name in self._seconds

    def seconds(self, name: str) -> np.ndarray:
        """Return the seconds a step of a side in every turn."""
        return np.array(self._seconds[name])

    def median(self, name: str) -> float:
        """Return the median seconds a step of a side."""
        return float(np.median(self._seconds[name]))

    def row(
        self,
        group: str,
        case: str,
        against: str,
        unit: tuple[str, float],
        *,
        limit: float | None = None,
        must_reach: str | None = None,
        ours: str = "dynet",
        note: str = "",
    ) -> Row:
        """Return the row of one side against another; ``unit`` is a name and how many of it make a second."""
        name, scale = unit
        words = must_reach if must_reach is not None else ratio_words(limit)
        if against not in self:
            return missing(group, case, against, name, limit, words, f"{against} is not installed")
        a, b = self.median(ours) * scale, self.median(against) * scale
        # the median of the ratios within one turn: what slows the machine down slows both sides
        ratio = float(np.median(self.seconds(ours) / self.seconds(against)))
        return Row(group, case, a, b, against, name, ratio, limit, words, note)


def seconds(side: Side) -> float:
    """Return the seconds a step of one run of a side."""
    before = _timed(side.setup, side.clock) if side.setup is not None else 0.0
    return (_timed(side.run, side.clock) - before) / side.steps


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def figure(group: str, case: str, value: float, limit: float | None, unit: str, note: str = "") -> Row:
    """Return the row of a figure that has to stay below another one."""
    if limit is None:
        return Row(group, case, value, None, "", unit, None, note=note)
    return Row(group, case, value, limit, "limit", unit, value / limit, 1.0, f"<= {limit:.4g} {unit}", note)


def missing(group: str, case: str, against: str, unit: str, limit: float | None, must_reach: str, why: str) -> Row:
    """Return the row of something that could not be measured here."""
    return Row(group, case, None, None, against, unit, None, limit, must_reach, f"not available: {why}")


def ratio_words(limit: float | None) -> str:
    """Return a limit of a ratio in words."""
    if limit is None:
        return ""
    return f"<= {limit:g}x" if limit >= 0.5 else f"{1 / limit:g}x faster"


def agree(what: str, ours: object, theirs: object, tolerance: object) -> None:
    """Stop the benchmark if two sides did not compute the same: their times would mean nothing."""
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    excess = np.abs(a - b) - np.asarray(tolerance, dtype=float)
    if not (excess <= 0).all():
        worst = np.unravel_index(np.argmax(excess), excess.shape)
        pair = [np.broadcast_to(side, excess.shape)[worst] for side in (a, b)]
        raise SystemExit(f"{what}: the two sides disagree, by {pair[0]} against {pair[1]} at {worst}")


def use_one_thread() -> None:
    """Give every BLAS that is loaded, and torch, one thread; call it after the imports."""
    threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def in_process(program: str, *arguments: str, **environment: str) -> list[float]:
    """Return the numbers that a program prints, run by a fresh interpreter with one BLAS thread."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": path, **environment},
    )
    if done.returncode:
        raise SystemExit(f"a measuring process failed:\n{done.stderr}")
    return [float(word) for word in done.stdout.split()]


def machine() -> dict[str, object]:
    """Return what the figures belong to: processor, cores and versions."""
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": CORES,
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
