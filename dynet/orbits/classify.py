"""Kinds of attractors, from exponents with error bars, returns of the orbit and drift with time."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.errors import ConvergenceError, DivergenceError
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.orbits.attractor_evidence import (
    Exponents,
    drift_of,
    exponents_of,
    recurrence_of_flow,
    recurrence_of_map,
)
from dynet.orbits.attractor_groups import Case, grouped
from dynet.orbits.attractor_labels import attractors_dataset
from dynet.orbits.attractor_rules import named, of_neutral_point
from dynet.orbits.autonomous import require_autonomous
from dynet.systems.compiled import compiled_parts
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.trajectory import simulate
from dynet.typing import ArrayLike, Rng
from dynet.variational.field import Field, checked_field, require_system
from dynet.variational.integration import integration_steps

__all__ = ["classify_attractor"]

#: Of the step of a flow and the largest norm of its Jacobian: errors of Runge-Kutta steps are then below 1e-5.
_STEP_TIMES_NORM = 0.2
_NORMS_FROM, _STEPS_TO_LOOK, _TIMES_TO_LOOK = 40, 400, 1000.0
#: What returns may miss by, relative to the size of the orbit (cubics between steps add to it for flows).
_CLOSED_MAP, _CLOSED_FLOW = 1e-6, 1e-4
_MOST_EXPONENTS = 20
#: Steps that are taken one after the other while the evidence is short: stiff flows take many short ones a period.
#: Functions of Python would take minutes for the last.
_ATTEMPTS, _COMPILED_ATTEMPTS = (20_000, 80_000), (20_000, 80_000, 320_000)
_SAMPLES = 400


def classify_attractor(
    system: Map | Flow,
    x0: ArrayLike,
    n_steps: int | None = None,
    *,
    n_transient: int | None = None,
    dt: float | None = None,
    n_exponents: int | None = None,
    max_period: int = 128,
    rng: Rng = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Tell what kinds of attractors the trajectories from ``x0`` come to, with the evidence.

    Exponents count as zero within their error bars and the resolution 1 / T of the run. Flows: no zero, a fixed point;
    one, a limit cycle; m, an m-torus. Maps: m zeros, an m-torus (1: an invariant circle), and none a fixed point or a
    periodic orbit, which returns tell apart. As many zeros as directions in which displaced fixed points stay where
    they are: a continuous attractor. A positive exponent: chaos.

    Parameters
    ----------
    system : Map or Flow
        Autonomous; constant inputs enter by ``system.with_input(row)``.
    x0 : array (n,) or (start, n)
        One start or many.
    n_steps : int, optional
        Steps over which exponents are taken, of ``dt`` each for flows. If not given, 20,000, and as long as the
        evidence is short for any start, four and, if the system is compiled, then sixteen times as many
        (``attrs["n_steps"]``).
    n_transient : int, optional
        Steps before; half of ``n_steps`` if not given.
    dt : float, optional
        Time step of flows; if not given, 0.2 over the largest norm of the Jacobian on the way (``attrs["dt"]``).
    n_exponents : int, optional
        How many exponents are taken, at most 20 if not given. They must reach down to a negative one.
    max_period : int, default 128
        Longest period that is looked for, in steps of a map or crossings of a section.
    rng : Generator or int, optional
        Source of the tangent frame and of displacements; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        One entry along ``attractor`` for each that was found, the most frequent first. ``label(attractor)``: "fixed
        point", "period-p orbit", "limit cycle", "m-torus", "continuous attractor", "chaos"; "unstable fixed point",
        "unstable period-p orbit", "unstable limit cycle" for starts on one; "marginal", if rates shrink with time
        without a plateau or there are more zeros than the orbit accounts for (bifurcations, conservative systems,
        families of cycles); "unbounded"; "unknown", if the evidence is short. ``reason(attractor)`` says why.
        ``n_zero``, ``n_positive``, ``n_undecided`` exponents; ``lyapunov_exponent(attractor, exponent)`` in falling
        order with ``standard_error``; ``recurrence``, how far returns miss relative to the size of the orbit, and the
        ``period`` (NaN if there is none; of maps in units of time); ``drift`` of mean and spread between octaves of
        time; ``late_rate(attractor, part)``, the leading exponent over the second quarter and the second half of the
        run; ``resolution`` of exponents; ``state(attractor, unit)``, a state on it; ``share(attractor)`` of the
        starts. ``attractor_of_start(start)``. Starts whose orbits lie in different places or whose spectra differ
        belong to different attractors: spectra that differ are never averaged.

    Raises
    ------
    InputError
        If an argument cannot be used, or the system depends on time: driven systems have no trivial zero.
    DivergenceError
        If the tangent frame, not the state, stops being finite.

    References
    ----------
    Haken (1983), doi:10.1016/0375-9601(83)90209-8; Eckmann & Ruelle (1985), doi:10.1103/RevModPhys.57.617.

    See Also
    --------
    find_limit_cycle, floquet_multipliers : Periods and multipliers to many digits.
    rotation_number : Whether the rotation on a circle is locked.

    Examples
    --------
    >>> import dynet
    >>> dynet.classify_attractor(dynet.zoo.henon(), [0.1, 0.1], 5_000).label.values
    array(['chaos'], dtype='<U5')
    >>> ds = dynet.classify_attractor(dynet.zoo.logistic(3.5), [[0.3], [0.4]], 2_000)
    >>> ds.label.values, ds.share.values
    (array(['period-4 orbit'], dtype='<U14'), array([1.]))
    """
    system = require_system(system)
    starts, field, settings = _checked(system, x0, n_steps, n_transient, dt, n_exponents, max_period)
    stepped = system if isinstance(system, Map) else system.to_map(settings["dt"])
    by_default = _ATTEMPTS if compiled_parts(stepped) is None else _COMPILED_ATTEMPTS
    attempts = by_default if n_steps is None else (int(n_steps),)
    for count in attempts:
        settings["n_steps"] = count
        settings["n_transient"] = count // 2 if n_transient is None else int(n_transient)
        cases = _cases(field, stepped, starts, settings, rng, progress)
        if all(case.label != "unknown" for case in cases):
            break
    return attractors_dataset(system, cases, grouped(cases), settings)


