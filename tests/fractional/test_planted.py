"""An adaptive neuron made to respond with a known order: its order is found, whatever gain, offset and noise do."""

import numpy as np
import pytest

import dynet

N_GAIN, DRIVE = 5.0, 2.0
STEP = np.full(784, DRIVE)
ORDERS = [0.15, 0.30]


def planted(order):
    """Return what a neuron of constant input puts out whose saturation follows from the response it should have."""
    wanted = dynet.fractional_derivative(STEP, order)
    soft, sigmoid = (dynet.gamma_activation(DRIVE, N_GAIN, s) for s in (0.0, 1.0))
    saturation = (soft - wanted) / (soft - sigmoid)
    with pytest.warns(UserWarning, match="outside"):
        response = dynet.gamma_activation(STEP, N_GAIN, saturation)
    np.testing.assert_allclose(response, wanted, atol=1e-12)
    return response


@pytest.mark.parametrize("order", ORDERS)
def test_order_is_found_whatever_gain_and_offset(order):
    response = planted(order)
    for gain in (1.0, 0.5, 2.0, 5.0):
        for offset in (0.0, 0.7, -3.0):
            fit = dynet.fractional_order(gain * response + offset, STEP)
            assert float(fit.order) == pytest.approx(order, abs=1e-3)
            assert float(fit.gain) == pytest.approx(gain, rel=1e-2)


@pytest.mark.parametrize("order", ORDERS)
def test_intervals_cover_in_92_to_98_of_100_draws(order):
    draws = planted(order) + np.random.default_rng(3).normal(0, 0.05, (200, STEP.size))
    fit = dynet.fractional_order(draws, STEP, axis=-1)
    lower, upper = fit.order_interval.values.T
    assert 0.92 <= np.mean((lower <= order) & (upper >= order)) <= 0.98


def test_saturation_has_an_order_of_its_own():
    """The saturation is an offset less a multiple of the response, so it has the same order and a negative gain."""
    soft, sigmoid = (dynet.gamma_activation(DRIVE, N_GAIN, s) for s in (0.0, 1.0))
    saturation = (soft - planted(0.3)) / (soft - sigmoid)
    fit = dynet.fractional_order(saturation, STEP)
    assert float(fit.order) == pytest.approx(0.3, abs=1e-3)
    assert float(fit.gain) == pytest.approx(-1 / (soft - sigmoid), rel=1e-2)
