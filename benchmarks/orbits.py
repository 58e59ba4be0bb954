"""Limit cycles and their multipliers beside scipy: `python benchmarks/orbits.py`, about half a minute.

The peer does what a user of `scipy.integrate.solve_ivp` writes: Newton's method on the start and the period, with the
state and its dense variational equations in one call, and the eigenvalues of the last monodromy matrix.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numba import njit
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array

import auto_case
import dynet
from results import text
from timing import Alternated, Row, Side, agree, figure, machine, missing, use_one_thread

MS = ("ms", 1e3)
RTOL, SAME_DIGITS = 1e-10, 1e-12
PERIOD, LOG_MODULUS = 6.6632868593231, np.log(0.0008596950636)

Function = Callable[[np.ndarray], np.ndarray]


def by_scipy(rhs: Function, jac: Function, x: np.ndarray, period: float, method: str) -> tuple[float, np.ndarray]:
    """Return period and multipliers by Newton's method over `solve_ivp`."""
    n = len(x)
    for _ in range(20):
        y = variations(rhs, jac, x, period, method, RTOL)
        M, miss = y[n:].reshape(n, n), y[:n] - x
        if np.abs(miss).max() < 10 * RTOL:
            break
        A = np.block([[M - np.eye(n), rhs(y[:n])[:, None]], [rhs(x)[None, :], np.zeros((1, 1))]])
        step = np.linalg.solve(A, -np.append(miss, 0.0))
        x, period = x + step[:-1], period + step[-1]
    return period, np.linalg.eigvals(M)


def variations(rhs: Function, jac: Function, x: np.ndarray, time: float, method: str, rtol: float) -> np.ndarray:
    """Return the state and, behind it, the fundamental matrix, n + n^2 numbers."""
    n = len(x)

    def variational(t: float, y: np.ndarray) -> np.ndarray:
        return np.concatenate([rhs(y[:n]), (jac(y[:n]) @ y[n:].reshape(n, n)).ravel()])

    y0 = np.concatenate([x, np.eye(n).ravel()])
    y: np.ndarray = solve_ivp(variational, (0.0, time), y0, method=method, rtol=rtol, atol=1e-2 * rtol).y[:, -1]
    return y


@njit(cache=True)
def ring_rhs(x: np.ndarray, strength: float) -> np.ndarray:
    """Return the rates of change (2 m,) of a ring of m oscillators: first all positions, then all velocities."""
    m = len(x) // 2
    out = np.empty_like(x)
    for i in range(m):
        a, b = (i - 1) % m, (i + 1) % m
        q, v = x[i], x[m + i]
        out[i] = v + strength * (x[a] + x[b] - 2 * q)
        out[m + i] = (1 - q * q) * v - q + strength * (x[m + a] + x[m + b] - 2 * v)
    return out


class Ring:
    """A ring of van der Pol oscillators (mu = 1) whose two variables diffuse to the neighbours."""

    def __init__(self, m: int, strength: float) -> None:
        self.m, self.strength = m, strength
        laplacian = 2 * np.eye(m) - np.roll(np.eye(m), 1, 0) - np.roll(np.eye(m), -1, 0)
        self.rates = strength * np.linalg.eigvalsh(laplacian)
        self.coupling = -strength * np.kron(np.eye(2), laplacian)
        rows, columns = np.nonzero((self.coupling != 0) + np.kron(np.ones((2, 2)), np.eye(m)) > 0)
        self.pattern = csr_array((np.ones(len(rows)), (rows, columns)), shape=(2 * m, 2 * m))
        self.constant = self.coupling[rows, columns]
        self.constant[columns == rows + m] += 1.0
        i = np.arange(m)
        places = np.zeros((2 * m, 2 * m), dtype=int)
        places[rows, columns] = np.arange(len(rows))
        self.below, self.right = places[m + i, i], places[m + i, m + i]

    def rhs(self, x: np.ndarray) -> np.ndarray:
        """Return the rates of change (2 m,)."""
        return ring_rhs(x, self.strength)

    def jac(self, x: np.ndarray) -> csr_array:
        """Return the Jacobian, sparse: the same matrix with other entries, which saves making a new one."""
        q, v = x[: self.m], x[self.m :]
        data = self.constant.copy()
        data[self.below] = -2 * q * v - 1
        data[self.right] += 1 - q * q
        self.pattern.data = data
        return self.pattern

    def dense(self, x: np.ndarray) -> np.ndarray:
        """Return the Jacobian, dense."""
        q, v = x[: self.m], x[self.m :]
        out = self.coupling.copy()
        i = np.arange(self.m)
        out[i, self.m + i] += 1.0
        out[self.m + i, i] += -2 * q * v - 1
        out[self.m + i, self.m + i] += 1 - q * q
        return out

    def flow(self) -> dynet.Flow:
        """Return the flow, with its sparse Jacobian."""
        return dynet.Flow(lambda t, x, u, p: self.rhs(x), lambda t, x, u, p: self.jac(x))


