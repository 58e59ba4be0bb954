"""Tangent frames of small systems as tuples of columns: formulas without branches, for registers and lanes.

Columns are kept orthogonal but not of unit length: with ``N_j`` the squared length of column j, an orthogonalisation
multiplies the volume along it by the square root of N_j (new) / N_j (old), and the growth of many steps is one
logarithm at their end. Lengths are brought back by powers of two, which round nothing.
"""

from __future__ import annotations

from typing import Any

from dynet.kernels.traced import half_exponent, in_type_of, root, select, traced, wide

#: Squared lengths outside of the first range are brought back; outside of the second they are not trusted.
_SHORT, _LONG = 1e-20, 1e20
_LOST, _HUGE = 1e-200, 1e200

Numbers = tuple[Any, ...]
Frame = tuple[Numbers, ...]


def dot(a: Numbers, b: Numbers) -> Any:
    """Return the scalar product."""
    total = a[0] * b[0]
    for p, q in zip(a[1:], b[1:], strict=True):
        total = total + p * q
    return total


def _cross(a: Numbers, b: Numbers) -> Numbers:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _times(factor: Any, a: Numbers) -> Numbers:
    return tuple(factor * entry for entry in a)


# --- states --------------------------------------------------------------------------------------------------


def state_like(x: Numbers, y: Numbers) -> Numbers:
    """Return ``y`` in the precision of ``x``."""
    return tuple(in_type_of(a, b) for a, b in zip(x, y, strict=True))


def state_plus(x: Numbers, a: Any, k: Numbers) -> Numbers:
    """Return ``x + a k``."""
    return tuple(in_type_of(entry, entry + a * slope) for entry, slope in zip(x, k, strict=True))


def state_mean_slope(a: Any, b: Any, width: Any) -> Any:
    """Return the differences of ``a`` and ``b`` over ``width``."""
    return tuple((p - q) / width for p, q in zip(a, b, strict=True))


def square(x: Numbers) -> Frame:
    """Return as many rows as ``x`` is long, in its precision."""
    return tuple(x for _ in x)


# --- frames --------------------------------------------------------------------------------------------------


def frame_product(V: Frame, J: Frame) -> Frame:
    """Return ``J V``, J given by rows and V by columns."""
    return tuple(tuple(in_type_of(v[0], dot(row, v)) for row in J) for v in V)


def frame_plus(V: Frame, a: Any, K: Frame) -> Frame:
    """Return ``V + a K``."""
    return tuple(state_plus(v, a, k) for v, k in zip(V, K, strict=True))


def transposed(rows: Frame) -> Frame:
    """Return rows as columns."""
    return tuple(zip(*rows, strict=True))


def ones(V: Frame) -> Numbers:
    """Return a one for each column."""
    return tuple(wide(v[0]) * 0.0 + 1.0 for v in V)


def zeros(V: Frame) -> Numbers:
    """Return a zero for each column."""
    return tuple(wide(v[0]) * 0.0 for v in V)


def orthogonalised(V: Frame, N: Numbers, tolerance: Any) -> tuple[Frame, Numbers, Any, Any]:
    """Return the frame with orthogonal columns, their squared lengths, and whether they are sound and in range.

    They are sound if no squared pivot is below ``tolerance`` times another one or times its column as it came, and
    all are of a size that can be computed with: then nothing was lost to rounding. ``N`` holds the squared lengths
    after the factorisation before.
    """
    columns = [tuple(wide(entry) for entry in v) for v in V]
    before = [dot(v, v) for v in columns]
    new, M = _orthogonal(columns, before)
    k = len(new)
    sound = (M[0] > _LOST) & (M[0] < _HUGE)
    for i in range(k):
        if i:
            sound = sound & (M[i] > _LOST) & (M[i] < _HUGE) & (M[i] > tolerance * before[i])
        for j in range(k):
            if i != j:
                sound = sound & (M[i] * N[j] > tolerance * (M[j] * N[i]))
    in_range = M[0] > _SHORT
    for length in M:
        in_range = in_range & (length > _SHORT) & (length < _LONG)
    return tuple(state_like(v, w) for v, w in zip(V, new, strict=True)), tuple(M), sound, in_range


def _orthogonal(columns: list[Numbers], before: list[Any]) -> tuple[list[Numbers], list[Any]]:
    """Return the columns of Gram and Schmidt, not normalised, and their squared lengths."""
    n, k = len(columns[0]), len(columns)
    first = columns[0]
    if n == 2 and k == 2:
        # what is orthogonal in the plane is known: only its length is computed, and nothing cancels in it
        height = (first[0] * columns[1][1] - first[1] * columns[1][0]) / before[0]
        return [first, (-(height * first[1]), height * first[0])], [before[0], height * height * before[0]]
    if n == 3 and k in (2, 3):
        second = _times(1.0 / before[0], _cross(_cross(first, columns[1]), first))
        new, M = [first, second], [before[0], dot(second, second)]
        if k == 3:
            normal = _cross(first, second)
            area = M[0] * M[1]
            height = dot(normal, columns[2]) / area
            new.append(_times(height, normal))
            M.append(height * height * area)
        return new, M
    new, M = [first], [before[0]]
    for j in range(1, k):
        v = columns[j]
        inverses = [1.0 / M[m] for m in range(j)]
        for _ in range(2):  # the second pass removes what the first one left by rounding
            for m in range(j):
                overlap = dot(new[m], v) * inverses[m]
                v = tuple(a - overlap * b for a, b in zip(v, new[m], strict=True))
        new.append(v)
        M.append(dot(v, v))
    return new, M


def rescaled(V: Frame, N: Numbers, E: Numbers) -> tuple[Frame, Numbers, Numbers]:
    """Return the frame with squared lengths near one; the powers of two taken out are counted in ``E``."""
    columns, lengths, exponents = [], [], []
    for v, length, exponent in zip(V, N, E, strict=True):
        scale, h = half_exponent(length)
        columns.append(state_like(v, _times(scale, v)))
        lengths.append(length * scale * scale)
        exponents.append(exponent + h)
    return tuple(columns), tuple(lengths), tuple(exponents)


def normalised(V: Frame, N: Numbers) -> Frame:
    """Return the frame with columns of length one."""
    return tuple(state_like(v, _times(1.0 / root(length), v)) for v, length in zip(V, N, strict=True))


def marked(mark: Any, fine: Any) -> Any:
    """Return ``mark`` if all is fine, one otherwise."""
    return select(fine, mark, 1.0)


like_tuple: Any = traced(state_like)
plus_scaled_tuple: Any = traced(state_plus)
over_width: Any = traced(state_mean_slope)
square_tuple: Any = traced(square)
as_columns: Any = traced(transposed)
product_tuple: Any = traced(frame_product, contract=True)
combine_tuple: Any = traced(frame_plus, contract=True)
orthogonalise_tuple: Any = traced(orthogonalised, contract=True)
rescale_tuple: Any = traced(rescaled)
normalise_tuple: Any = traced(normalised)
ones_tuple: Any = traced(ones)
zeros_tuple: Any = traced(zeros)
mark_lane: Any = traced(marked)
