"""Names of units and further coordinates along ``unit``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynet._validate import Faults


def unit_coords(units: Any, n: int) -> dict[str, list[Any]]:
    """Return coordinates along ``unit``: the names, and whatever else the system says of its units."""
    if units is None:
        return {"unit": [str(i) for i in range(n)]}
    coords = dict(units) if isinstance(units, Mapping) else {"unit": list(units)}
    coords = {name: list(values) for name, values in coords.items()}
    coords.setdefault("unit", [str(i) for i in range(n)])
    faults = Faults()
    for name, values in coords.items():
        if len(values) != n:
            faults.say(f"units: {len(values)} entries of '{name}' for {n} units: give {n}")
    if len(set(coords["unit"])) != len(coords["unit"]):
        faults.say("units: names repeat: give every unit a name of its own")
    faults.raise_if_any()
    return coords
