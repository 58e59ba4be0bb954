"""Pivots that are rounding: what is told from nothing, and what is told from much larger columns."""

import numpy as np
import pytest

from dynet.kernels.rank import lost_pivots

EPSILON = np.finfo(float).eps


@pytest.mark.parametrize(("size", "is_lost"), [(1.0, False), (5e-15, False), (1e-17, True), (0.0, True)])
def test_a_column_of_its_own_is_known_to_eps(size, is_lost):
    R = np.diag([*np.ones(60), size])
    np.testing.assert_array_equal(lost_pivots(R, EPSILON), [*np.zeros(60, bool), is_lost])


def test_a_combination_brings_the_rounding_of_its_parts_along():
    R = np.array([[1.0, 1e4], [0.0, 1e-9]])  # the second column is 1e4 times the first, to rounding of 1e4 (1 + 1e4)
    np.testing.assert_array_equal(lost_pivots(R, EPSILON), [False, True])
    R[1, 1] = 1e-6
    np.testing.assert_array_equal(lost_pivots(R, EPSILON), [False, False])


def test_lost_ones_are_not_counted_on():
    # the third column is told from the first alone: the second was lost
    R = np.array([[1.0, 1.0, 0.5], [0.0, 1e-18, 1e-3], [0.0, 0.0, 1e-14]])
    np.testing.assert_array_equal(lost_pivots(R, EPSILON), [False, True, False])
    np.testing.assert_array_equal(lost_pivots(R, EPSILON, 2), [True])
    assert lost_pivots(np.zeros((2, 3)), EPSILON).tolist() == [True, True]
