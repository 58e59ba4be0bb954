"""Cycles of flows by collocation at Gauss points on a mesh that follows the solution, as a problem to continue.

On each interval of the mesh the solution is a polynomial that satisfies the equation at four points. These are
eliminated, as is done in shooting, which leaves the states at the mesh and the matrices from one to the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynet.kernels.periodic_schur import split_product
from dynet.orbits.branches import Linear, Node, Point, Spectrum
from dynet.orbits.meshes import (
    A_GAUSS,
    B_GAUSS,
    C_GAUSS,
    M_STAGES,
    SLOPES,
    equal_shares,
    evaluated,
    monitor,
    peaks,
    weights,
)
from dynet.orbits.parameter_family import Family

#: Intervals to begin with, and at most.
_INTERVALS, _MOST_INTERVALS = 40, 320
#: The defect of the polynomials, relative to the size of the cycle, above which the mesh is refined.
_WANTED = 3e-5
#: Steps between new meshes that the defect does not ask for.
_EVERY = 3
#: Larger systems are solved as sparse ones.
_DENSE_UP_TO = 700
_MOST_CONDITION = 1e6
#: Unit of the logarithm of the period in lengths along the branch.
_LOG_PERIOD = 4.0
#: Cycles of a size below it (relative to the states) are points.
_POINT = 1e-6
_SAMPLES = 64
#: Why branches of cycles end.
SHRUNK = "the cycle shrinks to a fixed point"
HALVED = "the cycle becomes one of half its period"
LONG = "max_period exceeded"


class Grid(NamedTuple):
    """What a point keeps beside the states at the mesh."""

    mesh: np.ndarray  # (N + 1,), from 0 to 1
    stages: np.ndarray  # (N, m, n)
    age: int  # steps since the mesh was made


class _Eliminated(NamedTuple):
    """What brings the stages back after the states at the mesh are solved for."""

    correction: np.ndarray  # (N, m n)
    along: np.ndarray  # (N, m n, n + 2): states at the left ends, logarithm of the period, parameter
    factors: np.ndarray  # (N, n, n)
    rates: np.ndarray  # (N, n), f at the mesh
    trace: float  # integral of tr J over the period


class CycleProblem:
    """``dx/ds = T f(x)`` on [0, 1], x periodic; the unknowns are x at the mesh and log T.

    Parameters
    ----------
    family : Family
        The flows.
    scale : array (n,)
        Sizes of the states.
    bounds : (float, float)
        Of the parameter; scaled, they are 0 and 1.
    """

    def __init__(self, family: Family, scale: np.ndarray, bounds: tuple[float, float]) -> None:
        self.family, self.bounds, self.scale, self.n = family, bounds, scale, family.n
        self.tolerance = max(1e-9, 100 * family.precision if family.precision > 1e-10 else 0.0)
        self.max_period = np.inf
        self._reference: tuple[np.ndarray, np.ndarray] | None = None

    def start(self, orbit: np.ndarray, period: float, value: float, n_intervals: int = _INTERVALS) -> Point:
        """Return a point of the problem from states (phase, n) at equal parts of the period."""
        from scipy.interpolate import CubicSpline

        phases = np.linspace(0, 1, len(orbit) + 1)
        spline = CubicSpline(phases, np.concatenate([orbit, orbit[:1]]), bc_type="periodic")
        fine = np.linspace(0, 1, 4000)
        speeds = np.linalg.norm(spline(fine, 1) / self.scale, axis=1)
        mesh = equal_shares(fine, (speeds + 0.2 * speeds.mean())[:-1], n_intervals)
        x = spline(mesh[:-1])
        stages = spline((mesh[:-1, None] + np.diff(mesh)[:, None] * C_GAUSS).ravel()).reshape(
            n_intervals, M_STAGES, self.n
        )
        low, high = self.bounds
        z = np.concatenate([x.ravel(), [np.log(period), (value - low) / (high - low)]])
        return Point(z, Grid(mesh, stages, 0))

    def value(self, point: Point) -> float:
        """Return the parameter."""
        low, high = self.bounds
        return float(low + point.z[-1] * (high - low))

    def period(self, point: Point) -> float:
        """Return the period."""
        return float(np.exp(point.z[-2]))

    def states(self, point: Point) -> np.ndarray:
        """Return the states (N, n) at the mesh."""
        return point.z[:-2].reshape(-1, self.n)

    def metric(self, point: Point) -> np.ndarray:
        """Return the weights of squares: means over units and phases, in units of their scale."""
        shares = weights(point.inner.mesh)[:, None] / (self.n * self.scale**2)
        return np.concatenate([shares.ravel(), [_LOG_PERIOD**-2, 1.0]])

    def refer(self, point: Point) -> None:
        """Fix the phase of the cycles that follow by that of ``point``."""
        x = self.states(point)
        f = self.family.values(self.value(point), x) / self.scale**2
        rows = weights(point.inner.mesh)[:, None] * f
        rows /= max(float(np.sqrt((rows**2).sum())), 1e-300)
        self._reference = rows.ravel(), x.ravel()

    def linearized(self, point: Point) -> Linear:
        """Return the problem linearised, the stages eliminated."""
        family, value, T = self.family, self.value(point), self.period(point)
        mesh, X, _ = point.inner
        x = self.states(point)
        N, m, n = X.shape
        if self._reference is None or len(self._reference[1]) != x.size:
            self.refer(point)
        assert self._reference is not None
        flat = X.reshape(-1, n)
        F = family.values(value, flat).reshape(N, m, n)
        J = family.jacobians(value, flat).reshape(N, m, n, n)
        P = family.parameter_derivatives(value, flat).reshape(N, m, n) * (self.bounds[1] - self.bounds[0])
        hT = np.diff(mesh) * T
        K = -hT[:, None, None, None, None] * np.einsum("il,jlab->jialb", A_GAUSS, J)
        K = K.reshape(N, m * n, m * n)
        K[:, np.arange(m * n), np.arange(m * n)] += 1.0
        rise, shift = (hT[:, None, None] * np.einsum("il,jln->jin", A_GAUSS, G) for G in (F, P))
        rhs = np.empty((N, m, n, n + 3))
        rhs[..., 0] = x[:, None, :] + rise - X
        rhs[..., 1 : n + 1] = np.eye(n)
        rhs[..., n + 1], rhs[..., n + 2] = rise, shift
        if not (np.isfinite(K).all() and np.isfinite(rhs).all()):
            D = np.full((N, m * n, n + 3), np.nan)
        else:
            D = np.linalg.solve(K, rhs.reshape(N, m * n, n + 3))
        through = (hT[:, None, None, None] * np.einsum("i,jiab->jaib", B_GAUSS, J)).reshape(N, n, m * n) @ D
        full, full_shift = (hT[:, None] * np.einsum("i,jin->jn", B_GAUSS, G) for G in (F, P))
        misses = x + full - np.roll(x, -1, axis=0) + through[..., 0]
        factors = through[..., 1 : n + 1] + np.eye(n)
        rows, reference = self._reference
        residual = np.append(misses.ravel(), rows @ (point.z[:-2] - reference))
        A = _cyclic(factors, full + through[..., n + 1], full_shift + through[..., n + 2], rows)
        trace = float((hT[:, None] * B_GAUSS * np.trace(J, axis1=2, axis2=3)).sum())
        return Linear(A, residual, _Eliminated(D[..., 0], D[..., 1:], factors, family.values(value, x), trace))

    def moved(self, point: Point, linear: Linear, dz: np.ndarray, *, correcting: bool) -> Point:
        """Return the point after a step, its stages moved along."""
        change = self._stage_part(linear, dz)
        if correcting:
            change = change + linear.inner.correction
        mesh, X, age = point.inner
        return Point(point.z + dz, Grid(mesh, X + change.reshape(X.shape), age))

    def _stage_part(self, linear: Linear, dz: np.ndarray) -> np.ndarray:
        """Return the move of the stages (N, m n) that belongs to one of the other unknowns."""
        along = linear.inner.along
        n = self.n
        moves = np.empty((along.shape[0], n + 2))
        moves[:, :n] = dz[:-2].reshape(-1, n)
        moves[:, n:] = dz[-2:]
        out: np.ndarray = np.einsum("jak,jk->ja", along, moves)
        return out

    def spectrum(self, point: Point, linear: Linear) -> Spectrum:
        """Return the multipliers across the flow: the trivial one is divided out, so that folds do not split it."""
        if self.n == 1:
            return Spectrum(np.empty(0), np.empty(0))
        f = linear.inner.rates
        Q = np.linalg.qr(np.concatenate([f[:, :, None], np.broadcast_to(np.eye(self.n), (len(f), self.n, self.n))], 2))
        across = Q[0][:, :, 1:]
        factors = np.einsum("jba,jbc,jcd->jad", np.roll(across, -1, axis=0), linear.inner.factors, across)
        split = split_product(_gathered(factors))
        order = np.lexsort((-split.phase, -split.log_modulus))
        return Spectrum(split.log_modulus[order], split.phase[order])

    def trivial_error(self, linear: Linear) -> float:
        """Return by how much the velocity, carried once around, differs from itself."""
        f = linear.inner.rates
        carried = f[0]
        for M in linear.inner.factors:
            carried = M @ carried
        return float(np.linalg.norm((carried - f[0]) / self.scale) / np.linalg.norm(f[0] / self.scale))

    def defect(self, point: Point, linear: Linear) -> np.ndarray:
        """Return by how much the polynomials miss the equation at the ends of each interval, relative to their size."""
        mesh, X, _ = point.inner
        x, f = self.states(point), linear.inner.rates
        nodes = np.concatenate([x[:, None, :], X], axis=1)
        ends = np.stack([f, np.roll(f, -1, axis=0)], axis=1)
        slopes = np.einsum("ek,jkn->jen", SLOPES, nodes)
        miss = slopes - (np.diff(mesh) * self.period(point))[:, None, None] * ends
        size = np.maximum(np.ptp(nodes.reshape(-1, self.n), axis=0), 1e-300)
        size = np.maximum(size, 1e-3 * (size / self.scale).max() * self.scale)
        out: np.ndarray = np.abs(miss / size).max(axis=(1, 2))
        return out

    def renewed(self, node: Node) -> tuple[Point, np.ndarray] | None:
        """Return point and tangent on a mesh on which the defect is shared out evenly."""
        point = node.point
        mesh, _, age = point.inner
        worst, N = self.defect(point, node.linear).max(), len(mesh) - 1
        if worst <= _WANTED and age < _EVERY:
            self.refer(point)
            return Point(point.z, point.inner._replace(age=age + 1)), node.tangent
        if worst > _WANTED:
            N = min(_MOST_INTERVALS, int(np.ceil(N * min(1.5, (worst / _WANTED) ** (1 / (M_STAGES + 1)) * 1.1))))
        elif worst < _WANTED / 300 and N > _INTERVALS:
            N = max(_INTERVALS, int(0.8 * N))
        density = monitor(self._nodes(point) / self.scale, mesh)
        return self._on_mesh(node, equal_shares(mesh, density, N))

    def halved(self, node: Node) -> tuple[Point, np.ndarray]:
        """Return point and tangent on a mesh of half the intervals' lengths."""
        mesh = node.point.inner.mesh
        return self._on_mesh(node, np.sort(np.concatenate([mesh, (mesh[:-1] + mesh[1:]) / 2])))

    def _on_mesh(self, node: Node, new: np.ndarray) -> tuple[Point, np.ndarray]:
        point, nodes = node.point, self._nodes(node.point)
        mesh, N = point.inner.mesh, len(new) - 1
        at_mesh = node.tangent[:-2].reshape(-1, 1, self.n)
        at_stages = self._stage_part(node.linear, node.tangent).reshape(-1, M_STAGES, self.n)
        moves = np.concatenate([at_mesh, at_stages], axis=1)
        stages_at = (new[:-1, None] + np.diff(new)[:, None] * C_GAUSS).ravel()
        x = evaluated(mesh, nodes, new[:-1])
        X = evaluated(mesh, nodes, stages_at).reshape(N, M_STAGES, self.n)
        tangent = np.concatenate([evaluated(mesh, moves, new[:-1]).ravel(), node.tangent[-2:]])
        renewed = Point(np.concatenate([x.ravel(), point.z[-2:]]), Grid(new, X, 0))
        tangent /= np.sqrt((self.metric(renewed) * tangent**2).sum())
        self.refer(renewed)
        return renewed, tangent

    def _nodes(self, point: Point) -> np.ndarray:
        return np.concatenate([self.states(point)[:, None, :], point.inner.stages], axis=1)

    def orbit(self, point: Point, n_phases: int) -> np.ndarray:
        """Return states at equal parts of the period."""
        return evaluated(point.inner.mesh, self._nodes(point), np.arange(n_phases) / n_phases)

    def extremes(self, point: Point) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest value of each unit, by parabolas through the largest samples."""
        mesh = point.inner.mesh
        at = (mesh[:-1, None] + np.diff(mesh)[:, None] * np.array([0.0, 0.25, 0.5, 0.75])).ravel()
        values = evaluated(mesh, self._nodes(point), at)
        return -peaks(at, -values), peaks(at, values)

    def ending(self, before: Node, after: Node) -> str:
        """Return why a branch ends here, if it does: the cycle has shrunk, halved its period, or become too long."""
        a, b = (self.orbit(node.point, _SAMPLES) / self.scale for node in (before, after))
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        if float((a * b).sum()) <= 0 or np.abs(b).max() < _POINT:
            return SHRUNK
        halves = [orbit - np.roll(orbit, _SAMPLES // 2, axis=0) for orbit in (a, b)]
        if float((halves[0] * halves[1]).sum()) <= 0:
            return HALVED
        return LONG if self.period(after.point) > self.max_period else ""

    def features(self, point: Point) -> np.ndarray:
        """Return numbers that are equal only for equal solutions."""
        low, high = self.extremes(point)
        return np.concatenate([low / self.scale, high / self.scale, [point.z[-2] / _LOG_PERIOD, point.z[-1]]])


def _gathered(factors: np.ndarray) -> np.ndarray:
    """Return fewer factors of the same product, neighbours multiplied as long as no direction gets lost."""
    out = [factors[0]]
    for M in factors[1:]:
        product = M @ out[-1]
        if np.linalg.cond(product) <= _MOST_CONDITION:
            out[-1] = product
        else:
            out.append(M)
    return np.array(out)


def _cyclic(factors: np.ndarray, period: np.ndarray, parameter: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Return the matrix (N n + 1, N n + 2) of the states at the mesh, the period and the parameter."""
    N, n, _ = factors.shape
    size = N * n
    if size <= _DENSE_UP_TO:
        A = np.zeros((size + 1, size + 2))
        blocks = A[:size, :size].reshape(N, n, N, n)
        j = np.arange(N)
        blocks[j, :, j, :] += factors
        blocks[j, :, (j + 1) % N, :] -= np.eye(n)
        A[:size, size], A[:size, size + 1], A[size, :size] = period.ravel(), parameter.ravel(), phase
        return A
    from scipy.sparse import bsr_array, hstack, vstack

    order = np.arange(N + 1)
    ones = np.broadcast_to(-np.eye(n), (N, n, n))
    bands = bsr_array((factors, order[:-1], order), shape=(size, size)) + bsr_array(
        (ones, (order[:-1] + 1) % N, order), shape=(size, size)
    )
    top = hstack([bands, period.reshape(-1, 1), parameter.reshape(-1, 1)])
    sparse: np.ndarray = vstack([top, np.concatenate([phase, [0.0, 0.0]])[None, :]], format="csr")
    return sparse
