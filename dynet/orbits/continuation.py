"""Fixed points and cycles followed along a parameter, with their stability and bifurcations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._progress import progress_bar
from dynet._validate import Faults, is_number, shown
from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.bifurcations import Bifurcation, find_bifurcations
from dynet.orbits.branches import Ended, Node, Segment, corrected, first_node, followed
from dynet.orbits.collocation import HALVED as CYCLE_HALVED
from dynet.orbits.collocation import LONG, SHRUNK, CycleProblem
from dynet.orbits.cycle_ends import Located, diverging_period, hopf_nearby, saddle_node_nearby
from dynet.orbits.normal_forms import NormalForm, normal_form
from dynet.orbits.parameter_family import Family, checked_family
from dynet.orbits.point_branches import HALVED, PointProblem
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike

__all__ = ["continue_orbit"]

REFERENCES = (
    "Keller (1977), Applications of Bifurcation Theory, 359; Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7; "
    "Doedel, Keller & Kernevez (1991) doi:10.1142/S0218127491000555"
)
Direction = Literal["both", "up", "down"]
_DEFAULT_STEPS = 30
_LONGEST_PERIOD = 50
#: Growth within this of neutral has no sign.
_NEUTRAL = 1e-7
#: A cycle whose velocity comes back changed by more has no label.
_TRUSTED = 1e-4
_NO_FORM = NormalForm(np.nan, np.nan)


class _Record(NamedTuple):
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


class _Event(NamedTuple):
    """What is told of a bifurcation."""

    kind: str
    place: int  # number of steps from the start of the branch before it
    value: float
    error: float
    state: np.ndarray
    period: float
    growth: float
    angle: float
    n_critical: int
    form: NormalForm
    quality: float


class _Branch(NamedTuple):
    """One of the two directions."""

    records: list[_Record]
    events: list[_Event]
    reason: str


def continue_orbit(
    system: Map | Flow | Callable[[float], Map | Flow],
    start: ArrayLike | xr.Dataset,
    parameter: str | int,
    bounds: tuple[float, float],
    *,
    value: float | None = None,
    method: Literal["arclength", "natural"] = "arclength",
    direction: Direction = "both",
    max_step: float | None = None,
    n_points: int = 200,
    max_period: float | None = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Follow a fixed point or a cycle along a parameter, and find where it bifurcates.

    Every step predicts along the tangent of the branch and corrects by Newton's method. Test functions (the tangent's
    part along the parameter; the growth of each eigenvalue or multiplier) whose signs change are followed to their zero
    on the branch.

    Parameters
    ----------
    system : Map, Flow, or callable
        Autonomous, with a Jacobian; or a function that returns it for a value of the parameter (such as
        ``lambda u: network.with_input([u])``).
    start : array (n,) or Dataset
        A state near a fixed point; or from `find_limit_cycle`, `find_periodic_orbit` or `cycle_from_hopf`: that orbit.
    parameter : str or int
        Name of a parameter ("a", "W[0,1]"; see `dynet.systems.parameters.parameter_names`) or its number; for a
        function the name that results show.
    bounds : (float, float)
        Between which values the branch is followed.
    value : float, optional
        Of the parameter at the start; that of the system if not given. Needed where ``system`` is a function and
        ``start`` is a state.
    method : {"arclength", "natural"}
        Around folds, or in equal directions of the parameter as far as that goes.
    direction : {"both", "up", "down"}
        Of the parameter at the start.
    max_step : float, optional
        Longest step, in units of the parameter; 1/30 of the bounds if not given. Steps of the state count in units of
        its scale (1, or the largest entry at the start).
    n_points : int, default 200
        At most so many steps in each direction.
    max_period : float, optional
        Cycles of flows are followed up to this period; 50 times that at the start if not given.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        Along the branch: ``parameter(point)``, ``state(point, unit)`` (of cycles: at phase 0), ``minimum``, ``maximum``
        and ``amplitude(point, unit)``, ``period(point)``, ``eigenvalue(point, index)`` (fixed points) or
        ``multiplier`` and ``log_modulus(point, index)`` (orbits; those of flows without the trivial one),
        ``growth_rate(point, index)`` and ``frequency(point, index)`` (turns a unit of time),
        ``stability(point)``, ``n_unstable(point)``, ``residual(point)`` and ``liouville_error(point)``.

        Along ``bifurcation``: ``bifurcation_kind`` ("fold", "Hopf", "Neimark-Sacker", "flip", "branch point", "SNIC",
        "homoclinic", "diverging period"), ``bifurcation_parameter`` and ``bifurcation_error``, a bound on its error,
        ``bifurcation_point``, the point before it (0: it is before the first), ``bifurcation_state``, ``bifurcation_period``,
        ``bifurcation_eigenvalue`` (or multiplier) and ``bifurcation_frequency``, ``n_critical``, how many eigenvalues
        cross, ``normal_form`` with ``normal_form_error`` and the ``criticality`` that follows ("supercritical",
        "subcritical", "unknown", "none" where it has no meaning), and ``fit_quality`` of the law of a period.

        ``attrs["first_end"]`` and ``attrs["last_end"]`` say why the branch ends.

    Raises
    ------
    InputError
        If an argument cannot be used.
    ConvergenceError
        If there is no fixed point or orbit near ``start``; ``.result`` holds the best iterate (states).

    Notes
    -----
    Cycles of flows are discretised by collocation at four Gauss points of each interval of an adaptive mesh;
    ``residual`` is then the largest defect of the polynomials between those points, relative to the cycle, and the
    period is right to about its power 8/5. Multipliers that contract by many orders of magnitude within an interval are
    underestimated, by ``liouville_error`` in all: `floquet_multipliers` gives them exactly.

    Two eigenvalues that cross in opposite directions within one step are not seen: a smaller ``max_step`` separates
    them. Continuation of equal directions (a line attractor, symmetries) counts growth within 1e-8 as neutral.

    The normal form is the first Lyapunov coefficient at Hopf points (eigenvector of length one), its analogue at
    Neimark-Sacker points, minus the cubic coefficient at flips; negative ones are supercritical. It is computed for
    fixed points, and for orbits of maps.

    Where the period grows beyond ``max_period``, ``value - value* ~ (T - T0)^-2`` (SNIC) and ``~ exp(-k T)``
    (homoclinic) are fitted; one is named if the other leaves ten times its squares. The value of a SNIC is that of the
    saddle-node of fixed points if one is found there.

    References
    ----------
    Keller (1977), Applications of Bifurcation Theory, 359; Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7; Doedel,
    Keller & Kernevez (1991), doi:10.1142/S0218127491000555.

    See Also
    --------
    cycle_from_hopf : The cycle that starts at a Hopf point.

    Examples
    --------
    The logistic map doubles its period at r = 3:

    >>> import dynet
    >>> branch = dynet.continue_orbit(dynet.zoo.logistic(2.5), [0.6], "r", (1.5, 4.0))
    >>> branch.bifurcation_kind.values.tolist(), branch.bifurcation_parameter.values.round(9)
    (['flip'], array([3.]))
    >>> branch.criticality.values.tolist()
    ['supercritical']
    """
    faults = Faults()
    states, period, value = _started(faults, start, value)
    low, high = _checked_bounds(faults, bounds)
    faults.choice("method", method, ("arclength", "natural"))
    faults.choice("direction", direction, ("both", "up", "down"))
    faults.integer("n_points", n_points, 1)
    for name, given in (("max_step", max_step), ("max_period", max_period)):
        if given is not None:
            faults.positive(name, given)
    faults.raise_if_any()
    family, name, at = checked_family(system, parameter, value, states)
    if not low <= at <= high:
        faults.add("bounds", (low, high), f"they must contain the parameter's value at the start, {name}={at:.9g}")
    if family.is_map and period is not None and period != len(states) * family.field.system.dt:
        faults.say(f"start has {len(states)} points and a period of {period:g}: it is no periodic orbit of this map")
    faults.raise_if_any()
    problem = _problem(family, states, period, (low, high), max_period)
    begin = _first(problem, states, period, at, name)
    step = 1 / _DEFAULT_STEPS if max_step is None else float(max_step) / (high - low)
    branches: list[_Branch] = []
    wanted = (-1.0, 1.0) if direction == "both" else ((1.0,) if direction == "up" else (-1.0,))
    with progress_bar(n_points * len(wanted), f"continuation along {name}", progress) as bar:
        for sign in wanted:
            if branches and branches[0].reason in (_INTERRUPTED, _CLOSED):
                branches.append(_Branch([], [], f"not followed ({branches[0].reason})"))
                continue
            node = begin._replace(tangent=sign * begin.tangent)
            steps = followed(problem, node, method=method, step=step / 8, max_step=step, n_points=int(n_points))
            branches.append(_followed(problem, node, steps, bar))
    not_wanted = _Branch([], [], "the start")
    down, up = branches if len(branches) == 2 else (
        (not_wanted, branches[0]) if direction == "up" else (branches[0], not_wanted)
    )  # fmt: skip
    settings = {
        "parameter": name,
        "lower_bound": low,
        "upper_bound": high,
        "continuation": method,
        "max_step": step * (high - low),
        "n_points": int(n_points),
        "start_value": at,
    }
    if isinstance(problem, CycleProblem):
        settings["max_period"] = problem.max_period
    return _label(problem, name, _record(problem, begin), down, up, settings)