def _cases(
    field: Field, stepped: Map, starts: np.ndarray, settings: dict[str, Any], rng: Rng, progress: bool
) -> list[Case]:
    """Return what each start comes to."""
    n_steps, n_transient = settings["n_steps"], settings["n_transient"]
    runs: list[np.ndarray | None] = []
    for start in progress_over(starts, "trajectories", progress):
        try:
            runs.append(simulate(stepped, start, n_transient + n_steps)["state"].values)
        except DivergenceError:
            runs.append(None)
    bounded = [s for s, run in enumerate(runs) if run is not None]
    cases = [
        Case("unbounded", "the state stops being finite", None, None, np.nan, 1.0, starts[s])
        for s in range(len(starts))
    ]
    if not bounded:
        return cases
    spectrum = lyapunov_spectrum(
        stepped,
        starts[bounded],
        n_steps,
        n_transient=n_transient,
        n_exponents=settings["n_exponents"],
        rng=rng,
        progress=progress,
    )
    growth, durations = spectrum["growth"].values, spectrum["duration"].values
    for number, s in enumerate(bounded):
        run = runs[s]
        assert run is not None
        exponents = exponents_of(growth[number], durations[number])
        cases[s] = _judged(field, stepped, np.asarray(run, dtype=np.float64), exponents, settings, rng)
    return cases


