"""Floquet multipliers of limit cycles and of periodic orbits of maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet.kernels.periodic_schur import Splitting, split_product
from dynet.orbits.linearised import Linearised, Partial, linearised, orbit_and_period
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords
from dynet.variational.field import Field, checked_field, require_system

__all__ = ["floquet_multipliers"]

REFERENCES = (
    "Floquet (1883) doi:10.24033/asens.220; Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7; "
    "Bojanczyk, Golub & Van Dooren (1992) doi:10.1117/12.130915"
)
#: Logarithms of multipliers below it count as zero; a larger trivial error raises it.
_NEUTRAL = 1e-7
#: Check sums above it refuse a label.
_TRUSTED = 1e-5
#: Of the largest state: an orbit that is smaller is a point.
_POINT = 1e-9


class Modes(NamedTuple):
    """Multipliers and modes in descending order of the modulus."""

    logs: np.ndarray  # (n,)
    angles: np.ndarray  # (n,)
    modes: np.ndarray  # (phase, n, n), columns; growth and rotation taken out
    trivial: int | None


def floquet_multipliers(system: Map | Flow, cycle: xr.Dataset, *, progress: bool = False) -> xr.Dataset:
    r"""Return the multipliers of a cycle with their check sums, its modes and adjoint modes, and its stability.

    For flows :math:`M' = J(\varphi(t)) M` over one period, for maps :math:`M = J_{p-1} \cdots J_0`. The product of
    the pieces of M is never formed as a whole: its logarithms are right at any magnitude.

    Parameters
    ----------
    system : Map or Flow
        What the cycle belongs to.
    cycle : Dataset
        From `find_limit_cycle` or `find_periodic_orbit`.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``multiplier(index)``, complex, in descending order of ``log_modulus(index)`` (which holds where the multiplier
        itself underflows); ``growth_rate(index)`` = log_modulus / period, and ``frequency(index)``, turns of the mode a
        unit of time. ``trivial_error``: distance of the nearest multiplier from 1 (NaN for maps);
        ``liouville_error``: sum of log_modulus less the integral of the trace of J. ``mode(unit, index)`` and
        ``adjoint_mode(unit, index)`` at phase 0, biorthogonal: ``sum_unit adjoint_mode_i mode_j`` is 1 for i = j and 0
        otherwise, without conjugation. The trivial mode is the velocity, so its adjoint is the phase response.
        ``stability`` is one of "stable", "unstable", "undecided" (further multipliers on the unit circle),
        "fixed_point" and "unknown" (a check sum fails).

    Raises
    ------
    InputError
        If ``cycle`` is not one, or is of another system.
    DivergenceError
        If the Jacobian is not finite along the cycle.

    Notes
    -----
    ``attrs["trivial_index"]`` is the index of the trivial multiplier, 0 for maps. Multipliers count as neutral when
    their log_modulus is below 1e-7 or ten times ``trivial_error``; ``orbit_error`` is the largest jump between the
    flow and the orbit as it was given, relative to its size.

    References
    ----------
    Floquet (1883), doi:10.24033/asens.220; Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7; Bojanczyk, Golub & Van
    Dooren (1992), doi:10.1117/12.130915.

    See Also
    --------
    floquet_modes : Modes and adjoint modes along the whole cycle.

    Examples
    --------
    Of van der Pol's relaxation oscillations, a multiplier of 1e-38:

    >>> import dynet
    >>> flow = dynet.zoo.van_der_pol(5.0)
    >>> ds = dynet.floquet_multipliers(flow, dynet.find_limit_cycle(flow, [2.0, 0.0]))
    >>> ds.log_modulus.values.round(4) + 0.0
    array([  0.   , -85.452])
    >>> ds.stability.item()
    'stable'
    """
    system = require_system(system)
    orbit, period = orbit_and_period(system, cycle)
    field, _, _ = checked_field(system, orbit[0], 0)
    is_flow = isinstance(system, Flow)
    size = np.linalg.norm(orbit - orbit[0], axis=1).max()
    is_point = is_flow and not (period > 0 and size > _POINT * max(np.abs(orbit).max(), 1e-300))
    if is_point:
        return _of_a_point(field, orbit, cycle)
    along = linearised(field, orbit, period, progress=progress)
    found = modes_of(field, orbit, along, [Partial(0, np.eye(field.n), 0.0)])
    logs, angles, _, trivial = found
    trivial_error = float(np.abs(np.expm1(logs[trivial] + 1j * angles[trivial]))) if trivial is not None else np.nan
    total = logs.sum()
    liouville_error = 0.0 if total == along.log_det == -np.inf else float(total - along.log_det)
    turned = _velocity_error(field, orbit, along) if is_flow else 0.0
    label = _stability(logs, trivial, trivial_error, turned, liouville_error, along)
    return _label(field, along, found, trivial_error, liouville_error, label)


def modes_of(field: Field, orbit: np.ndarray, along: Linearised, partials: list[Partial]) -> Modes:
    """Return the multipliers, and the modes at some phases of the cycle, the first of which is phase 0."""
    split = split_product(along.factors)
    order = np.argsort(-split.log_modulus, kind="stable")
    logs, angles = split.log_modulus[order], split.phase[order]
    trivial = None
    if isinstance(field.system, Flow):
        trivial = int(np.argmin(np.abs(np.expm1(logs + 1j * angles))))
    modes = _along_cycle(split, along, partials)[..., order]
    return Modes(logs, angles, _normalised(field, orbit, modes, trivial), trivial)


def dual(modes: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the dual bases (phase, unit, n), NaN where the modes are no basis, and the worst condition number."""
    lengths = np.linalg.norm(modes, axis=1)
    scaled = modes / np.where(lengths > 0, lengths, 1.0)[:, None, :]
    try:
        inverses = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        return np.full_like(modes, np.nan), np.inf
    sizes = (np.abs(matrix).sum(axis=1).max(axis=1) for matrix in (scaled, inverses))
    condition = float(np.prod(list(sizes), axis=0).max())
    if not condition < 1e14:
        return np.full_like(modes, np.nan), condition
    return inverses.transpose(0, 2, 1) / lengths[:, None, :], condition