_INTERRUPTED = "interrupted"
_CLOSED = "closed: the branch is back at its start"


def _started(faults: Faults, start: Any, value: Any) -> tuple[np.ndarray, float | None, Any]:
    """Return the states (p, n) at the start, the period of a cycle, and the parameter that it tells."""
    if not isinstance(start, xr.Dataset):
        state = faults.real_array("start", getattr(start, "values", start), finite=True)
        if not faults and (state.ndim != 1 or state.size == 0):
            faults.add("start", state, "give a state (n,), or the Dataset of a cycle or periodic orbit")
        return np.atleast_2d(state), None, value
    if not {"orbit", "period"} <= set(start.variables) or start["orbit"].dims != ("phase", "unit"):
        what = "Dataset without orbit(phase, unit) and period"
        faults.add("start", what, "give what find_limit_cycle, find_periodic_orbit or cycle_from_hopf returned")
        return np.zeros((1, 1)), None, value
    states = faults.real_array("start.orbit", start["orbit"].values, finite=True)
    period = float(start["period"])
    if not (np.isfinite(period) and period > 0):
        faults.add("start.period", period, "it is no cycle: give a state for a fixed point")
    if value is None and "parameter" in start.variables:
        value = float(start["parameter"])
    return states, period, value


def _checked_bounds(faults: Faults, bounds: Any) -> tuple[float, float]:
    fine = isinstance(bounds, tuple | list | np.ndarray) and len(bounds) == 2 and all(is_number(b) for b in bounds)
    if not fine or not np.isfinite(np.asarray(bounds, dtype=float)).all():
        faults.add("bounds", bounds, "give two finite numbers (low, high)")
        return 0.0, 1.0
    low, high = float(bounds[0]), float(bounds[1])
    if not low < high:
        faults.add("bounds", (low, high), "give the lower bound first")
    return low, high


