"""Sums of squares as functions of one parameter: their minimum, and the interval that the likelihood gives.

The sums of products that least squares needs are smooth in an order or a logarithm of a time. They are kept as
Chebyshev series, so that one evaluation at all values of interest, for all units, is one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft

_GRID = 201
#: Half widths of the parabolas that refine a minimum, relative to the spacing of the grid.
PARABOLAS = (1.0, 0.1, 0.02)
_SECANTS = 14
#: Distance from its end, relative to the half width, at which the end of an interval is found.
_AT_THE_LIMIT = 1e-6
#: A regressor that is smaller than this, relative to what was taken off it, is rounding.
_DEGENERATE = 1e-10


@dataclass(frozen=True)
class Profile:
    """A sum of squares for each unit, with every other parameter at its best.

    ``series`` holds Chebyshev coefficients (unit or 1, node) over ``[lower, upper]``; ``combine`` makes the sum of
    squares (unit, value) of the parameter (unit or 1, value) and their values (unit or 1, value).
    """

    lower: float
    upper: float
    series: tuple[np.ndarray, ...]
    combine: Callable[..., np.ndarray]
    n_points: int = _GRID

    def on(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of squares (unit, value) at values (value,) that all units share."""
        basis = self._basis(values)
        return self.combine(values[None], *[c @ basis for c in self.series])

    def at(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of squares (..., unit) at values (..., unit) for each unit."""
        return self.combine(values[..., None], *[x[..., None] for x in self.sums_at(values)])[..., 0]

    def sums_at(self, values: np.ndarray) -> list[np.ndarray]:
        """Return what the series are (..., unit) at values (..., unit) for each unit."""
        basis = self._basis(values)
        return [
            np.einsum("uj,j...u->...u", c, basis) if len(c) > 1 else np.tensordot(c[0], basis, 1) for c in self.series
        ]

    def _basis(self, values: np.ndarray) -> np.ndarray:
        return chebyshev(values, self.lower, self.upper, self.series[0].shape[-1])

    def grid(self) -> np.ndarray:
        """Return the values at which minima are looked for."""
        return np.linspace(self.lower, self.upper, self.n_points)


def chebyshev(values: np.ndarray, lower: float, upper: float, count: int) -> np.ndarray:
    """Return the first Chebyshev polynomials of an interval (count, ...) at values (...)."""
    x = np.clip((2 * values - lower - upper) / (upper - lower), -1, 1)
    polynomials = np.empty((count, *x.shape))
    polynomials[0] = 1.0
    polynomials[1:2] = x
    k = 1
    while k < count - 1:
        # T_(k + j) = 2 T_k T_j - T_(k - j)
        j = min(k, count - 1 - k)
        np.multiply(2 * polynomials[k], polynomials[1 : j + 1], out=polynomials[k + 1 : k + j + 1])
        polynomials[k + 1 : k + j + 1] -= polynomials[k - j : k][::-1]
        k += j
    return polynomials


def nodes(lower: float, upper: float, count: int) -> np.ndarray:
    """Return the Chebyshev points of an interval."""
    return (lower + upper) / 2 + (upper - lower) / 2 * np.cos(np.pi * (np.arange(count) + 0.5) / count)


def series(values: np.ndarray) -> np.ndarray:
    """Return the Chebyshev coefficients (..., node) of values at the points of `nodes`."""
    coefficients = fft.dct(values, type=2, axis=-1) / values.shape[-1]
    coefficients[..., 0] /= 2
    # units next to each other in memory, as sums over nodes read them
    return np.asfortranarray(coefficients)


def minimum(profile: Profile, widths: tuple[float, ...] = PARABOLAS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each unit has its least sum of squares, the values on the grid, and whether it lies at an end.

    ``widths`` are half widths of the parabolas that refine it, relative to the spacing of the grid.
    """
    grid = profile.grid()
    values = profile.on(grid)
    index = values.argmin(axis=-1)
    at_end = (index == 0) | (index == grid.size - 1)
    best = grid[index]
    for width in widths:
        h = width * (grid[1] - grid[0])
        middle = np.clip(best, profile.lower + h, profile.upper - h)
        below, here, above = profile.at(middle + h * np.array([[-1.0], [0.0], [1.0]]))
        curvature = below - 2 * here + above
        step = np.divide(below - above, 2 * curvature, out=np.zeros_like(best), where=curvature > 0)
        best = np.where(at_end, best, middle + h * np.clip(step, -1, 1))
    return best, values, at_end


def interval(profile: Profile, best: np.ndarray, values: np.ndarray, ratio: float) -> np.ndarray:
    """Return the ends (unit, 2) of what keeps the sum of squares below ``ratio`` times the least one.

    If that is several pieces, from the first to the last; -inf or inf where an end lies beyond the profile.
    """
    grid = profile.grid()
    least = np.minimum(profile.at(best), values.min(axis=-1))
    inside = values <= ratio * least[:, None]
    some, units = inside.any(axis=-1), np.arange(best.size)
    first, last = inside.argmax(axis=-1), grid.size - 1 - inside[:, ::-1].argmax(axis=-1)
    # narrower than the grid: from the best value outwards
    inner = np.stack([
        np.where(some, np.minimum(grid[first], best), best),
        np.where(some, np.maximum(grid[last], best), best),
    ])  # fmt: skip
    index = np.stack([
        np.maximum(np.searchsorted(grid, inner[0], side="left") - 1, 0),
        np.minimum(np.searchsorted(grid, inner[1], side="right"), grid.size - 1),
    ])  # fmt: skip
    outer = grid[index]
    within = np.where(inner == best, least, np.stack([values[units, first], values[units, last]]))
    ends = _crossing(profile, (outer, values[units, index]), (inner, within), least, ratio)
    ends = np.stack([np.minimum(ends[0], best), np.maximum(ends[1], best)])
    beyond = np.stack([inner[0] <= profile.lower, inner[1] >= profile.upper])
    return np.where(beyond, np.array([[-np.inf], [np.inf]]), ends).T


def _crossing(
    profile: Profile,
    outer: tuple[np.ndarray, np.ndarray],
    inner: tuple[np.ndarray, np.ndarray],
    least: np.ndarray,
    ratio: float,
) -> np.ndarray:
    """Return where the sum of squares falls to ``ratio`` times the least between two points (Illinois method).

    Both are points with their sums of squares, (side, unit).
    """

    def height(squares: np.ndarray) -> np.ndarray:
        # a root, so that it is straight where the sum of squares is a parabola
        above: np.ndarray = np.sqrt(np.maximum(squares / least - 1, 0) / (ratio - 1)) - 1
        return above

    (a, squares_a), (b, squares_b) = outer, inner
    middle = b
    height_a, height_b = height(squares_a), height(squares_b)
    moved_a = np.zeros(a.shape, dtype=bool)
    for number in range(_SECANTS):
        change = height_a - height_b
        share = np.divide(height_a, change, out=np.full_like(a, 0.5), where=change > 0)
        middle = a + np.clip(share, 0.0, 1.0) * (b - a)
        here = height(profile.at(middle))
        if np.abs(here).max(initial=0.0) < _AT_THE_LIMIT:
            break
        above = here > 0
        # an end that stays twice counts half, or it would stay for ever
        again = (above == moved_a) & (number > 0)
        height_a = np.where(above, here, np.where(again, height_a / 2, height_a))
        height_b = np.where(above, np.where(again, height_b / 2, height_b), here)
        a, b, moved_a = np.where(above, middle, a), np.where(above, b, middle), above
    return middle


def one_regressor(yy: np.ndarray, yt: np.ndarray, tt: np.ndarray) -> np.ndarray:
    """Return the sum of squares that is left of y when t is fitted to it; all of it where t is rounding."""
    usable = tt > _DEGENERATE * np.abs(tt).max(axis=-1, keepdims=True, initial=1e-300)
    explained = np.divide(yt**2, tt, out=np.zeros(np.broadcast_shapes(yt.shape, tt.shape)), where=usable)
    return positive(yy - explained, yy)


def two_regressors(
    yy: np.ndarray, ya: np.ndarray, yb: np.ndarray, aa: np.ndarray, bb: np.ndarray, ab: np.ndarray
) -> np.ndarray:
    """Return the sum of squares that is left of y when a and b are fitted to it; those that are rounding count not."""
    share = np.divide(ab, aa, out=np.zeros(np.broadcast_shapes(ab.shape, aa.shape)), where=aa > 0)
    first = np.divide(ya, aa, out=np.zeros(np.broadcast_shapes(ya.shape, aa.shape)), where=aa > 0)
    rest, product = bb - share * ab, yb - first * ab
    usable = rest > _DEGENERATE * bb
    second = np.divide(product**2, rest, out=np.zeros(np.broadcast_shapes(product.shape, rest.shape)), where=usable)
    return positive(yy - first * ya - second, yy)


def positive(squares: np.ndarray, yy: np.ndarray) -> np.ndarray:
    """Return sums of squares no smaller than the rounding of their terms."""
    return np.maximum(squares, np.finfo(np.float64).eps * yy)
