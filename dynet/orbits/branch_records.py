"""What is told of the solutions and bifurcations of a branch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.bifurcations import Bifurcation, find_bifurcations
from dynet.orbits.branches import Node, Segment, corrected
from dynet.orbits.collocation import CycleProblem
from dynet.orbits.cycle_ends import Located, diverging_period, hopf_nearby, saddle_node_nearby
from dynet.orbits.normal_forms import NormalForm, normal_form
from dynet.orbits.point_branches import PointProblem

AnyProblem = PointProblem | CycleProblem
#: A cycle whose velocity comes back changed by more has no label.
_TRUSTED = 1e-4
_ROUNDING = 1e-15
NO_FORM = NormalForm(np.nan, np.nan)


class Record(NamedTuple):
    """What is told of a solution."""

    value: float
    state: np.ndarray
    low: np.ndarray
    high: np.ndarray
    period: float
    growth: np.ndarray
    angle: np.ndarray
    residual: float
    liouville_error: float
    trusted: bool


class Event(NamedTuple):
    """What is told of a bifurcation."""

    kind: str
    place: int  # number of steps from the start of the branch before it
    value: float
    error: float
    state: np.ndarray
    low: np.ndarray
    high: np.ndarray
    period: float
    growth: float
    angle: float
    n_critical: int
    form: NormalForm
    quality: float


def recorded(problem: AnyProblem, node: Node) -> Record:
    """Return what is told of a solution."""
    growth, angle = node.spectrum
    value = problem.value(node.point)
    residual = float(np.abs(node.linear.residual).max())
    if isinstance(problem, CycleProblem):
        low, high = problem.extremes(node.point)
        return Record(
            value=value,
            state=problem.states(node.point)[0],
            low=low,
            high=high,
            period=problem.period(node.point),
            growth=growth,
            angle=angle,
            residual=float(problem.defect(node.point, node.linear).max()),
            liouville_error=float(growth.sum() - node.linear.inner.trace),
            trusted=problem.trivial_error(node.linear) <= _TRUSTED,
        )
    x = problem.points(node.point)
    period = problem.p * problem.family.dt if problem.family.is_map else np.nan
    return Record(value, x[0], x.min(axis=0), x.max(axis=0), period, growth, angle, residual, np.nan, True)


def bifurcations_on(problem: AnyProblem, segment: Segment, place: int, *, ends: bool) -> list[Event]:
    """Return the bifurcations on a segment; ``ends``: where the branch meets that of an orbit of half the period."""
    is_cycle = isinstance(problem, CycleProblem)
    multipliers = is_cycle or problem.family.is_map
    out = []
    for one in find_bifurcations(segment, multipliers=multipliers):
        kind: str = one.kind
        error = one.error
        if isinstance(problem, CycleProblem):
            error += 2 * _mesh_error(problem, segment, one)
            turns = segment.before.tangent[-1] * segment.after.tangent[-1] < 0
            if turns and kind in ("fold", "branch point") and _rise(segment, one.node) <= error:
                continue  # the parameter does not change by more than the mesh can tell
        if ends and kind in ("fold", "branch point"):
            kind = "flip"  # of the orbit of half the period, on which this branch begins
        form = NO_FORM
        if isinstance(problem, PointProblem) and kind == one.kind:
            form = _form(problem, one.node, kind, one.rank, one.n_critical)
        record = recorded(problem, one.node)
        width = problem.bounds[1] - problem.bounds[0]
        growth, angle = _critical(one.node, one.rank)
        period = 2 * np.pi / angle if kind == "Hopf" else record.period
        out.append(
            Event(
                kind, place, record.value, error * width, record.state, record.low, record.high, period, growth, angle,
                one.n_critical, form, np.nan,
            )
        )  # fmt: skip
    return out


def _rise(segment: Segment, node: Node) -> float:
    """Return by how much the scaled parameter changes from a place on a segment to its ends."""
    ends = np.array([segment.before.point.z[-1], segment.after.point.z[-1]])
    return float(np.abs(ends - node.point.z[-1]).max())


def _mesh_error(problem: CycleProblem, segment: Segment, found: Bifurcation) -> float:
    """Return by how much a mesh twice as fine moves a bifurcation of cycles, in units of the scaled parameter."""
    node = found.node
    point, tangent = problem.halved(node)
    row = problem.metric(point) * tangent
    try:
        fine = corrected(problem, point, row, float(row @ point.z), tangent)
    except (ConvergenceError, DivergenceError):
        return np.inf
    finally:
        problem.refer(segment.before.point)
    moved = abs(float(fine.point.z[-1] - node.point.z[-1]))
    if found.kind == "fold" or not len(node.spectrum.growth):
        return moved
    ends = segment.before, segment.after
    rise = abs(float(ends[1].spectrum.growth[found.rank] - ends[0].spectrum.growth[found.rank]))
    run = abs(float(ends[1].point.z[-1] - ends[0].point.z[-1]))
    change = abs(float(fine.spectrum.growth[found.rank] - node.spectrum.growth[found.rank]))
    return moved + (change * run / rise if rise > 0 else np.inf)


def _critical(node: Node, rank: int) -> tuple[float, float]:
    if not len(node.spectrum.growth):
        return np.nan, np.nan
    return float(node.spectrum.growth[rank]), abs(float(node.spectrum.angle[rank]))


def _form(problem: PointProblem, node: Node, kind: str, rank: int, n_critical: int) -> NormalForm:
    """Return the normal form at a Hopf, Neimark-Sacker or flip point with no other critical eigenvalues."""
    if kind not in ("Hopf", "Neimark-Sacker", "flip") or n_critical != (1 if kind == "flip" else 2):
        return NO_FORM
    value, family = problem.value(node.point), problem.family
    growth, angle = _critical(node, rank)

    def jacobian(x: np.ndarray) -> np.ndarray:
        M = family.jacobians(value, x[None, :])[0]
        for _ in range(problem.p - 1):
            x = family.values(value, x[None, :])[0]
            M = family.jacobians(value, x[None, :])[0] @ M
        return M

    eigenvalue = np.exp(growth + 1j * angle) if family.is_map else complex(growth, angle)
    return normal_form(jacobian, problem.points(node.point)[0], kind, eigenvalue)  # type: ignore[arg-type]


def hopf_end(problem: Any, segment: Segment, place: int) -> list[Event]:
    """Return the Hopf point in which a branch of cycles ends."""
    before, after = segment.before.point, segment.after.point
    centre = problem.orbit(before, 240).mean(axis=0)
    omega = 2 * np.pi / problem.period(before)
    found = hopf_nearby(problem.family, centre, (problem.value(before), problem.value(after)), omega)
    if found is None:
        return []
    return [_of_a_point("Hopf", found, place, np.nan, problem.bounds)]


def _of_a_point(kind: str, found: Located, place: int, quality: float, bounds: tuple[float, float]) -> Event:
    growth, angle = _critical(found.node, found.rank)
    n_critical = 2 if kind == "Hopf" else 1
    form = _form(found.problem, found.node, kind, found.rank, n_critical)
    state = found.problem.points(found.node.point)[0]
    period = 2 * np.pi / angle if kind == "Hopf" else np.inf
    error = found.error + _ROUNDING * (bounds[1] - bounds[0])
    return Event(kind, place, found.value, error, state, state, state, period, growth, angle, n_critical, form, quality)


def divergence_end(problem: Any, node: Node, records: list[Record]) -> list[Event]:
    """Return what the period diverges at."""
    law = diverging_period(np.array([r.value for r in records]), np.array([r.period for r in records]))
    if law is None:
        return []
    states = problem.states(node.point)
    slowest = states[np.argmin(np.linalg.norm(node.linear.inner.rates / problem.scale, axis=1))]
    if law.kind == "SNIC":
        found = saddle_node_nearby(problem.family, slowest, records[-1].value, law.value)
        if found is not None and abs(found.value - law.value) <= 10 * max(law.error, 1e-3 * abs(
            law.value - records[-1].value)):  # fmt: skip
            return [_of_a_point("SNIC", found, len(records) - 1, law.quality, problem.bounds)]
    kind = "diverging period" if law.kind == "unknown" else law.kind
    last = records[-1]
    return [
        Event(
            kind, len(records) - 1, law.value, law.error, slowest, last.low, last.high, np.inf, np.nan, np.nan, 1,
            NO_FORM, law.quality,
        )
    ]  # fmt: skip
