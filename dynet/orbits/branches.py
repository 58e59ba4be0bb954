"""Branches of solutions of ``G(y, value) = 0``: a tangent to predict, Newton's method to correct, steps that adapt.

Pseudo-arclength: the correction stays in the plane across the tangent, so that a branch is followed around its folds.
Natural: it stays at one value of the parameter, so that a fold is where the branch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from scipy.sparse import csc_array, vstack
from scipy.sparse.linalg import splu

from dynet.errors import ConvergenceError, DivergenceError, InputError

Method = Literal["arclength", "natural"]

_MOST_ITERATIONS = 8
_FEW_ITERATIONS = 4
#: Cosines between tangents: steps across a sharper bend are halved, steps along a straighter one may grow.
_BENT, _STRAIGHT = 0.9, 0.98
#: Parts of a tangent along the parameter below it are those of a fold.
_TURNING = 1e-3
_GROWTH, _LEAST_STEP = 1.6, 1e-7
#: A branch that comes back to its start is closed only after so many steps.
_LEAST_ROUND = 6


class Point(NamedTuple):
    """A place in the space of solutions, the parameter scaled and last."""

    z: np.ndarray  # (N + 1,)
    inner: Any  # what the problem keeps beside


class Linear(NamedTuple):
    """The problem linearised at a point."""

    A: Any  # (N, N + 1), an array or scipy's sparse array
    residual: np.ndarray  # (N,)
    inner: Any


class Spectrum(NamedTuple):
    """Eigenvalues, or nontrivial multipliers, in descending order of growth."""

    growth: np.ndarray  # (k,), real parts, or logarithms of moduli
    angle: np.ndarray  # (k,), imaginary parts, or arguments


class Node(NamedTuple):
    """A solution with the direction of the branch there and its stability."""

    point: Point
    linear: Linear
    tangent: np.ndarray  # (N + 1,), of length one
    spectrum: Spectrum
    correction: np.ndarray  # (N + 1,), the last one of Newton's method
    n_iterations: int


class Problem(Protocol):
    """What is continued."""

    tolerance: float

    def value(self, point: Point) -> float:
        """Return the parameter."""

    def metric(self, point: Point) -> np.ndarray:
        """Return the weights (N + 1,) of squares in a length."""

    def linearized(self, point: Point) -> Linear:
        """Return the problem linearised."""

    def moved(self, point: Point, linear: Linear, dz: np.ndarray, *, correcting: bool) -> Point:
        """Return the point after a step: a correction, or one along the branch."""

    def spectrum(self, point: Point, linear: Linear) -> Spectrum:
        """Return what tells stability."""

    def renewed(self, node: Node) -> tuple[Point, np.ndarray] | None:
        """Return point and tangent on a better grid, or None if the present one serves."""

    def features(self, point: Point) -> np.ndarray:
        """Return numbers that are equal only for equal solutions."""


class Segment(NamedTuple):
    """A step of a branch: its two ends, and solutions in between."""

    before: Node
    after: Node
    length: float
    between: Callable[[float], Node]  # at a distance along the tangent of ``before``


def corrected(
    problem: Problem, point: Point, row: np.ndarray, target: float, direction: np.ndarray, *, patience: int = 0
) -> Node:
    """Return the solution near ``point`` with ``row @ z = target``; its tangent turned along ``direction``.

    Raises
    ------
    ConvergenceError
        If Newton's method does not settle; its result is the best point.
    """
    last, best, smallest = np.inf, point, np.inf
    for iteration in range(1, _MOST_ITERATIONS + patience + 1):
        linear = problem.linearized(point)
        size = float(np.abs(linear.residual).max())
        if size < smallest:
            best, smallest = point, size
        dz = _solved(linear.A, row, -np.append(linear.residual, row @ point.z - target))
        length = float(np.sqrt((problem.metric(point) * dz**2).sum()))
        if not np.isfinite(length) or (iteration > 2 + patience and length > 2 * last):
            break
        last = length
        # far from the solution a whole step may lead anywhere
        point = problem.moved(point, linear, dz if length <= 1 else dz / length, correcting=length <= 1)
        if length <= problem.tolerance:
            return _node(problem, point, row, direction, dz, iteration)
    raise ConvergenceError(
        f"Newton's method stops at a residual of {smallest:.2g}", residual=smallest, result=best
    )  # fmt: skip


def _node(
    problem: Problem, point: Point, row: np.ndarray, direction: np.ndarray, dz: np.ndarray, iterations: int
) -> Node:
    linear = problem.linearized(point)
    tangent = _solved(linear.A, row, np.append(np.zeros(len(linear.residual)), 1.0))
    metric = problem.metric(point)
    tangent /= np.sqrt((metric * tangent**2).sum())
    if not np.isfinite(tangent).all():
        raise ConvergenceError("the direction of the branch is not defined", residual=0.0, result=point)
    if (metric * tangent * direction).sum() < 0:
        tangent = -tangent
    return Node(point, linear, tangent, problem.spectrum(point, linear), dz, iterations)


def _solved(A: Any, row: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solve the square system that ``row`` makes of A; where branches cross, the shortest of its solutions."""
    if not (np.isfinite(rhs).all() and np.isfinite(A if isinstance(A, np.ndarray) else A.data).all()):
        return np.full(len(rhs), np.nan)
    if not isinstance(A, np.ndarray):
        try:
            out: np.ndarray = splu(csc_array(vstack([A, row[None, :]]))).solve(rhs)
        except RuntimeError:  # exactly singular
            out = np.full(len(rhs), np.nan)
        return out
    square = np.vstack([A, row])
    try:
        return np.linalg.solve(square, rhs)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(square, rhs, rcond=1e-14)[0]


