"""Symmetries of the map of two tanh units in its angle, and the windows inside of which it oscillates."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dynet

gains = st.floats(1.1, 2.5)
STEPS = 2_000


def exponents(theta, alpha, *, delta=1.0, x0=(0.5, 0.1), frame=((1.0, 0.0), (0.0, 1.0))):
    system = dynet.zoo.tanh_oscillator(alpha, theta, form="map", delta=delta)
    ds = dynet.lyapunov_spectrum(system, x0, STEPS, n_transient=1_000, initial_frame=np.array(frame), check=False)
    return ds.lyapunov_exponent.values


@settings(max_examples=4)
@given(gains, st.floats(0.0, np.pi / 2))
def test_exponents_of_turned_and_mirrored_maps(alpha, theta):
    here = exponents(theta, alpha)
    np.testing.assert_allclose(exponents(theta + np.pi / 2, alpha), here, atol=1e-7)
    mirrored = exponents(np.pi / 2 - theta, alpha, x0=(0.1, 0.5), frame=((0.0, 1.0), (1.0, 0.0)))
    np.testing.assert_allclose(mirrored, here, atol=1e-7)


@settings(max_examples=4)
@given(gains, st.floats(0.2, 0.8))
def test_rotation_of_turned_maps(alpha, part):
    low, high = dynet.theory.cycle_window(alpha)
    theta = low + part * (high - low)

    def rotation(angle):
        system = dynet.zoo.tanh_oscillator(alpha, angle, form="map")
        return dynet.rotation_number(system, [0.5, 0.1], centre=[0.0, 0.0], n_steps=4_000)

    here, turned = rotation(theta), rotation(theta + np.pi / 2)
    away = (float(turned.rotation) - float(here.rotation) - 0.25 + 0.5) % 1.0 - 0.5
    assert abs(away) <= float(turned.uncertainty + here.uncertainty) + 1e-9
    eighth = rotation(np.pi / 4)
    assert abs(float(eighth.rotation) - 1 / 8) <= float(eighth.uncertainty) + 1e-12


@pytest.mark.parametrize("delta", [1.0, 0.5])
@settings(max_examples=4)
@given(st.floats(1.15, 1.4), st.floats(0.1, 0.9))
def test_windows_of_maps(delta, alpha, part):
    low, high = dynet.theory.cycle_window(alpha, delta=delta)
    theta = low + part * (high - low)
    assume(delta < 1 or abs(theta - np.pi / 4) > 0.01)  # where the rotation is locked to an eighth
    assert abs(exponents(theta, alpha, delta=delta)[0]) < 2e-3
    for outside in (0.7 * low, high + 0.3 * low):
        assert exponents(outside, alpha, delta=delta)[0] < -2e-3
