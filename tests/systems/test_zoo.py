"""Systems known on paper: their equations at single points, their Jacobians, their parameters."""

import pickle

import numpy as np
import pytest

import dynet

zoo = dynet.zoo
EMPTY = np.empty(0)

MAPS = {
    "henon": (zoo.henon(), [0.3, -0.2]),
    "cat": (zoo.cat_map(), [0.12, 0.34]),
    "baker": (zoo.baker_map(0.3), [0.12, 0.34]),
    "tent": (zoo.skew_tent(0.3), [0.7]),
    "logistic": (zoo.logistic(3.7), [0.3]),
    "linear": (zoo.linear_map([[1.0, 2.0, 0.0], [0.5, -1.0, 1.0], [3.0, 0.0, 0.1]]), [1.0, -1.0, 2.0]),
}
FLOWS = {
    "hodgkin-huxley": (zoo.hodgkin_huxley(7.0), [-50.0, 0.2, 0.4, 0.5]),
    "lorenz63": (zoo.lorenz63(), [1.0, -2.0, 20.0]),
    "lorenz96": (zoo.lorenz96(7), np.arange(7) - 2.5),
    "rossler": (zoo.rossler(), [1.0, -2.0, 3.0]),
    "van der pol": (zoo.van_der_pol(2.0), [1.3, -0.4]),
    "stuart-landau": (zoo.stuart_landau(0.3, 1.5, 0.4), [0.7, -0.2]),
}


@pytest.mark.parametrize("name", [*MAPS, *FLOWS])
def test_jacobians_belong_to_their_systems(name):
    system, x = {**MAPS, **FLOWS}[name]
    assert dynet.check_jacobian(system, x) < 1e-7


@pytest.mark.parametrize("name", [*MAPS, *FLOWS])
def test_systems_of_the_zoo_survive_pickling(name):
    system, x = {**MAPS, **FLOWS}[name]
    again = pickle.loads(pickle.dumps(system))
    function, copy = (s.step if name in MAPS else s.rhs for s in (system, again))
    x = np.asarray(x, float)
    np.testing.assert_array_equal(function(0.0, x, EMPTY, system.params), copy(0.0, x, EMPTY, again.params))


def test_the_henon_map_has_its_fixed_point_where_paper_says():
    a, b = 1.4, 0.3
    x = (b - 1 + np.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a)
    system = zoo.henon()
    np.testing.assert_allclose(system.step(0.0, np.array([x, b * x]), EMPTY, system.params), [x, b * x], atol=1e-15)


def test_the_lorenz_system_rests_at_its_two_foci():
    rho, beta = 28.0, 8 / 3
    flow = zoo.lorenz63()
    for sign in (-1, 1):
        focus = np.array([sign * np.sqrt(beta * (rho - 1)), sign * np.sqrt(beta * (rho - 1)), rho - 1])
        np.testing.assert_allclose(flow.rhs(0.0, focus, EMPTY, flow.params), 0.0, atol=1e-13)


def test_the_rossler_system_rests_where_its_quadratic_says():
    a, b, c = 0.2, 0.2, 5.7
    z = (c - np.sqrt(c * c - 4 * a * b)) / (2 * a)
    flow = zoo.rossler()
    np.testing.assert_allclose(flow.rhs(0.0, np.array([a * z, -z, z]), EMPTY, flow.params), 0.0, atol=1e-14)


def test_lorenz96_rests_at_its_forcing_and_keeps_the_energy_of_its_quadratic_part():
    flow = zoo.lorenz96(6, forcing=8.0)
    np.testing.assert_allclose(flow.rhs(0.0, np.full(6, 8.0), EMPTY, flow.params), 0.0, atol=1e-14)
    x = np.array([1.0, -2.0, 0.5, 3.0, -1.5, 0.25])
    quadratic = flow.rhs(0.0, x, EMPTY, flow.params) + x - 8.0
    assert abs(x @ quadratic) < 1e-13
    # the advection term of one site, written out
    np.testing.assert_allclose(quadratic[2], (x[3] - x[0]) * x[1])


def test_the_stuart_landau_cycle_is_the_circle_it_is_on_paper():
    flow = zoo.stuart_landau(0.3, 1.5, 0.4)
    angle, radius = 0.8, np.sqrt(0.3)
    x = radius * np.array([np.cos(angle), np.sin(angle)])
    turning = (1.5 - 0.4 * 0.3) * radius * np.array([-np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(flow.rhs(0.0, x, EMPTY, flow.params), turning, atol=1e-15)


def test_van_der_pol_is_its_second_order_equation():
    flow = zoo.van_der_pol(2.0)
    x, v = 0.7, -1.1
    np.testing.assert_allclose(
        flow.rhs(0.0, np.array([x, v]), EMPTY, flow.params), [v, 2 * (1 - x * x) * v - x], atol=1e-15
    )


def test_piecewise_maps_take_the_branch_of_their_point():
    baker, tent = zoo.baker_map(0.25), zoo.skew_tent(0.25)
    np.testing.assert_allclose(baker.step(0.0, np.array([0.1, 0.4]), EMPTY, baker.params), [0.4, 0.1])
    np.testing.assert_allclose(baker.step(0.0, np.array([0.7, 0.4]), EMPTY, baker.params), [0.6, 0.55])
    np.testing.assert_allclose(tent.step(0.0, np.array([0.1]), EMPTY, tent.params), [0.4])
    np.testing.assert_allclose(tent.step(0.0, np.array([0.7]), EMPTY, tent.params), [0.4])


def test_the_cat_map_moves_points_on_the_torus():
    system = zoo.cat_map()
    np.testing.assert_allclose(system.step(0.0, np.array([0.6, 0.7]), EMPTY, None), [0.9, 0.3])


def test_parameters_arrive_where_they_belong():
    assert zoo.henon(1.2, 0.1).params == (1.2, 0.1)
    assert zoo.lorenz63(1, 2, 3).params == (1.0, 2.0, 3.0)
    assert zoo.henon().with_params(a=1).params.a == 1.0
    assert zoo.lorenz96(5).like.shape == (5,)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: zoo.baker_map(1.0), ["a=1.0", "(0, 1)"]),
        (lambda: zoo.skew_tent(0), ["a=0", "(0, 1)"]),
        (lambda: zoo.lorenz96(3), ["n=3", "4"]),
        (lambda: zoo.lorenz96(40.0), ["n=40.0", "whole number"]),
        (lambda: zoo.linear_map([[1.0, 2.0]]), ["A=", "square"]),
        (lambda: zoo.linear_map([[1.0, np.inf], [0.0, 1.0]]), ["A=", "(0, 1)", "finite"]),
        (lambda: zoo.linear_map([["x"]]), ["A=", "numbers"]),
    ],
)
def test_parameters_outside_their_range_are_named(make, words):
    with pytest.raises(dynet.InputError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
