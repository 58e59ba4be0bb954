"""Helpers of the compiled loops: the plain Python twin and the compiled one, against numpy."""

import numpy as np
import pytest
from numba import njit

from dynet.kernels import rk
from dynet.kernels.small import like_state, orthonormalise, plus_scaled, shifted


@njit
def all_of_them(x, k):
    return plus_scaled(x, 0.5, k), shifted(x, 1, 0.25), like_state(k, x)


@pytest.mark.parametrize("kind", [tuple, np.array])
def test_compiled_helpers_do_what_their_python_twins_say(kind):
    x, k = kind([1.0, 2.0, 3.0]), kind([10.0, 20.0, 30.0])
    by_hand = ([6.0, 12.0, 18.0], [1.0, 2.25, 3.0], [10.0, 20.0, 30.0])
    for functions in (all_of_them, all_of_them.py_func):
        for found, expected in zip(functions(x, k), by_hand, strict=True):
            assert isinstance(found, tuple) == (kind is tuple)
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])  # nothing was written into


def factored(V):
    Q, pivots = V.copy(), np.empty(V.shape[1])
    worst = orthonormalise(Q, pivots)
    return Q, pivots, worst


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (16, 16), (17, 5), (30, 30)])
def test_frames_are_orthonormal_and_pivots_those_of_numpy(n, k):
    V = np.random.default_rng(n).standard_normal((n, k))
    Q, pivots, worst = factored(V)
    np.testing.assert_allclose(Q.T @ Q, np.eye(k), atol=1e-13)
    diagonal = np.abs(np.diag(np.linalg.qr(V)[1]))
    np.testing.assert_allclose(pivots, diagonal, rtol=1e-11)
    np.testing.assert_allclose(np.triu(Q.T @ V), Q.T @ V, atol=1e-12)
    assert (np.diag(Q.T @ V) > 0).all()
    np.testing.assert_allclose(worst, diagonal.min() / diagonal.max(), rtol=1e-10)


def test_nearly_parallel_columns_stay_orthogonal():
    V = np.ones((8, 4)) + 1e-7 * np.random.default_rng(0).standard_normal((8, 4))
    Q, _, worst = factored(V)
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-12)
    assert 1e-9 < worst < 1e-6


@pytest.mark.parametrize("n", [5, 20])
def test_lost_columns_have_pivot_zero_and_leave_a_complete_frame(n):
    random = np.random.default_rng(n)
    V = random.standard_normal((n, 2)) @ random.standard_normal((2, n))
    Q, pivots, _ = factored(V)
    assert (pivots[:2] > 0).all()
    np.testing.assert_array_equal(pivots[2:], 0.0)
    np.testing.assert_allclose(Q.T @ Q, np.eye(n), atol=1e-12)


def test_a_zero_frame_is_replaced_by_an_orthonormal_one():
    Q, pivots, _ = factored(np.zeros((4, 3)))
    np.testing.assert_array_equal(pivots, 0.0)
    np.testing.assert_allclose(Q.T @ Q, np.eye(3), atol=1e-14)


@pytest.mark.parametrize("n", [4, 20])
def test_what_is_not_a_number_is_passed_on(n):
    V = np.random.default_rng(0).standard_normal((n, n))
    V[2, 1] = np.nan
    assert np.isnan(factored(V)[1]).any()


@njit
def cubic_field(t, x, u, p):
    return x[0] * x[1] * x[1], x[0] - p * x[1]


def test_compiled_differences_are_right_to_two_thirds_of_the_digits():
    J = rk.central_difference(cubic_field, 1.0, 0.0, (0.5, -2.0), np.empty(0), 3.0)
    np.testing.assert_allclose(J, [[4.0, -2.0], [1.0, -3.0]], rtol=0, atol=1e-9)