def van_der_pol() -> Iterator[Row]:
    """One small cycle, from a start that is not on it."""
    flow, start = dynet.zoo.van_der_pol(1.0), np.array([2.0, 0.1])

    def ours() -> tuple[float, np.ndarray]:
        cycle = dynet.find_limit_cycle(flow, start)
        return float(cycle.period), dynet.floquet_multipliers(flow, cycle).log_modulus.values

    period, logs = ours()
    agree("van der Pol, period", period, PERIOD, 1e-9 * PERIOD)
    agree("van der Pol, log multiplier", logs[1], LOG_MODULUS, 1e-7)

    def rhs(x: np.ndarray) -> np.ndarray:
        return np.array([x[1], (1 - x[0] ** 2) * x[1] - x[0]])

    def jac(x: np.ndarray) -> np.ndarray:
        return np.array([[0.0, 1.0], [-2 * x[0] * x[1] - 1, 1 - x[0] ** 2]])

    agree("van der Pol by scipy", by_scipy(rhs, jac, start, 6.6, "DOP853")[0], PERIOD, 1e-8)
    times = Alternated(
        {
            "dynet": Side(ours, 1),
            "solve_ivp, DOP853": Side(lambda: by_scipy(rhs, jac, start, 6.6, "DOP853"), 1),
            "solve_ivp, RK45": Side(lambda: by_scipy(rhs, jac, start, 6.6, "RK45"), 1),
        },
        5,
    )
    case = "van der Pol, mu = 1: period and multipliers"
    yield figure("orbits", case, times.median("dynet"), 0.3, "s")
    for name in ("solve_ivp, DOP853", "solve_ivp, RK45"):
        yield times.row("orbits", f"{case} (the peer knows the period)", name, MS)


def ring(m: int = 50) -> Iterator[Row]:
    """A hundred units whose multipliers are known from two: Fourier modes decouple."""
    system = Ring(m, 0.05)
    flow = system.flow()
    single = dynet.find_limit_cycle(dynet.zoo.van_der_pol(1.0), [2.0, 0.0])
    start = np.repeat(single.orbit.values[0], m) + 1e-3 * np.random.default_rng(0).standard_normal(2 * m)
    expected = np.sort((np.array([0.0, LOG_MODULUS])[None, :] - PERIOD * system.rates[:, None]).ravel())

    def ours() -> np.ndarray:
        cycle = dynet.find_limit_cycle(flow, start, period_guess=6.66)
        return dynet.floquet_multipliers(flow, cycle).log_modulus.values

    agree("ring, log multipliers", np.sort(ours()), expected, 1e-7)
    theirs = by_scipy(system.rhs, system.dense, start, 6.66, "DOP853")[1]
    agree("ring by scipy", np.sort(np.log(np.abs(theirs))), expected, 1e-4)
    times = Alternated(
        {
            "dynet": Side(ours, 1),
            "solve_ivp, RK45": Side(lambda: by_scipy(system.rhs, system.dense, start, 6.66, "RK45"), 1),
            "solve_ivp, DOP853": Side(lambda: by_scipy(system.rhs, system.dense, start, 6.66, "DOP853"), 1),
        },
        3,
    )
    case = f"ring of {m} van der Pol oscillators, {2 * m} units: cycle and multipliers"
    yield times.row("orbits", f"{case}, solve_ivp's own method", "solve_ivp, RK45", MS, limit=1 / 3)
    yield times.row("orbits", f"{case}, the method of order 8", "solve_ivp, DOP853", MS)
    yield from ring_multipliers(system, flow, np.repeat(single.orbit.values[0], m), expected)


