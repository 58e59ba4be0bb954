"""Sensitivities against matrix exponentials, differences, and the secular growth along a cycle."""

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

import dynet
from dynet import DivergenceError, InputError
from dynet.variational.forced import forced_response

Decay = namedtuple("Decay", "rate gain")
A = np.array([[-0.3, 1.1, 0.0], [-1.0, 0.1, 0.4], [0.2, 0.0, -0.5]])


def linear_flow(matrix=A):
    return dynet.Flow(lambda t, x, u, p: p @ x, lambda t, x, u, p: p, params=matrix)


def test_fundamental_matrix_of_a_linear_flow():
    ds = dynet.sensitivity(linear_flow(), [1.0, 2.0, 3.0], 4.0)
    for k in (0, 57, 100):
        np.testing.assert_allclose(ds.sensitivity[k], expm(A * float(ds.time[k])), atol=1e-9)
    assert float(ds.invariant_drift) < 1e-9


def test_parameter_sensitivity_of_a_decay():
    flow = dynet.Flow(
        lambda t, x, u, p: -p.rate * x + p.gain * u,
        lambda t, x, u, p: -p.rate * np.eye(1),
        params=Decay(2.0, 1.0),
        jac_params="finite_difference",
    )
    ds = dynet.sensitivity(flow, [1.0], 1.0, inputs=np.full((10, 1), 3.0))
    t, r = ds.time.values, 2.0
    assert ds.param.values.tolist() == ["rate", "gain"]
    exact = np.stack([
        -t * np.exp(-r * t) - 3 / r**2 * (1 - np.exp(-r * t)) + 3 / r * t * np.exp(-r * t),
        3 / r * (1 - np.exp(-r * t)),
    ], axis=1)  # fmt: skip
    np.testing.assert_allclose(ds.parameter_sensitivity[:, 0, :], exact, atol=1e-9)


def test_parameter_sensitivity_grows_by_the_period_s_change_each_turn(tanh_flow):
    cycle = dynet.find_limit_cycle(tanh_flow, [0.3, 0.1])
    x0, T = cycle.orbit.values[0], float(cycle.period)
    ds = dynet.sensitivity(tanh_flow, x0, 10 * T)
    h = 1e-5
    periods = [
        float(dynet.find_limit_cycle(tanh_flow.with_params(np.array([1.5, 0.5 + e])), x0).period) for e in (h, -h)
    ]  # fmt: skip
    slope = (periods[0] - periods[1]) / (2 * h)
    speeds = np.array([tanh_flow.rhs(0.0, x, None, tanh_flow.params) for x in cycle.orbit.values])
    assert np.abs(slope * speeds).max() == pytest.approx(15.308, rel=1e-3)
    predicted = -slope * speeds[0]
    S = ds.parameter_sensitivity.values[..., 1]
    np.testing.assert_allclose(S[100] - S[90], predicted, rtol=1e-6)
    # what is bounded is the derivative with respect to the start
    assert np.linalg.norm(ds.sensitivity.values[50:], axis=(1, 2)).max() < 3


def test_maps_against_differences(tanh_map):
    u = np.random.default_rng(0).normal(size=(12, 3))
    x0 = np.array([0.1, -0.2, 0.3])
    ds = dynet.sensitivity(tanh_map, x0, 12, inputs=u)
    assert ds.sizes == {"time": 13, "unit": 3, "unit_0": 3, "param": 9}

    def final(p, x):
        return dynet.simulate(tanh_map.with_params(p), x, 12, inputs=u).state.values[-1]

    W, h = tanh_map.params, 1e-6
    for i in range(9):
        dW = np.zeros(9)
        dW[i] = h
        difference = (final(W + dW.reshape(3, 3), x0) - final(W - dW.reshape(3, 3), x0)) / (2 * h)
        np.testing.assert_allclose(ds.parameter_sensitivity[-1, :, i], difference, atol=1e-8)
    for i in range(3):
        dx = h * np.eye(3)[i]
        difference = (final(W, x0 + dx) - final(W, x0 - dx)) / (2 * h)
        np.testing.assert_allclose(ds.sensitivity[-1, :, i], difference, atol=1e-8)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_psi_delta_is_constant_in_random_linear_systems(seed, n):
    rng = np.random.default_rng(seed)
    B, C = rng.normal(size=(2, n, n))
    flow = dynet.Flow(
        lambda t, x, u, p: (B + np.sin(3 * t) * C) @ x, lambda t, x, u, p: B + np.sin(3 * t) * C
    )  # fmt: skip
    forward = dynet.sensitivity(flow, rng.normal(size=n), 1.0, inputs=np.zeros((8, 1)))
    assert float(forward.invariant_drift) < 1e-9
    back = dynet.adjoint(flow, forward, rng.normal(size=n))
    assert float(back.invariant_drift) < 1e-9
    # the adjoint is the transposed inverse of the fundamental matrix: psi(0) = Y(T)^T psi(T)
    Y = forward.sensitivity.values[-1]
    np.testing.assert_allclose(back.adjoint[0], Y.T @ back.adjoint.values[-1], rtol=1e-7, atol=1e-9)


