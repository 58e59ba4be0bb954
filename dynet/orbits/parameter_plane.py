"""Exponents, frequencies and kinds of attractors of a family of systems, over a grid of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.errors import ConvergenceError, DivergenceError
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.orbits.attractor_evidence import Exponents, drift_of, exponents_of, recurrence_of_flow, recurrence_of_map
from dynet.orbits.attractor_rules import named
from dynet.orbits.autonomous import require_autonomous
from dynet.orbits.certificates import Certificate, certificate
from dynet.orbits.compiled_shooting import CompiledShooting
from dynet.orbits.rotation import rotation_number
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.trajectory import simulate
from dynet.typing import ArrayLike, Rng
from dynet.variational.field import Field, checked_field, require_system

__all__ = ["exponent_map"]

REFERENCES = (
    "Benettin et al. (1980) doi:10.1007/BF02128236; Haken (1983) doi:10.1016/0375-9601(83)90209-8; "
    "Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7"
)
_CLOSED_MAP, _CLOSED_FLOW = 1e-6, 1e-4
_MOST_EXPONENTS = 20
#: Runs that leave a doubt are followed for so many times as long.
_LONGER = 8
#: Evidence: Newton's method on the orbit itself, or rates and returns of the run.
NEWTON, RUN = "Newton", "run"


class _Cell(NamedTuple):
    label: str
    exponents: np.ndarray  # (k,)
    errors: np.ndarray  # (k,)
    period: float
    frequency: float
    evidence: str


def exponent_map(
    system: Map | Flow,
    x0: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    n_steps: int = 5_000,
    *,
    dt: float | None = None,
    n_transient: int | None = None,
    n_exponents: int | None = None,
    max_period: int = 64,
    rng: Rng = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Return exponents, frequency and kind of attractor over a grid of parameters.

    The trajectory from ``x0`` is followed at every point of the grid. Where it settles on a fixed point, a periodic
    orbit or a limit cycle, Newton's method finds that orbit itself: exponents are those of its multipliers, exact to
    their error bars however slow the approach was. Elsewhere they are growth rates over the run, and the label is what
    `classify_attractor` makes of them.

    Parameters
    ----------
    system : Map or Flow
        Autonomous, with parameters that have names (a namedtuple or a dict); small compiled ones are run many at once.
    x0 : array (n,)
        Start at every point of the grid.
    parameters : mapping of str to array
        Values of each parameter that varies; the others are those of the system.
    n_steps : int, default 5_000
        Steps over which growth is counted, of ``dt`` each for flows.
    dt : float
        Time step of flows, which have to give it.
    n_transient : int, optional
        Steps before; half of ``n_steps`` if not given.
    n_exponents : int, optional
        How many exponents; all, at most 20, if not given. They must reach down to a negative one.
    max_period : int, default 64
        Longest period that is looked for, in steps of a map or crossings of a section.
    rng : Generator or int, optional
        Source of the tangent frame; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        With a dimension for each parameter: ``lyapunov_exponent(..., exponent)`` in falling order with
        ``standard_error``; ``frequency``, of flows 1 / period of the limit cycle, of maps the rotation number (turns a
        step, in [0, 1)), NaN where nothing turns; ``period``; ``label`` as in `classify_attractor`, "unbounded" if the
        state does not stay finite; ``evidence``: "Newton" where the orbit itself was found, "run" elsewhere.

    Raises
    ------
    InputError
        If an argument cannot be used, or the system depends on time.
    DivergenceError
        If the tangent frame, not the state, stops being finite.

    Notes
    -----
    A start leads to one attractor: where there are several, the map shows the one that ``x0`` comes to.

    References
    ----------
    Benettin et al. (1980), doi:10.1007/BF02128236; Haken (1983), doi:10.1016/0375-9601(83)90209-8; Kuznetsov (2004),
    doi:10.1007/978-1-4757-3978-7.

    See Also
    --------
    classify_attractor : One system, many starts.
    theory.cycle_window : The exact boundaries of oscillation of two tanh units.

    Examples
    --------
    >>> import dynet
    >>> ds = dynet.exponent_map(dynet.zoo.tanh_oscillator(), [0.5, 0.1], {"alpha": [0.9, 1.5], "theta": [0.5]}, dt=0.1)
    >>> ds.label.values.ravel()
    array(['fixed point', 'limit cycle'], dtype='<U11')
    >>> ds.lyapunov_exponent.sel(alpha=1.5, theta=0.5).values.round(6) + 0.0
    array([ 0.      , -0.434964])
    """
    system = require_system(system)
    axes, settings = _checked(system, parameters, n_steps, dt, n_transient, n_exponents, max_period)
    n_steps, n_transient = settings["n_steps"], settings["n_transient"]
    shape = tuple(values.size for values in axes.values())
    mesh = np.meshgrid(*axes.values(), indexing="ij")
    points = {name: grid.ravel() for name, grid in zip(axes, mesh, strict=True)}
    cells = [system.with_params(**{name: float(points[name][i]) for name in axes}) for i in range(mesh[0].size)]
    field, x, _ = checked_field(cells[0], x0, 0)
    require_autonomous(field, x, "system")
    k = min(field.n, _MOST_EXPONENTS) if n_exponents is None else n_exponents
    if k > field.n:
        faults = Faults()
        faults.integer("n_exponents", n_exponents, 1, field.n, ", the number of units")
        faults.raise_if_any()
    stepped = [cell.to_map(settings["dt"]) if isinstance(cell, Flow) else cell for cell in cells]
    runs = [_run(cell, x, n_transient + n_steps) for cell in progress_over(stepped, "trajectories", progress)]
    bounded = np.array([i for i, run in enumerate(runs) if run is not None], dtype=int)
    found = [_Cell("unbounded", np.full(k, np.nan), np.full(k, np.nan), np.nan, np.nan, RUN)] * len(cells)
    if bounded.size:
        spectrum = lyapunov_spectrum(
            stepped[0],
            x,
            n_steps,
            params={name: values[bounded] for name, values in points.items()},
            n_exponents=k,
            n_transient=n_transient,
            rng=rng,
            progress=progress,
        )
        growth, durations = spectrum["growth"].values, spectrum["duration"].values
        shooting = CompiledShooting.of(system, x) if isinstance(system, Flow) else None
        for s, i in enumerate(progress_over(bounded.tolist(), "orbits", progress)):
            run = runs[i]
            assert run is not None
            states = run[n_transient:]
            found[i] = _judged(cells[i], states, settings["dt"], growth[s], durations[s], shooting, max_period)
    return _label(system, axes, shape, found, k, {**settings, "n_exponents": k})


