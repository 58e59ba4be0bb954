"""The integrator against scipy's of the same method, and against solutions on paper."""

import functools
import itertools

import numpy as np
import pytest
from scipy.integrate import DOP853, solve_ivp
from scipy.sparse import coo_array, csc_array, csr_array

import dynet
from dynet.variational.dormand_prince import DormandPrince, one_step
from dynet.variational.field import checked_field
from dynet.variational.integration import fundamental_pieces


def swing(t, y):
    return np.array([y[1], -np.sin(y[0]) + 0.1 * np.cos(t)])


@pytest.mark.parametrize("t1", [20.0, -20.0])
def test_steps_are_those_of_scipy(t1):
    y, t, h = np.array([1.0, 0.3]), 0.0, 2.0  # too long at first
    tolerances = {"rtol": 1e-7, "atol": 1e-9}
    for _ in range(12):
        ours = DormandPrince(swing, t, y, t1, **tolerances, first_step=h)
        theirs = DOP853(swing, t, y, t1, **tolerances, first_step=h)
        ours.step()
        theirs.step()
        assert ours.t == pytest.approx(theirs.t, rel=1e-6)
        ours.step()
        theirs.step()
        np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-5)
        y, t, h = theirs.y, theirs.t, theirs.h_abs
    solver = DormandPrince(swing, 0.0, np.array([1.0, 0.3]), t1, 1e-12, 1e-14)
    while not solver.finished:
        solver.step()
    assert solver.t == t1
    exact = solve_ivp(swing, (0, t1), [1.0, 0.3], method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    np.testing.assert_allclose(solver.y, exact, atol=1e-10)


def test_between_steps_the_solution_is_of_order_seven():
    y0 = np.array([1.0, 0.0])
    errors = []
    for h in (0.4, 0.2):
        solver = DormandPrince(lambda t, y: np.array([y[1], -y[0]]), 0.0, y0, h, 1.0, 1.0, first_step=h)
        solver.step()
        assert solver.finished
        inside = solver.dense_output()
        at = h * np.linspace(0, 1, 9)
        errors.append(max(np.abs(inside(t) - [np.cos(t), -np.sin(t)]).max() for t in at))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(8, abs=0.7)  # an error a step is one order higher


def test_many_states_at_once_take_each_its_own_step():
    states = np.random.default_rng(0).normal(size=(5, 2))
    h = np.linspace(0.02, 0.1, 5)[:, None]
    A = np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = one_step(lambda y: y @ A.T, states, h)
    for x, y, (step,) in zip(states, found, h, strict=True):
        c, s = np.cos(step), np.sin(step)
        np.testing.assert_allclose(y, [c * x[0] + s * x[1], -s * x[0] + c * x[1]], atol=1e-13)


def test_a_step_that_meets_infinities_is_tried_again_shorter():
    def wall(t, y):
        return np.where(y < 1.0, 1.0, np.inf)

    solver = DormandPrince(wall, 0.0, np.zeros(1), 10.0, 1e-6, 1e-9, first_step=0.8)
    solver.step()
    assert solver.y[0] == pytest.approx(0.8)
    with np.errstate(invalid="ignore"):
        solver.step()
    assert 0.8 < solver.y[0] < 1.0
    assert np.isfinite(solver.f).all()


def test_a_step_below_the_spacing_of_times_is_a_failure():
    solver = DormandPrince(lambda t, y: np.full(1, np.nan), 0.0, np.zeros(1), 1.0, 1e-6, 1e-9, first_step=0.1)
    solver.step()
    assert solver.failed


@pytest.mark.parametrize("kind", [csr_array, csc_array, coo_array])
def test_sparse_jacobians_take_the_steps_of_dense_ones(kind):
    def rhs(t, x, u, p):
        return np.sin(np.roll(x, 1)) - x**3

    def jac(t, x, u, p):
        return np.roll(np.diag(np.cos(np.roll(x, 1))), -1, axis=1) - np.diag(3 * x**2)

    calls = itertools.count()

    def sparse_jac(t, x, u, p):
        # another pattern each time: now zeros are stored, now not
        stores_zeros = next(calls) % 2
        J = kind(jac(t, x, u, p) + 10 * stores_zeros)
        J.data -= 10 * stores_zeros
        return J

    x = np.linspace(-1.0, 1.0, 40)  # more columns than go through the stages at once
    dense, sparse = (
        fundamental_pieces(checked_field(dynet.Flow(rhs, J), x, 0)[0], x, 3.0, 1.0, 50.0) for J in (jac, sparse_jac)
    )
    assert len(dense) == len(sparse) > 1
    # where pieces end depends on the last digits of error estimates, their product does not
    np.testing.assert_allclose([b.duration for b in sparse], [a.duration for a in dense], rtol=1e-3)
    one, other = (functools.reduce(lambda M, piece: piece.M @ M, pieces, np.eye(40)) for pieces in (dense, sparse))
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-11)
    np.testing.assert_allclose(sparse[-1].end, dense[-1].end, rtol=0, atol=1e-11)
    np.testing.assert_allclose(sum(b.trace for b in sparse), sum(a.trace for a in dense), rtol=1e-11)
    np.testing.assert_allclose(np.linalg.slogdet(other)[1], sum(b.trace for b in sparse), rtol=1e-9)
