"""Boundaries of oscillation of two tanh units: their own equations, cycles on either side, and the strong limit."""

import numpy as np
import pytest
from scipy.optimize import fsolve

import dynet
from dynet.errors import ConvergenceError, InputError

theory = dynet.theory


def test_the_saddle_nodes_solve_their_equations():
    def equations(y, alpha):
        x = np.tanh(y)
        square = x @ x
        a, b = x @ y / square, (x[0] * y[1] - x[1] * y[0]) / square
        d = 1 - x * x
        return np.hypot(a, b) - alpha, (a * d[0] - 1) * (a * d[1] - 1) + b**2 * d[0] * d[1]

    gains = np.array([1.1, 1.5, 2.5, 6.0])
    for alpha, angle in zip(gains, theory.saddle_node_angle(gains), strict=True):
        y = fsolve(equations, [alpha, 0.4 * alpha], args=(alpha,), xtol=1e-13)
        x = np.tanh(y)
        assert abs(abs(np.arctan2(x[0] * y[1] - x[1] * y[0], x @ y)) - angle) < 1e-7 * angle
    assert abs(theory.saddle_node_angle(1.5) - 0.147822070679) < 1e-12
    np.testing.assert_allclose(theory.saddle_node_angle([0.5, 1.0, 1e8]), [np.nan, 0.0, np.pi / 4], atol=1e-7)


@pytest.mark.parametrize("delta", [0.2, 0.5, 0.9])
def test_multipliers_of_the_origin_are_on_the_circle(delta):
    gains = np.array([1.02, 1.05, 1.08])
    angles = theory.neimark_sacker_angle(gains, delta)
    np.testing.assert_allclose(abs(1 - delta + delta * gains * np.exp(1j * angles)), 1, atol=1e-12)
    np.testing.assert_allclose(theory.neimark_sacker_angle([0.9, 50.0], delta), [np.nan, np.pi])


def test_windows():
    gains = np.array([1.2, 3.0])
    np.testing.assert_allclose(gains * np.cos(theory.hopf_angle(gains)), 1)
    assert np.isnan(theory.cycle_window([0.5, 1.0])).all()
    assert np.isnan(theory.cycle_window(1.0, form="flow")).all()
    np.testing.assert_allclose(theory.cycle_window(1.5).sum(), np.pi / 2)
    # the numbers of the slides' window: inside of that of the flow at the authors' gain
    low, high = theory.cycle_window(1.5, form="flow")
    assert low < np.pi / 21
    assert np.pi / 3.8 < high
    # with less and less leak the map becomes the flow
    np.testing.assert_allclose(theory.cycle_window(1.5, delta=1e-6), [low, high], atol=1e-5)


def test_there_are_cycles_inside_alone():
    low, high = theory.cycle_window(1.5, form="flow")
    inside = dynet.find_limit_cycle(dynet.zoo.tanh_oscillator(1.5, high - 0.01), [0.3, 0.1])
    np.testing.assert_allclose(1 / inside.period, np.tan(high) / (2 * np.pi), rtol=0.02)
    for theta in (low - 0.005,):
        with pytest.raises(ConvergenceError, match="fixed point"):
            dynet.find_limit_cycle(dynet.zoo.tanh_oscillator(1.5, theta), [0.3, 0.1])


@pytest.mark.slow
def test_strong_gains():
    limit = float(theory.strong_gain_cycle(1.0).period)
    pairs = [dynet.zoo.tanh_oscillator(alpha, 1.0) for alpha in (20, 40)]
    away = [limit - float(dynet.find_limit_cycle(pair, [0.9, 0.1], period_guess=limit).period) for pair in pairs]
    assert 0 < away[1] < away[0] < 0.8
    np.testing.assert_allclose(away[0] / away[1], 2, rtol=0.15)  # the error is of first order in 1 / alpha
    ds = theory.strong_gain_cycle([0.9, 1.2])
    np.testing.assert_allclose(np.log(ds.multiplier) / ds.period, ds.second_exponent)


def test_oscillators_of_all_kinds_are_the_networks():
    x = np.array([0.4, -0.7])
    for form in ("flow", "map"):
        pair, net = dynet.zoo.tanh_oscillator(1.3, 0.6, form=form), dynet.networks.rotation_rnn(1.3, 0.6, form=form)
        function = "rhs" if form == "flow" else "step"
        ours, theirs = (getattr(s, function)(0.0, x, x[:0], s.params) for s in (pair, net))
        np.testing.assert_allclose(ours, theirs, rtol=1e-15)
        dynet.check_jacobian(pair, x)
    leaky = dynet.zoo.tanh_oscillator(1.3, 0.6, form="map", delta=0.5)
    np.testing.assert_allclose(leaky.step(0.0, x, x[:0], leaky.params), (x + np.array(ours)) / 2, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.cycle_window(-1.0), "alpha=-1.0: give positive numbers"),
        (lambda: theory.cycle_window(1.5, form="flow", delta=0.5), "delta=0.5: it belongs to maps"),
        (lambda: theory.neimark_sacker_angle(1.5, 2.0), "delta=2.0: give a leak"),
        (lambda: theory.strong_gain_cycle(0.5), "theta=0.5: give angles in"),
        (lambda: theory.hopf_angle([[1.5]]), "give a number or an array of one dimension"),
        (lambda: dynet.zoo.tanh_oscillator("a", form="both"), "alpha='a': give a number\nform"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
