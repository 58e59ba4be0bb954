"""Small systems: Hénon and Lorenz, one trajectory and many."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numba import njit

import compiled_c
import dynet
import loops
from timing import CORES, Alternated, Row, Side, agree, figure, missing

A, B = 1.4, 0.3
LORENZ, DT = (10.0, 28.0, 8 / 3), 0.01
HENON_START, LORENZ_START = (0.1, 0.1), (1.0, 1.0, 20.0)
NS = ("ns / step", 1e9)
CHUNKED_NS = 35.0
#: Two estimates of a chaotic system's exponent may differ by this many standard errors of one of them.
_ERRORS_ALLOWED = 6


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


def _dynet(system: dynet.Map, x0: object, n_steps: int, **options: object) -> Side:
    """Return dynet's side: what a call costs before its first step is not counted, it has a row of its own."""
    options = {"qr_interval": 1, **options}
    return Side(
        lambda: dynet.lyapunov_spectrum(system, x0, n_steps, **options),
        n_steps - 1,
        lambda: dynet.lyapunov_spectrum(system, x0, 1, **options),
    )


def henon(n_steps: int = 2_000_000) -> Iterator[Row]:
    """One trajectory, one QR a step."""
    systems = {
        "tuples": dynet.zoo.henon(A, B),
        "arrays (np.empty)": dynet.Map(array_step, array_jac, params=(A, B)),
        "arrays (np.array of lists)": dynet.Map(literal_step, literal_jac, params=(A, B)),
    }
    sides = {name: _dynet(system, HENON_START, n_steps) for name, system in systems.items()}
    peers = {"numba by hand": (n_steps, lambda n: loops.henon_in_numba(*HENON_START, A, B, n))}
    if compiled_c.compiler():
        peers["C"] = n_steps, lambda n: compiled_c.henon("henon_qr", HENON_START, A, B, n)
        peers["C, lengths every 8 steps"] = n_steps, lambda n: compiled_c.henon("henon_lazy", HENON_START, A, B, n)
    if loops.HAVE_PYNAMICALSYS:
        for label, method in (("pynamicalsys, QR", "QR"), ("pynamicalsys, ER", "ER")):
            peers[label] = (
                n_steps // 10,
                lambda n, method=method: loops.pynamicalsys_henon(list(HENON_START), A, B, n, method),
            )
    for name, system in systems.items():
        ds = dynet.lyapunov_spectrum(system, HENON_START, n_steps, qr_interval=1)
        agree(f"Hénon, {name}: sum", ds.lyapunov_exponent.sum(), np.log(B), 1e-9)
    for name, (count, run) in peers.items():
        exponents = np.asarray(run(count))
        error = float(ds.standard_error[0]) * np.sqrt(n_steps / count)
        agree(f"Hénon, {name}: sum", np.log(B), exponents.sum(), 1e-9)
        agree(f"Hénon, {name}: exponents", ds.lyapunov_exponent, exponents, _ERRORS_ALLOWED * error)
        sides[name] = Side(lambda count=count, run=run: run(count), count)
    times = Alternated(sides, 7)
    row = "Hénon, QR every step, {}".format
    yield times.row("henon", row("tuples"), "C", NS, ours="tuples", limit=1.2)
    yield times.row("henon", row("tuples"), "pynamicalsys, QR", NS, ours="tuples", limit=0.1)
    yield times.row("henon", row("tuples"), "pynamicalsys, ER", NS, ours="tuples", limit=0.1)
    yield times.row("henon", row("tuples"), "numba by hand", NS, ours="tuples")
    yield times.row("henon", row("tuples"), "C, lengths every 8 steps", NS, ours="tuples")
    for name in list(systems)[1:]:
        yield times.row("henon", row(name), "C", NS, ours=name, limit=10)
    call = Alternated({"tuples": Side(sides["tuples"].setup, 1)}, 9).median("tuples")
    yield figure("henon", "Hénon, what one call spends besides its steps", 1e3 * call, None, "ms")


def henon_many(n_sequences: int = 1024) -> Iterator[Row]:
    """Many trajectories: processor time of all cores together, and how many of them were busy."""
    starts = np.random.default_rng(0).uniform(-0.1, 0.1, (n_sequences, 2))
    system = dynet.zoo.henon(A, B)
    n_steps = 200_000  # long against what a call spends on the errors of a thousand sequences
    for interval, words, limit in ((1, "QR every step", 5.0), ("auto", "automatic interval", 2.5)):
        case = f"Hénon, {n_sequences} trajectories, {words}"
        ds = dynet.lyapunov_spectrum(system, starts, n_steps, qr_interval=interval)
        agree(f"{case}: sums", ds.sequence_exponent.sum("exponent"), np.log(B), 1e-9)
        side = _dynet(system, starts, n_steps, qr_interval=interval)
        sides = {"processor": side, "wall": replace(side, clock=time.perf_counter)}
        times = Alternated(sides, 5)
        nanoseconds = times.median("processor") / n_sequences * 1e9
        yield figure("henon-many", case, nanoseconds, limit, "ns / step, core", f"{n_steps} steps")
        busy = times.median("processor") / times.median("wall")
        yield figure("henon-many", f"{case}: cores busy, of {CORES}", busy, None, "cores")