def _along_cycle(split: Splitting, along: Linearised, partials: list[Partial]) -> np.ndarray:
    """Return the modes (phase, unit, n) at some phases, with their growth and rotation taken out."""
    columns = []
    for block, basis, maps, W in zip(split.blocks, split.bases, split.maps, split.vectors, strict=True):
        logs = split.log_modulus[block]
        finite = np.isfinite(logs)
        rate = (np.where(finite, logs, 0.0) + 1j * split.phase[block]) / along.period
        w, starts = W, []
        for M, duration in zip(maps, along.durations, strict=True):
            starts.append(w)
            w = M @ w * np.exp(-rate * duration)
        columns.append(
            np.array([part.M @ (basis[part.factor] @ starts[part.factor]) * np.exp(-rate * part.duration)
                      for part in partials])
        )  # fmt: skip
    return np.concatenate(columns, axis=-1)


def _normalised(field: Field, orbit: np.ndarray, modes: np.ndarray, trivial: int | None) -> np.ndarray:
    """Return modes of length one at phase 0, the trivial one as the velocity, real ones made real and turned up."""
    first = modes[0]
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=0)[None, :], axis=0)[0]
    lengths = np.linalg.norm(first, axis=0)
    factors = np.where(lengths > 0, np.exp(-1j * np.angle(largest)) / np.where(lengths > 0, lengths, 1.0), 1.0)
    if trivial is not None:
        f = field(0.0, orbit[0])
        factors[trivial] = (first[:, trivial].conj() @ f) / np.linalg.norm(first[:, trivial]) ** 2
    out: np.ndarray = modes * factors
    return out


def _velocity_error(field: Field, orbit: np.ndarray, along: Linearised) -> float:
    """Return by how much the velocity, carried once around, differs from itself."""
    f = field(0.0, orbit[0])
    carried = f
    for M in along.factors:
        carried = M @ carried
    return float(np.linalg.norm(carried - f) / np.linalg.norm(f))