def _checked(
    system: Map | Flow, parameters: Any, n_steps: Any, dt: Any, n_transient: Any, n_exponents: Any, max_period: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    faults = Faults()
    known = tuple(system.params) if isinstance(system.params, dict) else getattr(system.params, "_fields", ())
    axes: dict[str, np.ndarray] = {}
    if not isinstance(parameters, Mapping) or not parameters:
        faults.add("parameters", parameters, 'give values by name, such as {"alpha": [1.0, 1.5], "theta": [0.2, 0.4]}')
    elif not known:
        faults.add(
            "system.params", type(system.params).__name__, "its parameters have no names: make them a namedtuple"
        )  # fmt: skip
    else:
        for name, values in parameters.items():
            if name not in known:
                faults.add("parameters", name, f"the system's parameters are {', '.join(map(str, known))}")
            axes[name] = faults.real_array(f"parameters[{name!r}]", values, finite=True)
            if axes[name].ndim != 1 or not axes[name].size:
                faults.add(f"parameters[{name!r}]", values, "give a row of values")
            if name in ("exponent",):
                faults.add("parameters", name, "the result has a dimension of that name: call the parameter otherwise")
    faults.integer("n_steps", n_steps, 10)
    faults.integer("max_period", max_period, 1)
    if n_transient is not None:
        faults.integer("n_transient", n_transient, 0)
    if n_exponents is not None:
        faults.integer("n_exponents", n_exponents, 1)
    if isinstance(system, Map) and dt is not None:
        faults.add("dt", dt, "it belongs to flows: a map has its own")
    elif isinstance(system, Flow):
        faults.positive("dt", dt)
    faults.raise_if_any()
    settings = {
        "dt": system.dt if isinstance(system, Map) else float(dt or 0.0),
        "n_steps": int(n_steps),
        "n_transient": int(n_steps) // 2 if n_transient is None else int(n_transient),
        "max_period": int(max_period),
    }
    return axes, settings


def _run(stepped: Map, x: np.ndarray, n_steps: int) -> np.ndarray | None:
    try:
        return np.asarray(simulate(stepped, x, n_steps)["state"].values, dtype=np.float64)
    except DivergenceError:
        return None


def _judged(
    system: Map | Flow,
    states: np.ndarray,
    dt: float,
    growth: np.ndarray,
    durations: np.ndarray,
    shooting: CompiledShooting | None,
    max_period: int,
) -> _Cell:
    field = Field(system, states[-1])
    rates = exponents_of(growth, durations)
    k = rates.values.size
    finite = rates.values[np.isfinite(rates.values)]
    decay = float(-finite.min(initial=0.0))
    sure = None
    if rates.signs[0] != 1:
        sure = certificate(system, field, states, dt, decay, shooting, max_period)
    if sure is not None:
        return _certified(system, sure, states, k, max_period)
    label, period = _ruled(field, states, dt, rates, max_period, k == field.n)
    if label in ("unknown", "marginal") and rates.signs[0] != 1:
        # a passage that takes longer than the run, or a slow approach
        stepped = system.to_map(dt) if isinstance(system, Flow) else system
        longer = _run(stepped, states[-1], _LONGER * len(states))
        sure = None if longer is None else certificate(system, field, longer, dt, decay, shooting, max_period)
        if longer is not None and sure is not None:
            return _certified(system, sure, longer, k, max_period)
    frequency = np.nan
    if isinstance(system, Flow):
        frequency = 1 / period
    elif rates.signs[0] != 1:
        frequency = _rotation(system, states, label, max_period)
    return _Cell(label, rates.values, rates.errors, period, frequency, RUN)


def _certified(system: Map | Flow, sure: Certificate, states: np.ndarray, k: int, max_period: int) -> _Cell:
    frequency = 1 / sure.period if isinstance(system, Flow) else _rotation(system, states, sure.label, max_period)
    return _Cell(sure.label, sure.exponents[:k], sure.errors[:k], sure.period, frequency, NEWTON)


def _ruled(
    field: Field, states: np.ndarray, dt: float, rates: Exponents, max_period: int, is_whole: bool
) -> tuple[str, float]:
    """Return the label by the rules of `classify_attractor`, and the period by returns."""
    scale = float(np.abs(states).max())
    is_flow = isinstance(field.system, Flow)
    if is_flow:
        back = recurrence_of_flow(field, states[1:], scale, dt, max_period, _CLOSED_FLOW)
    else:
        back = recurrence_of_map(states[1:], scale, dt, max_period, _CLOSED_MAP)
    label, _ = named(rates, back, drift_of(states[1:], scale), is_flow, is_whole)
    return label, back.period


def _rotation(system: Map, states: np.ndarray, label: str, max_period: int) -> float:
    if label == "fixed point" or states.shape[1] < 2:
        return np.nan
    n_steps = max(len(states) - 1, 100)
    try:
        found = rotation_number(system, states[-1], n_steps, n_transient=0, max_period=min(max_period, n_steps // 4))
    except (ConvergenceError, DivergenceError):
        return np.nan
    return float(found["rotation"])


def _label(
    system: Map | Flow,
    axes: dict[str, np.ndarray],
    shape: tuple[int, ...],
    found: list[_Cell],
    k: int,
    settings: dict[str, Any],
) -> xr.Dataset:
    dims, time_unit = tuple(axes), system.time_unit
    per_time = EXPONENT_UNITS.format(time_unit=time_unit)

    def grid(name: str) -> np.ndarray:
        return np.array([getattr(cell, name) for cell in found]).reshape(shape)

    def exponents(name: str) -> np.ndarray:
        return np.array([getattr(cell, name) for cell in found]).reshape(*shape, k)

    turns = "frequency of the limit cycle" if isinstance(system, Flow) else "rotation number, turns a step"
    variables = {
        "lyapunov_exponent": ((*dims, "exponent"), exponents("exponents"), "Lyapunov exponent", per_time),
        "standard_error": ((*dims, "exponent"), exponents("errors"), "error of the exponent", per_time),
        "frequency": (dims, grid("frequency"), turns, f"1 / {time_unit}"),
        "period": (dims, grid("period"), "period of the orbit", time_unit),
        "label": (dims, grid("label"), "kind of attractor", "1"),
        "evidence": (dims, grid("evidence"), "what the numbers rest on", "1"),
    }
    return dataset(variables, {**axes, "exponent": np.arange(1, k + 1)}, {
        "title": "Exponents over a grid of parameters",
        "method": "growth of a tangent frame; Newton's method where the run settles on an orbit",
        "references": REFERENCES,
        "system": "flow" if isinstance(system, Flow) else "map",
        "time_unit": time_unit,
        **settings,
    })  # fmt: skip