def _problem(
    family: Family, states: np.ndarray, period: float | None, bounds: tuple[float, float], max_period: float | None
) -> PointProblem | CycleProblem:
    if family.is_map or period is None:
        return PointProblem(family, states, bounds)
    problem = CycleProblem(family, np.maximum(np.abs(states).max(axis=0), 1.0), bounds)
    problem.max_period = _LONGEST_PERIOD * period if max_period is None else float(max_period)
    return problem


def _first(
    problem: PointProblem | CycleProblem, states: np.ndarray, period: float | None, value: float, name: str
) -> Node:
    try:
        if isinstance(problem, CycleProblem):
            assert period is not None
            return first_node(problem, problem.start(states, period, value))
        return first_node(problem, problem.start(states, value))
    except ConvergenceError as error:
        best = error.result
        found = None
        if best is not None:
            found = problem.states(best) if isinstance(problem, CycleProblem) else problem.points(best)
            found = found[0] if len(found) == 1 else found
        what = "fixed point" if period is None else "periodic orbit"
        raise ConvergenceError(
            f"no {what} near start at {name}={value:.9g}: {error}; give a better start (find_fixed_points, "
            "find_limit_cycle, find_periodic_orbit), or the value that belongs to it",
            residual=error.residual,
            result=found,
        ) from error


