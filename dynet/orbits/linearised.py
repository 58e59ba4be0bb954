"""A cycle with the matrices of its linearisation, and what is known of how exact they are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.kernels.conditioning import condition_number
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.variational.field import Field
from dynet.variational.integration import Piece, fundamental_pieces

__all__ = ["Linearised", "Partial", "linearised", "orbit_and_period"]

#: A fundamental matrix that is worse conditioned is cut in two, or not multiplied by the next one.
_MOST_CONDITION = 30.0
#: Parts of the period after which the trajectory is set back on the orbit as it was given.
_PARTS = 6


class Partial(NamedTuple):
    """The matrix from the start of a factor to a phase within it."""

    factor: int
    M: np.ndarray  # (n, n)
    duration: float


class Linearised(NamedTuple):
    """An orbit's linearisation."""

    factors: np.ndarray  # (K, n, n), whose product is the monodromy
    durations: np.ndarray  # (K,)
    partials: list[Partial]  # one a phase that was asked for
    log_det: float  # integral of the trace, or sum of log |det J|
    gap: float  # largest jump between what the system does and the orbit that was given, relative
    period: float


def orbit_and_period(system: Map | Flow, cycle: Any) -> tuple[np.ndarray, float]:
    """Return the orbit (phase, n) and the period of a cycle that was found for ``system``."""
    faults = Faults()
    if not (isinstance(cycle, xr.Dataset) and {"orbit", "period"} <= set(cycle.variables)):
        faults.add("cycle", type(cycle), "give what find_limit_cycle or find_periodic_orbit returned")
        faults.raise_if_any()
    if cycle["orbit"].dims != ("phase", "unit") or cycle["period"].ndim:
        faults.add("cycle", cycle["orbit"].values, "give one whole orbit (phase, unit) with its period")
        faults.raise_if_any()
    orbit = faults.real_array("cycle.orbit", cycle["orbit"].values, finite=True)
    period = float(cycle["period"])
    n = None if system.like is None else int(system.like.shape[-1])
    if n is None and isinstance(system.units, tuple | list):
        n = len(system.units)
    if n is not None and orbit.shape[-1] != n:
        faults.say(f"cycle has {orbit.shape[-1]} units, the system {n}: give the cycle of this system")
    if isinstance(system, Map) and period != len(orbit) * system.dt:
        faults.say(f"cycle has {len(orbit)} points and a period of {period:g}: it is not a periodic orbit of this map")
    faults.raise_if_any()
    return orbit, period


def linearised(
    field: Field, orbit: np.ndarray, period: float, *, at_each_phase: bool = False, progress: bool = False
) -> Linearised:
    """Return the linearisation along the orbit (phase, n), with a partial matrix at each phase if that is asked for."""
    if not isinstance(field.system, Flow):
        return _along_map(field, orbit)
    P = len(orbit)
    scale = float(np.abs(orbit).max())
    size = float(np.linalg.norm(orbit - orbit[0], axis=1).max())
    stops = np.arange(P + 1) if at_each_phase else np.unique(np.linspace(0, P, _PARTS + 1).astype(int))
    pieces: list[Piece] = []
    starts, gap = [], 0.0
    for first, last in progress_over(list(pairwise(stops.tolist())), "parts of the cycle", progress):
        starts.append(len(pieces))
        duration, step = (last - first) * period / P, pieces[-1].step if pieces else None
        pieces += fundamental_pieces(field, orbit[first], duration, scale, _MOST_CONDITION, first_step=step)
        gap = max(gap, float(np.linalg.norm(pieces[-1].end - orbit[last % P])) / size)
    return _multiplied(pieces, set(starts) if at_each_phase else set(), gap, period)


def _multiplied(pieces: list[Piece], starts: set[int], gap: float, period: float) -> Linearised:
    """Multiply pieces as long as that loses no digits."""
    factors: list[np.ndarray] = []
    durations: list[float] = []
    partials: list[Partial] = []
    n = len(pieces[0].M)
    for number, piece in enumerate(pieces):
        product = piece.M @ factors[-1] if factors else piece.M
        if factors and condition_number(product) <= _MOST_CONDITION:
            before = Partial(len(factors) - 1, factors[-1], durations[-1])
            factors[-1], durations[-1] = product, durations[-1] + piece.duration
        else:
            before = Partial(len(factors), np.eye(n), 0.0)
            factors.append(piece.M)
            durations.append(piece.duration)
        if number in starts:
            partials.append(before)
    log_det = sum(piece.trace for piece in pieces)
    return Linearised(np.array(factors), np.array(durations), partials, log_det, gap, period)


def _along_map(field: Field, orbit: np.ndarray) -> Linearised:
    system: Any = field.system
    p, dt = len(orbit), system.dt
    scale = max(float(np.abs(orbit).max()), 1e-300)
    factors = np.array([field.jacobian(k * dt, x).matrix() for k, x in enumerate(orbit)])
    ends = np.array([field(k * dt, x) for k, x in enumerate(orbit)])
    gap = float(np.linalg.norm(ends - np.roll(orbit, -1, axis=0), axis=1).max()) / scale
    log_det = 0.0
    for J in factors:
        U = np.abs(np.linalg.qr(J)[1].diagonal())
        singular = U.min() <= len(J) * np.finfo(float).eps * np.abs(J).max()
        log_det += -np.inf if singular else np.linalg.slogdet(J)[1]
    identity = np.eye(field.n)
    return Linearised(
        factors, np.full(p, dt), [Partial(k, identity, 0.0) for k in range(p)], log_det, gap, p * dt
    )  # fmt: skip
