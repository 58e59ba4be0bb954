"""Limit cycles against periods known on paper or to many digits; what is no cycle is told what it is."""

import numpy as np
import pytest

import dynet
from dynet import ConvergenceError, DivergenceError, InputError

from .conftest import FLOWS

#: Where four saddle-nodes appear on the cycle of the tanh network at gain 1.5.
SADDLE_NODE = 0.147822070679


def tanh_flow(gain, angle):
    return dynet.networks.rotation_rnn(gain, angle, form="flow")


@pytest.mark.parametrize("name", list(FLOWS))
def test_period(cycles, name):
    _, period, _, cycle = cycles(name)
    assert float(cycle.period) == pytest.approx(period, rel=1e-11)
    assert float(cycle.residual) < 1e-9


def test_the_orbit_of_stuart_landau_is_a_circle_run_through_evenly(cycles):
    _, _, _, cycle = cycles("Stuart-Landau")
    z = cycle.orbit.values @ [1, 1j]
    np.testing.assert_allclose(np.abs(z), np.sqrt(0.3), rtol=1e-10)
    np.testing.assert_allclose(z / z[0], np.exp(2j * np.pi * cycle.phase.values), atol=1e-10)


def test_strong_contraction_takes_several_shooting_points(cycles):
    assert cycles("van der Pol 1")[3].attrs["n_shooting_points"] == 1
    assert cycles("van der Pol 5")[3].attrs["n_shooting_points"] > 3


@pytest.mark.parametrize("distance", [1e-2, pytest.param(1e-4, marks=pytest.mark.slow)])
def test_near_a_hopf_point(distance):
    a, b = 1 + distance, (1 + distance) * np.tan(0.5)
    cycle = dynet.find_limit_cycle(tanh_flow(a / np.cos(0.5), 0.5), [0.3, 0.1])
    alpha = np.hypot(a, b)
    radius = np.linalg.norm(cycle.orbit.values, axis=1).mean()
    assert radius**2 == pytest.approx(4 * distance / (alpha**2 * a), rel=5 * distance)
    assert float(cycle.period) == pytest.approx(2 * np.pi / np.tan(0.5), rel=distance)


def test_near_a_saddle_node_on_the_cycle_the_period_grows_as_the_root():
    periods = [
        float(dynet.find_limit_cycle(tanh_flow(1.5, SADDLE_NODE + d), [0.3, 0.1]).period) for d in (8e-3, 2e-3)
    ]  # fmt: skip
    assert periods[1] > 290
    assert periods[1] / periods[0] == pytest.approx(2, rel=0.05)


def test_an_unstable_cycle_is_found_from_a_guess():
    def rhs(t, x, u, p):
        return np.array([-x[0] - 3 * x[1], 3 * x[0] - x[1]]) + x * (x @ x)

    flow = dynet.Flow(rhs, "finite_difference")
    cycle = dynet.find_limit_cycle(flow, [1.005, 0.0], period_guess=2.0)
    assert float(cycle.period) == pytest.approx(2 * np.pi / 3, rel=1e-9)


def test_a_multiple_of_the_period_is_divided():
    cycle = dynet.find_limit_cycle(dynet.zoo.stuart_landau(), [1.0, 0.0], period_guess=3 * 6.28)
    assert float(cycle.period) == pytest.approx(2 * np.pi, rel=1e-10)


def test_a_doubled_period_is_kept():
    single = dynet.find_limit_cycle(dynet.zoo.rossler(0.2, 0.2, 2.5), [1.0, 1.0, 0.0])
    double = dynet.find_limit_cycle(dynet.zoo.rossler(0.2, 0.2, 3.5), [1.0, 1.0, 0.0])
    assert 1.9 < float(double.period / single.period) < 2.1
    jump = np.linalg.norm(double.orbit.values[120] - double.orbit.values[0])
    assert jump > 0.1


@pytest.mark.parametrize(
    ("flow", "place"),
    [
        (tanh_flow(0.9, 0.5), [0.0, 0.0]),
        (tanh_flow(1.0, 0.5), [0.0, 0.0]),  # winds in slowly
        (tanh_flow(1.5, SADDLE_NODE - 1e-3), None),
        (dynet.Flow(lambda t, x, u, p: -x, lambda t, x, u, p: -np.eye(2)), [0.0, 0.0]),
    ],
)
def test_a_fixed_point_is_told(flow, place):
    with pytest.raises(ConvergenceError, match="settled on a fixed point at") as caught:
        dynet.find_limit_cycle(flow, [0.3, 0.1])
    x = caught.value.result.orbit.values[0]
    assert np.linalg.norm(flow.rhs(0.0, x, x[:0], flow.params)) < 1e-12
    assert caught.value.residual < 1e-12
    if place is not None:
        np.testing.assert_allclose(x, place, atol=1e-12)


def test_an_unbounded_trajectory_is_told():
    flow = dynet.Flow(lambda t, x, u, p: x, lambda t, x, u, p: np.eye(2))
    with pytest.raises(DivergenceError, match="unbounded") as caught:
        dynet.find_limit_cycle(flow, [1.0, 1.0])
    (x,) = caught.value.result.orbit.values
    assert x[0] == pytest.approx(x[1])
    assert 1e6 < x[0] < np.inf


