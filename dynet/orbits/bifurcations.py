"""Test functions along branches, the places where they vanish, and what happens there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq

from dynet.errors import ConvergenceError, DivergenceError
from dynet.orbits.branches import Node, Segment

Kind = Literal["fold", "branch point", "Hopf", "Neimark-Sacker", "flip"]

#: Growth that stays within this of zero has no sign (a neutral direction, as of a line attractor).
_NEUTRAL = 1e-8
#: Relative width of the last bracket of a root.
_FINEST = 1e-10
#: A step is halved so many times where real eigenvalues change sides and no bifurcation tells why.
_MOST_HALVINGS = 6
#: Two roots closer than this part of a step, of eigenvalues that differ by conjugation alone, are one.
_SAME = 1e-4
#: Angles closer than this to 0 (or pi) are those of real eigenvalues.
_REAL = 1e-5


class Bifurcation(NamedTuple):
    """A bifurcation on a segment of a branch."""

    kind: Kind
    distance: float  # along the segment
    node: Node
    error: float  # of the scaled parameter
    rank: int  # of the critical eigenvalue
    n_critical: int  # how many eigenvalues cross


def find_bifurcations(segment: Segment, *, multipliers: bool) -> list[Bifurcation]:
    """Return the bifurcations on a segment, in their order; ``multipliers``: the unit circle is the boundary."""
    search = _Search(segment, multipliers)
    return sorted(search.found(0.0, segment.length, _MOST_HALVINGS), key=lambda one: one.distance)


class _Search:
    """Solutions on a segment, each found once."""

    def __init__(self, segment: Segment, multipliers: bool) -> None:
        self._segment, self._multipliers = segment, multipliers
        self._known: dict[float, Node] = {0.0: segment.before, segment.length: segment.after}

    def found(self, low: float, high: float, halvings: int) -> list[Bifurcation]:
        """Return the bifurcations between two distances from the start of the segment."""
        before, after = self._at(low), self._at(high)
        out: list[Bifurcation] = []
        slopes = before.tangent[-1], after.tangent[-1]
        if slopes[0] * slopes[1] < 0 and max(map(abs, slopes)) > _NEUTRAL:
            distance, error = self._root(lambda node: float(node.tangent[-1]), low, high)
            node = self._at(distance)
            rank = int(np.argmin(np.hypot(*node.spectrum))) if len(node.spectrum.growth) else 0
            crosses = self._beyond(before)[0] != self._beyond(after)[0]
            kind: Kind = "fold" if crosses or not len(node.spectrum.growth) else "branch point"
            out.append(Bifurcation(kind, distance, node, error, rank, 1))
        out += self._crossings(low, high, folds=any(one.kind == "fold" for one in out))
        if halvings and not self._explained(before, after, out):
            with suppress(ConvergenceError, DivergenceError):
                middle = (low + high) / 2
                self._at(middle)
                return self.found(low, middle, halvings - 1) + self.found(middle, high, halvings - 1)
        return out

    def _at(self, distance: float) -> Node:
        if distance not in self._known:
            self._known[distance] = self._segment.between(distance)
        return self._known[distance]

    def _root(self, test: Callable[[Node], float], low: float, high: float) -> tuple[float, float]:
        """Return where a test function vanishes, and a bound on the error of the scaled parameter there.

        Where branches cross, Newton's method may fail close to the root: the bracket so far is the error.
        """
        width = _FINEST * self._segment.length
        with suppress(ConvergenceError, DivergenceError):
            options = {"xtol": width, "rtol": 1e-13, "maxiter": 60, "full_output": True, "disp": False}
            found = float(brentq(lambda d: test(self._at(d)), low, high, **options)[0])
            for side in (found - 2 * width, found + 2 * width):
                self._at(min(max(side, low), high))
        tried = sorted((d, test(node)) for d, node in self._known.items() if low <= d <= high)
        root = min(tried, key=lambda one: abs(one[1]))[0]
        rising = tried[0][1] < 0
        left = max(d for d, value in tried if ((value < 0) == rising and d <= root) or d == low)
        right = min(d for d, value in tried if ((value < 0) != rising and d >= root) or d == high)
        place = self._at(root)
        bracket = max(abs(float(self._at(d).point.z[-1] - place.point.z[-1])) for d in (left, right))
        return root, bracket + abs(float(place.correction[-1])) + float(np.finfo(float).eps)

    def _crossings(self, low: float, high: float, *, folds: bool) -> list[Bifurcation]:
        """Return where eigenvalues cross the boundary of stability, without the one that does so at a fold."""
        first, last = self._at(low).spectrum.growth, self._at(high).spectrum.growth
        roots: list[tuple[float, float, int]] = []
        for rank in range(len(first)):
            neutral = max(abs(first[rank]), abs(last[rank])) <= _NEUTRAL
            if (first[rank] > 0) != (last[rank] > 0) and not neutral:

                def growth(node: Node, rank: int = rank) -> float:
                    return float(np.clip(node.spectrum.growth[rank], -1e3, 1e3))

                roots.append((*self._root(growth, low, high), rank))
        out: list[Bifurcation] = []
        while roots:
            distance, error, rank = roots.pop(0)
            kind = self._kind(self._at(distance), rank)
            near = [other for other in roots if abs(other[0] - distance) <= _SAME * self._segment.length]
            same = [other for other in near if self._kind(self._at(other[0]), other[2]) == kind]
            roots = [other for other in roots if other not in same]
            if folds and kind == "branch point":
                folds = False  # the eigenvalue that passes zero at the fold itself
                if not same:
                    continue
            out.append(Bifurcation(kind, distance, self._at(distance), error, rank, 1 + len(same)))
        return out

    def _kind(self, node: Node, rank: int) -> Kind:
        angle = abs(float(node.spectrum.angle[rank]))
        if self._multipliers:
            if np.pi - angle <= _REAL:
                return "flip"
            return "branch point" if angle <= _REAL else "Neimark-Sacker"
        return "branch point" if angle <= _REAL * float(np.hypot(*node.spectrum).max()) else "Hopf"

    def _beyond(self, node: Node) -> tuple[int, int]:
        """Return the parities of the numbers of real eigenvalues beyond 0 (multipliers: beyond 1), and beyond -1."""
        growth, angle = node.spectrum
        angle = np.abs(angle)
        real = angle <= (_REAL if self._multipliers else 1e-12 * np.hypot(growth, angle).max(initial=0.0))
        negative = np.pi - angle <= _REAL
        return int((real & (growth > 0)).sum()) % 2, int(self._multipliers and (negative & (growth > 0)).sum()) % 2

    def _explained(self, before: Node, after: Node, found: list[Bifurcation]) -> bool:
        """Tell whether what was found accounts for the real eigenvalues that have changed sides."""
        changes = [(a - b) % 2 for a, b in zip(self._beyond(before), self._beyond(after), strict=True)]
        through_one = sum(one.n_critical for one in found if one.kind == "fold" or (
            one.kind == "branch point" and abs(float(one.node.tangent[-1])) > _NEUTRAL))  # fmt: skip
        flips = sum(one.n_critical for one in found if one.kind == "flip")
        return changes == [through_one % 2, flips % 2]