def test_variation_of_constants():
    w = np.array([0.3, -1.0, 0.5])
    z0 = np.array([1.0, 0.0, -1.0])
    ds = forced_response(linear_flow(), [1.0, 2.0, 3.0], 3.0, lambda t, x: w * np.exp(-t), z0=z0)
    # Y(t) z0 + integral of Y(t) Y(s)^-1 w exp(-s) = exp(A t) z0 + (A + 1)^-1 (exp(A t) - exp(-t)) w
    expected = expm(3 * A) @ z0 + np.linalg.solve(A + np.eye(3), (expm(3 * A) - np.exp(-3.0) * np.eye(3)) @ w)
    np.testing.assert_allclose(ds.response[-1], expected, atol=1e-9)
    assert float(ds.formula_error) < 1e-9


def test_variation_of_constants_for_maps():
    system = dynet.zoo.linear_map(A)
    w = np.array([1.0, 0.0, 2.0])
    ds = forced_response(system, [0.0, 0.0, 0.0], 5, lambda t, x: w * t)
    z = np.zeros(3)
    for k in range(5):
        z = A @ z + w * k
    np.testing.assert_allclose(ds.response[-1], z, atol=1e-13)
    assert float(ds.formula_error) < 1e-13


def test_the_neutral_mode_integrates_its_input():
    # bounded input, unbounded output: |delta| = t |f| under forcing by the velocity
    flow = dynet.zoo.stuart_landau(0.3, 1.5, 0.4)
    cycle = dynet.find_limit_cycle(flow, [0.5, 0.0])
    x0 = cycle.orbit.values[0]
    ds = forced_response(flow, x0, 30.0, lambda t, x: np.array(flow.rhs(t, x, x[:0], flow.params)))
    speed = np.sqrt(0.3) * (1.5 - 0.4 * 0.3)
    np.testing.assert_allclose(np.linalg.norm(ds.response, axis=1), ds.time * speed, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda flow, step: dynet.sensitivity(flow, [0.3, 0.1], -1.0), "duration=-1.0"),
        (lambda flow, step: dynet.sensitivity(step, [0.3, 0.1, 0.0], 2.5), "number of steps"),
        (lambda flow, step: dynet.sensitivity(flow, [[0.3, 0.1]] * 2, 1.0), "one start"),
        (
            lambda flow, step: dynet.sensitivity(dynet.Flow(flow.rhs, params=(1.5, 0.5)), [0.3, 0.1], 1.0),
            "jac is missing",
        ),
        (
            lambda flow, step: dynet.sensitivity(dynet.Flow(flow.rhs, flow.jac), [0.3, 0.1], 1.0),
            "rhs failed with TypeError",
        ),
        (lambda flow, step: dynet.sensitivity("flow", [0.3, 0.1], 1.0), "give a dynet.Map"),
        (lambda flow, step: forced_response(flow, [0.3, 0.1], 1.0, 3.0), "forcing=3.0"),
        (lambda flow, step: forced_response(flow, [0.3, 0.1], 1.0, lambda t, x: x, z0=[1.0]), "z0"),
        (lambda flow, step: dynet.Flow(flow.rhs, flow.jac, jac_params="differences"), "jac_params"),
    ],
)
def test_bad_input(tanh_flow, tanh_map, call, message):
    with pytest.raises(InputError, match=message):
        call(tanh_flow, tanh_map)


def test_a_state_that_blows_up():
    flow = dynet.Flow(lambda t, x, u, p: x**2, lambda t, x, u, p: np.diag(2 * x))
    with pytest.raises(DivergenceError, match="time 1"):
        dynet.sensitivity(flow, [1.0], 2.0)