def _followed(problem: PointProblem | CycleProblem, start: Node, steps: Iterator[Segment], bar: Any) -> _Branch:
    """Return what is found along one direction, whatever ends it."""
    records: list[_Record] = []
    events: list[_Event] = []
    try:
        for segment in steps:
            reason = problem.ending(segment.before, segment.after)
            if reason == SHRUNK:
                events += _shrunk(problem, segment, len(records))
                return _Branch(records, events, reason)
            found = _found(problem, segment, len(records), ends=reason in (HALVED, CYCLE_HALVED))
            events += found
            if reason and reason != LONG:
                return _Branch(records, events, reason)
            records.append(_record(problem, segment.after))
            bar.update(1)
            if reason == LONG:
                events += _diverged(problem, segment.after, [_record(problem, start), *records])
                return _Branch(records, events, reason)
    except Ended as end:
        return _Branch(records, events, str(end))
    except KeyboardInterrupt:
        return _Branch(records, events, _INTERRUPTED)
    raise AssertionError("branches end with a reason")


def _record(problem: PointProblem | CycleProblem, node: Node) -> _Record:
    growth, angle = node.spectrum
    value = problem.value(node.point)
    residual = float(np.abs(node.linear.residual).max())
    if isinstance(problem, CycleProblem):
        low, high = problem.extremes(node.point)
        return _Record(
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
    period = problem.p * problem.family.field.system.dt if problem.family.is_map else np.nan
    return _Record(value, x[0], x.min(axis=0), x.max(axis=0), period, growth, angle, residual, np.nan, True)


def _found(problem: PointProblem | CycleProblem, segment: Segment, place: int, *, ends: bool) -> list[_Event]:
    is_cycle = isinstance(problem, CycleProblem)
    multipliers = is_cycle or problem.family.is_map
    out = []
    for one in find_bifurcations(segment, multipliers=multipliers):
        kind: str = one.kind
        error = one.error
        if isinstance(problem, CycleProblem):
            error += _mesh_error(problem, segment, one)
        if ends and kind in ("fold", "branch point"):
            kind = "flip"  # of the orbit of half the period, on which this branch begins
        form = _NO_FORM
        if isinstance(problem, PointProblem) and kind == one.kind:
            form = _form(problem, one.node, kind, one.rank, one.n_critical)
        record = _record(problem, one.node)
        width = problem.bounds[1] - problem.bounds[0]
        growth, angle = _critical(one.node, one.rank)
        period = 2 * np.pi / angle if kind == "Hopf" else record.period
        out.append(
            _Event(
                kind, place, record.value, error * width, record.state, period, growth, angle,
                one.n_critical, form, np.nan,
            )
        )  # fmt: skip
    return out


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
        return _NO_FORM
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


def _shrunk(problem: Any, segment: Segment, place: int) -> list[_Event]:
    """Return the Hopf point in which a branch of cycles ends."""
    before, after = segment.before.point, segment.after.point
    centre = problem.orbit(before, 240).mean(axis=0)
    omega = 2 * np.pi / problem.period(before)
    found = hopf_nearby(problem.family, centre, (problem.value(before), problem.value(after)), omega)
    if found is None:
        return []
    return [_of_a_point("Hopf", found, place, np.nan)]


def _of_a_point(kind: str, found: Located, place: int, quality: float) -> _Event:
    growth, angle = _critical(found.node, found.rank)
    n_critical = 2 if kind == "Hopf" else 1
    form = _form(found.problem, found.node, kind, found.rank, n_critical)
    state = found.problem.points(found.node.point)[0]
    period = 2 * np.pi / angle if kind == "Hopf" else np.inf
    return _Event(kind, place, found.value, found.error, state, period, growth, angle, n_critical, form, quality)


def _diverged(problem: Any, node: Node, records: list[_Record]) -> list[_Event]:
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
            return [_of_a_point("SNIC", found, len(records) - 1, law.quality)]
    kind = "diverging period" if law.kind == "unknown" else law.kind
    event = _Event(kind, len(records) - 1, law.value, law.error, slowest, np.inf, np.nan, np.nan, 1, _NO_FORM, law.quality)
    return [event]


def _stability(growth: np.ndarray, *, is_point: bool, trusted: bool) -> str:
    if not trusted:
        return "unknown"
    if (growth > _NEUTRAL).any():
        return "saddle" if is_point and (growth < -_NEUTRAL).any() else "unstable"
    return "stable" if (growth < -_NEUTRAL).all() else "undecided"


def _label(
    problem: PointProblem | CycleProblem, name: str, begin: _Record, down: _Branch, up: _Branch, settings: dict[str, Any]
) -> xr.Dataset:  # fmt: skip
    records = [*reversed(down.records), begin, *up.records]
    first = len(down.records)
    # the point before a bifurcation, counted from 1 along the whole branch
    places = [first - e.place for e in reversed(down.events)] + [first + 1 + e.place for e in up.events]
    events = [*reversed(down.events), *up.events]
    system: Any = problem.family.field.system
    is_map, is_cycle = problem.family.is_map, isinstance(problem, CycleProblem)
    is_point = not is_cycle and problem.p == 1
    time_unit = system.time_unit

    def stacked(values: Iterable[Any], *shape: int) -> np.ndarray:
        return np.array(list(values), dtype=float).reshape(-1, *shape)

    n, k = problem.n, len(begin.growth)
    period = stacked(r.period for r in records)
    growth, angle = stacked((r.growth for r in records), k), stacked((r.angle for r in records), k)
    low, high = stacked((r.low for r in records), n), stacked((r.high for r in records), n)
    multipliers = is_cycle or is_map
    rate = growth / period[:, None] if multipliers else growth
    turns = angle / (2 * np.pi) / (period[:, None] if multipliers else 1.0)
    variables: dict[str, Any] = {
        "parameter": (("point",), stacked(r.value for r in records), name, "1"),
        "state": (("point", "unit"), stacked((r.state for r in records), n), "state (orbits: at phase 0)", "1"),
        "minimum": (("point", "unit"), low, "lowest value along the orbit", "1"),
        "maximum": (("point", "unit"), high, "highest value along the orbit", "1"),
        "amplitude": (("point", "unit"), high - low, "highest less lowest value", "1"),
        "period": (("point",), period, "period", time_unit),
    }
    values = _numbers(growth, angle, multipliers)
    if is_point:
        unit = "1" if is_map else f"1 / {time_unit}"
        variables["eigenvalue"] = (("point", "index"), values, "eigenvalue of the Jacobian", unit)
    else:
        variables["multiplier"] = (("point", "index"), values, "Floquet multiplier", "1")
        variables["log_modulus"] = (("point", "index"), growth, "logarithm of the modulus of the multiplier", "nat")
    labels = [_stability(r.growth, is_point=is_point, trusted=r.trusted) for r in records]
    residual = "largest defect between collocation points, relative" if is_cycle else "largest residual"
    variables |= {
        "growth_rate": (("point", "index"), rate, "growth rate", f"nat / {time_unit}"),
        "frequency": (("point", "index"), turns, "turns of the mode", f"1 / {time_unit}"),
        "stability": (("point",), np.array(labels), "stability", "1"),
        "n_unstable": (("point",), (growth > _NEUTRAL).sum(axis=1), "number of growing directions", "1"),
        "residual": (("point",), stacked(r.residual for r in records), residual, "1"),
        "liouville_error": (
            ("point",),
            stacked(r.liouville_error for r in records),
            "sum of logarithms less integral of the trace",
            "nat",
        ),
        **_table(events, places, n, name, time_unit, multipliers),
    }
    coords = {
        "point": np.arange(1, len(records) + 1),
        "index": np.arange(1, k + 1),
        "bifurcation": np.arange(1, len(events) + 1),
        **unit_coordinates(unit_coords(system.units, n)),
    }
    kind = "fixed point" if is_point else ("limit cycle" if is_cycle else f"orbit of {problem.p} steps")  # type: ignore[union-attr]
    attrs = {
        "title": f"Continuation of a {kind}",
        "method": "tangent predictor, Newton's method" + (", collocation at Gauss points" if is_cycle else ""),
        "references": REFERENCES,
        "kind": kind,
        **settings,
        "first_end": down.reason,
        "last_end": up.reason,
        "start_point": first + 1,
        "tolerance": problem.tolerance,
        "time_unit": time_unit,
    }
    return dataset(variables, coords, attrs)


def _numbers(growth: np.ndarray, angle: np.ndarray, multipliers: bool) -> np.ndarray:
    """Return eigenvalues; negative real ones are real."""
    if not multipliers:
        return growth + 1j * angle
    turns = np.where(np.abs(angle) == np.pi, -1.0, np.exp(1j * angle))
    out: np.ndarray = np.exp(growth) * turns
    return out


def _table(
    events: list[_Event], places: list[int], n: int, name: str, time_unit: str, multipliers: bool
) -> dict[str, Any]:
    dims = ("bifurcation",)

    def column(values: Iterable[float]) -> np.ndarray:
        return np.array(list(values), dtype=float)

    def words(values: Iterable[str]) -> np.ndarray:
        return np.array(list(values), dtype="U16")

    period = column(e.period for e in events)
    growth, angle = column(e.growth for e in events), column(e.angle for e in events)
    of_points = np.array([e.kind in ("Hopf", "SNIC") for e in events], dtype=bool)
    is_rate = of_points | (not multipliers)
    critical = np.where(is_rate, _numbers(growth, angle, False), _numbers(growth, angle, True))
    with np.errstate(invalid="ignore"):
        turns = angle / (2 * np.pi) / np.where(is_rate, 1.0, period)
    has_form = [e.kind in ("Hopf", "Neimark-Sacker", "flip") for e in events]
    criticality = [e.form.criticality if has else "none" for e, has in zip(events, has_form, strict=True)]
    states = np.array([e.state for e in events], dtype=float).reshape(len(events), n)
    return {
        "bifurcation_kind": (dims, words(e.kind for e in events), "kind of bifurcation", "1"),
        "bifurcation_parameter": (dims, column(e.value for e in events), f"{name} at the bifurcation", "1"),
        "bifurcation_error": (dims, column(e.error for e in events), "bound on its error", "1"),
        "bifurcation_point": (dims, np.array(places, dtype=int), "point before it", "1"),
        "bifurcation_state": (("bifurcation", "unit"), states, "state at the bifurcation", "1"),
        "bifurcation_period": (dims, period, "period", time_unit),
        "bifurcation_eigenvalue": (dims, critical, "critical eigenvalue, or multiplier", "1"),
        "bifurcation_frequency": (dims, turns, "turns of the critical mode", f"1 / {time_unit}"),
        "n_critical": (dims, np.array([e.n_critical for e in events], dtype=int), "eigenvalues that cross", "1"),
        "normal_form": (dims, column(e.form.coefficient for e in events), "coefficient of the normal form", "1"),
        "normal_form_error": (dims, column(e.form.error for e in events), "its error", "1"),
        "criticality": (dims, words(criticality), "what the normal form says", "1"),
        "fit_quality": (dims, column(e.quality for e in events), "part of the squares that the law explains", "1"),
    }
