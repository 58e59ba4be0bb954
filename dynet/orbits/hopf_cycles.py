"""From a Hopf point to the cycle that starts there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset, unit_coordinates
from dynet._validate import Faults, is_number
from dynet.errors import ConvergenceError, DivergenceError, InputError
from dynet.orbits.branches import Node, corrected
from dynet.orbits.collocation import CycleProblem
from dynet.orbits.limit_cycle import N_PHASES
from dynet.orbits.parameter_family import Family, checked_family
from dynet.systems.flow import Flow
from dynet.systems.unit_names import unit_coords

__all__ = ["cycle_from_hopf"]

_SMALLER = 4


def cycle_from_hopf(
    system: Flow | Callable[[float], Flow],
    branch: xr.Dataset,
    bifurcation: int | None = None,
    *,
    size: float = 0.02,
) -> xr.Dataset:
    r"""Return a small cycle near a Hopf point, to be followed by `continue_orbit`.

    The cycle ``x + size Re(q exp(i omega t))`` of the critical eigenvector q is corrected by Newton's method, which
    finds the value of the parameter as well, in the plane across it.

    Parameters
    ----------
    system : Flow or callable
        As it was given to `continue_orbit`.
    branch : Dataset
        From `continue_orbit`, with a Hopf point.
    bifurcation : int, optional
        Which one, by the coordinate ``bifurcation``; the first Hopf point if not given.
    size : float, default 0.02
        Of the cycle: the root of the mean square over units, each relative to its scale (1, or its state).

    Returns
    -------
    xarray.Dataset
        As from `find_limit_cycle`: ``orbit(phase, unit)``, ``period``, ``residual`` (largest defect between collocation
        points, relative to the cycle), ``n_iterations``; and ``parameter``, the value at which it is a cycle.

    Raises
    ------
    InputError
        If an argument cannot be used, or there is no such Hopf point.
    ConvergenceError
        If Newton's method does not settle: a smaller ``size`` may help.

    References
    ----------
    Kuznetsov (2004), doi:10.1007/978-1-4757-3978-7, section 10.2.

    Examples
    --------
    The cycle of the Stuart-Landau oscillator has radius sqrt(growth) and turns with ``omega - shear * growth``:

    >>> import dynet, numpy as np
    >>> flow = dynet.zoo.stuart_landau(-0.5, omega=1.5, shear=0.4)
    >>> branch = dynet.continue_orbit(flow, [0.0, 0.0], "growth", (-1.0, 1.0))
    >>> cycle = dynet.cycle_from_hopf(flow, branch)
    >>> float(abs(2 * np.pi / cycle.period - (1.5 - 0.4 * cycle.parameter)).round(9))
    0.0
    >>> cycles = dynet.continue_orbit(flow, cycle, "growth", (-1.0, 1.0))
    >>> set(cycles.stability.values.tolist())
    {'stable'}
    """
    number, size = _checked(branch, bifurcation, size)
    at = branch.sel(bifurcation=number)
    x = at["bifurcation_state"].values.astype(float)
    name, value = str(branch.attrs["parameter"]), float(at["bifurcation_parameter"])
    family, _, _ = checked_family(system, name, value, x[None, :])
    if family.is_map:
        raise InputError("system is a Map: Hopf points are those of Flows")
    omega = 2 * np.pi * float(at["bifurcation_frequency"])
    failure: Exception | None = None
    for attempt in range(_SMALLER):
        try:
            problem, node = _born(family, x, value, omega, size / 4**attempt)
        except (ConvergenceError, DivergenceError) as error:
            failure = error
            continue
        return _label(problem, node, name, number)
    raise ConvergenceError(
        f"no cycle of size {size:g} found near the Hopf point at {name}={value:.9g}: {failure}; give another size",
        residual=getattr(failure, "residual", np.nan),
    )


def _checked(branch: Any, bifurcation: Any, size: Any) -> tuple[int, float]:
    faults = Faults()
    faults.positive("size", size)
    if not (isinstance(branch, xr.Dataset) and "bifurcation_kind" in branch and "parameter" in branch.attrs):
        faults.add("branch", type(branch), "give a Dataset from continue_orbit")
        faults.raise_if_any()
    kinds = {int(b): str(k) for b, k in zip(branch["bifurcation"], branch["bifurcation_kind"].values, strict=True)}
    hopf = [b for b, kind in kinds.items() if kind == "Hopf"]
    if not hopf:
        faults.say(f"branch has no Hopf point (it has: {', '.join(kinds.values()) or 'no bifurcation'})")
    elif bifurcation is not None and not (is_number(bifurcation) and bifurcation in hopf):
        faults.add("bifurcation", bifurcation, f"Hopf points of this branch are number {', '.join(map(str, hopf))}")
    faults.raise_if_any()
    return (hopf[0] if bifurcation is None else int(bifurcation)), float(size)


def _born(family: Family, x: np.ndarray, value: float, omega: float, size: float) -> tuple[CycleProblem, Node]:
    """Return the cycle in the plane across the eigenvector's."""
    J = family.jacobians(value, x[None, :])[0]
    values, vectors = np.linalg.eig(J)
    q = vectors[:, int(np.argmin(np.abs(values - 1j * omega)))]
    scale = np.maximum(np.abs(x), 1.0)
    width = max(abs(value), 1.0)
    problem = CycleProblem(family, scale, (value - width, value + width))
    turns = np.exp(2j * np.pi * np.arange(N_PHASES) / N_PHASES)
    wave = (turns[:, None] * q).real
    wave *= size / np.sqrt(((wave / scale) ** 2).mean())
    point = problem.start(x + wave, 2 * np.pi / omega, value)
    tangent = point.z.copy()
    tangent[:-2] -= np.tile(x, len(tangent[:-2]) // len(x))
    tangent[-2:] = 0.0
    tangent /= np.sqrt((problem.metric(point) * tangent**2).sum())
    row = problem.metric(point) * tangent
    return problem, corrected(problem, point, row, float(row @ point.z), tangent)


def _label(problem: CycleProblem, node: Node, name: str, number: int) -> xr.Dataset:
    system = problem.family.field.system
    residual = float(problem.defect(node.point, node.linear).max())
    variables = {
        "orbit": (("phase", "unit"), problem.orbit(node.point, N_PHASES), "state along the orbit", "1"),
        "period": ((), problem.period(node.point), "period", system.time_unit),
        "residual": ((), residual, "largest defect between collocation points, relative", "1"),
        "n_iterations": ((), node.n_iterations, "iterations of Newton's method", "1"),
        "parameter": ((), problem.value(node.point), name, "1"),
    }
    coords = {
        "phase": np.arange(N_PHASES) / N_PHASES,
        **unit_coordinates(unit_coords(system.units, problem.n)),
    }
    attrs = {
        "title": "Cycle from a Hopf point",
        "method": "critical eigenvector, Newton's method, collocation at Gauss points",
        "references": "Kuznetsov (2004) doi:10.1007/978-1-4757-3978-7",
        "parameter": name,
        "bifurcation": number,
        "tolerance": problem.tolerance,
        "time_unit": system.time_unit,
    }
    return dataset(variables, coords, attrs)