def _checked(
    system: Map | Flow, x0: ArrayLike, n_steps: Any, n_transient: Any, dt: Any, n_exponents: Any, max_period: Any
) -> tuple[np.ndarray, Field, dict[str, Any]]:
    faults = Faults()
    if n_steps is not None:
        faults.integer("n_steps", n_steps, 10)
    if n_transient is not None:
        faults.integer("n_transient", n_transient, 0)
    faults.integer("max_period", max_period, 1)
    if dt is not None and isinstance(system, Map):
        faults.add("dt", dt, "it belongs to flows: a map has its own")
    elif dt is not None:
        faults.positive("dt", dt)
    starts = faults.real_array("x0", x0.detach().cpu() if hasattr(x0, "detach") else x0, finite=True)
    if not faults and (starts.ndim not in (1, 2) or starts.size == 0):
        faults.add("x0", starts, "give a state (n,) or several (start, n)")
    faults.raise_if_any()
    starts = np.atleast_2d(starts)
    n = starts.shape[1]
    if n_exponents is not None:
        faults.integer("n_exponents", n_exponents, 1, n, ", the number of units")
        faults.raise_if_any()
    field, first, _ = checked_field(system, starts[0], 0)
    for start in starts:
        require_autonomous(field, start, "system")
    settings = {
        "n_steps": 0,
        "n_transient": 0,
        "n_exponents": min(n, _MOST_EXPONENTS) if n_exponents is None else int(n_exponents),
        "max_period": int(max_period),
        "dt": system.dt if isinstance(system, Map) else _step(field, first) if dt is None else float(dt),
        "dt_from": "given" if dt is not None or isinstance(system, Map) else "largest norm of the Jacobian",
    }
    return starts, field, settings


def _step(field: Field, x: np.ndarray) -> float:
    """Return a time step that resolves the trajectory from ``x``, two digits of it."""
    largest = max(_norms_along(field, x))
    return float(f"{_STEP_TIMES_NORM / largest:.1e}") if largest > 0 else 1.0


def _norms_along(field: Field, x: np.ndarray) -> list[float]:
    """Return norms of the Jacobian along the trajectory, as far as it goes: the run shows whether it is unbounded."""
    scale = 1.0 + float(np.abs(x).max())
    norms = [float(np.linalg.norm(field.jacobian(0.0, x).matrix(), 2))]
    every = _STEPS_TO_LOOK // _NORMS_FROM
    try:
        # an end in sight: steps of a state that stands still would grow beyond all numbers
        end = _TIMES_TO_LOOK / norms[0] if norms[0] > 0 else _TIMES_TO_LOOK
        steps = integration_steps(field, 0.0, x, end, 1e-6, 1e-9 * scale)
        for number, solver in zip(range(_STEPS_TO_LOOK), steps, strict=False):
            if not np.abs(solver.y).max() < 1e8 * scale:
                break
            if number % every == 0:
                norms.append(float(np.linalg.norm(field.jacobian(0.0, solver.y).matrix(), 2)))
    except (ConvergenceError, DivergenceError):
        return norms
    return norms


def _judged(
    field: Field, stepped: Map, run: np.ndarray, exponents: Exponents, settings: dict[str, Any], rng: Rng
) -> Case:
    scale = float(np.abs(run).max())
    states = run[settings["n_transient"] + 1 :]
    is_flow = isinstance(field.system, Flow)
    if is_flow:
        back = recurrence_of_flow(field, states, scale, stepped.dt, settings["max_period"], _CLOSED_FLOW)
    else:
        back = recurrence_of_map(states, scale, stepped.dt, settings["max_period"], _CLOSED_MAP)
    drift = drift_of(states, scale)
    if back.kind == "fixed" and (exponents.signs == 0).any():
        label, reason = of_neutral_point(stepped, run[-1], scale, int((exponents.signs == 0).sum()), settings, rng)
    else:
        label, reason = named(exponents, back, drift, is_flow, len(exponents.values) == field.n)
    sample = states[:: max(len(states) // _SAMPLES, 1)]
    return Case(label, reason, exponents, back, drift, scale, run[-1], sample)