def _stability(
    logs: np.ndarray,
    trivial: int | None,
    trivial_error: float,
    velocity_error: float,
    liouville_error: float,
    along: Linearised,
) -> str:
    checks = [abs(liouville_error) / max(1.0, abs(along.log_det)) if np.isfinite(along.log_det) else liouville_error]
    # a double multiplier 1 with a single mode splits by the root of any error: the velocity does not
    checks += [along.gap] if trivial is None else [along.gap, min(trivial_error, velocity_error)]
    if not all(check <= _TRUSTED for check in checks):  # a NaN is no pass
        return "unknown"
    others = logs if trivial is None else np.delete(logs, trivial)
    neutral = _NEUTRAL if trivial is None else max(_NEUTRAL, 10 * trivial_error)
    if (others > neutral).any():
        return "unstable"
    return "stable" if (others < -neutral).all() else "undecided"


def _label(
    field: Field, along: Linearised, found: Modes, trivial_error: float, liouville_error: float, label: str
) -> xr.Dataset:
    logs, angles, modes, trivial = found
    time_unit = field.system.time_unit
    adjoints, condition = dual(modes)
    per_time = f"nat / {time_unit}"
    index = ("index",)
    variables: dict[str, Any] = {
        "multiplier": (index, multipliers_of(logs, angles), "Floquet multiplier", "1"),
        "log_modulus": (index, logs, "logarithm of the modulus of the multiplier", "nat"),
        "growth_rate": (index, logs / along.period, "real part of the Floquet exponent", per_time),
        "frequency": (index, angles / (2 * np.pi * along.period), "turns of the mode", f"1 / {time_unit}"),
        "trivial_error": ((), trivial_error, "distance of the nearest multiplier from 1", "1"),
        "liouville_error": ((), liouville_error, "sum of logarithms less integral of the trace", "nat"),
        "orbit_error": ((), along.gap, "largest jump between flow and given orbit, relative", "1"),
        "mode": (("unit", "index"), modes[0], "mode at phase 0", "1"),
        "adjoint_mode": (("unit", "index"), adjoints[0], "adjoint mode at phase 0", "1"),
        "stability": ((), label, "stability", "1"),
    }
    coords = {
        "index": np.arange(1, field.n + 1),
        **unit_coordinates(unit_coords(field.system.units, field.n)),
    }
    attrs = {
        "title": "Floquet multipliers",
        "method": "fundamental matrices over pieces of the period, periodic orthogonal iteration",
        "references": REFERENCES,
        "period": along.period,
        "time_unit": time_unit,
        "n_pieces": len(along.factors),
        "trivial_index": 0 if trivial is None else trivial + 1,
        "mode_condition": condition,
        "tolerance": field.tolerance,
    }
    return dataset(variables, coords, attrs)


def multipliers_of(logs: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return the multipliers themselves."""
    turns = np.where(np.abs(angles) == np.pi, -1.0, np.exp(1j * angles))  # negative ones are real
    return np.asarray(np.exp(logs) * turns)


def _of_a_point(field: Field, orbit: np.ndarray, cycle: xr.Dataset) -> xr.Dataset:
    """Return the multipliers of a fixed point given as a cycle: those of the flow over the given time, or one unit."""
    period = float(cycle["period"])
    period = period if np.isfinite(period) and period > 0 else 1.0
    J = field.jacobian(0.0, orbit[0]).matrix()
    values, V = np.linalg.eig(J)
    order = np.argsort(-values.real, kind="stable")
    values, V = values[order].astype(complex), V[:, order].astype(complex)
    along = Linearised(np.eye(field.n)[None], np.array([period]), [], np.trace(J) * period, 0.0, period)
    logs = values.real * period
    error = float(logs.sum() - along.log_det)
    trivial_error = float(np.abs(np.expm1(values * period)).min())
    angles = np.angle(np.exp(1j * values.imag * period))
    return _label(field, along, Modes(logs, angles, V[None], None), trivial_error, error, "fixed_point")
