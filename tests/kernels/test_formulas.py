"""Formulas on tuples: what plain Python computes, what is compiled, and what numpy says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from dynet.kernels import formulas
from dynet.kernels.symbols import half_exponent
from dynet.kernels.traced import traced
from dynet.kernels.tuple_memory import peek, poke

SHAPES = [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 2), (4, 4), (6, 5)]
seeds = st.integers(0, 2**32 - 1)
EPS = 2.0**-52


def columns(A):
    return tuple(map(tuple, np.asarray(A).T))  # of numpy's floats, which divide by zero without a word


def matrix(V):
    return np.array(V).T


def frame(seed, n, k, spread):
    """A frame (n, k) whose singular values lie within 10**+-spread."""
    random = np.random.default_rng(seed)
    Q = np.linalg.qr(random.standard_normal((n, n)))[0]
    P = np.linalg.qr(random.standard_normal((k, k)))[0]
    return Q[:, :k] * 10 ** random.uniform(-spread, spread, k) @ P


@njit
def compiled_orthogonalise(V, N, tolerance):
    return formulas.orthogonalise_tuple(V, N, tolerance)


@njit
def compiled_rescale(V, N, E):
    return formulas.rescale_tuple(V, N, E)


@njit
def compiled_normalise(V, N):
    return formulas.normalise_tuple(V, N)


@njit
def compiled_product(V, J):
    return formulas.product_tuple(V, J)


@pytest.mark.parametrize(("n", "k"), SHAPES)
@settings(max_examples=8)
@given(seed=seeds, spread=st.sampled_from([0.0, 1.0, 3.0]))
def test_columns_become_orthogonal_with_the_pivots_of_numpy(n, k, seed, spread):
    A = frame(seed, n, k, spread)
    for orthogonalise in (formulas.orthogonalised, compiled_orthogonalise):
        V, N, _, sound = orthogonalise(columns(A), (1.0,) * k, EPS)
        W, lengths = matrix(V), np.sqrt(N)
        Q, R = np.linalg.qr(A)
        pivots = np.abs(R.diagonal())
        assert sound
        growth = formulas.taken_off(columns(A), tuple(np.log(lengths)))
        np.testing.assert_allclose(growth, np.log(pivots), rtol=0, atol=1e-13 * np.linalg.cond(A) + 1e-14)
        np.testing.assert_allclose(np.linalg.norm(W, axis=0), lengths, rtol=1e-13)
        unit = W / lengths
        np.testing.assert_allclose(unit.T @ unit, np.eye(k), rtol=0, atol=1e-13)
        # the same flag, each column on the side of the column it came from
        np.testing.assert_allclose(unit, Q * np.sign(R.diagonal()), rtol=0, atol=1e-13 * np.linalg.cond(A) + 1e-14)


@pytest.mark.parametrize(("n", "k"), SHAPES)
@settings(max_examples=5)
@given(seed=seeds)
def test_the_growth_of_many_factorisations_is_told_by_the_last_lengths(n, k, seed):
    random = np.random.default_rng(seed)
    A = frame(seed, n, k, 0.0)
    V, N = columns(A), tuple(np.sum(A**2, axis=0))
    V, N = columns(A / np.sqrt(N)), (1.0,) * k
    V, N, *_ = compiled_orthogonalise(V, N, EPS)
    Q, total = np.linalg.qr(matrix(V))[0], formulas.taken_off(V, tuple(0.5 * np.log(N)))
    total = -np.array(total)
    E = (0.0,) * k
    for step in range(40):
        J = random.standard_normal((n, n))
        V, N, *_ = compiled_orthogonalise(columns(J @ matrix(V)), N, EPS)
        if step % 7 == 0:
            V, N, E = compiled_rescale(V, N, E)
        Q, R = np.linalg.qr(J @ Q)
        total += np.log(np.abs(R.diagonal()))
    logarithms = tuple(0.5 * np.log(N) + np.log(2) * np.array(E))
    np.testing.assert_allclose(formulas.taken_off(V, logarithms), total, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("n", "k"), [(3, 2), (3, 3), (4, 4), (6, 5)])
def test_frames_of_vectors_do_what_frames_of_columns_do(n, k):
    @njit
    def by_vectors(V, a, J):
        F = formulas.pack_frame(V)
        return formulas.unpack_frame(formulas.combine_tuple(F, a, formulas.product_tuple(F, J)), V)

    random = np.random.default_rng(n * k)
    J, A = random.standard_normal((n, n)), random.standard_normal((n, k))
    rows, V = tuple(map(tuple, J.tolist())), columns(A)
    F = formulas.as_vectors(V)
    by_hand = formulas.as_tuples(formulas.frame_plus(F, 0.3, formulas.frame_product(F, rows)), V)
    for found in (by_vectors(V, 0.3, rows), by_hand):
        np.testing.assert_allclose(matrix(found), A + 0.3 * J @ A, rtol=0, atol=1e-14)


@settings(max_examples=30)
@given(seed=seeds, n=st.integers(2, 4), ratio=st.sampled_from([1e-12, 1e-16, 0.0]), shear=st.booleans())
def test_columns_that_rounding_may_have_spoilt_are_not_called_sound(seed, n, ratio, shear):
    random = np.random.default_rng(seed)
    A = np.linalg.qr(random.standard_normal((n, n)))[0]
    # one column nearly along the first: cancelled within itself, or short beside the others
    A[:, 1] = A[:, 0] + ratio * A[:, 1] if shear else ratio * A[:, 1]
    for orthogonalise in (formulas.orthogonalised, compiled_orthogonalise):
        with np.errstate(all="ignore"):
            assert not orthogonalise(columns(A), (1.0,) * n, EPS)[3]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 1e-150, 1e150])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_what_cannot_be_computed_with_is_not_sound(n, bad):
    A = np.eye(n)
    A[0, 0] = bad
    for orthogonalise in (formulas.orthogonalised, compiled_orthogonalise):
        with np.errstate(all="ignore"):
            assert not orthogonalise(columns(A), (1.0,) * n, EPS)[3]


@settings(max_examples=40)
@given(
    x=st.floats(1e-300, 1e300),
    y=st.floats(1e-30, 1e30),
)
def test_rescaling_rounds_nothing(x, y):
    V, N, E = ((x, 0.0), (0.0, y)), (x * x if 1e-150 < x < 1e150 else 1.0, y * y), (0.0, 3.0)
    for rescale in (formulas.rescaled, compiled_rescale):
        W, M, F = rescale(V, N, E)
        for j in range(2):
            assert 0.5 <= M[j] < 2.0
            assert math.ldexp(M[j], int(2 * (F[j] - E[j]))) == N[j]
            for a, b in zip(W[j], V[j], strict=True):
                assert a == math.ldexp(b, -int(F[j] - E[j]))


@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_products_are_those_of_numpy(n, k):
    random = np.random.default_rng(n * k)
    J, V = random.standard_normal((n, n)), random.standard_normal((n, k))
    rows = tuple(map(tuple, J.tolist()))
    for product in (formulas.frame_product, compiled_product):
        np.testing.assert_allclose(matrix(product(columns(V), rows)), J @ V, rtol=0, atol=1e-14)


def test_integers_in_a_jacobian_are_numbers_like_others():
    V = ((1.0, 2.0), (3.0, 4.0))
    assert compiled_product(V, ((0, 1), (2.5, 0))) == ((2.0, 2.5), (4.0, 7.5))


def test_normalised_columns_have_length_one():
    V = compiled_normalise(((3.0, 4.0), (-8.0, 6.0)), (25.0, 100.0))
    np.testing.assert_allclose(V, [[0.6, 0.8], [-0.8, 0.6]], rtol=1e-15)


@traced
def mixed(x, condition):
    return (x[0] - 1.0) / (2.0 - x[1]), (-x[0] + 3.0, 1.0 / x[1]), formulas.select(condition, x[0], 9.0), x[0] > x[1]


def test_a_traced_formula_keeps_the_structure_and_the_values_of_python():
    @njit
    def compiled(x, condition):
        return mixed(x, condition)

    assert compiled((5.0, 4), True) == (-2.0, (-2.0, 0.25), 5.0, True)
    assert compiled((np.float32(5.0), 8.0), False) == (-4 / 6, (-2.0, 0.125), 9.0, False)


def test_runge_kutta_frames_are_those_of_matrices():
    @njit
    def compiled(V, J1, J2, J3, J4, h):
        return formulas.unpack_frame(formulas.runge_kutta_tuple(formulas.pack_frame(V), J1, J2, J3, J4, h), V)

    for n, k in ((1, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 4)):
        random = np.random.default_rng(n)
        J, V = random.standard_normal((4, n, n)), random.standard_normal((n, k))
        K1 = J[0] @ V
        K2 = J[1] @ (V + 0.15 * K1)
        K3 = J[2] @ (V + 0.15 * K2)
        K4 = J[3] @ (V + 0.3 * K3)
        exact = V + 0.05 * (K1 + 2 * K2 + 2 * K3 + K4)
        rows = [tuple(map(tuple, one.tolist())) for one in J]
        by_vectors = formulas.frame_runge_kutta(formulas.as_vectors(columns(V)), *rows, 0.3)
        by_hand = formulas.frame_runge_kutta(columns(V), *rows, 0.3)
        for found in (compiled(columns(V), *rows, 0.3), by_hand, formulas.as_tuples(by_vectors, columns(V))):
            np.testing.assert_allclose(matrix(found), exact, rtol=0, atol=1e-14)


@settings(max_examples=30)
@given(x=st.floats(1e-290, 1e290))
def test_half_exponents_bring_numbers_near_one(x):
    scale, h = half_exponent(x)
    assert 0.5 <= x * scale * scale < 2.0
    assert scale == 2.0**-h


def test_tuples_in_memory_have_the_place_and_the_precision_of_the_array():
    @njit
    def back_and_forth(memory, value):
        poke(memory, 1, 3, value)
        return peek(memory, 1, 3, value)

    value = ((0.1, 0.2), (0.3, 0.4))
    memory = np.zeros(12)
    assert back_and_forth(memory, value) == value
    np.testing.assert_array_equal(memory[1::3], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_array_equal(np.delete(memory, [1, 4, 7, 10]), 0.0)
    single = np.zeros(12, np.float32)
    assert back_and_forth(single, value) == tuple(tuple(map(float, row)) for row in np.float32(value))
