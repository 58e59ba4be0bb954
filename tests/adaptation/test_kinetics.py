"""Exponential approaches to a steady state, and indices where they have a meaning."""

import numpy as np
import pytest
import xarray as xr

import dynet

T = np.arange(120.0)


def trace(values, **coords):
    return xr.DataArray(values, dims=(*coords, "time"), coords={**coords, "time": T})


@pytest.mark.parametrize(("onset", "steady", "tau"), [(5.0, 2.0, 12.0), (1.0, 4.0, 3.0), (0.2, -0.1, 40.0)])
@pytest.mark.parametrize("start", [0.0, 1e4])
def test_onset_steady_state_and_time_constant(onset, steady, tau, start):
    values = trace(steady + (onset - steady) * np.exp(-T / tau)).assign_coords(time=T + start)
    ds = dynet.fit_adaptation(values)
    np.testing.assert_allclose(ds.parameter, [onset, steady, tau], rtol=1e-8)
    assert float(ds.r_squared) == pytest.approx(1, abs=1e-12)
    assert float(ds.liu_wang_index) == pytest.approx((onset - steady) / onset, rel=1e-8)
    early, late = values[:12].mean(), values[-12:].mean()
    if early * late > 0:
        assert float(ds.contrast_index) == pytest.approx(float((early - late) / (early + late)), rel=1e-12)
    else:
        assert np.isnan(ds.contrast_index)


def test_intervals_hold_the_truth():
    random = np.random.default_rng(0)
    draws = 300
    values = 2 + 3 * np.exp(-T / 12) + 0.3 * random.standard_normal((draws, T.size))
    ds = dynet.fit_adaptation(trace(values, unit=np.arange(draws)))
    truth = xr.DataArray([5.0, 2.0, 12.0], dims="name")
    held = (ds.interval.sel(bound="lower") <= truth) & (ds.interval.sel(bound="upper") >= truth)
    assert held.dims == ("unit", "name")
    np.testing.assert_allclose(held.mean("unit"), 0.95, atol=0.038)  # three standard errors


def test_a_ramp_has_no_steady_state():
    random = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="no steady state"):
        ds = dynet.fit_adaptation(trace(0.1 * T + 0.5 * random.standard_normal(T.size)))
    assert np.isposinf(ds.interval.sel(name="time_constant", bound="upper"))
    np.testing.assert_array_equal(ds.interval.sel(name="steady_state"), [-np.inf, np.inf])
    with pytest.warns(UserWarning, match="in 1 of 2 traces"):
        ds = dynet.fit_adaptation(trace([np.exp(T / 30), np.exp(-T / 30)], unit=[0, 1]))
    np.testing.assert_array_equal(np.isnan(ds.parameter.sel(name="time_constant")), [True, False])
    assert np.isnan(ds.liu_wang_index[0])


def test_constant_and_silent_responses():
    with pytest.warns(UserWarning, match="no steady state"):
        ds = dynet.fit_adaptation(trace([np.full(T.size, 2.0), np.zeros(T.size)], unit=[0, 1]))
    np.testing.assert_array_equal(ds.contrast_index, [0, np.nan])
    np.testing.assert_array_equal(ds.liu_wang_index, [0, np.nan])
    assert np.isnan(ds.r_squared).all()
    assert np.isnan(ds.parameter.sel(name="time_constant")).all()


def test_traces_in_any_units_have_one_time_constant():
    values = 2 + 3 * np.exp(-T / 12) + 0.1 * np.random.default_rng(0).standard_normal(T.size)
    sizes = np.array([0, -900, 664, 1000])
    ds = dynet.fit_adaptation(trace(np.ldexp(values, sizes[:, None]), size=sizes))
    for name in ("r_squared", "contrast_index", "liu_wang_index"):
        np.testing.assert_allclose(ds[name], ds[name][0], rtol=1e-12)
    np.testing.assert_allclose(ds.parameter[:, 2], ds.parameter[0, 2], rtol=1e-12)
    for name in ("onset", "steady_state"):
        found = ds.parameter.sel(name=name)
        np.testing.assert_allclose(np.ldexp(found, -sizes), found[0], rtol=1e-12)


def test_order_of_samples_does_not_matter():
    random = np.random.default_rng(4)
    values = trace(2 + 3 * np.exp(-T / 12) + 0.1 * random.standard_normal(T.size))
    one, two = dynet.fit_adaptation(values), dynet.fit_adaptation(values.isel(time=random.permutation(T.size)))
    np.testing.assert_allclose(two.parameter, one.parameter, rtol=1e-9)
    np.testing.assert_allclose(two.contrast_index, one.contrast_index, rtol=1e-9)


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (trace(T), {"window": 0.6}, r"window=0\.6"),
        (trace(T)[:5], {}, "at least 6"),
        (trace(T), {"dim": "step"}, "dim='step'"),
        (trace(np.where(T > 50, np.inf, T)), {}, "not finite"),
        (list(T), {}, "give a DataArray"),
    ],
)
def test_bad_input_is_named(values, settings, message):
    with pytest.raises(dynet.InputError, match=message):
        dynet.fit_adaptation(values, **settings)
