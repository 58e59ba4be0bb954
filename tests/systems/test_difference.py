"""Jacobians by differences: as exact as the arithmetic allows, and never silent."""

import pickle

import numpy as np
import pytest
from numba import njit

import dynet

EMPTY = np.empty(0)


def field(t, x, u, p):
    return np.array([np.sin(x[0] * x[1]), np.exp(-x[1]) + x[2] ** 3, x[0] - 2 * x[2]])


def exact(x):
    c = np.cos(x[0] * x[1])
    return np.array([[x[1] * c, x[0] * c, 0.0], [0.0, -np.exp(-x[1]), 3 * x[2] ** 2], [1.0, 0.0, -2.0]])


@njit
def jitted_henon(t, x, u, p):
    return 1.0 - p * x[0] * x[0] + x[1], 0.3 * x[0]


def test_products_are_right_to_two_thirds_of_the_digits():
    x = np.array([0.7, -1.1, 0.4])
    J = dynet.finite_difference(field)(0.0, x, EMPTY, None)
    assert J.shape == (3, 3)
    np.testing.assert_allclose(J @ np.eye(3), exact(x), rtol=0, atol=3e-10)
    np.testing.assert_allclose(J.assemble(), exact(x), rtol=0, atol=3e-10)
    np.testing.assert_allclose(J.transpose() @ np.eye(3), exact(x).T, rtol=0, atol=3e-10)


def test_columns_are_shifted_by_the_size_of_each_unit_whatever_their_own_length():
    # one unit lives at 1e6 and one at 1e-6: a shift in common would lose one of them
    def step(t, x, u, p):
        return np.array([1e6 * np.sin(1e-6 * x[0] + 1e6 * x[1]), 1e-6 * np.cos(1e-6 * x[0])])

    x = np.array([0.8e6, 0.3e-6])
    c = np.cos(1e-6 * x[0] + 1e6 * x[1])
    right = np.array([[c, 1e12 * c], [-1e-12 * np.sin(1e-6 * x[0]), 0.0]])
    J = dynet.finite_difference(step, scale=1e-6)(0.0, x, EMPTY, None)
    sizes = np.array([1e6, 1e-6])
    error = (J @ np.diag(sizes)) / sizes[:, None] - right * sizes / sizes[:, None]
    assert np.abs(error).max() < 1e-9
    # the length of a column scales the product and nothing else
    np.testing.assert_allclose(J @ (1e-9 * np.diag(sizes)), 1e-9 * (J @ np.diag(sizes)), rtol=1e-12)


def test_a_zero_column_stays_zero():
    J = dynet.finite_difference(field)(0.0, np.zeros(3), EMPTY, None)
    np.testing.assert_array_equal(J @ np.zeros((3, 2)), np.zeros((3, 2)))


def test_batches_are_differenced_together():
    net = dynet.networks.tanh_rnn(np.random.default_rng(0).standard_normal((3, 3)), np.ones((3, 2)))
    jac = dynet.finite_difference(net.step, vectorized=True)
    x, u = np.linspace(-1, 1, 12).reshape(4, 3), np.linspace(0, 1, 8).reshape(4, 2)
    V = np.random.default_rng(1).standard_normal((4, 3, 5))
    J = jac(0.0, x, u, net.params)
    assert J.shape == (4, 3, 3)
    np.testing.assert_allclose(J @ V, net.jac(0.0, x, u, net.params) @ V, rtol=0, atol=1e-9)


def test_float32_differences_take_float32_steps():
    net = dynet.networks.tanh_rnn(np.eye(3, dtype=np.float32) * np.float32(0.5))
    J = dynet.finite_difference(net.step)(0.0, np.full(3, 0.3, np.float32), EMPTY.astype(np.float32), net.params)
    product = J @ np.eye(3, dtype=np.float32)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, np.eye(3) * 0.5 * (1 - np.tanh(0.15) ** 2), rtol=0, atol=2e-4)


def test_results_say_that_their_jacobian_was_differenced():
    system = dynet.Map(field, "finite_difference")
    ds = dynet.lyapunov_spectrum(
        dynet.Map(lambda t, x, u, p: 0.5 * field(t, x, u, p), "finite_difference"), [0.1] * 3, 5
    )
    assert ds.attrs["jacobian"] == "finite_difference"
    assert dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 5).attrs["jacobian"] == "analytic"
    driven = dynet.Map(lambda t, x, u, p: 0.5 * x + u, "finite_difference").with_input([1.0])
    assert dynet.lyapunov_spectrum(driven, [0.1], 5).attrs["jacobian"] == "finite_difference"
    flow = dynet.Flow(field, "finite_difference").to_map(0.01)
    assert dynet.lyapunov_spectrum(flow, [0.1] * 3, 5).attrs["jacobian"] == "finite_difference"
    assert dynet.check_jacobian(system, [0.7, -1.1, 0.4]) < 1e-8


def test_a_jitted_step_gets_a_jitted_difference():
    differenced = dynet.Map(jitted_henon, "finite_difference", params=1.4)
    frame = np.eye(2)
    a = dynet.lyapunov_spectrum(differenced, [0.1, 0.1], 200, initial_frame=frame)
    b = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 200, initial_frame=frame)
    assert a.attrs["engine"] == "compiled"
    assert a.attrs["jacobian"] == "finite_difference"
    np.testing.assert_allclose(a.lyapunov_exponent, b.lyapunov_exponent, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(a.final_state, b.final_state)


def test_the_difference_of_a_module_level_function_survives_pickling():
    jac = pickle.loads(pickle.dumps(dynet.finite_difference(field, scale=2.0)))
    assert (jac.scale, jac.vectorized) == (2.0, False)
    np.testing.assert_allclose(jac(0.0, np.zeros(3), EMPTY, None) @ np.eye(3), exact(np.zeros(3)), atol=1e-8)


@pytest.mark.parametrize("scale", [0, -1.0, np.inf, np.nan, "1", None])
def test_a_scale_that_is_no_size_is_refused(scale):
    with pytest.raises(dynet.InputError, match="scale="):
        dynet.finite_difference(field, scale=scale)
