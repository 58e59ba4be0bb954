"""From the arguments of a call to a checked problem: the only place where they are looked at."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from dynet._validate import Faults, is_number, shown
from dynet.errors import InputError
from dynet.kernels.blas_threads import one_thread
from dynet.kernels.namespace import is_numpy, move_like, namespace, to_numpy
from dynet.lyapunov.checkpoint_file import check_path
from dynet.lyapunov.probe import first_inputs, probe, settle
from dynet.lyapunov.problem import Problem
from dynet.systems.arguments import start_and_inputs
from dynet.systems.compiled import compiled_parts
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.parameter_sets import ParameterSets, parameter_sets
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike, Rng

#: From this many exponents on, LU frames are faster than Householder ones.
LU_FROM = 32
#: Up to this many units no BLAS takes threads for one factorisation.
_ONE_THREAD_FROM = 64
#: Of a chunk of time, at least.
FEWEST_STEPS = 10


def require_map(system: Any) -> Map:
    """Return ``system`` if it is a Map, or say how to make one of what was given."""
    if isinstance(system, Map):
        return system
    if isinstance(system, Flow):
        raise InputError(
            "system is a Flow: give the map of one time step, system.to_map(dt), for instance with dt=0.01"
        )
    if hasattr(system, "state_dict"):
        raise InputError(f"system is a torch module ({type(system).__name__}): give dynet.torch.from_module(model)")
    way_out = "give a dynet.Map"
    if callable(system):
        way_out += ": dynet.Map(step, jac) with step(t, x, u, p) -> x_next and jac(t, x, u, p) -> J"
    raise InputError(f"system={shown(system)}: {way_out}")


def make_problem(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    params: Any = None,
    n_exponents: int | None = None,
    n_transient: int = 0,
    qr_interval: Any = "auto",
    frame: str = "auto",
    initial_frame: ArrayLike | None = None,
    rng: Rng = None,
    tolerance: float | None = None,
    checkpoint: Any = None,
    time_chunks: Any = 1,
    check: bool = True,
    counted: str = "n_transient + n_steps",
) -> Problem:
    """Check every argument of a spectrum and return the problem to run; ``counted`` is how errors call its steps."""
    faults = Faults()
    faults.integer("n_steps", n_steps, 1)
    faults.integer("n_transient", n_transient, 0)
    if qr_interval != "auto":
        faults.integer("qr_interval", qr_interval, 1, why=', or "auto"')
    faults.choice("frame", frame, ("auto", "qr", "lu"))
    if tolerance is not None and not (is_number(tolerance) and tolerance > 0):
        faults.add("tolerance", tolerance, "give a positive standard error to stop at")
    if checkpoint is not None:
        check_path(faults, checkpoint)
    faults.raise_if_any()
    _check_chunks(faults, time_chunks, n_steps + n_transient, tolerance, checkpoint)
    faults.raise_if_any()

    sets = None
    if params is not None:
        sets = _parameter_sets(faults, system, params)
        faults.raise_if_any()
        assert sets is not None
        system = system.with_params(sets.of(0))
    start, rows = start_and_inputs(faults, system, x0, inputs, n_steps + n_transient, counted)
    if sets is not None:
        start, rows = _for_each_set(faults, sets, start, rows)
    states = None
    if hasattr(system.step, "freeze"):
        states, rows = _freeze(system, start, rows, n_steps + n_transient)
        start = states[..., 0, :]
    n = start.shape[-1]
    if n_exponents is not None:
        faults.integer("n_exponents", n_exponents, 1, n, f" (the system has {n} units)")
    V = _initial_frame(faults, initial_frame, n, n_exponents, rng)
    names = [str(name) for name in unit_coords(system.units, n)["unit"]]
    faults.raise_if_any()

    # LU frames live in the array engine; asked for by name, it runs compiled functions one call at a time
    parts = compiled_parts(system) if is_numpy(start) and frame != "lu" else None
    first_row = start[0, :0] if rows is None else rows[0, 0, :]
    start, parts, tuples, frame_dtype = settle(system, parts, start, first_row, names)
    if parts is None and time_chunks not in (1, "auto"):
        faults.add("time_chunks", time_chunks, "only compiled systems (numba functions) are run parallel in time")
        faults.raise_if_any()
    if rows is not None:
        rows = move_like(rows, start)
    k = V.shape[1]
    if check:
        first = start if system.vectorized else start[0, :]
        u = first_inputs(system, rows, start)
        probe(system, first, u)
    if frame == "auto":
        frame = "lu" if parts is None and k >= LU_FROM else "qr"
    return Problem(
        system=system,
        parts=parts,
        tuples=tuples,
        x0=start,
        frame=_cast(V, start, frame_dtype),
        inputs=rows,
        names=names,
        frame_method="qr" if parts is not None else frame,
        numbers=list(range(start.shape[0])),
        n_rows=n_steps + n_transient,
        independent=sets is None and _are_independent(system, rows),
        qr_interval=None if qr_interval == "auto" else int(qr_interval),
        sets=sets,
        states=states,
    )


def _parameter_sets(faults: Faults, system: Map, params: Any) -> ParameterSets | None:
    if hasattr(system.step, "freeze") or system.limits() != (None, None):
        faults.say("params: recorded Jacobians and the hidden state of an LSTM have no parameters that could vary")
        return None
    return parameter_sets(faults, system.params, params)


def _for_each_set(faults: Faults, sets: ParameterSets, start: Any, rows: Any) -> tuple[Any, Any]:
    """Return start and inputs for as many sequences as there are sets."""
    S = start.shape[0]
    if S not in (1, sets.count):
        faults.say(f"params has {sets.count} sets, but there are {S} sequences: give equal numbers, or one start")
    faults.raise_if_any()
    if sets.count == S:
        return start, rows
    xp = namespace(start)
    copies = xp.broadcast_to(start, (sets.count, start.shape[1]))
    start = copies.copy() if is_numpy(copies) else copies.clone()
    return start, None if rows is None else namespace(rows).broadcast_to(rows, (sets.count, *rows.shape[1:]))


def _check_chunks(faults: Faults, time_chunks: Any, n_rows: int, tolerance: Any, checkpoint: Any) -> None:
    if isinstance(time_chunks, str) and time_chunks == "auto":
        return
    most = max(n_rows // FEWEST_STEPS, 1)
    why = f', or "auto" (a chunk holds at least {FEWEST_STEPS} steps)'
    if not faults.integer("time_chunks", time_chunks, 1, most, why) or time_chunks == 1:
        return
    for name, value, what in (("tolerance", tolerance, "stops a run"), ("checkpoint", checkpoint, "continues one")):
        if value is not None:
            faults.say(f"time_chunks and {name}: chunks run all at once, {name} {what} as it goes; give one of them")


def _are_independent(system: Map, rows: Any) -> bool:
    """Return whether every sequence has an input, or recorded Jacobians, of its own."""
    if rows is None:
        return system.limits()[1] is not None
    series = to_numpy(rows) + 0.0  # zeros of either sign are the same input
    return len({one.tobytes() for one in series}) == len(series)


def _freeze(system: Map, start: Any, rows: Any, n_rows: int) -> tuple[Any, Any]:
    """Run the trajectory of a hidden-state LSTM once: return its states; its memories become inputs."""
    xp = namespace(start)
    if rows is None:
        rows = xp.zeros_like(start[:, None, :0])
        rows = xp.broadcast_to(rows, (start.shape[0], n_rows, 0))
    return system.step.freeze(start, move_like(rows, start), system.params)  # type: ignore[attr-defined]


def _initial_frame(faults: Faults, initial_frame: Any, n: int, n_exponents: int | None, rng: Rng) -> np.ndarray:
    """Return the orthonormal frame (n, k) that every sequence starts with, in float64."""
    if rng is not None and not isinstance(rng, int | np.integer | np.random.Generator):
        faults.add("rng", rng, "give a whole number, a numpy.random.Generator or None")
        rng = None
    known = len(faults)
    wanted = n_exponents if isinstance(n_exponents, int | np.integer) and 1 <= n_exponents <= n else None
    if initial_frame is None:
        k = n if wanted is None else int(wanted)
        V = np.random.default_rng(0 if rng is None else rng).standard_normal((n, k))
    else:
        V = (
            to_numpy(initial_frame)
            if hasattr(initial_frame, "detach")
            else faults.real_array("initial_frame", initial_frame, finite=True)
        )
        if len(faults) > known:
            return V
        k = wanted if wanted is not None else V.shape[-1] if V.ndim else 0
        if V.ndim != 2 or V.shape != (n, k):
            faults.add("initial_frame", V, f"give shape ({n}, {k if wanted is not None else 'k'})")
            return V
        if k > n or np.linalg.matrix_rank(V) < k:
            faults.add("initial_frame", V, "its columns must be linearly independent")
            return V
    # by one thread, so that their number changes no digit of a run
    with one_thread() if n > _ONE_THREAD_FROM else nullcontext():
        Q, R = np.linalg.qr(V.astype(np.float64))
    return Q * np.where(R.diagonal() < 0, -1.0, 1.0)


def _cast(V: np.ndarray, start: Any, dtype: Any) -> Any:
    if is_numpy(start):
        return V.astype(dtype)
    return move_like(V, start).to(dtype)
