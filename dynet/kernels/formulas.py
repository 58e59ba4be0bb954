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

from dynet.kernels.symbols import half_exponent, in_type_of, is_double, plus_product, root, select, vector, wide
from dynet.kernels.traced import traced

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
    return tuple(in_type_of(entry, plus_product(entry, a, slope)) for entry, slope in zip(x, k, strict=True))


def entry_plus(x: Any, a: Any, k: Any) -> Any:
    """Return ``x + a k``."""
    return plus_product(x, a, k)


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


def frame_runge_kutta(V: Frame, J1: Frame, J2: Frame, J3: Frame, J4: Frame, h: Any) -> Frame:
    """Return the frame after one step of the classical Runge-Kutta method; J are the Jacobians of the stages."""
    if isinstance(V[0], tuple):
        return tuple(state_like(v, _runge_kutta(v, J1, J2, J3, J4, h)) for v in V)
    return _runge_kutta(V, J1, J2, J3, J4, h)


def _runge_kutta(V: Numbers, J1: Frame, J2: Frame, J3: Frame, J4: Frame, h: Any) -> Numbers:
    """Do this for a column, or for a frame by rows that are vectors.

    The sums are made on the way, for who waits for every product, and the slopes are read from the stages.
    """
    S2 = _stage(V, 0.5 * h, J1, V)
    S3 = _stage(V, 0.5 * h, J2, S2)
    S4 = _stage(V, h, J3, S3)
    third = 1.0 / 3.0
    sums = tuple(third * ((b + d - v) + 2.0 * c) for v, b, c, d in zip(V, S2, S3, S4, strict=True))
    return _stage(sums, h / 6.0, J4, S4)


def _stage(V: Numbers, a: Any, J: Frame, S: Numbers) -> Numbers:
    """Return ``V + a J S`` for columns, or for frames by rows."""
    rows = []
    for v, row in zip(V, J, strict=True):
        for slope, entry in zip(row, S, strict=True):
            v = v + (a * slope) * entry
        rows.append(v)
    return tuple(rows)


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
    all lengths can be computed with: then nothing was lost to rounding. All is well if that can be seen at a glance,
    and no column is so short or long that it should be brought back. ``N`` holds the squared lengths after the
    factorisation before.
    """
    columns = [tuple(wide(entry) for entry in v) for v in V]
    before = [dot(v, v) for v in columns]
    new, M, excess = _orthogonal(columns, before, N)
    k = len(new)
    shortest = longest = M[0]
    for length in M[1:]:
        shortest, longest = select(shortest < length, shortest, length), select(longest > length, longest, length)
    # M / N is the squared pivot times the excess. Pivots within these bounds are sound without another look
    low = root(tolerance)
    is_well = (shortest > _SHORT) & (longest < _LONG) & (M[0] > low * N[0]) & (low * M[0] < N[0])
    is_sound = (shortest > _LOST) & (longest < _HUGE)
    for i in range(1, k):
        is_well = is_well & (low * before[i] < N[i]) & (M[i] > (low * N[i]) * excess[i])
        is_sound = is_sound & (M[i] > tolerance * (before[i] * excess[i]))
        for j in range(i):
            # the smaller of two pivots over the larger, multiplied out
            a, b = M[i] * N[j] * excess[j], M[j] * N[i] * excess[i]
            is_sound = is_sound & (a * b > tolerance * (a * a + b * b))
    return tuple(state_like(v, w) for v, w in zip(V, new, strict=True)), tuple(M), is_well, is_sound


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
plus_scaled_entry: Any = traced(entry_plus)
over_width: Any = traced(state_mean_slope)
square_tuple: Any = traced(square)
as_columns: Any = traced(transposed)
product_tuple: Any = traced(frame_product, contract=True)
combine_tuple: Any = traced(frame_plus, contract=True)
runge_kutta_tuple: Any = traced(frame_runge_kutta, contract=True)
orthogonalise_tuple: Any = traced(orthogonalised, contract=True)
rescale_tuple: Any = traced(rescaled)
normalise_tuple: Any = traced(normalised)
pack_frame: Any = traced(as_vectors)
unpack_frame: Any = traced(as_tuples)
growth_tuple: Any = traced(taken_off)
ones_tuple: Any = traced(ones)
zeros_tuple: Any = traced(zeros)
mark_lane: Any = traced(marked)
