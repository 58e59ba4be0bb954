"""Functions that return array literals, compiled to return tuples: the same numbers, nothing else touched."""

import numpy as np
import pytest
from numba import njit
from numpy import array

from dynet.kernels.literals import returns_literals, with_tuples

NO_INPUT = np.empty(0)


@njit
def returned_at_once(t, x, u, p):
    return np.array([1 - p[0] * x[0] * x[0] + x[1], p[1] * x[0]])


@njit
def named_first(t, x, u, p):
    J = array([[-2 * p[0] * x[0], 1.0], [p[1], 0.0]])
    return J


@njit
def branches(t, x, u, p):
    slope = 2.0
    if x[0] > 0:
        slope = -2.0
    if x[1] > 0:
        return np.asarray([[slope, 0.0], [0.0, 0.5]])
    return np.array([[0.5, 0.0], [0.0, slope]])


@njit
def tuple_inside(t, x, u, p):
    return np.array(((x[1], x[0]), (p[0], p[1])))


@njit
def row_used_twice(t, x, u, p):
    row = [x[0], x[1]]
    return np.array([row, row])


@njit
def pair(t, x, u, p):
    return np.array([x[1], p[1] * x[0]]), np.array([[0.0, 1.0], [p[1], 0.0]])


@njit
def plain_list(t, x, u, p):
    return [x[1], x[0] * p[0]]


@pytest.mark.parametrize(
    "function", [returned_at_once, named_first, branches, tuple_inside, row_used_twice, pair, plain_list]
)
@pytest.mark.parametrize("x", [(0.3, -0.2), (-0.7, 0.4)])
def test_tuples_hold_the_numbers_of_the_array(function, x):
    assert returns_literals(function)
    lean = with_tuples(function)(0.0, x, NO_INPUT, (1.4, 0.3))
    full = function(0.0, np.array(x), NO_INPUT, (1.4, 0.3))
    assert isinstance(lean, tuple)
    for mine, theirs in zip(lean, full, strict=True):
        assert np.array_equal(np.asarray(mine), np.asarray(theirs))


@njit
def changed_before_return(t, x, u, p):
    J = np.array([[x[0], 1.0], [p[1], 0.0]])
    J[0, 0] = 3.0
    return J


@njit
def dtype_asked_for(t, x, u, p):
    return np.array([x[0], x[1]], dtype=np.float32)


@njit
def one_branch_only(t, x, u, p):
    if x[0] > 0:
        return x
    return np.array([x[0], 1.0])


@njit
def list_that_grows(t, x, u, p):
    entries = [x[0]]
    entries.append(x[1])
    return np.array(entries)


@njit
def filled(t, x, u, p):
    out = np.empty(2)
    out[0], out[1] = x[1], x[0]
    return out


@pytest.mark.parametrize(
    "function",
    [changed_before_return, dtype_asked_for, one_branch_only, list_that_grows, filled],
)
def test_anything_but_a_literal_is_left_alone(function):
    assert not returns_literals(function)
