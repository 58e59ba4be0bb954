"""Covariant Lyapunov vectors: the directions that grow with each exponent, forwards and backwards in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset, unit_coordinates
from dynet._progress import progress_bar
from dynet._validate import Faults
from dynet.lyapunov.convergence import error_bars, sequence_rates
from dynet.lyapunov.ginelli import Plan, SequenceVectors, sequence_vectors
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.run import blas_threads, block_size
from dynet.lyapunov.setup import require_map
from dynet.lyapunov.spectrum_labels import jacobian_kind, named_rng, state_kind
from dynet.lyapunov.walk import make_walk
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.typing import ArrayLike, Rng

__all__ = ["covariant_vectors"]

REFERENCES = (
    "Ginelli et al. (2007) doi:10.1103/PhysRevLett.99.130601; Kuptsov & Parlitz (2012) "
    "doi:10.1007/s00332-012-9126-5; Froyland, Lloyd & Quas (2010) doi:10.1017/S0143385709000339"
)


def covariant_vectors(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike | None = None,
    n_exponents: int | None = None,
    n_transient: int = 0,
    n_backward: int | None = None,
    every: int = 1,
    rng: Rng = None,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return the covariant Lyapunov vectors along a trajectory, their growth and the angles between them.

    Vector i at time t is mapped onto vector i at time t + 1, :math:`J_t v_{i,t} = e^{\gamma_{i,t}} v_{i,t+1}`, and
    :math:`\gamma_i` averages to :math:`\lambda_i`. They come from Ginelli's algorithm: an orthonormal frame forwards,
    :math:`J_t Q_t = Q_{t+1} R_t`, then upper triangular coefficients backwards, :math:`C_t \propto R_t^{-1} C_{t+1}`,
    :math:`V_t = Q_t C_t`.

    Parameters
    ----------
    system : Map
        Any step with its Jacobian; for a flow give ``flow.to_map(dt)``.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; None means zeros, for driven networks and recorded Jacobians only.
    n_steps : int
        Steps of the window in which vectors are wanted.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps + n_backward`` rows.
    n_exponents : int, optional
        How many vectors, the leading ones; all n if not given.
    n_transient : int, default 0
        Steps before the window, in which state and frame settle.
    n_backward : int, optional
        Steps after the window, in which the coefficients settle on their way back; ``n_transient`` if not given.
    every : int, default 1
        Store vectors, angles and growth of every so manyth step only; nothing else depends on it.
    rng : Generator or int, optional
        Source of the random frame and coefficients; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the loop.

    Returns
    -------
    xarray.Dataset
        ``covariant_vector(time, unit, exponent)`` of length one, at the states ``state(time, unit)``;
        ``local_exponent(time, exponent)``, the rate at which each grows from that time on for ``duration(time)``;
        ``angle(time, exponent, exponent_2)`` in [0, pi/2]; ``lyapunov_exponent(exponent)``, the mean rate of the
        whole window, with ``standard_error(exponent)`` and ``degrees_of_freedom(exponent)``;
        ``frame_exponent(exponent)``, the mean rate of the frame in the same window, as `lyapunov_spectrum` counts it;
        and how good the vectors are:
        ``invariance_residual(exponent)``, the largest length of the difference of J v / \|J v\| and the next v
        at 50 times;
        ``forward_error(exponent)``, how far the first vector still is from what another random frame at the start
        makes of it; ``backward_error(exponent)``, the same of the last vector and other random coefficients at the
        end; both are sines of angles, fade exponentially into the window and are of order one without transients;
        ``below_resolution(exponent)``. Several sequences put a dimension ``sequence`` in front of all but the
        exponents, which are means over them.

    Raises
    ------
    InputError
        If an argument cannot be used, or the Jacobian disagrees with the step.
    DivergenceError
        If state or frame stop being finite; it names step and unit.

    Notes
    -----
    Vectors of equal or nearly equal exponents, such as those of a pair of complex eigenvalues, are not determined one
    by one: only their span is. Their ``backward_error`` stays of order one and tells so.

    A Jacobian that is singular cannot be followed back. A direction that some step maps to zero, or to what is
    rounding by the rule of `lyapunov_spectrum`, has the exponent -inf and no covariant vector: nothing that comes
    after has a memory of it. It is marked ``below_resolution`` with all that follow it, which a random frame loses
    too; its vector, its angles and errors are 0. The other vectors are those of a call for so many exponents, and
    covariant exactly: the triangular factors of the columns that are left can be inverted.

    The sign of a vector is such that its part along the frame's column of the same number is positive; from one
    time to the next it is kept by the Jacobian.

    Stored are k x k numbers a step, and n x k a stored vector. Runs whose factors do not fit in 256 MiB are recorded
    twice: from frames kept at the starts of ``attrs["segments"]`` segments the factors are made again, one segment
    at a time.

    References
    ----------
    Ginelli et al. (2007), doi:10.1103/PhysRevLett.99.130601; Kuptsov & Parlitz (2012),
    doi:10.1007/s00332-012-9126-5; Froyland, Lloyd & Quas (2010), doi:10.1017/S0143385709000339, for singular
    Jacobians.

    Examples
    --------
    The vectors of a linear map are its eigenvectors:

    >>> import dynet
    >>> system = dynet.zoo.linear_map([[2.0, 1.0], [0.0, 0.5]])
    >>> ds = dynet.covariant_vectors(system, [1.0, 1.0], 10, n_transient=40)
    >>> abs(ds.covariant_vector.isel(time=0)).values.round(4)
    array([[1.    , 0.5547],
           [0.    , 0.8321]])
    >>> float(ds.angle.sel(exponent=1, exponent_2=2)[0].round(4))
    0.9828
    """
    system = require_map(system)
    faults = Faults()
    faults.integer("n_steps", n_steps, 1)
    faults.integer("n_transient", n_transient, 0)
    if n_backward is not None:
        faults.integer("n_backward", n_backward, 0)
    faults.integer("every", every, 1)
    faults.raise_if_any()
    plan = Plan(int(n_transient), int(n_steps), int(n_transient if n_backward is None else n_backward), int(every))
    problem = make_walk(
        system,
        x0,
        plan.n_steps + plan.n_backward,
        inputs=inputs,
        n_exponents=n_exponents,
        n_transient=plan.n_transient,
        rng=rng,
        check=check,
        counted="n_transient + n_steps + n_backward",
    )
    S, (n, k) = problem.x0.shape[0], problem.frame.shape
    # a stream of its own: the frame is that of a spectrum with the same rng
    random = np.random.default_rng(0 if rng is None else rng).spawn(1)[0]
    other_frame, _ = np.linalg.qr(random.standard_normal((n, k)))
    ends = random.standard_normal((2, k, k))
    n_taken = S * (2 * plan.n_transient + plan.n_steps + plan.n_backward)
    with blas_threads(problem), progress_bar(n_taken, "covariant vectors", progress) as bar:
        found = [sequence_vectors(problem, s, plan, other_frame, ends, bar) for s in range(S)]
    return _label(problem, plan, found, has_sequences(problem, x0, inputs), {"rng": named_rng(rng), "check": check})


