"""Fixed points, and periodic orbits of maps, as a problem whose branches are followed."""

from __future__ import annotations

import numpy as np

from dynet.orbits.branches import Linear, Node, Point, Spectrum
from dynet.orbits.parameter_family import Family

#: The finest relative correction that ends Newton's method.
FINEST = 1e-10
HALVED = "the orbit becomes one of half its period"


class PointProblem:
    """``f(x) = 0`` of a flow, ``F(x_k) = x_{k+1}`` around an orbit of p points of a map.

    Parameters
    ----------
    family : Family
        The systems.
    points : array (p, n)
        The start; p = 1 for flows.
    bounds : (float, float)
        Of the parameter; scaled, they are 0 and 1.
    """

    def __init__(self, family: Family, points: np.ndarray, bounds: tuple[float, float]) -> None:
        self.family, self.bounds = family, bounds
        self.p, self.n = points.shape
        self.scale = np.maximum(np.abs(points).max(axis=0), 1.0)
        self.tolerance = max(FINEST, 100 * family.precision if family.precision > 1e-10 else 0.0)

    def start(self, points: np.ndarray, value: float) -> Point:
        """Return a point of the problem."""
        low, high = self.bounds
        return Point(np.append(points.ravel(), (value - low) / (high - low)), None)

    def value(self, point: Point) -> float:
        """Return the parameter."""
        low, high = self.bounds
        return float(low + point.z[-1] * (high - low))

    def points(self, point: Point) -> np.ndarray:
        """Return the states (p, n)."""
        return point.z[:-1].reshape(self.p, self.n)

    def metric(self, point: Point) -> np.ndarray:
        """Return the weights of squares: means over units and points, in units of their scale."""
        return np.append(np.tile(1 / (self.scale**2 * self.n * self.p), self.p), 1.0)

    def linearized(self, point: Point) -> Linear:
        """Return the problem linearised; ``inner`` holds the Jacobians (p, n, n)."""
        value, x = self.value(point), self.points(point)
        J = self.family.jacobians(value, x)
        residual = self.family.values(value, x)
        p, n = self.p, self.n
        A = np.zeros((p * n, p * n + 1))
        for k in range(p):
            rows, after = slice(k * n, (k + 1) * n), (k + 1) % p
            A[rows, rows] += J[k]
            if self.family.is_map:
                A[rows, after * n : (after + 1) * n] -= np.eye(n)
        if self.family.is_map:
            residual = residual - np.roll(x, -1, axis=0)
        A[:, -1] = self.family.parameter_derivatives(value, x).ravel() * (self.bounds[1] - self.bounds[0])
        return Linear(A, residual.ravel(), J)

    def moved(self, point: Point, linear: Linear, dz: np.ndarray, *, correcting: bool) -> Point:
        """Return the point after a step."""
        return Point(point.z + dz, None)

    def spectrum(self, point: Point, linear: Linear) -> Spectrum:
        """Return the eigenvalues of J, or of the product of the Jacobians around the orbit."""
        M = linear.inner[0]
        for J in linear.inner[1:]:
            M = J @ M
        values = np.linalg.eigvals(M)
        with np.errstate(divide="ignore"):
            growth, angle = (np.log(np.abs(values)), np.angle(values)) if self.family.is_map else (
                values.real, values.imag)  # fmt: skip
        order = np.lexsort((-angle, -growth))
        return Spectrum(growth[order], angle[order])

    def renewed(self, node: Node) -> None:
        """Return nothing: there is no grid."""

    def ending(self, before: Node, after: Node) -> str:
        """Return why a branch ends here: an orbit of a map has become one of a shorter period."""
        a, b = (self.points(node.point) / self.scale for node in (before, after))
        for k in range(1, self.p):
            if self.p % k == 0 and float(((a - np.roll(a, k, axis=0)) * (b - np.roll(b, k, axis=0))).sum()) <= 0:
                return HALVED if 2 * k == self.p else f"the orbit becomes one of {k} steps"
        return ""

    def features(self, point: Point) -> np.ndarray:
        """Return numbers that are equal only for equal solutions."""
        return point.z * np.sqrt(self.metric(point))
