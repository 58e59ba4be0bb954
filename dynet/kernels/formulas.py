"""Tangent frames of small systems as tuples of columns: formulas without branches, for registers and lanes.

Columns are kept orthogonal but not of unit length: the growth of many steps is one logarithm of a length at their
end. Lengths are brought back by powers of two, which round nothing.

Up to three units the new columns come from cross products: nothing cancels in them. Gram and Schmidt would divide by
the squared length of each earlier column; the division takes longer than all the rest, so it is by the one before,
which has long been known. That makes column j longer by the growth of the squared lengths of the columns before it,
which is taken off in the end (`taken_off`).
"""

from __future__ import annotations

from typing import Any

from dynet.kernels.traced import half_exponent, in_type_of, is_double, root, select, traced, vector, wide

#: Squared lengths outside of the first range are brought back; outside of the second they are not trusted.
_SHORT, _LONG = 1e-40, 1e40
_LOST, _HUGE = 1e-150, 1e150

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
    """Return ``J V``, J given by rows and V by columns, or by rows that are vectors."""
    if not isinstance(V[0], tuple):
        return tuple(dot(row, V) for row in J)
    return tuple(tuple(in_type_of(v[0], dot(row, v)) for row in J) for v in V)


def frame_plus(V: Frame, a: Any, K: Frame) -> Frame:
    """Return ``V + a K``."""
    if not isinstance(V[0], tuple):
        return tuple(v + a * k for v, k in zip(V, K, strict=True))
    return tuple(state_plus(v, a, k) for v, k in zip(V, K, strict=True))


def as_vectors(V: Frame) -> Frame:
    """Return a frame by rows that are vectors, where that is faster: not for two units, which are done sooner."""
    n, k = len(V[0]), len(V)
    if n < 3 or k < 2 or not is_double(V[0][0]):
        return V
    width = 2 if k == 2 else 4 if k <= 4 else 8
    return tuple(vector(tuple(v[i] for v in V), width) for i in range(n))


def as_tuples(V: Frame, like: Frame) -> Frame:
    """Return a frame by columns, as it was before `as_vectors`."""
    if isinstance(V[0], tuple):
        return V
    return tuple(tuple(row[j] for row in V) for j in range(len(like)))


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
    """Return the frame with orthogonal columns, their squared lengths, whether all is well, and whether it is sound.

    A frame is sound if no squared pivot is below ``tolerance`` times another one or times its column as it came, and
    all lengths can be computed with: then nothing was lost to rounding. All is well if besides no column is so short
    or long that it should be brought back. ``N`` holds the squared lengths after the factorisation before.
    """
    columns = [tuple(wide(entry) for entry in v) for v in V]
    before = [dot(v, v) for v in columns]
    new, M, excess = _orthogonal(columns, before, N)
    shortest = longest = M[0]
    for length in M[1:]:
        shortest, longest = select(shortest < length, shortest, length), select(longest > length, longest, length)
    is_kept = (shortest > _SHORT) & (longest < _LONG)
    is_sound = (shortest > _LOST) & (longest < _HUGE)
    for i in range(1, len(new)):
        distinct = M[i] > tolerance * (before[i] * excess[i])
        for j in range(i):
            # M / N is the squared pivot times the excess; the smaller of two over the larger, multiplied out
            a, b = M[i] * N[j] * excess[j], M[j] * N[i] * excess[i]
            distinct = distinct & (a * b > tolerance * (a * a + b * b))
        is_kept, is_sound = is_kept & distinct, is_sound & distinct
    return tuple(state_like(v, w) for v, w in zip(V, new, strict=True)), tuple(M), is_kept, is_sound


def _orthogonal(columns: list[Numbers], before: list[Any], N: Numbers) -> tuple[list[Numbers], list[Any], list[Any]]:
    """Return the columns of Gram and Schmidt, not normalised, their squared lengths, and by what those are too long."""
    n, k = len(columns[0]), len(columns)
    first = columns[0]
    if not crosses(n, k):
        return _gram_schmidt(columns, before)
    inverse = 1.0 / N[0]
    growth = before[0] * inverse
    excess = [1.0, growth * growth]
    if n == 2:
        # what is orthogonal in the plane is known: only its length is computed
        a, b = _times(inverse, first)
        height = first[0] * columns[1][1] - first[1] * columns[1][0]
        return [first, (-(height * b), height * a)], [before[0], height * height * (growth * inverse)], excess
    second = _cross(_cross(first, columns[1]), _times(inverse, first))
    new, M = [first, second], [before[0], dot(second, second)]
    if k == 3:
        normal, area = _cross(first, second), M[0] * M[1]
        inverse = 1.0 / (N[0] * N[1])
        height = dot(normal, _times(inverse, columns[2]))
        growth = area * inverse
        new.append(_times(height, normal))
        M.append(height * height * area)
        excess.append(growth * growth)
    return new, M, excess


def _gram_schmidt(columns: list[Numbers], before: list[Any]) -> tuple[list[Numbers], list[Any], list[Any]]:
    new, M = [columns[0]], [before[0]]
    for j in range(1, len(columns)):
        v = columns[j]
        inverses = [1.0 / M[m] for m in range(j)]
        for _ in range(2):  # the second pass removes what the first one left by rounding
            for m in range(j):
                overlap = dot(new[m], v) * inverses[m]
                v = tuple(a - overlap * b for a, b in zip(v, new[m], strict=True))
        new.append(v)
        M.append(dot(v, v))
    return new, M, [1.0] * len(columns)


def crosses(n: int, k: int) -> bool:
    """Return whether orthogonal columns come from cross products, and are too long."""
    return k > 1 and n <= 3


def taken_off(V: Frame, logarithms: Numbers) -> Numbers:
    """Return the growth of each column from the logarithms of the lengths."""
    if not crosses(len(V[0]), len(V)):
        return logarithms
    return tuple(own - 2.0 * sum(logarithms[:j], 0.0) for j, own in enumerate(logarithms))


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
pack_frame: Any = traced(as_vectors)
unpack_frame: Any = traced(as_tuples)
growth_tuple: Any = traced(taken_off)
ones_tuple: Any = traced(ones)
zeros_tuple: Any = traced(zeros)
mark_lane: Any = traced(marked)