def has_sequences(problem: Problem, x0: Any, inputs: Any) -> bool:
    """Return whether several sequences were given, or one in an array that could hold several."""
    starts = getattr(np.asarray(x0) if isinstance(x0, list | tuple) else x0, "ndim", 0)
    several: bool = problem.x0.shape[0] > 1 or starts == 2 or getattr(inputs, "ndim", 0) == 3
    return several or problem.system.limits()[1] is not None


def require_vectors(result: xr.Dataset) -> None:
    """Check that a result of `covariant_vectors` is whole: with its times, units and exponents."""
    faults = Faults()
    if not isinstance(result, xr.Dataset) or "covariant_vector" not in result:
        faults.add("result", type(result).__name__, "give a Dataset from dynet.covariant_vectors")
    elif result["covariant_vector"].dims[-3:] != ("time", "unit", "exponent"):
        faults.add("result", dict(result.sizes), "give it whole: select nothing, or lists: [1]")
    faults.raise_if_any()


def _label(
    problem: Problem, plan: Plan, found: list[SequenceVectors], several: bool, settings: dict[str, Any]
) -> xr.Dataset:
    system = problem.system
    dt, time_unit = system.dt, system.time_unit
    n, k = problem.frame.shape
    per_time = EXPONENT_UNITS.format(time_unit=time_unit)
    lead: tuple[str, ...] = ("sequence",) if several else ()

    def each(name: str) -> np.ndarray:
        arrays = [getattr(one, name) for one in found]
        return np.stack(arrays) if several else np.asarray(arrays[0])

    stored = plan.stored
    durations = np.diff(stored, append=plan.n_steps) * dt
    blocks = np.arange(0, plan.n_steps, block_size(plan.n_steps, 1))
    weights = np.tile(np.diff(blocks, append=plan.n_steps) * dt, (len(found), 1))
    growth = np.stack([np.add.reduceat(one.growth, blocks, axis=0) for one in found])
    exponents = sequence_rates(growth, weights).mean(axis=0)
    error, degrees = error_bars(growth, weights, independent=problem.independent)
    local = [np.add.reduceat(one.growth, stored, axis=0) / durations[:, None] for one in found]
    frame_rates = np.mean([one.frame_growth.mean(axis=0) / dt for one in found], axis=0)
    coords = {
        "exponent": np.arange(1, k + 1),
        "exponent_2": np.arange(1, k + 1),
        "time": ("time", (plan.n_transient + stored) * dt, {"units": time_unit, "long_name": "time of the vectors"}),
        **unit_coordinates(unit_coords(system.units, n)),
        **({"sequence": np.arange(len(found))} if several else {}),
    }
    by_exponent = (*lead, "exponent")
    variables = {
        "covariant_vector": (
            (*lead, "time", "unit", "exponent"),
            each("vectors"),
            "covariant Lyapunov vector, of length one",
            "1",
        ),
        "state": ((*lead, "time", "unit"), each("states"), "state", "1"),
        "local_exponent": (
            (*lead, "time", "exponent"),
            np.stack(local) if several else local[0],
            "rate of growth along the vector from this time on",
            per_time,
        ),
        "duration": (("time",), durations, "time up to the next stored vector", time_unit),
        "angle": (
            (*lead, "time", "exponent", "exponent_2"),
            each("angles"),
            "angle between vectors; 0 where one is below resolution",
            "radian",
        ),
        "lyapunov_exponent": (("exponent",), exponents, "Lyapunov exponent, mean rate along the vector", per_time),
        "standard_error": (("exponent",), error, "standard error of the exponent", per_time),
        "degrees_of_freedom": (("exponent",), degrees, "degrees of freedom of the error", "1"),
        "frame_exponent": (("exponent",), frame_rates, "mean rate of the frame in the same window", per_time),
        "invariance_residual": (by_exponent, each("residual"), "largest distance of J v from the next v", "1"),
        "forward_error": (by_exponent, each("forward_error"), "error of the first vector, from the start", "1"),
        "backward_error": (by_exponent, each("backward_error"), "error of the last vector, from the end", "1"),
        "below_resolution": (
            by_exponent,
            ~each("defined"),
            "exponent is -inf and has no covariant vector: its pivots are zero to rounding",
            "1",
        ),
    }
    attrs = {
        "title": "Covariant Lyapunov vectors",
        "method": "QR forwards, triangular coefficients backwards (Ginelli)",
        "references": REFERENCES,
        "engine": problem.engine,
        "n_steps": plan.n_steps,
        "n_transient": plan.n_transient,
        "n_backward": plan.n_backward,
        "every": plan.every,
        "n_exponents": k,
        "dt": dt,
        "time_unit": time_unit,
        "dtype": str(found[0].vectors.dtype),
        "jacobian": jacobian_kind(system),
        "state": state_kind(system),
        "logarithm": "natural",
        "n_below_resolution": int(np.isneginf(exponents).sum()),
        "segments": max(one.n_segments for one in found),
        "sequences": "independent" if problem.independent else "shared input or none",
        **settings,
    }
    if problem.inputs is not None:
        attrs["conditional_on"] = "the given inputs"
    return dataset(variables, coords, attrs)
