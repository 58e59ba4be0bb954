"""Where branches of cycles end: in a Hopf point, or at a saddle-node or a saddle, where the period diverges."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from dynet.errors import ConvergenceError, DivergenceError, InputError
from dynet.orbits.bifurcations import find_bifurcations
from dynet.orbits.branches import Ended, Node, Point, first_node, followed
from dynet.orbits.parameter_family import Family
from dynet.orbits.point_branches import PointProblem

#: Fewer points along the divergence tell nothing; so many are taken from earlier periods if they must be.
_FEWEST, _ENOUGH = 5, 8
#: Points whose period is at least this part of the last one are fitted, or reached back for.
_LATE, _EARLY = 0.2, 0.05
_SEVERAL = 3
#: Parts of the range of the parameter below it are near the errors of the points.
_RESOLVED = 1e-6
#: One law is preferred when the other leaves this many times its squares.
_CLEARER = 10.0
_LEAST_QUALITY = 0.999
_FAILURES = (ConvergenceError, DivergenceError, InputError)
#: Steps along fixed points on the way to their saddle-node.
_MOST_STEPS = 40
_MOST_SECANTS = 30
_ROUNDING = 1e-13


class Divergence(NamedTuple):
    """A diverging period."""

    kind: Literal["SNIC", "homoclinic", "unknown"]
    value: float  # of the parameter
    error: float
    quality: float  # part of the squares that the law explains
    other_quality: float  # that of the other law


def diverging_period(values: np.ndarray, periods: np.ndarray) -> Divergence | None:
    """Return where the period of cycles along the end of a branch diverges, or None if there are too few points.

    At a saddle-node on the cycle ``value - value* ~ (T - T0)^-2``, at a homoclinic orbit of a saddle
    ``value - value* ~ exp(-k T)``; both have three parameters.
    """
    falls = np.flatnonzero(np.diff(periods) <= 0)
    begin = int(falls[-1]) + 1 if falls.size else 0
    p, T = values[begin:], periods[begin:]
    # of exponential laws most points are at the limit, to rounding
    n_at_limit = int((np.abs(p - p[-1]) <= _RESOLVED * np.ptp(p)).sum())
    if n_at_limit >= _SEVERAL:
        p, T = p[:-n_at_limit], T[:-n_at_limit]
    if not len(p):
        return None
    first_late = min(int(np.argmax(_LATE * T[-1] <= T)), max(len(T) - _ENOUGH, int(np.argmax(_EARLY * T[-1] <= T))))
    p, T = p[first_late:], T[first_late:]
    if len(p) < _FEWEST:
        return None
    root, log = _fitted(p, T, _root_law), _fitted(p, T, _log_law)
    weights = _weights(T)
    total = float(((weights * (p - np.average(p, weights=weights**2))) ** 2).sum())
    if total == 0:
        return None
    qualities = [1 - squares / total for _, squares in (root, log)]
    kind: Literal["SNIC", "homoclinic", "unknown"] = "unknown"
    if root[1] * _CLEARER < log[1] and qualities[0] > _LEAST_QUALITY:
        kind = "SNIC"
    elif log[1] * _CLEARER < root[1] and qualities[1] > _LEAST_QUALITY:
        kind = "homoclinic"
    law, chosen, best = (_log_law, log, 1) if kind == "homoclinic" else (_root_law, root, 0)
    half = slice(len(T) // 2, None) if len(T) // 2 >= 4 else slice(len(T) - 4, None)
    error = 3 * abs(_fitted(p[half], T[half], law)[0] - chosen[0])
    error = error if kind != "unknown" else max(error, abs(root[0] - log[0]))
    limit = chosen[0]
    if kind == "homoclinic" and n_at_limit >= _SEVERAL:
        limit = float(values[-1])
        error = 3 * float(np.abs(values[-_SEVERAL:] - limit).max())
    return Divergence(kind, limit, error, qualities[best], qualities[1 - best])


def _weights(T: np.ndarray) -> np.ndarray:
    """Return weights for the points: what is near the limit tells most about it."""
    return (T / T[-1]) ** 2


def _root_law(T: np.ndarray, part: float) -> np.ndarray:
    """Return ``(T - T0)^-2``, T0 between minus and nearly plus the first period."""
    T0 = (2 * part - 1) * 0.95 * T[0]
    return (T[-1] - T0) ** 2 / (T - T0) ** 2


def _log_law(T: np.ndarray, part: float) -> np.ndarray:
    """Return ``exp(-k (T - T[0]))``, k between 0.01 and 100 times the inverse of the range of periods."""
    k = 10 ** (4 * part - 2) / (T[-1] - T[0])
    return np.exp(-k * (T - T[0]))


def _fitted(p: np.ndarray, T: np.ndarray, law: object) -> tuple[float, float]:
    """Return the limit of ``p = limit + slope * law(T)`` and the squares that are left, at the best third parameter."""
    assert callable(law)
    centre, weights = p[-1], _weights(T)

    def fit(part: float) -> tuple[float, float]:
        X = np.stack([np.ones_like(T), law(T, part)], axis=1)
        solution = np.linalg.lstsq(weights[:, None] * X, weights * (p - centre), rcond=None)[0]
        return float(solution[0] + centre), float(((weights * (p - centre - X @ solution)) ** 2).sum())

    parts = np.linspace(0, 1, 41)
    k = int(np.argmin([fit(part)[1] for part in parts]))
    bounds = parts[max(k - 1, 0)], parts[min(k + 1, 40)]
    best = minimize_scalar(lambda part: fit(part)[1], bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return fit(float(best.x))


class Located(NamedTuple):
    """A bifurcation of a fixed point."""

    problem: PointProblem
    node: Node
    value: float
    error: float
    rank: int


def saddle_node_nearby(family: Family, x: np.ndarray, last: float, limit: float) -> Located | None:
    """Return the fold of fixed points near ``x`` (n,) and ``limit``, beyond which cycles come up to ``last``.

    The fixed points are found on the far side of the limit, and followed back to where they meet.
    """
    beyond = limit + 4 * (limit - last)
    width = 2 * abs(beyond - last)
    problem = PointProblem(family, x[None, :], (last - width, last + width))
    try:
        start = first_node(problem, problem.start(x, beyond))
        towards = np.sign(limit - beyond) * start.tangent[-1]
        start = start._replace(tangent=start.tangent * (1.0 if towards > 0 else -1.0))
        for segment in followed(
            problem, start, method="arclength", step=0.02, max_step=0.1, n_points=_MOST_STEPS
        ):  # fmt: skip
            for found in find_bifurcations(segment, multipliers=False):
                if found.kind == "fold":
                    value = problem.value(found.node.point)
                    return Located(
                        problem, found.node, value, found.error * 2 * width + _ROUNDING * abs(value), found.rank
                    )
    except (Ended, *_FAILURES):
        return None
    return None


def hopf_nearby(family: Family, x: np.ndarray, values: tuple[float, float], omega: float) -> Located | None:
    """Return the Hopf point near the fixed point ``x`` (n,), by secants from two values of the parameter."""
    span = max(abs(values[1] - values[0]), 1e-6 * max(abs(values[0]), 1e-3))
    problem = PointProblem(family, x[None, :], (values[0] - 50 * span, values[0] + 50 * span))

    def at(value: float, near: Point) -> tuple[Node, int, float]:
        node = first_node(problem, problem.start(problem.points(near), value))
        pairs = np.abs(node.spectrum.growth) + np.abs(node.spectrum.angle - omega)
        rank = int(np.argmin(pairs))
        return node, rank, float(node.spectrum.growth[rank])

    try:
        a = values[0]
        node, _, before = at(a, problem.start(x, a))
        b = values[1] if values[1] != a else a + span
        for _ in range(_MOST_SECANTS):
            node, rank, growth = at(b, node.point)
            if growth == 0 or growth == before or abs(b - a) <= 1e-13 * max(abs(b), 1e-3):
                break
            a, b, before = b, b - growth * (b - a) / (growth - before), growth
    except _FAILURES:
        return None
    angle = float(node.spectrum.angle[rank])
    if abs(growth) > 1e-7 * omega or not 0.5 * omega < angle < 2 * omega:
        return None
    slope = abs(growth - before) / max(abs(b - a), 1e-300)
    error = (abs(growth) + _ROUNDING * omega) / slope if slope > 0 else abs(b - a)
    return Located(problem, node, problem.value(node.point), error, rank)
