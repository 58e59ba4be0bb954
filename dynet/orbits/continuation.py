"""Fixed points and cycles followed along a parameter, with their stability and bifurcations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import xarray as xr

from dynet._progress import progress_bar
from dynet._validate import Faults, is_number
from dynet.errors import ConvergenceError
from dynet.orbits.branch_labels import Branch, branch_dataset
from dynet.orbits.branch_records import AnyProblem, Event, Record, bifurcations_on, divergence_end, hopf_end, recorded
from dynet.orbits.branches import Ended, Node, Segment, first_node, followed
from dynet.orbits.collocation import HALVED as CYCLE_HALVED
from dynet.orbits.collocation import LONG, SHRUNK, CycleProblem
from dynet.orbits.parameter_family import Family, checked_family
from dynet.orbits.point_branches import HALVED, PointProblem
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.typing import ArrayLike

__all__ = ["continue_orbit"]

_DEFAULT_STEPS = 30
_LONGEST_PERIOD = 50
_INTERRUPTED = "interrupted"
_CLOSED = "closed: the branch is back at its start"


def continue_orbit(
    system: Map | Flow | Callable[[float], Map | Flow],
    start: ArrayLike | xr.Dataset,
    parameter: str | int,
    bounds: tuple[float, float],
    *,
    value: float | None = None,
    method: Literal["arclength", "natural"] = "arclength",
    direction: Literal["both", "up", "down"] = "both",
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
        ``bifurcation_point``, the point before it (0: it is before the first), ``bifurcation_state``,
        ``bifurcation_minimum``, ``bifurcation_maximum``, ``bifurcation_period``, ``bifurcation_eigenvalue`` (or
        multiplier) and ``bifurcation_frequency``, ``n_critical``, how many eigenvalues cross, ``normal_form`` with
        ``normal_form_error`` and the ``criticality`` that follows ("supercritical", "subcritical", "unknown", "none"
        where it has no meaning), and ``fit_quality`` of the law of a period.

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

    ``bifurcation_error`` covers the last bracket, Newton's last correction and, for cycles, twice the change on a mesh
    twice as fine; not the error of a Jacobian by differences.

    Two pairs of complex eigenvalues that cross in opposite directions within one step are not seen: a smaller
    ``max_step`` separates them. Growth that stays within 1e-8 of zero (a line attractor, a symmetry) never crosses.

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
    states, period, known = _started(faults, start)
    low, high = _checked_bounds(faults, bounds)
    faults.choice("method", method, ("arclength", "natural"))
    faults.choice("direction", direction, ("both", "up", "down"))
    faults.integer("n_points", n_points, 1)
    for name, given in (("max_step", max_step), ("max_period", max_period)):
        if given is not None:
            faults.positive(name, given)
    faults.raise_if_any()
    family, name, at = checked_family(system, parameter, value, states, known)
    if not low <= at <= high:
        faults.add("bounds", (low, high), f"they must contain the parameter's value at the start, {name}={at:.9g}")
    if family.is_map and period is not None and period != len(states) * family.dt:
        faults.say(f"start has {len(states)} points and a period of {period:g}: it is no periodic orbit of this map")
    faults.raise_if_any()
    problem = _problem(family, states, period, (low, high), max_period)
    begin = _first(problem, states, period, at, name)
    step = 1 / _DEFAULT_STEPS if max_step is None else float(max_step) / (high - low)
    branches: list[Branch] = []
    wanted = (-1.0, 1.0) if direction == "both" else ((1.0,) if direction == "up" else (-1.0,))
    with progress_bar(n_points * len(wanted), f"continuation along {name}", progress) as bar:
        for sign in wanted:
            if branches and branches[0].reason in (_INTERRUPTED, _CLOSED):
                branches.append(Branch([], [], f"not followed ({branches[0].reason})"))
                continue
            node = begin._replace(tangent=sign * begin.tangent)
            steps = followed(problem, node, method=method, step=step / 8, max_step=step, n_points=int(n_points))
            branches.append(_followed(problem, node, steps, bar))
    not_wanted = Branch([], [], "the start")
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
    return branch_dataset(problem, name, recorded(problem, begin), down, up, settings)


def _started(faults: Faults, start: Any) -> tuple[np.ndarray, float | None, tuple[str, float] | None]:
    """Return the states (p, n) at the start, the period of a cycle, and the parameter and its value that it tells."""
    if not isinstance(start, xr.Dataset):
        state = faults.real_array("start", getattr(start, "values", start), finite=True)
        if not faults and (state.ndim != 1 or state.size == 0):
            faults.add("start", state, "give a state (n,), or the Dataset of a cycle or periodic orbit")
        return np.atleast_2d(state), None, None
    if not {"orbit", "period"} <= set(start.variables) or start["orbit"].dims != ("phase", "unit"):
        what = "Dataset without orbit(phase, unit) and period"
        faults.add("start", what, "give what find_limit_cycle, find_periodic_orbit or cycle_from_hopf returned")
        return np.zeros((1, 1)), None, None
    states = faults.real_array("start.orbit", start["orbit"].values, finite=True)
    period = float(start["period"])
    if not (np.isfinite(period) and period > 0):
        faults.add("start.period", period, "it is no cycle: give a state for a fixed point")
    known = None
    if "parameter" in start.variables and "parameter" in start.attrs:
        known = str(start.attrs["parameter"]), float(start["parameter"])
    return states, period, known


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


def _first(problem: AnyProblem, states: np.ndarray, period: float | None, value: float, name: str) -> Node:
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


def _followed(problem: AnyProblem, start: Node, steps: Iterator[Segment], bar: Any) -> Branch:
    """Return what is found along one direction, whatever ends it."""
    records: list[Record] = []
    events: list[Event] = []
    try:
        for segment in steps:
            reason = problem.ending(segment.before, segment.after)
            if reason == SHRUNK:
                events += hopf_end(problem, segment, len(records))
                return Branch(records, events, reason)
            found = bifurcations_on(problem, segment, len(records), ends=reason in (HALVED, CYCLE_HALVED))
            events += found
            if reason and reason != LONG:
                return Branch(records, events, reason)
            records.append(recorded(problem, segment.after))
            bar.update(1)
            if reason == LONG:
                events += divergence_end(problem, segment.after, [recorded(problem, start), *records])
                return Branch(records, events, reason)
    except Ended as end:
        return Branch(records, events, str(end))
    except KeyboardInterrupt:
        return Branch(records, events, _INTERRUPTED)
    raise AssertionError("branches end with a reason")
