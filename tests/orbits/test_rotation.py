"""Rotation numbers: exact rotations, the symmetries and the tongues of the two-unit tanh map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dynet

#: Half width of the tongues of the tanh map at alpha = 1.5, known from the saddle-nodes on the circle.
THETA_SN = 0.147822070679
START = [0.5, 0.1]


def tanh_map(theta, alpha=1.5):
    return dynet.networks.rotation_rnn(alpha, theta)


def of_turns(step):
    return dynet.Map(lambda t, x, u, p: step(x), lambda t, x, u, p: np.eye(1))


@given(st.floats(0.001, 0.999))
@settings(max_examples=10, deadline=None)
def test_a_rotation_of_the_circle_is_exact(omega):
    for step in (lambda x: (x + omega) % 1.0, lambda x: x + omega):
        ds = dynet.rotation_number(of_turns(step), [0.1], 2_000, n_transient=0)
        assert abs(float(ds.rotation) - omega) < 1e-12


def test_a_linear_rotation_in_many_dimensions_is_exact():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((5, 5)))[0]
    angle = 2 * np.pi * (np.sqrt(2) - 1)
    A = np.zeros((5, 5))
    A[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    A[2:, 2:] = np.diag([0.5, 0.2, -0.3])
    linear = dynet.zoo.linear_map(basis @ A @ basis.T)
    ds = dynet.rotation_number(linear, random.standard_normal(5), 4_000, n_transient=200)
    # the orientation of a plane in space is a matter of taste
    turns = float(ds.rotation)
    assert min(abs(turns - (np.sqrt(2) - 1)), abs(1 - turns - (np.sqrt(2) - 1))) < 1e-11
    assert ds.label == "quasi-periodic"


def test_the_golden_mean_is_told_from_a_fraction():
    golden = (np.sqrt(5) - 1) / 2
    ds = dynet.rotation_number(of_turns(lambda x: (x + golden) % 1.0), [0.0], 2_000, n_transient=0)
    assert (ds.label.item(), int(ds.locked_period)) == ("quasi-periodic", 0)
    ds = dynet.rotation_number(of_turns(lambda x: (x + 3 / 10) % 1.0), [0.0], 2_000, n_transient=0)
    assert (ds.label.item(), int(ds.locked_period), float(ds.rotation)) == ("locked", 10, 0.3)


def test_an_arnold_tongue_has_its_known_edges():
    # x + omega + K / (2 pi) sin(2 pi x) is locked to 0 exactly for |omega| <= K / (2 pi)
    K = 0.8
    edge = K / (2 * np.pi)

    def turned(omega):
        circle = dynet.Map(
            lambda t, x, u, p: (x + omega + K / (2 * np.pi) * np.sin(2 * np.pi * x)) % 1.0,
            lambda t, x, u, p: np.diag(1 + K * np.cos(2 * np.pi * x)),
        )
        return dynet.rotation_number(circle, [0.2], 6_000)

    inside, outside = turned(edge - 1e-3), turned(edge + 1e-3)
    assert (float(inside.rotation), int(inside.locked_period)) == (0.0, 1)
    assert float(outside.rotation) > 1e-3
    assert int(outside.locked_period) == 0


@pytest.mark.parametrize("theta", [0.3, 0.55])
def test_a_quarter_turn_more_of_the_weights_is_a_quarter_turn_more(theta):
    a, b = (dynet.rotation_number(tanh_map(angle), START, 4_000) for angle in (theta, theta + np.pi / 2))
    assert float(b.rotation) - float(a.rotation) == pytest.approx(0.25, abs=1e-11)


def test_the_reflected_angle_turns_the_other_way():
    a, b = (dynet.rotation_number(tanh_map(angle), START, 4_000) for angle in (0.3, np.pi / 2 - 0.3))
    assert float(a.rotation) + float(b.rotation) == pytest.approx(0.25, abs=1e-11)


def test_it_turns_by_an_eighth_in_the_middle():
    ds = dynet.rotation_number(tanh_map(np.pi / 4), START)
    assert (float(ds.rotation), int(ds.locked_period), ds.label.item()) == (0.125, 8, "locked")


@pytest.mark.parametrize(("middle", "rotation", "period"), [(0, 0.0, 1), (1, 0.25, 4), (2, 0.5, 2)])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_tongues_end_at_the_saddle_nodes(middle, rotation, period, side):
    centre = middle * np.pi / 2
    inside = dynet.rotation_number(tanh_map(centre + side * (THETA_SN - 1e-3)), START, 4_000)
    assert (float(inside.rotation), int(inside.locked_period)) == (rotation, period)
    outside = dynet.rotation_number(tanh_map(centre + side * (THETA_SN + 1e-3)), START, 4_000)
    away = (float(outside.rotation) - rotation + 0.5) % 1.0 - 0.5
    assert 1e-4 < side * away < 1e-2
    assert int(outside.locked_period) == 0


def test_a_slow_approach_is_told_from_a_slow_passage():
    # so close to the edge neither run has come to rest: Newton's method finds the point, or none
    for distance, period in ((-1e-7, 1), (1e-7, 0)):
        ds = dynet.rotation_number(tanh_map(THETA_SN + distance), START, 400, n_transient=1_000, centre=[0.0, 0.0])
        assert int(ds.locked_period) == period
        assert ds.label == ("locked" if period else "unknown")
    assert float(ds.uncertainty) >= 1 / 400


def test_chaos_keeps_no_order():
    with pytest.raises(dynet.ConvergenceError, match="does not keep its order"):
        dynet.rotation_number(dynet.zoo.henon(), [0.1, 0.1])


def test_a_spiral_into_a_point_leaves_no_rotation():
    with pytest.raises(dynet.ConvergenceError, match="winds into a fixed point"):
        dynet.rotation_number(tanh_map(0.5, alpha=0.9), START)


def test_faults_are_named_together():
    with pytest.raises(dynet.InputError) as caught:
        dynet.rotation_number(tanh_map(0.5), START, 10, n_transient=-1)
    assert "n_steps=10" in str(caught.value)
    assert "n_transient=-1" in str(caught.value)
    with pytest.raises(dynet.InputError, match="map is a Flow"):
        dynet.rotation_number(dynet.zoo.van_der_pol(), START)
    with pytest.raises(dynet.InputError, match="centre"):
        dynet.rotation_number(tanh_map(0.5), START, centre=[0.0])
    moving = dynet.Map(lambda t, x, u, p: (x + 0.1 * np.sin(t)) % 1.0, lambda t, x, u, p: np.eye(1))
    with pytest.raises(dynet.InputError, match="depends on time"):
        dynet.rotation_number(moving, [0.1])
