"""Newton's method on the start and the period of a cycle, with as many shooting points as contraction asks for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynet.errors import ConvergenceError, DivergenceError
from dynet.variational.field import Field
from dynet.variational.integration import fundamental_pieces, integrate

#: Shooting over a stretch whose fundamental matrix is worse conditioned (ln 5e8 = 20) loses the small directions.
MOST_CONDITION = float(np.exp(20.0))
_MOST_ITERATIONS = 30
_LEAST_FRACTION = 1 / 32
#: So many iterations in a row that lower the residual by less than a third are the last ones.
_MOST_SLOW = 4
#: The matrices of an iteration serve the next ones as long as each lowers the residual by this factor.
_WELL_AHEAD = 0.05
#: Iterates farther from zero, relative to the first one, are followed no more: there systems are often stiff.
_FARTHEST = 30.0
#: Rough matrices that lower it by less than this factor are replaced by exact ones.
_POOR = 0.3
#: Tolerances of the matrices, and fractions of the largest singular value below which others are those of neutral
#: directions: tried in turn. Rough matrices are enough for most cycles, since the misses are always exact.
_ATTEMPTS = ((1e-6, 1e-4), (0.0, 1e-11), (0.0, 1e-8))
#: Larger systems are solved by elimination; least squares would take most of the time.
_LEAST_SQUARES_UP_TO = 600


class Cycle(NamedTuple):
    """An iterate: points at equal or unequal parts of the period, and how far the flow misses the next one."""

    points: np.ndarray  # (m, n)
    parts: np.ndarray  # (m,), parts of the period that start there; their sum is 1
    period: float
    residual: float  # largest miss, in units of the state
    n_iterations: int


def shoot(field: Field, x: np.ndarray, period: float) -> Cycle:
    """Return the cycle near ``x`` and ``period``; the phase of its first point stays where it is along the flow.

    Raises
    ------
    ConvergenceError
        If the residual does not become small; its result is the best iterate.
    """
    scale = float(np.abs(x).max()) or 1.0
    attempt = 0
    rough = max(_ATTEMPTS[attempt][0], field.tolerance)
    pieces = fundamental_pieces(field, x, period, scale, MOST_CONDITION, tolerance=rough)
    points = np.array([x, *(piece.end for piece in pieces[:-1])])
    parts = np.array([piece.duration for piece in pieces]) / period
    scale = float(np.abs(points).max()) or 1.0
    wanted = 1e2 * field.tolerance * scale
    farthest = _FARTHEST * max(scale, 1.0)
    matrices, ends = np.array([piece.M for piece in pieces]), _ends(field, points, parts, period, scale)
    is_fresh, slow = True, 0
    best = Cycle(points, parts, period, np.inf, 0)
    for iteration in range(1, _MOST_ITERATIONS + 1):
        misses = ends - np.roll(points, -1, axis=0)
        norm, residual = np.linalg.norm(misses), float(np.abs(misses).max())
        improved = residual < 0.5 * best.residual
        if residual < best.residual:
            best = Cycle(points, parts, period, residual, iteration - 1)
        if best.residual <= wanted and (not improved or residual <= field.tolerance * scale):
            return best
        moves, change, has_full_rank = _newton(field, points, matrices, ends, parts, misses, _ATTEMPTS[attempt][1])
        if attempt == 0 and not has_full_rank:
            attempt = 1
            matrices = _matrices(field, points, parts, period, scale, field.tolerance)
            moves, change, _ = _newton(field, points, matrices, ends, parts, misses, _ATTEMPTS[attempt][1])
        fraction = min(1.0, 0.5 * period / abs(change)) if change else 1.0
        while fraction >= _LEAST_FRACTION:
            trial, duration = points + fraction * moves, period + fraction * change
            try:
                if np.abs(trial).max() > farthest:
                    raise ConvergenceError("Newton's method leaves for far away")
                ends_there = _ends(field, trial, parts, duration, scale)
            except (DivergenceError, ConvergenceError):
                ends_there = np.full_like(ends, np.inf)
            after = np.linalg.norm(ends_there - np.roll(trial, -1, axis=0))
            if after < (1 - 0.25 * fraction) * norm:
                points, period, ends = trial, duration, ends_there
                break
            # old matrices or a residual at rounding: a shorter step would not help
            fraction = fraction / 2 if is_fresh and best.residual > wanted else 0.0
        if fraction >= _LEAST_FRACTION and after < _WELL_AHEAD * norm:
            is_fresh = False
            continue
        if best.residual <= wanted:
            continue  # and return, if this was no improvement
        if attempt == 0 and is_fresh and (fraction < _LEAST_FRACTION or after > _POOR * norm):
            attempt = 1
        elif fraction < _LEAST_FRACTION and is_fresh:
            attempt += 1
            if attempt == len(_ATTEMPTS):
                break
            continue
        slow = slow + 1 if after > norm * 2 / 3 else 0
        if slow == _MOST_SLOW:
            break
        matrices = _matrices(field, points, parts, period, scale, max(_ATTEMPTS[attempt][0], field.tolerance))
        is_fresh = True
    if best.residual <= 10 * wanted:
        return best
    raise ConvergenceError("Newton's method does not converge", residual=best.residual, result=best)


def _ends(field: Field, points: np.ndarray, parts: np.ndarray, period: float, scale: float) -> np.ndarray:
    """Return where the flow leads from each point."""
    rtol, atol = field.tolerance, 0.1 * field.tolerance * scale
    return np.array([
        integrate(field, 0.0, x, part * period, rtol, atol)[0] for x, part in zip(points, parts, strict=True)
    ])  # fmt: skip


def _matrices(
    field: Field, points: np.ndarray, parts: np.ndarray, period: float, scale: float, tolerance: float
) -> np.ndarray:
    """Return the fundamental matrices of the stretches between points."""
    return np.array([
        fundamental_pieces(field, x, part * period, scale, tolerance=tolerance)[0].M
        for x, part in zip(points, parts, strict=True)
    ])  # fmt: skip


def _newton(
    field: Field,
    points: np.ndarray,
    matrices: np.ndarray,
    ends: np.ndarray,
    parts: np.ndarray,
    misses: np.ndarray,
    cutoff: float,
) -> tuple[np.ndarray, float, bool]:
    """Return the corrections of the points (m, n) and of the period, and whether no direction was left out."""
    m, n = points.shape
    A = np.zeros((m * n + 1, m * n + 1))
    for j in range(m):
        rows, after = slice(j * n, (j + 1) * n), (j + 1) % m
        A[rows, rows] += matrices[j]
        A[rows, after * n : (after + 1) * n] -= np.eye(n)
        A[rows, -1] = parts[j] * field(0.0, ends[j])
    f = field(0.0, points[0])
    # the period in units that make its column as long as the others
    unit = max(float(np.linalg.norm(A[:-1, -1])), 1e-300)
    A[:, -1] /= unit
    A[-1, :n] = f / max(float(np.linalg.norm(f)), 1e-300)
    b = -np.append(misses.ravel(), 0.0)
    rank = len(A)
    if rank <= _LEAST_SQUARES_UP_TO:
        z, _, rank, _ = np.linalg.lstsq(A, b, rcond=cutoff)
    else:
        try:
            z = np.linalg.solve(A, b)
        except np.linalg.LinAlgError:
            z = np.linalg.lstsq(A, b, rcond=cutoff)[0]
    return z[:-1].reshape(m, n), float(z[-1] / unit), rank == len(A)
