"""Branches as Datasets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet.orbits.branch_records import AnyProblem, Event, Record
from dynet.orbits.collocation import CycleProblem
from dynet.systems.unit_names import unit_coords

REFERENCES = (
    "Keller (1977), Applications of Bifurcation Theory, 359; Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7; "
    "Doedel, Keller & Kernevez (1991) doi:10.1142/S0218127491000555"
)
#: Growth within this of neutral has no sign.
_NEUTRAL = 1e-7


class Branch(NamedTuple):
    """One of the two directions."""

    records: list[Record]
    events: list[Event]
    reason: str


def _stability(growth: np.ndarray, *, is_point: bool, trusted: bool) -> str:
    if not trusted:
        return "unknown"
    if (growth > _NEUTRAL).any():
        return "saddle" if is_point and (growth < -_NEUTRAL).any() else "unstable"
    return "stable" if (growth < -_NEUTRAL).all() else "undecided"


def branch_dataset(
    problem: AnyProblem, name: str, begin: Record, down: Branch, up: Branch, settings: dict[str, Any]
) -> xr.Dataset:
    """Label a branch: its part below the start, reversed, the start, and the part above."""
    records = [*reversed(down.records), begin, *up.records]
    first = len(down.records)
    # the point before a bifurcation, counted from 1 along the whole branch
    places = [first - e.place for e in reversed(down.events)] + [first + 1 + e.place for e in up.events]
    events = [*reversed(down.events), *up.events]
    system: Any = problem.family.field.system
    is_map, is_cycle = problem.family.is_map, isinstance(problem, CycleProblem)
    n_steps = 0 if isinstance(problem, CycleProblem) else problem.p
    is_point = n_steps == 1
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
    kind = "fixed point" if is_point else ("limit cycle" if is_cycle else f"orbit of {n_steps} steps")
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
    events: list[Event], places: list[int], n: int, name: str, time_unit: str, multipliers: bool
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
    of_units = ("bifurcation", "unit")

    def rows(values: Iterable[np.ndarray]) -> np.ndarray:
        return np.array(list(values), dtype=float).reshape(len(events), n)

    return {
        "bifurcation_kind": (dims, words(e.kind for e in events), "kind of bifurcation", "1"),
        "bifurcation_parameter": (dims, column(e.value for e in events), f"{name} at the bifurcation", "1"),
        "bifurcation_error": (dims, column(e.error for e in events), "bound on its error", "1"),
        "bifurcation_point": (dims, np.array(places, dtype=int), "point before it", "1"),
        "bifurcation_state": (of_units, rows(e.state for e in events), "state at the bifurcation", "1"),
        "bifurcation_minimum": (of_units, rows(e.low for e in events), "lowest value along the orbit there", "1"),
        "bifurcation_maximum": (of_units, rows(e.high for e in events), "highest value along the orbit there", "1"),
        "bifurcation_period": (dims, period, "period", time_unit),
        "bifurcation_eigenvalue": (dims, critical, "critical eigenvalue, or multiplier", "1"),
        "bifurcation_frequency": (dims, turns, "turns of the critical mode", f"1 / {time_unit}"),
        "n_critical": (dims, np.array([e.n_critical for e in events], dtype=int), "eigenvalues that cross", "1"),
        "normal_form": (dims, column(e.form.coefficient for e in events), "coefficient of the normal form", "1"),
        "normal_form_error": (dims, column(e.form.error for e in events), "its error", "1"),
        "criticality": (dims, words(criticality), "what the normal form says", "1"),
        "fit_quality": (dims, column(e.quality for e in events), "part of the squares that the law explains", "1"),
    }