def lorenz(n_steps: int = 400_000) -> Iterator[Row]:
    """Lorenz-63 under RK4 steps of 0.01, one trajectory, one QR a step."""
    system = dynet.zoo.lorenz63(*LORENZ).to_map(DT)
    sides = {"dynet": _dynet(system, LORENZ_START, n_steps)}
    peers = {}
    if compiled_c.compiler():
        for name, variant in (("C", "lorenz_qr"), ("C, lengths every 8 steps", "lorenz_lazy")):
            peers[name] = (
                n_steps,
                lambda n, variant=variant: compiled_c.lorenz(variant, np.array(LORENZ_START), LORENZ, DT, n),
            )
    if loops.HAVE_PYNAMICALSYS:
        peers["pynamicalsys"] = (
            n_steps // 10,
            lambda n: loops.pynamicalsys_lorenz(list(LORENZ_START), list(LORENZ), DT, n),
        )
    ds = dynet.lyapunov_spectrum(system, LORENZ_START, n_steps, qr_interval=1)
    trace = -(LORENZ[0] + 1 + LORENZ[2])
    agree("Lorenz, dynet: sum", ds.lyapunov_exponent.sum(), trace, 1e-3)
    for name, (count, run) in peers.items():
        exponents = np.asarray(run(count))
        error = float(ds.standard_error[0]) * np.sqrt(n_steps / count)
        # the step's derivative has this volume only up to the order of the method
        agree(f"Lorenz, {name}: sum", trace, exponents.sum(), 1e-3)
        agree(f"Lorenz, {name}: exponents", ds.lyapunov_exponent, exponents, _ERRORS_ALLOWED * error)
        sides[name] = Side(lambda count=count, run=run: run(count), count)
    times = Alternated(sides, 7)
    yield times.row("lorenz", "Lorenz-63 RK4, QR every step", "C", NS, limit=1.0)
    yield times.row("lorenz", "Lorenz-63 RK4, QR every step", "pynamicalsys", NS, limit=1 / 15)
    yield times.row("lorenz", "Lorenz-63 RK4, QR every step", "C, lengths every 8 steps", NS)


def lorenz_chunks(n_steps: int = 1_000_000, n_chunks: int = 48) -> Iterator[Row]:
    """One long trajectory, parallel in time: all of the call counts, by the clock on the wall."""
    case = f"Lorenz-63, {n_steps:.0e} steps, parallel in time"
    if "time_chunks" not in inspect.signature(dynet.lyapunov_spectrum).parameters:
        words = f"<= {CHUNKED_NS:g} ns / step"
        yield missing("lorenz-chunks", case, "limit", NS[0], 1.0, words, "lyapunov_spectrum has no time_chunks")
        return
    system = dynet.zoo.lorenz63(*LORENZ).to_map(DT)

    def run(**options: object) -> object:
        return dynet.lyapunov_spectrum(system, LORENZ_START, n_steps, qr_interval=1, **options).lyapunov_exponent

    difference = float(np.abs(run(time_chunks=n_chunks) - run()).max())
    sides = {
        "dynet": Side(lambda: run(time_chunks=n_chunks), n_steps, clock=time.perf_counter),
        "dynet, sequential": Side(run, n_steps, clock=time.perf_counter),
    }
    if compiled_c.compiler():
        start = np.array(LORENZ_START)
        sides["C, sequential"] = Side(
            lambda: compiled_c.lorenz("lorenz_qr", start, LORENZ, DT, n_steps), n_steps, clock=time.perf_counter
        )
    times = Alternated(sides, 11)
    note = f"{n_chunks} chunks, {CORES} cores"
    yield figure("lorenz-chunks", case, 1e9 * times.median("dynet"), CHUNKED_NS, NS[0], note)
    yield times.row("lorenz-chunks", case, "C, sequential", NS)
    yield times.row("lorenz-chunks", case, "dynet, sequential", NS)
    yield figure("lorenz-chunks", f"{case}: difference from sequential", difference, 1e-8, "1 / time")
