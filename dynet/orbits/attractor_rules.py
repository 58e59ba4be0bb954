"""The rules that name an attractor by its evidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from dynet.errors import DivergenceError
from dynet.orbits.attractor_evidence import Exponents, Recurrence
from dynet.systems.map import Map
from dynet.systems.trajectory import simulate
from dynet.typing import Rng

#: Changes of mean or spread between octaves of time, relative to the spread.
_STEADY, _STEADY_CHAOS = 0.05, 0.5
#: Rates that fall faster than this from one octave of time to the next have no plateau.
_PLATEAU = 0.8
#: Size of displacements relative to the largest state, and what may become of them on a continuum of fixed points.
_DISPLACEMENT, _KEPT, _STILL = 1e-3, 1e-3, 1e-6
_VOLUMES = "the exponents add up to zero: volumes are kept, nothing is attracted"


def named(exponents: Exponents, back: Recurrence, drift: float, is_flow: bool, is_whole: bool) -> tuple[str, str]:
    """Return the label and what it rests on."""
    signs = exponents.signs
    n_positive, n_zero = int((signs == 1).sum()), int((signs == 0).sum())
    n_undecided = int(np.isnan(signs).sum())
    orbit = {"fixed": "fixed point", "periodic": "limit cycle" if is_flow else f"period-{back.steps} orbit"}
    if back.kind in orbit:
        if n_positive:
            return f"unstable {orbit[back.kind]}", f"the orbit is {back.kind}, with {n_positive} positive exponents"
        if n_undecided and _shrinks(exponents):
            return "marginal", _shrinking(exponents)
        if n_undecided and is_whole and _keeps_volumes(exponents):
            return "marginal", _VOLUMES
        if n_undecided or not (is_whole or signs[-1] == -1):
            return "unknown", _undecided(n_undecided)
        expected = int(is_flow and back.kind == "periodic")
        if n_zero == expected:
            return orbit[back.kind], f"the orbit is {back.kind}, with {n_zero} zero exponents"
        if n_zero > expected:
            return "marginal", f"the orbit is {back.kind} and accounts for {expected} of {n_zero} zero exponents"
        return "unknown", "a periodic orbit of a flow has a zero exponent, but none was found: take a smaller dt"
    if n_positive:
        if drift > _STEADY_CHAOS:
            return "unknown", f"the leading exponent is positive, but the states drift by {drift:.2g} of their spread"
        return "chaos", f"{n_positive} positive exponents on a bounded orbit that does not close"
    if drift > _STEADY:
        if exponents.values[0] < 0 and _shrinks(exponents):
            return "marginal", f"{_shrinking(exponents)}, and states drift"
        return "unknown", f"the states still drift by {drift:.2g} of their spread: take a longer transient"
    if back.kind == "unknown":
        return "unknown", "too few returns: take more steps, or longer ones"
    if n_undecided and _shrinks(exponents) and np.nanmax(signs, initial=0.0) == 0:
        return "marginal", _shrinking(exponents)
    if is_whole and n_zero == len(signs) and n_zero > int(is_flow):
        return "marginal", f"all {n_zero} exponents are zero: nothing is attracted"
    if is_whole and _keeps_volumes(exponents):
        return "marginal", _VOLUMES
    if n_undecided or not (is_whole or signs[-1] == -1):
        return "unknown", _undecided(n_undecided)
    if n_zero > int(is_flow):
        return f"{n_zero}-torus", f"{n_zero} zero exponents on an orbit that does not close"
    return "unknown", f"{n_zero} zero exponents, none positive, but the orbit does not close: take more steps"


def _keeps_volumes(exponents: Exponents) -> bool:
    """Tell whether volumes neither grow nor shrink: then nothing is attracted, however small exponents look."""
    return len(exponents.values) > 1 and bool(abs(exponents.values.sum()) <= exponents.resolution)


def _shrinks(exponents: Exponents) -> bool:
    """Tell whether the leading rate falls from one octave of time to the next and keeps its sign."""
    before, after = exponents.late
    return bool(before * after > 0 and abs(after) < _PLATEAU * abs(before))


def _shrinking(exponents: Exponents) -> str:
    before, after = exponents.late
    return f"rates shrink without a plateau: {before:.2g}, then {after:.2g}"


def _undecided(n_undecided: int) -> str:
    if n_undecided:
        return f"the signs of {n_undecided} exponents are undecided: take more steps"
    return "the smallest exponent that was taken is not negative: take more of them (n_exponents)"


def of_neutral_point(
    stepped: Map, x: np.ndarray, scale: float, n_zero: int, settings: dict[str, Any], rng: Rng
) -> tuple[str, str]:
    """Tell a point of a continuum of fixed points, where displaced states stay, from one at a bifurcation."""
    size = _DISPLACEMENT * (scale or 1.0)
    directions = np.random.default_rng(rng).standard_normal((n_zero, x.size))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    settle, wait = max(settings["n_transient"], 1), settings["n_steps"]
    settled, moved = [], 0.0
    for direction in directions:
        try:
            run = np.asarray(simulate(stepped, x + size * direction, settle + wait)["state"].values, dtype=np.float64)
        except DivergenceError:
            return "marginal", "a fixed point with zero exponents, from which displaced states part without bound"
        settled.append((run[settle] - x) / size)
        moved = max(moved, float(np.abs(run[settle:] - run[settle]).max()) / size)
    kept = int(np.linalg.matrix_rank(np.array(settled), tol=_KEPT))
    if moved <= _STILL and kept == n_zero:
        return "continuous attractor", f"displaced fixed points stay where they are in {kept} directions"
    return "marginal", (
        f"a fixed point with {n_zero} zero exponents; displaced states stay in {kept} directions and move on by "
        f"{moved:.2g} of the displacement"
    )
