"""Helpers of the compiled loops: the plain Python twin and the compiled one, against numpy."""

import numpy as np
import pytest
from numba import njit

from dynet.kernels import rk
from dynet.kernels.orthonormalise import orthonormalise
from dynet.kernels.small import like_state, plus_scaled, shifted


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
def test_lost_columns_have_pivot_zero_and_stay_zero(n):
    random = np.random.default_rng(n)
    V = random.standard_normal((n, 2)) @ random.standard_normal((2, n))
    V[:, 1] = V[:, 0]  # so that the second direction is that of the third column
    Q, pivots, _ = factored(V)
    lost = np.isin(np.arange(n), [0, 2], invert=True)
    np.testing.assert_array_equal(pivots == 0, lost)
    np.testing.assert_array_equal(Q[:, lost], 0.0)
    np.testing.assert_allclose(Q.T @ Q, np.diag(~lost), rtol=0, atol=1e-12)
    later, pivots, _ = factored(random.standard_normal((n, n)) @ Q)
    np.testing.assert_array_equal(pivots == 0, lost)
    np.testing.assert_array_equal(later[:, lost], 0.0)


def test_a_zero_frame_stays_zero():
    Q, pivots, _ = factored(np.zeros((4, 3)))
    np.testing.assert_array_equal(pivots, 0.0)
    np.testing.assert_array_equal(Q, 0.0)


@pytest.mark.parametrize("n", [8, 24])
def test_rows_of_zeros_stay_zero_and_bound_the_rank(n):
    random = np.random.default_rng(n)
    V = random.standard_normal((n, n)) @ np.diag(0.1 ** np.linspace(0, 8, n))
    V[: n // 2] = 0
    Q, pivots, _ = factored(V)
    np.testing.assert_array_equal(Q[: n // 2], 0.0)
    assert (pivots > 0).sum() == n - n // 2
    kept = pivots > 0
    np.testing.assert_allclose(Q[:, kept].T @ Q[:, kept], np.eye(kept.sum()), rtol=0, atol=1e-13)


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