def broken(J):
    """The cycle of Stuart and Landau, left of -0.5 with another Jacobian."""
    flow = dynet.zoo.stuart_landau()

    def jac(t, x, u, p):
        return np.array(flow.jac(t, x, x[:0], flow.params)) if x[0] > -0.5 else J

    return dynet.Flow(lambda t, x, u, p: np.array(flow.rhs(t, x, x[:0], flow.params)), jac)


@pytest.mark.parametrize("options", [{}, {"period_guess": 6.3}])
def test_a_jacobian_that_is_not_finite_is_told_with_a_state(options):
    with pytest.raises(DivergenceError, match="cannot be followed") as caught:
        dynet.find_limit_cycle(broken(np.full((2, 2), np.nan)), [1.0, 0.0], **options)
    result = caught.value.result
    assert result.orbit.shape == (1, 2)
    assert np.linalg.norm(result.orbit) == pytest.approx(1.0, abs=1e-6)
    assert np.isnan(result.period)


def test_where_it_cannot_be_followed_the_last_state_is_kept():
    def wall(t, x, u, p):  # the step size underflows there
        return np.array([1.0, 0.0]) if x[0] < 0.7 else np.full(2, np.nan)

    flow = dynet.Flow(wall, lambda t, x, u, p: np.zeros((2, 2)))
    with pytest.raises(DivergenceError, match=r"time 0\.7") as caught:
        dynet.find_limit_cycle(flow, [0.0, 0.2])
    np.testing.assert_allclose(caught.value.result.orbit, [[0.7, 0.2]], atol=1e-9)


@pytest.mark.slow
def test_a_torus_is_no_cycle():
    with pytest.raises(ConvergenceError, match="quasi-periodic"):
        dynet.find_limit_cycle(tanh_flow([1.5, 1.5], [0.5, 0.6]), [0.3, 0.1, -0.2, 0.5])


@pytest.mark.parametrize(("x0", "period"), [([5.0, 5.0], 3.0), ([0.3, 0.1], 1.0)])
def test_a_wrong_guess_is_no_fixed_point_and_keeps_the_best_iterate(x0, period):
    with pytest.raises(ConvergenceError, match=f"period_guess={period:g}") as caught:
        dynet.find_limit_cycle(tanh_flow(1.5, 0.5), x0, period_guess=period)
    assert "fixed point" not in str(caught.value)
    assert np.isfinite(caught.value.residual)
    assert caught.value.result.orbit.dims == ("phase", "unit")


def test_a_guess_at_a_fixed_point_is_told():
    with pytest.raises(ConvergenceError, match="fixed point"):
        dynet.find_limit_cycle(tanh_flow(0.9, 0.5), [0.0, 0.0], period_guess=5.0)


@pytest.mark.parametrize(
    ("flow", "x0", "options", "message"),
    [
        (dynet.zoo.henon(), [0.1, 0.1], {}, "flow is a Map"),
        (None, [0.1, 0.1], {}, "give a dynet.Map or dynet.Flow"),
        (dynet.zoo.stuart_landau(), [0.1], {}, "2 entries"),
        (dynet.zoo.stuart_landau(), [[0.1, 0.1], [1.0, 0.0]], {}, "give one start"),
        (dynet.zoo.stuart_landau(), [np.nan, 0.0], {}, "not finite"),
        (dynet.zoo.stuart_landau(), [0.1, 0.1], {"period_guess": -1}, "period_guess=-1"),
        (dynet.Flow(lambda t, x, u, p: np.sin(t) - x, lambda t, x, u, p: -np.eye(1)), [0.1], {}, "depends on time"),
        (dynet.Flow(lambda t, x, u, p: -x), [0.1], {}, "jac is missing"),
        (dynet.Flow(lambda t, x, u, p: -x, lambda t, x, u, p: np.eye(1)), [0.1], {}, "disagrees"),
    ],
)
def test_bad_input(flow, x0, options, message):
    with pytest.raises(InputError, match=message):
        dynet.find_limit_cycle(flow, x0, **options)


def test_a_bound_input_belongs_to_the_flow():
    W = 1.5 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    flow = dynet.networks.rate_network(W, np.eye(2))
    cycle = dynet.find_limit_cycle(flow.with_input(np.zeros(2)), [0.3, 0.1])
    assert float(cycle.period) == pytest.approx(11.837013183489, rel=1e-10)


@pytest.mark.parametrize("count", [7, 26])
def test_guess_of_many_periods_gives_the_shortest(count):
    flow = dynet.zoo.stuart_landau(0.3, omega=1.5, shear=0.4)
    period = 2 * np.pi / (1.5 - 0.4 * 0.3)
    cycle = dynet.find_limit_cycle(flow, [0.5, 0.1], period_guess=count * period * 1.001)
    assert float(cycle.period) == pytest.approx(period, rel=1e-10)
