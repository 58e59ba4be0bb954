"""Orders from sinusoids: phase lead and gain slope."""

import numpy as np
import pytest
import xarray as xr

import dynet

F = [1.0, 2.0, 4.0, 8.0]
T = np.arange(2000) / 500
STIMULUS = xr.DataArray(
    [1.5 * np.sin(2 * np.pi * f * T + 0.3) + 2 for f in F],
    dims=["frequency", "time"],
    coords={"frequency": F, "time": T},
)


@pytest.mark.parametrize("order", [-1.2, -0.4, 0.0, 0.15, 1.0])
def test_periodic_derivatives(order):
    r = -3 + 0.7 * dynet.fractional_derivative(STIMULUS - 2, order, method="fourier")
    fit = dynet.sinusoid_order(r, STIMULUS)
    np.testing.assert_allclose([fit.phase_order, fit.gain_order], order, atol=1e-9)
    np.testing.assert_allclose(fit.gain, 0.7 * (2 * np.pi * fit.frequency) ** order, rtol=1e-9)
    np.testing.assert_allclose(fit.phase_lead, order * np.pi / 2, atol=1e-9)
    assert fit.residual.max() < 1e-15


def test_causal_derivatives_after_their_onset():
    r = dynet.fractional_derivative(STIMULUS - 2, 0.3)
    fit = dynet.sinusoid_order(r, STIMULUS, after=2.0)
    np.testing.assert_allclose([fit.phase_order, fit.gain_order], 0.3, atol=0.01)


def test_intervals_hold_the_order_under_noise():
    random = np.random.default_rng(0)
    clean = dynet.fractional_derivative(STIMULUS - 2, 0.3, method="fourier")
    noise = random.normal(0, 1.0, (500, 4, T.size)) * clean.std("time").values[:, None]
    r = clean + xr.DataArray(noise, dims=["unit", "frequency", "time"])
    fit = dynet.sinusoid_order(r.transpose("time", "unit", "frequency"), STIMULUS)
    assert fit.phase_order.dims == ("unit",)
    for name in ("phase", "gain"):
        lower, upper = fit[f"{name}_order_interval"].values.T
        assert 0.92 <= np.mean((lower <= 0.3) & (upper >= 0.3)) <= 0.98


def test_a_phase_next_to_pi():
    """The negative derivative of order 0 leads by pi, which rounding puts to either side."""
    noise = np.random.default_rng(1).normal(0, 0.1, STIMULUS.shape)
    fit = dynet.sinusoid_order(-(STIMULUS - 2) + noise, STIMULUS)
    assert abs(abs(float(fit.phase_order)) - 2) < 0.01
    assert float(fit.gain_order) == pytest.approx(0, abs=0.01)


def test_bad_input():
    with pytest.raises(dynet.InputError, match="no sinusoid of frequency 1 "):
        dynet.sinusoid_order(STIMULUS, STIMULUS.where(STIMULUS.frequency > 1, 0.5))
    with pytest.raises(dynet.InputError, match="frequency"):
        dynet.sinusoid_order(STIMULUS[:2], STIMULUS[:2])
    with pytest.raises(dynet.InputError, match="less than a cycle"):
        dynet.sinusoid_order(STIMULUS, STIMULUS, after=3.5)
    with pytest.raises(dynet.InputError, match="stimulus='ndarray'"):
        dynet.sinusoid_order(STIMULUS, STIMULUS.values)
    with pytest.raises(dynet.InputError, match="stimulus has 3 along frequency"):
        dynet.sinusoid_order(STIMULUS, STIMULUS[:3])


def test_a_unit_without_a_response_has_no_order_and_says_why():
    both = xr.concat([STIMULUS, STIMULUS.where(STIMULUS.frequency > 1, 1.0)], dim="unit")
    fit = dynet.sinusoid_order(both, STIMULUS)
    assert abs(float(fit.phase_order[0])) < 1e-9
    assert np.isnan(fit.phase_order[1])
    assert np.isnan(fit.gain_order_interval[1]).all()
    assert fit.message.values.tolist() == ["", "no response at some frequency: its order is not defined"]
