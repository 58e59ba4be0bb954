"""Maps of exponents: reference cycles, exact boundaries, families with every kind of attractor, both engines."""

from typing import NamedTuple

import numpy as np
import pytest

import dynet
from dynet.errors import InputError


class Landau(NamedTuple):
    growth: float
    omega: float


def landau_rhs(t, x, u, p):
    radial = p.growth - x @ x
    return np.array([radial * x[0] - p.omega * x[1], radial * x[1] + p.omega * x[0]])


def landau_jacobian(t, x, u, p):
    rest = (p.growth - x @ x) * np.eye(2) + p.omega * np.array([[0.0, -1.0], [1.0, 0.0]])
    return rest - 2 * np.outer(x, x)


@pytest.fixture(scope="module")
def flow_map():
    grid = {"alpha": [0.7, 1.5, 2.0], "theta": [0.1, 0.15, 0.5, 1.2]}
    return dynet.exponent_map(dynet.zoo.tanh_oscillator(), [0.5, 0.1], grid, 1_500, dt=0.1)


def test_cycles_are_those_inside_of_the_window(flow_map):
    window = dynet.theory.cycle_window(flow_map.alpha.values, form="flow")
    theta = flow_map.theta.values
    inside = (theta > window[:, :1]) & (theta < window[:, 1:])
    assert inside.sum() == 3
    np.testing.assert_array_equal(flow_map.label == "limit cycle", inside)
    np.testing.assert_array_equal(flow_map.label == "fixed point", ~inside)
    assert (flow_map.evidence == "Newton").all()
    np.testing.assert_array_equal(np.isfinite(flow_map.frequency), inside)


def test_the_reference_cycle(flow_map):
    cell = flow_map.sel(alpha=1.5, theta=0.5)
    np.testing.assert_allclose(cell.period, 11.837013183489, rtol=1e-8)
    np.testing.assert_allclose(cell.frequency, 1 / cell.period)
    np.testing.assert_allclose(cell.lyapunov_exponent, [0, -0.434963685946], atol=1e-8)
    assert abs(cell.lyapunov_exponent[1] + 0.434963685946) < 20 * cell.standard_error[1] + 1e-10
    # near the saddle nodes a turn takes longer than the run, which is then followed on
    near = flow_map.sel(alpha=1.5, theta=0.15)
    exact = dynet.find_limit_cycle(dynet.zoo.tanh_oscillator(1.5, 0.15), [0.5, 0.1])
    np.testing.assert_allclose(near.period, exact.period, rtol=1e-7)
    assert near.period > 250


def test_fixed_points_have_their_eigenvalues(flow_map):
    values = flow_map.lyapunov_exponent.sel(alpha=0.7)
    expected = 0.7 * np.cos(flow_map.theta.values) - 1
    np.testing.assert_allclose(values, np.stack([expected, expected], axis=-1), atol=1e-12)


def test_rotation_and_locking_of_the_map():
    grid = {"alpha": [0.9, 1.5, 2.0], "theta": [0.05, 0.5, np.pi / 2 - 0.5, np.pi / 4, np.pi / 2 - 0.05]}
    ds = dynet.exponent_map(dynet.zoo.tanh_oscillator(form="map"), [0.5, 0.1], grid, 2_000)
    strong = ds.sel(alpha=2.0)
    assert strong.label.values.tolist() == ["fixed point", "1-torus", "1-torus", "period-8 orbit", "period-4 orbit"]
    np.testing.assert_allclose(strong.frequency[3:], [1 / 8, 1 / 4])
    np.testing.assert_allclose(ds.frequency[1:, 1] + ds.frequency[1:, 2], 1 / 4, atol=1e-9)
    assert (ds.sel(alpha=0.9).label == "fixed point").all()
    np.testing.assert_allclose(ds.lyapunov_exponent.sel(alpha=0.9), np.log(0.9), atol=1e-12)
    # mirrored tongues have the same exponents
    np.testing.assert_allclose(strong.lyapunov_exponent[0], strong.lyapunov_exponent[-1], atol=1e-9)


@pytest.mark.slow
def test_a_family_with_chaos_and_escape():
    ds = dynet.exponent_map(dynet.zoo.henon(), [0.1, 0.1], {"a": [0.2, 0.5, 1.4, 2.0]}, 2_000)
    assert ds.label.values.tolist() == ["fixed point", "period-2 orbit", "chaos", "unbounded"]
    assert ds.evidence.values.tolist() == ["Newton", "Newton", "run", "run"]
    assert abs(ds.lyapunov_exponent.sel(a=1.4, exponent=1) - 0.419) < 0.05
    assert np.isnan(ds.lyapunov_exponent.sel(a=2.0)).all()
    np.testing.assert_allclose(ds.lyapunov_exponent[:3].sum("exponent"), np.log(0.3), atol=1e-9)


@pytest.mark.slow
def test_python_functions_give_the_same():
    flow = dynet.Flow(landau_rhs, landau_jacobian, params=Landau(1.0, 1.0))
    ds = dynet.exponent_map(flow, [0.5, 0.0], {"growth": [-0.5, 0.3], "omega": [2.0]}, 200, dt=0.2)
    assert ds.label.values.ravel().tolist() == ["fixed point", "limit cycle"]
    np.testing.assert_allclose(ds.lyapunov_exponent[:, 0], [[-0.5, -0.5], [0, -0.6]], atol=1e-7)
    np.testing.assert_allclose(ds.frequency[1, 0], 2 / (2 * np.pi), rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"gain": [1.0]}, {"dt": 0.1}, "parameters='gain': the system's parameters are alpha, theta"),
        ({"alpha": 1.0}, {"dt": 0.1}, "give a row of values"),
        ([1.0], {"dt": 0.1}, "give values by name"),
        ({"alpha": [1.0]}, {}, "dt=None: give a positive number"),
        ({"alpha": [np.nan]}, {"dt": 0.1, "n_steps": 1}, "not finite\nn_steps=1"),
        ({"alpha": [1.5]}, {"dt": 0.1, "n_exponents": 3}, "n_exponents=3: give a whole number from 1 to 2"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(InputError, match=message):
        dynet.exponent_map(dynet.zoo.tanh_oscillator(), [0.5, 0.1], arguments, **options)
    with pytest.raises(InputError, match="have no names"):
        dynet.exponent_map(dynet.networks.rotation_rnn(1.5, 0.5), [0.5, 0.1], {"alpha": [1.0]})
