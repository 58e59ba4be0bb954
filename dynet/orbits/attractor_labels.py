"""What trajectories have come to, as a Dataset with one entry for each attractor."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset, unit_coordinates
from dynet.orbits.attractor_evidence import LEVEL
from dynet.orbits.attractor_groups import Case
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.unit_names import unit_coords

__all__ = ["attractors_dataset"]

REFERENCES = (
    "Haken (1983) doi:10.1016/0375-9601(83)90209-8; Eckmann & Ruelle (1985) doi:10.1103/RevModPhys.57.617; "
    "Benettin et al. (1980) doi:10.1007/BF02128236"
)


def attractors_dataset(
    system: Map | Flow, cases: list[Case], groups: list[list[int]], settings: dict[str, Any]
) -> xr.Dataset:
    """Return the result of `classify_attractor`: ``groups`` are the starts whose cases are one attractor."""
    k, n = settings["n_exponents"], cases[0].state.size
    firsts = [cases[group[0]] for group in groups]
    values, errors = np.full((len(groups), k), np.nan), np.full((len(groups), k), np.nan)
    late, resolution = np.full((len(groups), 2), np.nan), np.full(len(groups), np.nan)
    counts = np.zeros((len(groups), 3), dtype=int)
    for row, (case, group) in enumerate(zip(firsts, groups, strict=True)):
        if case.exponents is None:
            continue
        members = [cases[s].exponents for s in group]
        values[row] = np.mean([e.values for e in members if e is not None], axis=0)
        errors[row] = case.exponents.errors
        late[row], resolution[row] = case.exponents.late, case.exponents.resolution
        signs = case.exponents.signs
        counts[row] = (signs == 0).sum(), (signs == 1).sum(), np.isnan(signs).sum()
    index = np.empty(len(cases), dtype=int)
    for row, group in enumerate(groups):
        index[group] = row
    backs = [case.recurrence for case in firsts]
    time_unit = system.time_unit
    per_time = EXPONENT_UNITS.format(time_unit=time_unit)
    each, by_exponent = ("attractor",), ("attractor", "exponent")
    variables: dict[str, Any] = {
        "label": (each, np.array([case.label for case in firsts]), "kind of attractor", "1"),
        "reason": (each, np.array([case.reason for case in firsts]), "what the label rests on", "1"),
        "n_zero": (each, counts[:, 0], "exponents that are zero", "1"),
        "n_positive": (each, counts[:, 1], "exponents that are positive", "1"),
        "n_undecided": (each, counts[:, 2], "exponents whose sign the run cannot tell", "1"),
        "lyapunov_exponent": (by_exponent, values, "Lyapunov exponent, mean over the starts that agree", per_time),
        "standard_error": (by_exponent, errors, "standard error of the exponent of one start", per_time),
        "resolution": (each, resolution, "exponents below it count as zero", per_time),
        "late_rate": (("attractor", "part"), late, "leading exponent late in the run", per_time),
        "recurrence": (
            each,
            np.array([np.nan if b is None else b.miss for b in backs]),
            "miss of returns, relative",
            "1",
        ),
        "period": (each, np.array([np.nan if b is None else b.period for b in backs]), "period", time_unit),
        "drift": (each, np.array([case.drift for case in firsts]), "drift of mean and spread, relative", "1"),
        "state": (
            ("attractor", "unit"),
            np.array([case.state for case in firsts]),
            "last state of the first start",
            "1",
        ),
        "share": (each, np.array([len(group) / len(cases) for group in groups]), "share of the starts", "1"),
        "attractor_of_start": (("start",), index, "attractor that the start comes to", "1"),
    }
    coords = {
        "attractor": np.arange(len(groups)),
        "exponent": np.arange(1, k + 1),
        "part": ["second quarter", "second half"],
        "start": np.arange(len(cases)),
        **unit_coordinates(unit_coords(system.units, n)),
    }
    attrs = {
        "title": "Attractors",
        "method": "signs of Lyapunov exponents, returns of the orbit and drift with time",
        "references": REFERENCES,
        "level": LEVEL,
        "time_unit": time_unit,
        **settings,
    }
    return dataset(variables, coords, attrs)