def ring_multipliers(system: Ring, flow: dynet.Flow, x: np.ndarray, expected: np.ndarray) -> Iterator[Row]:
    """Multipliers of a cycle that is known, where the peer's tolerance gives the digits that dynet's gives."""
    cycle = dynet.find_limit_cycle(flow, x, period_guess=PERIOD)

    def ours() -> np.ndarray:
        return dynet.floquet_multipliers(flow, cycle).log_modulus.values

    def theirs(method: str) -> np.ndarray:
        M = variations(system.rhs, system.dense, x, PERIOD, method, SAME_DIGITS)[len(x) :].reshape(len(x), len(x))
        return np.log(np.abs(np.linalg.eigvals(M)))

    agree("ring, log multipliers", np.sort(ours()), expected, 1e-11)
    for method in ("RK45", "DOP853"):
        agree(f"ring by scipy, {method}", np.sort(theirs(method)), expected, 5e-11)
    times = Alternated(
        {
            "dynet": Side(ours, 1),
            "solve_ivp, RK45": Side(lambda: theirs("RK45"), 1),
            "solve_ivp, DOP853": Side(lambda: theirs("DOP853"), 1),
        },
        3,
    )
    case = f"the same ring, multipliers of its cycle to 1e-11, {SAME_DIGITS:g} for the peer"
    yield times.row("orbits", f"{case}, solve_ivp's own method", "solve_ivp, RK45", MS, limit=1 / 3)
    yield times.row("orbits", f"{case}, the method of order 8", "solve_ivp, DOP853", MS)


def auto() -> Iterator[Row]:
    """The established program for continuation, on the same cycle; its C code against dynet's compiled functions."""
    case = "van der Pol, mu = 1: multipliers of a known cycle"
    absent = auto_case.why_not()
    if absent:
        yield missing("orbits", case, "AUTO-07p", "ms", None, "", absent)
        return
    flow = dynet.zoo.van_der_pol(1.0)
    cycle = dynet.find_limit_cycle(flow, [2.0, 0.0])
    with tempfile.TemporaryDirectory() as folder:
        answers = [auto_case.multipliers(1.0, cycle, Path(folder)) for _ in range(5)]
    near = dynet.zoo.van_der_pol(answers[-1].mu)
    expected = dynet.floquet_multipliers(near, dynet.find_limit_cycle(near, [2.0, 0.0])).multiplier.values[1].real
    agree("second multiplier", expected, answers[-1].multiplier, 1e-5 * expected)
    times = Alternated({"dynet": Side(lambda: dynet.floquet_multipliers(flow, cycle), 1)}, 3)
    ours, theirs = times.median("dynet"), float(np.median([answer.seconds for answer in answers])) / 3
    note = "three cycles, by its own clock, 200 intervals of 4 points"
    yield Row("orbits", case, 1e3 * ours, 1e3 * theirs, "AUTO-07p, a cycle", "ms", ours / theirs, note=note)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    use_one_thread()
    rows = [*van_der_pol(), *ring(), *auto()]
    print(text(rows))
    print(machine()["processor"])


if __name__ == "__main__":
    main()