def first_node(problem: Problem, point: Point) -> Node:
    """Return the solution at the parameter of ``point``, its tangent towards higher values.

    Raises
    ------
    ConvergenceError
        If there is none near it; the result is the best point.
    """
    row = np.zeros(len(point.z))
    row[-1] = 1.0
    node = corrected(problem, point, row, point.z[-1], row, patience=12)
    for _ in range(3):
        renewed = problem.renewed(node)
        if renewed is None:
            break
        node = corrected(problem, renewed[0], np.append(np.zeros(len(renewed[0].z) - 1), 1.0), point.z[-1], renewed[1])
    return node


class Ended(Exception):
    """Raised at the end of a branch, with the reason in words."""


def followed(
    problem: Problem,
    start: Node,
    *,
    method: Method,
    step: float,
    max_step: float,
    n_points: int,
) -> Iterator[Segment]:
    """Yield the steps of the branch from ``start`` along its tangent.

    Raises
    ------
    Ended
        Where it ends.
    """
    node, ds = start, step
    begin = problem.features(start.point)
    for count in range(n_points):
        renewed = problem.renewed(node) if count else None
        if renewed is not None:
            node = _on_new_grid(problem, node, renewed)
        segment, ds = _advanced(problem, node, ds, max_step, method)
        yield segment
        after = segment.after
        if after.point.z[-1] in (0.0, 1.0):
            raise Ended(f"bound {problem.value(after.point):g} reached")
        distance = np.linalg.norm(problem.features(after.point) - begin)
        if count >= _LEAST_ROUND and distance < 0.5 * segment.length and start.tangent[-1] * after.tangent[-1] > 0:
            raise Ended("closed: the branch is back at its start")
        node = after
    raise Ended(f"n_points={n_points} reached")


def _on_new_grid(problem: Problem, node: Node, renewed: tuple[Point, np.ndarray]) -> Node:
    point, tangent = renewed
    row = problem.metric(point) * tangent
    try:
        return corrected(problem, point, row, row @ point.z, tangent)
    except (ConvergenceError, DivergenceError):
        return node


def _advanced(problem: Problem, node: Node, ds: float, max_step: float, method: Method) -> tuple[Segment, float]:
    """Return the next step, as long as the branch allows, and the length of the one to try after it."""
    reason = "it bends too sharply"
    metric = problem.metric(node.point)
    while ds >= _LEAST_STEP * max_step:
        try:
            segment = _stepped(problem, node, ds, method)
            if not 0 <= segment.after.point.z[-1] <= 1:
                segment = _onto_bound(problem, node, segment, method)
            straight = float((metric * node.tangent * segment.after.tangent).sum())
            if straight >= _BENT:
                easy = straight >= _STRAIGHT and segment.after.n_iterations <= _FEW_ITERATIONS
                return segment, min(max_step, ds * _GROWTH) if easy else ds
            reason = "it bends too sharply"
        except (ConvergenceError, DivergenceError, InputError) as error:
            reason = str(error)
        ds /= 2
    turns = method == "natural" and abs(node.tangent[-1]) < 100 * _TURNING
    raise Ended(
        f"steps too short at {problem.value(node.point):.9g}: "
        + ('the branch turns back; method="arclength" follows it' if turns else reason)
    )


def _plane(problem: Problem, node: Node, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Return the row that is constant in the planes of correction, and the step that takes it from one to the next."""
    if method == "arclength":
        return problem.metric(node.point) * node.tangent, node.tangent
    row = np.zeros_like(node.tangent)
    row[-1] = np.sign(node.tangent[-1])
    if abs(node.tangent[-1]) < _TURNING:
        raise ConvergenceError("the branch turns back", residual=0.0)
    return row, node.tangent / abs(node.tangent[-1])


def _stepped(problem: Problem, node: Node, ds: float, method: Method) -> Segment:
    row, direction = _plane(problem, node, method)

    def at(distance: float) -> Node:
        guess = problem.moved(node.point, node.linear, distance * direction, correcting=False)
        return corrected(problem, guess, row, row @ node.point.z + distance, node.tangent)

    return Segment(node, at(ds), ds, at)


def _onto_bound(problem: Problem, node: Node, segment: Segment, method: Method) -> Segment:
    """Return the part of a step that ends on a bound of the parameter, which is 0 or 1."""
    inside, outside = node.point.z[-1], segment.after.point.z[-1]
    bound = float(outside > 1)
    row = np.zeros_like(node.tangent)
    row[-1] = 1.0
    guess = segment.between(segment.length * (bound - inside) / (outside - inside)).point
    after = corrected(problem, guess, row, bound, node.tangent)
    after = after._replace(point=after.point._replace(z=np.append(after.point.z[:-1], bound)))
    across, _ = _plane(problem, node, method)
    return Segment(node, after, float(across @ (after.point.z - node.point.z)), segment.between)
